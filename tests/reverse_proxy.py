"""A small reverse proxy, as one stands before a Space: it takes a prefix off, passes Host and X-Forwarded-*, and streams."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.patience import patience

METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]
OWN = {"connection", "keep-alive", "transfer-encoding", "content-length", "upgrade"}


@contextmanager
def proxied(target: str, prefix: str = "") -> Iterator[str]:
    """Yield the address under which `target` (an address without a trailing slash) is reached behind a proxy, `prefix` before it."""
    client = httpx.AsyncClient(timeout=None, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

    async def forward(request: Request) -> Response:
        if not request.url.path.startswith(prefix):
            return PlainTextResponse("outside the prefix", 404)
        address = (
            target
            + (request.url.path.removeprefix(prefix) or "/")
            + (f"?{request.url.query}" if request.url.query else "")
        )
        headers = [(name, value) for name, value in request.headers.items() if name not in OWN]
        headers += [
            ("x-forwarded-host", request.headers["host"]),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-for", "203.0.113.9"),
        ]
        asked = client.build_request(request.method, address, headers=headers, content=await request.body())
        answer = await client.send(asked, stream=True)

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in answer.aiter_raw():
                yield piece

        kept = {name: value for name, value in answer.headers.items() if name not in OWN}
        return StreamingResponse(pieces(), answer.status_code, kept, background=BackgroundTask(answer.aclose))

    app = Starlette(routes=[Route("/{path:path}", forward, methods=METHODS)])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}{prefix}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(patience(10))
