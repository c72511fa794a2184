"""`chat`: a conversation in the terminal, each answer denoised before your eyes; through pipes one line in, one answer out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from itertools import chain
from typing import Any

from model.engine.parsing import parse_request
from model.errors import PlaygroundError
from model.text import Conversation, before
from model.trace.trace import Trace
from playground.cli.terminal import final, harmless, watch
from playground.compare.summary import summary

HELP = "Type a prompt. /new starts anew, /back takes the last prompt and its answer back, /quit ends."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `chat`."""
    parser.add_argument("--model", default="builtin", metavar="ID", help="see `models` (default builtin)")
    parser.add_argument("--mode", default="diffusion", metavar="diffusion|ar", help="denoise, or write left to right")
    parser.add_argument("--system", default="", metavar="TEXT", help="system prompt")
    parser.add_argument(
        "--say", action="append", default=[], metavar="TEXT", help="what to say first (may be repeated)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object an answer, instead of its text")
    import_module("playground.cli.main").add_settings(parser)


def chat(args: argparse.Namespace) -> int:
    """Answer line after line; what cannot be answered is said, and the conversation stays as it was."""
    from model.engine.engine import Engine

    main: Any = import_module("playground.cli.main")
    settings, typed = main.settings_of(args), sys.stdin.isatty()
    parse_request(
        "x", settings, model=args.model, mode=args.mode, system=args.system
    )  # a bad value ends it before it begins
    said: tuple[tuple[str, str], ...] = ()
    status = 0
    if typed:
        print(HELP, file=sys.stderr)
    with closing(Engine()) as engine:
        for line in chain(args.say, _lines(typed)):
            if line in ("/new", "/back"):
                said = said[:-2] if line == "/back" else ()
                continue
            try:
                prompt = Conversation(line, said) if said else line
                request = parse_request(prompt, settings, model=args.model, mode=args.mode, system=args.system)
                with engine.run(request) as run:
                    for waiting in run.prepare():
                        main.note(waiting.words)
                    main.note("")
                    trace = run.trace
                    assert trace is not None
                    for _ in watch(run, trace):
                        pass
            except PlaygroundError as error:
                print(harmless(str(error)), file=sys.stderr, flush=True)
                status = 1
                if not typed:
                    return 2
                continue
            _say(trace, args.json)
            if trace.final_text.strip():
                said = (*said, ("user", line), ("assistant", trace.final_text))
    return status if not typed else 0


def _say(trace: Trace, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary(trace) | {"turn": 1 + len(before(trace.prompt)) // 2}), flush=True)
    else:
        print(final(trace), flush=True)


def _lines(typed: bool) -> Iterator[str]:
    """Yield what is typed, line by line, until /quit or the end of the input."""
    while True:
        if typed:
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line or line.strip() == "/quit":
            return
        if line.strip():
            yield line.strip()
