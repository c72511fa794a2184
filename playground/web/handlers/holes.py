"""Text with holes, from the page and the API: tries of every open hole's length, then the best of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr

from model.engine.engine import Engine
from model.engine.parsing import parse_fill
from model.holes import Filling, Part, Tries
from model.request import Request
from model.trace.trace import STOPPED
from playground.presets import begun
from playground.web import strings
from playground.web.handlers.runs import prepared, shown, status, waiting
from playground.web.wire import Recorder


def fill(engine: Engine) -> Callable[..., Iterator[tuple[str, Any]]]:
    """Return the handler of the endpoint /fill."""

    def handler(
        request: gr.Request, *, text: Any, prompt: Any = "", model: Any = "worlds", settings: Any = None
    ) -> Iterator[tuple[str, Any]]:
        """Fill a text's holes: ___ for one to a few words, [5] for exactly five tokens. Yields as /denoise does."""
        given = {} if settings is None else settings
        with shown():
            knobs = begun(model, given) if isinstance(model, str) and isinstance(given, dict) else given
            asked, parts = parse_fill(text, knobs, model=model, prompt=prompt, limits=engine.limits)
        yield waiting(strings.STARTING)
        with shown():
            yield from _filled(engine, request.session_hash or "", asked, parts)

    return handler


def from_page(engine: Engine, names: Sequence[str]) -> Callable[..., Iterator[tuple[str, Any]]]:
    """Return the page's handler: text, model and then the knobs, whose names are given."""
    own = fill(engine)

    def handler(request: gr.Request, text: Any, model: Any, *values: Any) -> Iterator[tuple[str, Any]]:
        """Fill the text on the page."""
        settings = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        yield from own(request, text=text, model=model, settings=settings)

    return handler


def _filled(engine: Engine, visitor: str, asked: Request, parts: tuple[Part, ...]) -> Iterator[tuple[str, Any]]:
    """Yield waits, live frames where nothing has to be tried, else the best try's frames, and at last the whole run."""

    def begin(lengths: tuple[int, ...]) -> Any:
        return engine.run(replace(asked, draft=Filling(parts=parts, lengths=lengths)), visitor)

    tries, recorder = Tries(parts, begin, partial(engine.score, asked.model), engine.limits.seconds / 2), None
    for run in tries:
        yield from prepared(run)
        if run.trace is None:
            break
        if tries.open:
            yield waiting(f"trying holes of {', '.join(map(str, tries.lengths))} tokens")
        else:
            recorder = Recorder(run.trace)
        for frame in run:
            if recorder and (message := recorder.add(frame)):
                yield message, ""
    trace = tries.trace
    if trace is None or trace.result is None:
        yield waiting(strings.STOPPED)
        return
    if recorder is None:
        recorder = Recorder(trace, interval=0.0)
        for frame in trace.frames:
            if message := recorder.add(frame):
                yield message, ""
    said = "" if trace.result.stopped in ("end", "full", "converged") else STOPPED[trace.result.stopped]
    yield recorder.final(engine.limits.trace_bytes), status(said)
