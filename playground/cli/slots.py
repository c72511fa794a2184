"""`slots FORM.json`: read a form, and show every slot's probabilities as bars."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing, nullcontext
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from model.engine.parsing import parse_slots
from model.errors import PlaygroundError, SettingError
from model.settings import LOCAL
from model.slots import Reading
from playground.calibration import trusted
from playground.cli.terminal import harmless

BAR = 24  # cells of a bar of probability 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `slots`."""
    about = 'a form as a file of JSON, or the JSON itself: {"text": "It is {mood: happy | sad}."}'
    parser.add_argument("form", metavar="FORM.json", help=about)
    parser.add_argument("--model", default=None, metavar="ID", help="see `models` (default: the form's, else worlds)")
    parser.add_argument(
        "--passes", type=int, default=None, metavar="N", help="rounds of reading (default: the form's, else 1)"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line of stdout")


def slots(args: argparse.Namespace) -> int:
    """Read one form."""
    from model.engine.engine import Engine

    main: Any = import_module("playground.cli.main")
    document = form_of(args.form)
    if isinstance(document, dict):
        document |= {name: value for name in ("model", "passes") if (value := getattr(args, name)) is not None}
    request = parse_slots(document)
    with closing(Engine()) as engine, engine.run(request) as run:
        for waiting in run.prepare():
            main.note(waiting.words)
        main.note("")
        reading: Reading | None = next(reversed([*run]), None)
    if reading is None:
        raise PlaygroundError("Nothing was read.")
    print(harmless(reading.text), flush=True)
    for line in bars(reading):
        print(harmless(line), flush=True)
    print(harmless(trusted(reading.model, reading.weights_sha256)), file=sys.stderr, flush=True)
    if args.json:
        main.print_json(reading.as_dict())
    return 0


def bars(reading: Reading) -> list[str]:
    """Return lines that show each slot, and a bar for each of its choices."""
    out = []
    for answer in reading.answers.values():
        out.append(f"{answer.name}: {answer.text}" + (" (given)" if answer.kind == "given" else ""))
        width = max(len(text) for text, _ in answer.choices)
        for text, p in answer.choices if answer.kind != "given" else ():
            out.append(f"  {text:{width}}  {'█' * round(BAR * p):{BAR}} {p:6.1%}")
    for sentence in reading.faults or ():
        out.append(sentence)
    return out + (["Consistent."] if reading.faults == () else [])


def form_of(told: str) -> Any:
    """Return what a file of JSON holds, or text that is JSON itself; raise SettingError."""
    itself = told.lstrip().startswith("{")
    try:
        with nullcontext(BytesIO(told.encode("utf-8", "replace"))) if itself else Path(told).open("rb") as file:
            data = file.read(LOCAL.trace_bytes + 1)
        return json.loads(data[: LOCAL.trace_bytes].decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        what = "cannot be read" if isinstance(error, OSError) else "is no JSON"
        raise SettingError(f"The form {told[:80]} {what}.", "form") from None
