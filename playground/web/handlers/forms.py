"""Forms from the page and the API: each round of reading as it comes, for clients as JSON, for the page as bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from model.engine.engine import Engine
from model.engine.parsing import parse_slots
from model.request import Request
from model.slots import Reading
from model.trace.trace import STOPPED
from playground.calibration import trusted
from playground.web import strings
from playground.web.handlers.runs import prepared, shown, status
from playground.web.views.forms import form_html


def slots(engine: Engine) -> Callable[..., Iterator[Any]]:
    """Return the handler of the endpoint /slots."""

    def handler(request: gr.Request, **document: Any) -> Iterator[Any]:
        """Read a form: text with slots like {mood: happy | sad}, or {mood} and its choices in `slots`. Yields what is settled so far.

        slots: a list like {"name": "mood", "choices": ["happy", "sad"]}, {"name": "word", "tokens": 2}; a choice already made is "given".
        passes: rounds of reading, 1 to 8.
        """
        with shown():
            asked = parse_slots(document, engine.limits)
            for reading, words in _read(engine, request.session_hash or "", asked):
                if reading:
                    yield reading.as_dict() | {"calibration": trusted(reading.model, reading.weights_sha256)}
                else:
                    yield {"waiting": words}

    return handler


def from_page(engine: Engine) -> Callable[..., Iterator[tuple[Any, str]]]:
    """Return the page's handler: (the form's HTML, status line)."""

    def handler(request: gr.Request, text: Any, prompt: Any, model: Any, passes: Any) -> Iterator[tuple[Any, str]]:
        """Read the form on the page."""
        document = {"text": text, "prompt": prompt, "model": model, "passes": passes}
        with shown():
            asked = parse_slots(document, engine.limits)
        yield gr.skip(), status(strings.STARTING)
        with shown():
            last = None
            for last, words in _read(engine, request.session_hash or "", asked):
                yield (form_html(asked.form, last) if last else gr.skip()), status(words)
            yield gr.skip(), status(STOPPED[last.stopped] if last and last.stopped else "" if last else strings.STOPPED)

    return handler


def _read(engine: Engine, visitor: str, asked: Request) -> Iterator[tuple[Reading | None, str]]:
    with engine.run(asked, visitor) as run:
        for _, words in prepared(run):
            yield None, words
        for reading in run:
            yield reading, ""
