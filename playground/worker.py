"""An engine for pages on other machines: `playground worker` serves the loop there is over one streaming route.

POST /run: a request as `model.engine.asked` makes it; the answer is one JSON document a line, as `model.engine.remote` says. A
connection that is closed ends its run before the next step. Beside it: GET /health (models, places), POST /score, POST /steer.
Whoever may reach it may run what its limits allow; INKBLOT_ENGINE_TOKEN in its environment asks for that token.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from model.address import TOKEN
from model.engine import catalog
from model.engine.asked import parse_asked
from model.engine.engine import Engine, EngineRun
from model.engine.parsing import parse_model
from model.errors import BusyError, ModelUnavailable, PlaygroundError, SettingError, places
from model.request import visible_text
from model.trace.encode import result_dict
from playground.web.wire import Recorder

log = logging.getLogger("inkblot")
MOST = 64  # runs that may wait or compute, each in a thread of its own
NEWS_SECONDS = 1.0  # between two lines at most, so that the page knows that the engine is there
BODY_BYTES = 16_000_000
Answer = Callable[[Scope, Receive, Send], Awaitable[None]]


def lines(run: EngineRun, begun: Callable[[str], None] = lambda name: None) -> Iterator[bytes]:
    """Yield a run's stream, line by line; an empty one where there is no news. begun: told the run's name before its first frame."""
    try:
        said = None
        for why in run.prepare():
            line = line_of({"waiting": {"what": why.what, "share": why.share, "words": why.words}})
            yield b"" if line == said else line
            said = line
        result = None
        if run.trace is not None:
            recorder = Recorder(run.trace, interval=0.0)
            begun(recorder.run)
            for frame in run:
                if message := recorder.add(frame):
                    yield message.encode() + b"\n"
            result = result_dict(run.trace.result)
        yield line_of({"result": result})
    except PlaygroundError as error:
        yield line_of(told(error))
    except Exception as error:
        number = uuid.uuid4().hex[:6]
        log.error("error %s: %s", number, places(error))
        yield line_of(
            told(PlaygroundError(f"Something unexpected went wrong at the engine; its log has it under {number}."))
        )
    finally:
        run.close()


def told(error: PlaygroundError) -> dict[str, str]:
    """Return an error as a page takes it."""
    return {"error": str(error), "kind": type(error).__name__, "knob": getattr(error, "knob", "")}


def about(engine: Engine, at_once: int = 1) -> dict[str, Any]:
    """Return which models this engine has, {id: (usable, why not, weights there)}, and how many runs it computes at once."""
    models = {entry.spec.id: (*entry.available(), entry.fetched()) for entry in catalog.entries()}
    return {"models": models, "places": at_once, "limits": engine.limits.name}


def score(engine: Engine, asked: Any) -> dict[str, Any]:
    """Return {"nats"} of an answer's ids, its model loaded first; raise PlaygroundError."""
    ids = asked.get("ids") if isinstance(asked, dict) else None
    if not isinstance(ids, list) or len(ids) > engine.limits.new_tokens * 4:
        raise SettingError("What is to be scored must be a list of ids, with 'model' and 'prompt'.", "ids")
    spec = catalog.entry(parse_model(asked.get("model"), engine.limits)).spec
    if not all(type(n) is int and 0 <= n < spec.vocab_size for n in ids):
        raise SettingError(f"{spec.name} has ids from 0 to {spec.vocab_size - 1}.", "ids")
    words = [
        visible_text(f"'{name}'", asked.get(name, ""), engine.limits.prompt_chars) for name in ("prompt", "system")
    ]
    engine.load(spec.id)
    return {"nats": engine.score(spec.id, words[0], ids, words[1])}


