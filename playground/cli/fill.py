"""`fill`: text with holes, of which only the holes are written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.engine.catalog import entry
from model.engine.parsing import parse_fill
from model.errors import ModelUnavailable, PlaygroundError, SettingError
from model.holes import Filling, Tries, reach
from playground.cli.output import check_file, write
from playground.cli.terminal import checked, harmless, watch
from playground.compare.summary import summary

if TYPE_CHECKING:
    from model.engine.engine import EngineRun
    from model.trace.trace import Trace


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `fill`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--text", metavar="TEXT", help="text with holes: ___ for one to a few words, [5] for exactly five tokens"
    )
    source.add_argument("--file", metavar="FILE", type=Path, help="the same from a file")
    parser.add_argument("--model", default="worlds", metavar="ID", help="see `models` (default worlds)")
    parser.add_argument(
        "--prompt", default="", metavar="TEXT", help="what the text is written for (default: taken from the text)"
    )
    parser.add_argument("--trace", metavar="FILE", type=Path, help="write the whole run as JSON")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line of stdout")
    main = import_module("playground.cli.main")
    main.add_engine(parser)
    main.add_settings(parser)


def fill(args: argparse.Namespace) -> int:
    """Fill one text."""
    main: Any = import_module("playground.cli.main")
    check_file(args.trace, "trace")
    text = args.text if args.file is None else text_of(args.file)
    try:
        spec = entry(args.model).spec
    except ModelUnavailable as error:
        raise SettingError(str(error), "model") from None
    request, parts = parse_fill(text, main.settings_of(args), model=args.model, prompt=args.prompt)
    print(harmless(reach(spec)), file=sys.stderr, flush=True)
    from model.engine.remote import engine_at

    with closing(engine_at(args.engine)) as engine:
        begin = lambda lengths: engine.run(replace(request, draft=Filling(parts=parts, lengths=lengths)))  # noqa: E731
        tries = Tries(parts, begin, partial(engine.score, args.model))
        for run in tries:
            for _ in _watched(run, main.note):
                pass
    trace = tries.trace
    if trace is None or trace.result is None:
        raise PlaygroundError("Nothing was written.")
    for said in filter(None, (trace.notice, checked(trace))):
        print(harmless(said), file=sys.stderr, flush=True)
    print(harmless(trace.final_text), flush=True)
    if args.json:
        main.print_json(summary(trace) | {"holes": tries.words})
    if args.trace:
        write(args.trace, trace.to_json())
    return 0


def _watched(run: EngineRun, note: Any) -> Iterator[Any]:
    for waiting in run.prepare():
        note(waiting.words)
    note("")
    trace: Trace | None = run.trace
    assert trace is not None
    yield from watch(run, trace)


def text_of(path: Path) -> str:
    """Return a file's text without its last line break; raise SettingError."""
    try:
        return path.read_text(encoding="utf-8-sig").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"The file of the text cannot be read: {error}.", "file") from None
