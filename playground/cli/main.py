"""The command line: `python -m playground run | fill | slots | ...`, as `COMMANDS` lists them. Every knob is an option.

A subcommand is one line in `COMMANDS`: its help, a function that adds its options, and one that runs it and returns the exit status.
Exit status: 0 done, 1 a model could not run, 2 a bad value (one sentence on stderr), 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from model.aliases import ALIASES, ours
from model.engine.catalog import entries, entry
from model.engine.parsing import parse_request
from model.errors import ModelUnavailable, PlaygroundError, SettingError
from model.request import Request
from model.settings import FIELD, FIELDS, LOCAL, MODES, PROFILES, Field
from model.trace.trace import Trace
from playground.cli.output import check_file, lines_of, take_any_text, write
from playground.cli.terminal import checked, final, harmless, watch
from playground.compare.summary import summary
from playground.links import link_of, read_link
from playground.presets import begun
from playground.proxies import unproxied


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one sentence and end with status 2."""
        self.exit(2, f"{self.prog}: {harmless(message)}\n")


# ---------------------------------------------------------------- options shared by subcommands
def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add one option per knob of `Settings`."""
    for field in FIELDS:
        shown = "|".join(field.choices) if field.choices else "X" if field.kind == "float" else "N"
        about = f"{field.help} (default {field.default}, or the model's own)".replace("%", "%%")
        parser.add_argument(f"--{field.name.replace('_', '-')}", metavar=shown, dest=field.name, help=about)
    for name, own in TYPED.items():
        about = f"as transformers calls --{own.replace('_', '-')}"
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="N", dest=name, help=about)


TYPED = {name: own for name, own in ALIASES.items() if FIELD[own].kind == "int"}  # aliases that are one number


def knobs(args: argparse.Namespace) -> dict[str, Any]:
    """Return the knobs that were given on the command line, numbers read as numbers; raise SettingError where one was given twice."""
    names = {name: name for name in FIELD} | TYPED
    given = {name: getattr(args, name, None) for name in names}
    return ours({name: value_of(FIELD[names[name]], text) for name, text in given.items() if text is not None})


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the knobs that were given, numbers read as numbers; `Settings.parse` refuses the rest.

    Where none is given that says how to write, a model that the page has presets for begins as the page does.
    """
    return begun(args.model, knobs(args))


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the option that names an engine on another machine."""
    about = "where to compute: the address of a `worker`, like http://127.0.0.1:7870 (default: here)"
    parser.add_argument("--engine", default="", metavar="URL", help=about)


def value_of(field: Field, text: str) -> Any:
    if field.kind == "choice":
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def requests_of(args: argparse.Namespace) -> list[Request]:
    """Return the checked requests of --prompt or --prompts; raise SettingError before anything runs."""
    if args.trace_file:
        hands = import_module("playground.cli.hands")
        return [hands.continuation(args.trace_file, args, knobs(args))]
    for name in ("frame", "erase", "pin", "keep"):
        if getattr(args, name) or (name == "frame" and args.frame is not None):
            hint = "; --pinned pins words in a new run" if name == "pin" else ""
            raise SettingError(f"--{name} changes a run that --from goes on from; give both{hint}.", name)
    if args.link:
        told = read_link(args.link)
        given = knobs(args)
        vars(args).update(told._asdict())
        return [
            parse_request(
                told.prompt,
                told.knobs | given,
                model=told.model,
                mode=told.mode,
                system=told.system,
                pinned=told.pinned,
            )
        ]
    prompts = [args.prompt] if args.prompts is None else lines_of(args.prompts)
    values, pinned = settings_of(args), args.pinned.replace("\\n", "\n")
    try:
        spec = entry(args.model).spec
    except ModelUnavailable as error:
        raise SettingError(str(error), "model") from None
    mode, image = args.mode or spec.modes[0], [picture(path) for path in args.image]
    common = {"model": args.model, "mode": mode, "system": args.system, "pinned": pinned, "image": image}
    return [parse_request(prompt, values, **common) for prompt in prompts]


def picture(path: Path) -> bytes:
    """Return an image file's bytes, one more than allowed at most; raise SettingError."""
    try:
        with path.open("rb") as file:
            return file.read(LOCAL.image_bytes + 1)
    except OSError as error:
        raise SettingError(f"The image cannot be read: {error}.", "image") from None


