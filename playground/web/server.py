"""Serving the app: one set of launch flags, everything closed that the playground does not use."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi.exceptions import RequestValidationError
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.engine import catalog
from model.engine.engine import Engine
from model.engine.remote import OPENAI, SERVER, engine_at
from model.errors import PlaygroundError
from model.settings import PROFILES, PUBLIC, Limits
from playground.proxies import unproxied
from playground.web.app import build_app, head
from playground.web.components.assets import encoder_route, page_file_routes, player_route
from playground.web.components.chart import plotly_route
from playground.web.components.embed import Embedded, element_route, recorded_route
from playground.web.components.talk import talk_route
from playground.web.connections import Compressed, TimelyBody, guard_connections
from playground.web.doors import Doors, malformed, named_here
from playground.web.log import say_no_words
from playground.web.mcp import Assistant
from playground.web.preview import Preview, picture_route
from playground.web.queue import at_once, health_route, keep_alive, limit_waiting
from playground.web.sessions import keep_little
from playground.web.theme import style, theme

log = logging.getLogger("inkblot")
QUEUE = 32  # requests that may wait, all visitors together
SESSIONS = 200
BODY_BYTES = {"local": 256_000, "public": 64_000}
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    # Gradio compiles its templates in the browser, hence unsafe-eval; nothing may come from or go to another address.
    "content-security-policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
    "frame-ancestors 'self'",
}

FLAGS: dict[str, Any] = {  # of `gr.Blocks.launch`
    "server_name": "127.0.0.1",
    "share": False,
    "show_error": False,
    "debug": False,
    "ssr_mode": False,
    "max_threads": 16,
    "max_file_size": "64kb",
    "state_session_capacity": SESSIONS,
    "enable_monitoring": False,
    "run_history": False,
    "strict_cors": True,
    "mcp_server": False,
    "allowed_paths": [],
    "footer_links": ["api", "settings"],
    "prevent_thread_lock": True,
    "quiet": True,
}


class MaxBody:
    """Refuse requests with a body over `limit` bytes: by their stated length, and by counting what streams in."""

    def __init__(self, app: ASGIApp, limit: int):
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if not stated.isdigit() or int(stated) > self.limit:
            return await self._refuse(send)
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                return {"type": "http.disconnect"}
            return message

        return await self.app(scope, counted, send)

    async def _refuse(self, send: Send) -> None:
        body = f'{{"detail": "A request may have at most {self.limit:,} bytes."}}'.encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class SafeHeaders:
    """Add the security headers to every response that has none of its own."""

    def __init__(self, app: ASGIApp):
        self.app = app
        # A Space shows the page in a frame with scripts of its own.
        kept = {
            name: value
            for name, value in HEADERS.items()
            if name != "content-security-policy" or "SPACE_ID" not in os.environ
        }
        self.headers = [(name.encode(), value.encode()) for name, value in kept.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message.get("headers", [])
                message["headers"] = [*own, *(header for header in self.headers if header[0] not in dict(own))]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


def own_routes() -> list[Route]:
    """Return the addresses of what the page loads only when it is asked for, and of what stands alone."""
    return [
        *page_file_routes(),
        plotly_route(),
        player_route(),
        encoder_route(),
        talk_route(),
        element_route(),
        recorded_route(),
        picture_route(),
    ]


def launch(
    engine: Engine,
    limits: Limits,
    model: str = "worlds",
    *,
    proxies: int = 0,
    names: Sequence[str] = (),
    assistants: bool = False,
    **options: Any,
) -> tuple[gr.Blocks, str]:
    """Serve the app without blocking; return it and its address.

    proxies: trusted ones before it (see `queue.address_of`); names: under which it answers, beside its own (see `doors`);
    assistants: whether it is a tool for them (see `mcp`); options: those of `gr.Blocks.launch` (server_name, server_port, ...).
    """
    say_no_words()
    keep_little()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    blocks = build_app(engine, limits, model)
    at_once(blocks, engine.places)
    blocks.queue(max_size=QUEUE, default_concurrency_limit=1, api_open=False)
    blocks.space_id = (
        None  # where a Space is named, Gradio draws a banner of its own, with fonts and pictures from elsewhere
    )
    keep_alive(blocks)
    limit_waiting(blocks, limits, proxies)
    guard_connections(proxies)
    middleware = [
        Middleware(Compressed),
        Middleware(SafeHeaders),
        Middleware(TimelyBody),
        Middleware(MaxBody, limit=BODY_BYTES[limits.name]),
        Middleware(Doors, blocks=blocks, names=named_here([*names, str(options.get("server_name", ""))])),
        Middleware(Embedded),
        Middleware(Preview),
    ]
    settings: dict[str, Any] = {
        **FLAGS,
        "theme": theme(),
        "css": style(),
        "head": head(limits),
        "app_kwargs": {
            "exception_handlers": {RequestValidationError: malformed},
            "routes": [
                *own_routes(),
                *(Assistant(engine, proxies).routes() if assistants else ()),
                health_route(blocks),
            ],
            "middleware": middleware,
        },
    }
    with unproxied():  # Gradio asks its own address whether it is up
        _, address, _ = blocks.launch(**settings | options)
    return blocks, address


def default_host() -> str:
    """Return where to listen when nobody says: as Gradio's own variable asks, everywhere on a Space or in a container, else here only."""
    inside = "SPACE_ID" in os.environ or Path("/.dockerenv").exists()
    return os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if inside else "127.0.0.1")


