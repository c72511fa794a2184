"""`python -m playground replay FILE`: show a trace in the terminal again, or write it as a page that plays it without a network."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from model.errors import SettingError
from model.trace.frame import Frame
from model.trace.trace import Trace
from playground.cli.output import check_file, write
from playground.cli.terminal import final, watch
from playground.compare.summary import summary
from playground.web.views.talk import read_trace as read

SLOWEST = 0.5  # seconds between two steps at most


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `replay`."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a trace, as `run --trace` or the page writes it")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="times the run's own pace (default 1)")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a page that plays it, in one file, instead")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line of stdout")


def replay(args: argparse.Namespace) -> int:
    """Show the trace, then print its text."""
    from playground.cli.main import print_json

    if not 0 < args.speed <= 1000:
        raise SettingError(f"Speed must be above 0 and at most 1000; it was {args.speed:g}.", "speed")
    check_file(args.html, "html")
    trace = read(args.file)
    if args.html:
        write_page(trace, args.html)
        return 0
    for _ in watch(paced(trace, args.speed), trace):
        pass
    print(final(trace), flush=True)
    if args.json and trace.result:
        print_json(summary(trace))
    return 0


def paced(trace: Trace, speed: float) -> Iterator[Frame]:
    """Yield the frames as far apart as they were, no step longer than `SLOWEST`."""
    before = 0.0
    for frame in trace.frames:
        time.sleep(min(SLOWEST, max(0.0, frame.seconds - before)) / speed)
        before = frame.seconds
        yield frame


def write_page(trace: Trace, path: Path) -> None:
    """Write a page that plays a trace; raise PlaygroundError where it cannot be written."""
    from playground.web.components.assets import page_html

    write(path, page_html(trace.to_json(), f"Inkblot: {trace.prompt[:60]}"))
