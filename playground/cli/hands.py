"""`run --from TRACE`: go on from a step of a run, with words erased, pinned or typed, as on the page."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from model.engine.parsing import parse_continuation
from model.errors import SettingError, TraceError
from model.request import Request
from model.settings import FIELDS
from playground.cli.replay import read

_SPAN = re.compile(r"(\d{1,7})(?:-(\d{1,7}))?")


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
        "--pin", metavar="5-9", action="append", default=[], help="with --from: positions that never change"
    )
    parser.add_argument(
        "--put",
        metavar="'12: Otto'",
        action="append",
        default=[],
        help="with --from: words in place of that position's",
    )
    parser.add_argument("--keep", action="store_true", help="with --from: all other words stay")


def continuation(path: Path, args: argparse.Namespace, given: dict[str, Any]) -> Request:
    """Return the request that goes on from a trace file; raise SettingError with one sentence. given: knobs of the command line."""
    trace = read(path)
    step = len(trace.frames) - 1 if args.frame is None else args.frame
    edits = [{"at": span(text, "erase"), "do": "erase"} for text in args.erase]
    edits += [{"at": span(text, "pin"), "do": "pin"} for text in args.pin]
    for text in args.put:
        where, colon, words = text.partition(":")
        if not colon:
            raise SettingError(f"--put must be like '12: Otto'; it was {text[:40]!r}.", "put")
        edits.append({"at": span(where.strip(), "put"), "do": "type", "text": words.strip()})
    try:
        return parse_continuation(trace.to_json(), step, edits, args.keep, given)
    except TraceError as error:
        raise SettingError(f"{path} cannot be gone on from: {error}", "from") from None


def span(text: str, option: str) -> list[int]:
    """Return [start, stop) of positions '5' or '5-9', both ends included; raise SettingError."""
    found = _SPAN.fullmatch(text.strip())
    if not found or int(found[2] or found[1]) < int(found[1]):
        raise SettingError(f"--{option} must name positions like 5 or 5-9; it was {text[:40]!r}.", option)
    return [int(found[1]), int(found[2] or found[1]) + 1]


def knobs(args: argparse.Namespace, value_of: Any) -> dict[str, Any]:
    """Return the knobs that were given on the command line; the others are the trace's."""
    return {
        field.name: value_of(field, getattr(args, field.name))
        for field in FIELDS
        if getattr(args, field.name) is not None
    }