def print_json(value: Any) -> None:
    """Print one JSON object as one line of ASCII."""
    print(json.dumps(value, ensure_ascii=True, allow_nan=False), flush=True)


# ---------------------------------------------------------------- run
def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the options of `run`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--prompt", metavar="TEXT", help="what to answer")
    source.add_argument("--link", metavar="ADDRESS", help="what 'Copy link' on the page gives; knobs beside it win")
    source.add_argument(
        "--from", metavar="TRACE", type=Path, dest="trace_file", help="go on from a run that was written with --trace"
    )
    import_module("playground.cli.hands").add_options(parser)
    source.add_argument(
        "--prompts", metavar="FILE", type=Path, help="a file with one prompt a line; prints one JSON object a line"
    )
    parser.add_argument("--model", default="builtin", metavar="ID", help="see `models` (default builtin)")
    parser.add_argument(
        "--mode",
        metavar="|".join(MODES),
        help="denoise, or write left to right (default: denoise, where the model can)",
    )
    parser.add_argument("--system", default="", metavar="TEXT", help="system prompt")
    parser.add_argument(
        "--pinned",
        default="",
        metavar="'5: upon'",
        help="words that must stand at a position; several lines, or \\n between them",
    )
    parser.add_argument(
        "--image",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="a picture before the prompt, for models that take one (may be repeated)",
    )
    parser.add_argument("--trace", metavar="FILE", type=Path, help="write the whole run as JSON (one prompt only)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line of stdout")
    add_engine(parser)
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Denoise one prompt, or every line of a file."""
    requests = requests_of(args)
    if args.trace and args.prompts:
        raise SettingError("--trace writes one run; give it with --prompt, not with --prompts.", "trace")
    check_file(args.trace, "trace")
    for request, trace in zip(requests, finished(requests, args.engine), strict=True):
        if args.prompts is None:
            if trace.result and trace.result.thought:
                print(harmless(f"Thought: {trace.result.thought}"), file=sys.stderr, flush=True)
            print(final(trace), flush=True)
            if said := checked(trace):
                print(said, file=sys.stderr, flush=True)
        if args.prompts is not None or args.json:
            print_json(summary(trace) | ({} if args.trace_file else {"link": linked(request, args)}))
        if args.trace:
            write(args.trace, trace.to_json())
    return 0


def linked(request: Request, args: argparse.Namespace) -> str:
    """Return the link that opens the page as a run was asked for."""
    pinned = args.pinned.replace("\\n", "\n")
    return link_of(request.model, request.mode, request.prompt, request.system, pinned, request.settings.as_dict())


def finished(requests: Sequence[Request], where: str = "") -> Iterator[Trace]:
    """Run one request after the other on one loaded model, drawing on a terminal; yield each finished trace."""
    from model.engine.remote import engine_at

    with closing(engine_at(where)) as engine:
        for request in requests:
            with engine.run(request) as run:
                for waiting in run.prepare():
                    note(waiting.words)
                note("")
                assert run.trace is not None
                if run.trace.notice:
                    print(harmless(run.trace.notice), file=sys.stderr, flush=True)
                for _ in watch(run, run.trace):
                    pass
                yield run.trace


def note(words: str) -> None:
    """Show on one line of a terminal what is being waited for."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{words}", end="", file=sys.stderr, flush=True)