def can_listen(host: str, port: int | None) -> None:
    """Raise OSError where this machine has no such address, or the port is taken; Gradio would try it for more than a minute."""
    found = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
    with socket.socket(found[0], found[1]) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(found[4])


def serve(
    host: str | None,
    port: int | None,
    model: str,
    limits: str | None,
    browser: bool,
    proxies: int | None = None,
    names: Sequence[str] = (),
    engine: str = "",
    assistants: bool | None = None,
) -> int:
    """Serve until interrupted; the model loads once the page is up. Return the exit status; raise PlaygroundError where it cannot be.

    proxies, names: see `launch`; None: the one that stands before a Space. engine: the address of one elsewhere.
    assistants: see `launch`; None: where only this machine can reach the page.
    """
    # Before torch is imported: its idle threads wait this many turns of a loop, then sleep. At their own choice they keep every core
    # busy between two passes, and on two cores a fifth of the first frames then came only after 0.3 s.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    host = host or default_host()
    if port is not None and not 1 <= port <= 65_535:
        raise PlaygroundError(f"The port must be between 1 and 65535; it was {port}.")
    profile = PROFILES[limits] if limits else PUBLIC if "SPACE_ID" in os.environ else PROFILES["local"]
    runs = lent_engine(profile) if lends_gpus() and not engine else engine_at(engine, profile)
    model = SERVER if engine.startswith(OPENAI) and model == "worlds" else model
    catalog.entry(model)
    proxies = int("SPACE_ID" in os.environ) if proxies is None else proxies
    if not 0 <= proxies <= 9:
        raise PlaygroundError(f"Trusted proxies must be between 0 and 9; it was {proxies}.")
    try:
        can_listen(host, port)
        assistants = host in ("127.0.0.1", "localhost", "::1") if assistants is None else assistants
        where: dict[str, Any] = {
            "assistants": assistants,
            "server_name": host,
            "server_port": port,
            "inbrowser": browser,
        }
        blocks, address = launch(runs, profile, model, proxies=proxies, names=names, **where)
    except OSError as error:  # the port is taken, or the address is not ours
        raise PlaygroundError(f"The page cannot be served at {host}, port {port or 'any'}: {error}") from None
    print(f"Inkblot is at {address}", flush=True)
    try:
        print(_load(runs, model), flush=True)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        blocks.close(verbose=False)
        runs.close()
        return 0


def lends_gpus() -> bool:
    """Whether this is a ZeroGPU Space."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def lent_engine(limits: Limits) -> Engine:
    """Return the engine of a ZeroGPU Space; raise PlaygroundError where its package is missing."""
    from model.engine import zero

    if zero.GPU is None:
        raise PlaygroundError("On a ZeroGPU Space the package 'spaces' is needed: add it to requirements.txt.")
    return Engine(limits, loader=zero.load)


def _load(engine: Engine, model: str) -> str:
    """Load the first model and say how it went; a page without one still serves the others and the recordings."""
    try:
        engine.load(model)
    except PlaygroundError as error:
        return str(error)
    return f"{model} is ready"
