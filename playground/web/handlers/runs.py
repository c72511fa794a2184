"""Generators that join the engine and the page: read what was sent, check it, pass on what comes. None of them knows a model."""

from __future__ import annotations

import asyncio
import html
import inspect
import json
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gradio as gr

from model.engine.engine import Engine, EngineRun
from model.engine.parsing import parse_continuation, parse_request, parse_ripple
from model.errors import PlaygroundError, SettingError, places
from model.request import Request
from model.settings import FIELD, Limits
from model.text import normalise
from model.trace.trace import STOPPED, Trace
from playground.presets import begun
from playground.web import strings
from playground.web.components.picture import pictures_of
from playground.web.wire import Recorder

log = logging.getLogger("inkblot")


def request_of(values: dict[str, Any], limits: Limits) -> Request:
    """Return the checked request of one page's controls, given by name; raise SettingError."""
    given = dict(values)
    prompt, image = given.pop("prompt", None), pictures_of(given.pop("image", None))
    knobs = {name: given.pop(name) for name in list(given) if name in FIELD}
    settings = {name: value for name, value in knobs.items() if value is not None}
    if isinstance(given.get("model"), str):
        settings = begun(given["model"], settings)
    return parse_request(prompt, settings, image=image, limits=limits, **given)


def denoise(engine: Engine) -> Callable[..., Iterator[tuple[str, Any]]]:
    """Return the handler that streams one run as (wire message, status line)."""

    told = messages

    # What defaults to None is optional for API clients: a knob that is left out is the model's own. The page gives all of them.
    def handler(
        request: gr.Request,
        *,
        system: Any = None,
        pinned: Any = None,
        image: Any = None,
        messages: Any = None,
        **values: Any,
    ) -> Iterator[tuple[str, Any]]:
        """Write by denoising: yields each step as JSON text, and last {"run", "trace": the whole run, "done": true}.

        messages: a conversation, a list of {"role", "content"}: what was said before the prompt, or all of it where the prompt is "".
        """
        values |= {"system": system, "pinned": pinned, "image": image, "messages": messages}
        with shown():
            asked = request_of(values, engine.limits)
        yield waiting(
            strings.STARTING
        )  # cheap and first: from here on Stop and a closed page always reach this generator
        with shown(), engine.run(asked, request.session_hash or "", keep=bool(request.session_hash)) as run:
            yield from told(run, engine.limits)

    signature = inspect.signature(handler)
    kept = list(signature.parameters.values())
    own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Any) for name in FIELD]
    handler.__signature__ = signature.replace(parameters=[*kept[:-1], *own, kept[-1]])  # type: ignore[attr-defined]
    return handler


def resume(engine: Engine) -> Callable[..., Iterator[tuple[str, Any]]]:
    """Return the handler that streams this visitor's stopped run from its first frame and goes on behind its last."""

    def handler(request: gr.Request) -> Iterator[tuple[str, Any]]:
        """Go on with your run that was stopped last, where its model can: yields as /denoise does, the steps there were first."""
        yield waiting(strings.STARTING)
        with shown(), engine.resume(request.session_hash or "") as run:
            yield from messages(run, engine.limits)

    return handler


