"""`run --from TRACE`: go on from a step of a run, with words erased or pinned, as on the page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from model.branch import edits_of
from model.engine.parsing import parse_continuation
from model.errors import ModelUnavailable, SettingError, TraceError
from model.request import Request
from playground.cli.replay import read


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `--from` brings with it."""
    parser.add_argument(
        "--frame",
        type=int,
        metavar="N",
        help="with --from: the frame to go on from, the first is 0 (default: the last)",
    )
    parser.add_argument(
        "--erase", metavar="5-9", action="append", default=[], help="with --from: positions that are undecided again"
    )
    parser.add_argument(
        "--pin",
        metavar="5-9|'12: Otto'",
        action="append",
        default=[],
        help="with --from: positions that never change, or words in place of a position's, which then never change",
    )
    parser.add_argument("--keep", action="store_true", help="with --from: all other words stay")


def continuation(path: Path, args: argparse.Namespace, given: dict[str, Any]) -> Request:
    """Return the request that goes on from a trace file; raise SettingError with one sentence. given: knobs of the command line."""
    trace = read(path)
    step = len(trace.frames) - 1 if args.frame is None else args.frame
    edits = edits_of(args.erase, args.pin)
    try:
        return parse_continuation(trace.to_json(), step, edits, args.keep, given)
    except ModelUnavailable as error:
        raise SettingError(str(error), "from") from None
    except TraceError as error:
        raise SettingError(f"{path} cannot be gone on from: {error}", "from") from None