class Worker:
    """The routes over one engine. The runs under way are known by name for `steer` only."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.threads = ThreadPoolExecutor(MOST, "run")
        self.open = 0
        self.named: dict[str, EngineRun] = {}

    def app(self) -> Starlette:
        """Return the ASGI application."""
        routes = [
            Route("/health", Guarded(self.health)),
            Route("/run", Guarded(self.run), methods=["POST"]),
            Route("/score", Guarded(self.score), methods=["POST"]),
            Route("/steer", Guarded(self.steer), methods=["POST"]),
        ]
        return Starlette(routes=routes)

    async def health(self, request: Request) -> Response:
        """Say what this engine has."""
        return JSONResponse(await asyncio.to_thread(about, self.engine))

    async def score(self, request: Request) -> Response:
        """Say how surprising an answer is."""
        return JSONResponse(await asyncio.to_thread(score, self.engine, await document(request)))

    async def steer(self, request: Request) -> Response:
        """Change knobs of a run under way."""
        asked = await document(request)
        run = self.named.get(str(asked.get("run"))) if isinstance(asked, dict) else None
        if run is None or not isinstance(asked.get("settings"), dict):
            raise SettingError("There is no run under way to change.", "settings")
        run.steer(**{str(name): value for name, value in asked["settings"].items()})
        return JSONResponse({})

    async def run(self, request: Request) -> Answer:
        """Write, frame by frame."""
        asked = parse_asked(await document(request), self.engine.limits)
        if self.open >= MOST:
            raise BusyError(f"The engine has {MOST} runs waiting already; try again in a minute.")
        run = self.engine.run(asked)
        names: list[str] = []

        def begun(name: str) -> None:
            names.append(name)
            self.named[name] = run

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            self.open += 1
            try:
                await streamed(stepped(lines(run, begun), run, self.threads), receive, send)
            finally:
                self.open -= 1
                run.stop()
                for name in names:
                    self.named.pop(name, None)

        return answer


async def stepped(steps: Iterator[bytes], run: EngineRun, threads: Executor) -> AsyncIterator[bytes]:
    """Yield what a run yields, computed in a thread; an empty line where a step takes long. Left early, the run ends with its step."""
    loop, told_at = asyncio.get_running_loop(), 0.0
    step: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            step = step or loop.run_in_executor(threads, next, steps, None)
            done, _ = await asyncio.wait({step}, timeout=NEWS_SECONDS)
            line = step.result() if done else b""
            step = None if done else step
            if line is None:
                return
            if line or loop.time() - told_at >= NEWS_SECONDS:
                told_at = loop.time()
                yield line or b"\n"
    finally:
        run.stop()
        if step is not None:
            with suppress(Exception):
                await asyncio.shield(step)
        await loop.run_in_executor(threads, getattr(steps, "close", lambda: None))


async def streamed(parts: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Send what comes as NDJSON until it ends, or until the other side leaves."""
    headers = [
        (b"content-type", b"application/x-ndjson"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def pass_on() -> None:
        async with aclosing(parts) as open_parts:  # type: ignore[type-var]
            async for part in open_parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.create_task(pass_on()), asyncio.create_task(left())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def document(request: Request) -> Any:
    """Return a request's JSON; raise SettingError where it is none, or too long."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise SettingError("Send JSON, with content-type application/json.", "request")  # which no foreign page may
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES:
                raise SettingError(f"A request may have at most {BODY_BYTES:,} bytes.", "request")
        return json.loads(body)
    except (ValueError, RecursionError, ClientDisconnect) as error:
        raise error if isinstance(error, SettingError) else SettingError("This is not JSON.", "request") from None


class Guarded:
    """A route that asks for the token, where there is one, and tells errors as JSON: 422 a bad value, 503 no place or no model."""

    def __init__(self, answer: Callable[[Request], Awaitable[Any]]):
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self.answer(request) if allowed(request) else REFUSED
        except PlaygroundError as error:
            response = JSONResponse(told(error), 503 if isinstance(error, BusyError | ModelUnavailable) else 422)
        await response(scope, receive, send)


REFUSED = JSONResponse({"detail": "This engine asks for a token."}, 401)


def allowed(request: Request) -> bool:
    """Whether a request brings the token, where one is asked for."""
    token = os.environ.get(TOKEN)
    given = request.headers.get("authorization", "")
    return not token or hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


def line_of(value: Any) -> bytes:
    """Return a value as one line of a stream."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def serve(engine: Engine, host: str, port: int, model: str) -> int:
    """Serve until interrupted; the model loads meanwhile. Return the exit status; raise PlaygroundError where it cannot be."""
    import threading

    import uvicorn

    from playground.web.connections import TimelyBody, open_files, protocol, room
    from playground.web.log import quiet

    quiet()
    worker = Worker(engine)
    http: Any = protocol(room(open_files()), 0)
    config = uvicorn.Config(
        TimelyBody(worker.app()), host=host, port=port, http=http, log_level="warning", access_log=False, lifespan="off"
    )

    def load() -> None:
        try:
            engine.load(model)
            print(f"{model} is ready", flush=True)
        except PlaygroundError as error:
            print(str(error), flush=True)

    print(f"The engine is at http://{host}:{port}", flush=True)
    threading.Thread(target=load, daemon=True).start()
    uvicorn.Server(config).run()
    engine.close()
    return 0