def go_on(engine: Engine, names: Sequence[str]) -> Callable[..., Iterator[tuple[str, Any]]]:
    """Return the page's handler that goes on from a step of the run in view, with edits made by hand and the knobs as they are.

    names: of the knobs, whose values it is given in that order.
    """

    def handler(request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[tuple[str, Any]]:
        """Write on from a step of the run in view."""
        told = event._data if isinstance(event._data, dict) else {}
        knobs = dict(zip(names, values, strict=True))
        if "change" in told:
            with shown():
                asked = parse_ripple(told.get("trace"), told["change"], knobs, engine.limits)
            yield from _written(engine, request, asked)
            return
        document = told.get("trace")
        with shown():
            asked = parse_continuation(
                document, told.get("step"), told.get("edits"), told.get("keep"), knobs, engine.limits
            )
        if not told.get("edits") and _held(engine, request.session_hash or "", document, asked):
            yield from resume(engine)(request)
        else:
            yield from _written(engine, request, asked)

    return handler


def _held(engine: Engine, visitor: str, document: Any, asked: Request) -> bool:
    """Whether what is asked for is the visitor's own run as it was stopped, with nothing changed: then no step is computed twice."""
    if not engine.resumable(visitor):
        return False
    trace = Trace.from_json(json.dumps(document), engine.limits.trace_bytes)
    return asked.settings.as_dict() == trace.settings and engine.resumable(visitor, trace)


def edit(engine: Engine) -> Callable[..., Iterator[tuple[str, Any]]]:
    """Return the handler of the endpoint /edit: go on from a step of a trace, statelessly."""

    def handler(
        request: gr.Request, *, trace: Any, step: Any, edits: Any = None, keep: Any = False, settings: Any = None
    ) -> Iterator[tuple[str, Any]]:
        """Go on from a step (an index of its frames) of a trace document, with edits: yields as /denoise does.

        edits: a list like {"at": [5, 7], "do": "erase" | "pin" | "type" | "put", "text" or "id": ...}; keep: all other words stay.
        """
        yield from _continued(engine, request, trace, step, edits, keep, settings)

    return handler


def _continued(
    engine: Engine, request: gr.Request, trace: Any, step: Any, edits: Any, keep: Any, settings: Any
) -> Iterator[tuple[str, Any]]:
    with shown():
        asked = parse_continuation(trace, step, edits, keep, settings, engine.limits)
    yield from _written(engine, request, asked)


def _written(engine: Engine, request: gr.Request, asked: Request) -> Iterator[tuple[str, Any]]:
    yield waiting(strings.STARTING)
    with shown(), engine.run(asked, request.session_hash or "", keep=bool(request.session_hash)) as run:
        yield from messages(run, engine.limits)


def prepared(run: EngineRun) -> Iterator[tuple[str, Any]]:
    """Yield what a run waits for, until it can begin."""
    said, polls = "", 0
    for why in run.prepare():
        words = f"{why.words} {why.share:.0%}" if why.what == "loading" and why.share else why.words
        if (
            words != said or polls % 10 == 0
        ):  # now and then even without news: only a yield notices that the page was closed
            yield waiting(words)
        said, polls = words, polls + 1


def messages(run: EngineRun, limits: Limits) -> Iterator[tuple[str, Any]]:
    """Yield a run's wait, its frames and at last the whole of it, as (wire message, status line); after an error too."""
    try:
        yield from prepared(run)
    except Exception:
        yield waiting("")
        raise
    if run.trace is None:
        yield waiting(strings.STOPPED)
        return
    recorder = Recorder(run.trace)
    try:
        for frame in run:
            if message := recorder.add(frame):
                yield message, ""
    except Exception:
        if run.trace.frames:
            yield recorder.final(limits.trace_bytes), status("An error ended it.")
        raise
    result = run.trace.result
    yield (
        recorder.final(limits.trace_bytes),
        status("" if result is None or result.stopped in ("end", "full") else STOPPED[result.stopped]),
    )


def waiting(words: str) -> tuple[str, str]:
    """Return a message without frames, for a run that has none yet."""
    return json.dumps({"waiting": words}), status(words)


def status(words: str) -> str:
    """Return our own words as the status line's HTML."""
    return f"<span>{html.escape(words[:1].upper() + words[1:])}</span>" if words else ""


def unexpected(error: Exception) -> str:
    """Log where an error came from, and return a sentence with the number it has there."""
    number = uuid.uuid4().hex[:6]
    log.error("error %s: %s", number, places(error))
    return f"Something unexpected went wrong; the log has it under {number}. You can run again."


@contextmanager
def shown() -> Iterator[None]:
    """Turn what is raised inside into what a visitor may read; anything unexpected gets a number that is in the log too."""
    try:
        yield
    except PlaygroundError as error:
        words = normalise(str(error))  # it may quote what was sent; a lone surrogate would end the stream
    except gr.Error:
        raise
    except Exception as error:
        words = unexpected(error)
    else:
        return
    raise gr.Error(html.escape(words, quote=False), print_exception=False)  # toasts are drawn as HTML


def stop(engine: Engine) -> Callable[..., Any]:
    """Return the handler of Stop: end this visitor's runs before their next step and wait until they have said their last."""

    async def handler(request: gr.Request) -> None:
        """End your runs before their next step; what they wrote stays, and /continue goes on where the model can."""
        visitor = request.session_hash or ""
        for run in engine.runs(visitor):
            run.stop()
        for _ in range(200):
            if not engine.runs(visitor):
                return
            await asyncio.sleep(0.05)

    return handler


def steer(engine: Engine) -> Callable[..., None]:
    """Return the handler of the endpoint /steer: change knobs of the caller's run while it is written."""

    def handler(request: gr.Request, *, settings: Any) -> None:
        """Change temperature, threshold, entropy_bound, t_max or t_min of your run from its next step on; its frames' notes say when."""
        with shown():
            if not isinstance(settings, dict) or not settings:
                raise SettingError("'settings' must map names to values, like {'temperature': 0.5}.", "settings")
            under_way = [
                run for run in engine.runs(request.session_hash or "") if run.trace is not None and not run.ended
            ]
            if not under_way:
                raise SettingError("There is no run under way to change.", "settings")
            for run in under_way:
                run.steer(**{str(name): value for name, value in settings.items()})

    return handler


def steer_page(engine: Engine) -> Callable[..., None]:
    """Return the page's handler of knobs that are moved while a run is written; one that ended meanwhile is no fault."""
    own = steer(engine)

    def handler(request: gr.Request, event: gr.EventData) -> None:
        if engine.runs(request.session_hash or ""):
            own(request, settings=event._data)

    return handler


def on_stop(button: gr.Button, handler: Callable[..., Any], started: list[Any], **options: Any) -> Any:
    """Join a Stop button: `handler` ends what runs and lets it say its last, then the events that still wait are given up.

    Gradio binds `cancels` only to a component's own event, never to a `.then`; hence a button that nobody sees, pressed by script.
    """
    give_up = gr.Button(visible="hidden", elem_id=f"{button.elem_id}-waiting")
    give_up.click(None, cancels=started, api_visibility="private")
    silent = {"api_visibility": "private", "show_progress": "hidden"}
    ended = button.click(handler, concurrency_limit=None, **(silent | options))
    return ended.then(None, js=f"() => document.getElementById('{give_up.elem_id}')?.click()", **silent)


def watch_loading(engine: Engine, model_id: str) -> Callable[[], AsyncIterator[str]]:
    """Return the handler that shows, from the page's first moment, how far the first model's loading is."""

    async def handler() -> AsyncIterator[str]:
        said = None
        while (loading := engine.loading(model_id)) is not None:
            words = f"{loading.words} {loading.share:.0%}"
            if words != said:
                yield status(words)
            said = words
            await asyncio.sleep(0.1)
        yield ""

    return handler