# ---------------------------------------------------------------- models
def add_models(parser: argparse.ArgumentParser) -> None:
    """Add the options of `models`."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def models(args: argparse.Namespace) -> int:
    """List every model, whether it can run here, and if not, why."""
    rows: list[dict[str, Any]] = []
    for record in entries():
        usable, reason = record.available()
        standing, words = record.standing()
        spec = record.spec
        told = {
            name: getattr(spec, name)
            for name in ("id", "name", "family", "modes", "parameters", "license", "url", "note")
        }
        rows.append(
            told
            | {
                "available": usable,
                "reason": reason,
                "needs": record.needs,
                "standing": standing,
                "words": words,
                "bytes": spec.memory_bytes,
                "defaults": record.defaults,
                "offers": list(record.offers),
            }
        )
    if args.json:
        for row in rows:
            print_json(row)
        return 0
    width = max(len(row["id"]) for row in rows)
    for row in rows:
        print(f"{row['id']:{width}}  {row['name']}: {row['words']}")
        print(" " * (width + 2) + "; ".join(filter(None, [f"needs {row['needs']}", row["license"], row["note"]])))
        for offer in row["offers"]:
            print(" " * (width + 4) + offer)
    return 0


# ---------------------------------------------------------------- serve
def add_serve(parser: argparse.ArgumentParser) -> None:
    """Add the options of `serve` (and of app.py)."""
    where = "address to listen on (default: GRADIO_SERVER_NAME, else 127.0.0.1, or 0.0.0.0 in a container)"
    parser.add_argument("--host", default=None, help=where)
    parser.add_argument("--port", type=int, default=None, help="port (default: the first free one from 7860)")
    parser.add_argument("--model", default="worlds", metavar="ID", help="model to load at the start (default worlds)")
    parser.add_argument(
        "--limits", choices=sorted(PROFILES), help="what a visitor may ask for (default local; public on a Space)"
    )
    parser.add_argument(
        "--trusted-proxy",
        type=int,
        default=None,
        metavar="N",
        help="proxies before the page that append to X-Forwarded-For (default 0; 1 on a Space)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which the page answers, "
        "beside addresses, localhost and this machine's own (may be repeated)",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the page")
    about = "offer the page to assistants at /mcp (default: where only this machine can reach it)"
    parser.add_argument("--mcp", action=argparse.BooleanOptionalAction, default=None, help=about)
    add_engine(parser)


def serve(args: argparse.Namespace) -> int:
    """Open the page and serve it until interrupted."""
    with unproxied():  # some libraries build a client when they are imported
        from playground.web.server import serve as start

    shown = {"browser": not args.no_browser, "proxies": args.trusted_proxy, "names": args.allow_host}
    shown |= {"engine": args.engine, "assistants": args.mcp}
    return start(host=args.host, port=args.port, model=args.model, limits=args.limits, **shown)


class Command(NamedTuple):
    """One subcommand."""

    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    main: Callable[[argparse.Namespace], int]


def lazily(module: str, name: str) -> Callable[[Any], Any]:
    """Return a function of one argument that imports `module` only when it is called."""
    return lambda argument: getattr(import_module(module), name)(argument)


COMMANDS: dict[str, Command] = {
    "run": Command("write an answer, denoising in the terminal", add_run, run),
    "chat": Command(
        "hold a conversation", lazily("playground.cli.chat", "add_options"), lazily("playground.cli.chat", "chat")
    ),
    "fill": Command(
        "fill the holes of a text", lazily("playground.cli.fill", "add_options"), lazily("playground.cli.fill", "fill")
    ),
    "slots": Command(
        "read a form: every slot's probabilities",
        lazily("playground.cli.slots", "add_options"),
        lazily("playground.cli.slots", "slots"),
    ),
    "race": Command(
        "race lanes on one prompt",
        lazily("playground.cli.compare", "add_race"),
        lazily("playground.cli.compare", "race"),
    ),
    "sweep": Command(
        "sweep one knob", lazily("playground.cli.compare", "add_sweep"), lazily("playground.cli.compare", "sweep")
    ),
    "models": Command("list the models", add_models, models),
    "replay": Command(
        "show a trace again", lazily("playground.cli.replay", "add_options"), lazily("playground.cli.replay", "replay")
    ),
    "talk": Command(
        "show a playlist to a room", lazily("playground.cli.talk", "add_options"), lazily("playground.cli.talk", "talk")
    ),
    "serve": Command("open the page", add_serve, serve),
    "worker": Command(
        "compute for pages elsewhere",
        lazily("playground.cli.worker", "add_options"),
        lazily("playground.cli.worker", "work"),
    ),
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    whole = _Parser(
        prog="playground", description="Inkblot: watch a language model write by denoising.", allow_abbrev=False
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS), parser_class=_Parser)
    for name, command in COMMANDS.items():
        command.add_options(commands.add_parser(name, help=command.help, description=command.help, allow_abbrev=False))
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    take_any_text()
    args = parser().parse_args(argv)
    try:
        return COMMANDS[args.command].main(args)
    except SettingError as error:
        status, words = 2, str(error)
    except PlaygroundError as error:
        status, words = 1, str(error)
    except KeyboardInterrupt:
        status, words = 130, "Stopped."
    except BrokenPipeError:  # `| head`: nobody reads on, and nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    print(harmless(words), file=sys.stderr)
    return status
