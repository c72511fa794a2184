"""What a connection may cost: how many there are, how long one may take to ask, and pages and files compressed once."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER_SECONDS = 10.0  # until a request's headers are complete, and between two requests
BODY_SECONDS = 30.0  # until its body is
SPARE = 256  # open files kept for everything that is no connection
MOST = 1_000  # connections at once, where the system allows as many files
PER_ADDRESS = 500  # of them from one address, where no proxy stands before the page: a hall of listeners may share one
KEPT = 256  # compressed answers kept
STATIC = (".js", ".css", ".svg", ".html")


def room(files: int) -> int:
    """Return how many connections there may be with so many open files allowed."""
    return max(16, min(MOST, files - SPARE, files * 3 // 4))


def open_files() -> int:
    """Ask the system for as many open files as it allows this process, at most a few thousand; return how many it may have."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 4 * MOST
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MOST if hard == resource.RLIM_INFINITY else min(hard, 4 * MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return 4 * MOST if soft == resource.RLIM_INFINITY else soft


def guard_connections(proxies: int = 0, most: int | None = None) -> None:
    """Have Gradio's server end connections that ask for nothing, and refuse those beyond what this process can hold.

    Gradio makes uvicorn's configuration itself and passes nothing on, hence the stand-in for the module it makes it from.
    """
    import uvicorn
    from gradio import http_server

    http = protocol(room(open_files()) if most is None else most, 0 if proxies else PER_ADDRESS)
    stand_in: Any = SimpleNamespace(Config=partial(uvicorn.Config, http=http, access_log=False), Server=uvicorn.Server)
    http_server.uvicorn = stand_in
    logging.getLogger("uvicorn.error").addFilter(_worth_a_line)


def _worth_a_line(record: logging.LogRecord) -> bool:
    return record.getMessage() != "Invalid HTTP request received."  # anybody can send as many as they like


def protocol(most: int, per_address: int) -> type:
    """Return uvicorn's own protocol with these limits (0: none per address)."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    base: Any = AutoHTTPProtocol

    class Guarded(base):
        """One connection: closed at once where there are too many, and when its next request's headers do not come in time."""

        late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            address = self.client[0] if self.client else ""
            held = sum(1 for other in self.connections if other.client and other.client[0] == address)
            beyond = per_address and held > per_address and not address.startswith("127.") and address != "::1"
            if len(self.connections) > most or beyond:
                transport.abort()
            else:
                self._expect()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._expect()

        def connection_lost(self, error: Exception | None) -> None:
            if self.late:
                self.late.cancel()
            super().connection_lost(error)

        def _expect(self) -> None:
            """Count the time while no request is being answered; a timer that runs already is kept."""
            if self.cycle is not None and not self.cycle.response_complete:
                if self.late:
                    self.late.cancel()
                self.late = None
            elif self.late is None:
                self.late = self.loop.call_later(HEADER_SECONDS, self._close_late)

        def _close_late(self) -> None:
            self.late = None
            if self.transport is None or self.transport.is_closing():
                return
            if self.cycle is not None and not self.cycle.response_complete:
                return
            self.transport.abort()

    return Guarded


class TimelyBody:
    """Treat a request whose body does not come in time as one that left."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        until, whole = asyncio.get_running_loop().time() + BODY_SECONDS, False

        async def timely() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                return {"type": "http.disconnect"}
            whole = not message.get("more_body", False)
            return message

        return await self.app(scope, timely, send)


def rewritten(send: Send, change: Callable[[int, MutableHeaders, bytes], Awaitable[bytes]]) -> Send:
    """Return a `send` that holds an answer until it is whole, and sends what `change` makes of its status, headers and body."""
    start: Message = {}
    parts: list[bytes] = []

    async def collect(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
            return
        parts.append(message.get("body", b""))
        if message.get("more_body"):
            return
        headers, whole = MutableHeaders(raw=list(start["headers"])), b"".join(parts)
        body = await change(start["status"], headers, whole)
        if body is not whole:
            headers["content-length"] = str(len(body))
        await send({**start, "headers": headers.raw})
        await send({"type": "http.response.body", "body": body})

    return collect


class Compressed:
    """Compress the page, its configuration and static files, each content once; Gradio compresses files anew at every request."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self.kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        coding = self.coding(scope)
        if not coding:
            return await self.app(scope, receive, send)

        async def smaller(status: int, headers: MutableHeaders, body: bytes) -> bytes:
            wanted = status == 200 and len(body) > 1_000 and scope["method"] == "GET"
            if not wanted or "content-encoding" in headers:
                return body
            headers["content-encoding"] = coding
            headers.add_vary_header("accept-encoding")
            return await self.compress(body, coding)

        return await self.app(scope, receive, rewritten(send, smaller))

    @staticmethod
    def coding(scope: Scope) -> str:
        """Return how an answer is to be compressed, '' where it is sent as it is."""
        if scope["type"] != "http" or not (scope["path"] in ("/", "/config") or scope["path"].endswith(STATIC)):
            return ""
        headers = Headers(scope=scope)
        if "range" in headers:
            return ""
        asked = [each.partition(";")[0].strip() for each in headers.get("accept-encoding", "").lower().split(",")]
        return "br" if "br" in asked else "gzip" if "gzip" in asked else ""

    async def compress(self, body: bytes, coding: str) -> bytes:
        """Return the compressed body, from what is kept where this content was asked for before."""
        key = (hashlib.sha256(body).hexdigest(), coding)
        if key not in self.kept:
            self.kept[key] = await asyncio.to_thread(_compress, body, coding)
            if len(self.kept) > KEPT:
                self.kept.popitem(last=False)
        self.kept.move_to_end(key)
        return self.kept[key]


def _compress(body: bytes, coding: str) -> bytes:
    if coding == "br":
        import brotli

        return bytes(brotli.compress(body, quality=5))
    import gzip

    return gzip.compress(body, 6, mtime=0)
