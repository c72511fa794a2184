"""What is answered at all: to whom the page listens, which of Gradio's routes stay shut, and who may read or end a visitor's run."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import gradio as gr
from gradio.data_classes import CancelBody
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API = "/gradio_api"
# Gradio's routes that this page never uses: files to fill a disk with, calls around the queue, a stream that polls 20 times a second.
SHUT = re.compile(
    API + r"/(upload|upload_progress|dev/reload|component_server|process_recording|stream|run|api|call/v2|proxy=.*"
    r"|vibe-[a-z-]+|undo-vibe-edit|run-history|deep_link)(/.*)?"
)
CALL = re.compile(API + r"/call/([^/]+)/?")
STREAM = re.compile(API + r"/(?:queue/data|call/[^/]+/([^/]+))/?")
NOTHING = 'data: {"msg": "close_stream"}\n\n'
TURN_SECONDS = 1.0  # a reader that was told of the end may still be closing when the same page opens the next stream


def host_of(value: str) -> str:
    """Return the name in a Host header or an origin, without port and in lower case; '' where there is none."""
    try:
        return (urlsplit(value if "//" in value else f"//{value}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def named_here(allowed: Iterable[str] = ()) -> frozenset[str]:
    """Return the names this page answers to, beside addresses: this machine's, the Space's own, and those in `allowed`."""
    own = {
        "localhost",
        socket.gethostname().lower(),
        host_of(os.environ.get("SPACE_HOST", "")),
        *(name.lower() for name in allowed),
    }
    return frozenset(own - {""})


async def malformed(request: Request, error: Exception) -> Response:
    """Answer a request of the wrong form: the framework's own answer repeats what was sent, and fails where that is no JSON (NaN)."""
    return JSONResponse({"detail": "This is not a request that the page makes."}, 422)


class Doors:
    """Refuse, before Gradio sees it, what comes under a foreign name or from a foreign page, what is shut, and a second reader.

    A page whose name is made to point at this machine (rebinding) sends its own name; an address cannot be rebound.
    """

    def __init__(self, app: ASGIApp, blocks: gr.Blocks, names: frozenset[str]):
        self.app, self.queue, self.blocks, self.names = app, blocks._queue, blocks, names
        self.readers: set[str] = self.queue.readers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request = Request(scope)
        status, words = self.refusal(request)
        if not status and request.method == "GET" and (stream := STREAM.fullmatch(request.url.path)):
            return await self.read(self.session(scope, stream[1]), scope, receive, send)
        if status:
            return await JSONResponse({"detail": words}, status)(scope, receive, send)
        answer = self.cancel if request.url.path.rstrip("/") == f"{API}/cancel" else self.app
        with suppress(ClientDisconnect):  # it left while it was sending; there is nobody to answer, and nothing to log
            await answer(scope, receive, send)
        return None

    def refusal(self, request: Request) -> tuple[int, str]:
        """Return (status, sentence) where a request is not answered, (0, '') where it is."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if not self.is_ours(host_of(host)):
            return 403, "This page does not answer to that name; its owner can add it with --allow-host."
        if (
            origin is not None
            and urlsplit(origin).netloc.lower() != host.lower()
            and host_of(origin) not in self.names - {"localhost"}
        ):
            return 403, "Another page may not use this one."
        if SHUT.fullmatch(request.url.path):
            return 404, "This page does not offer that."
        called = CALL.fullmatch(request.url.path)
        if called and called[1] not in {fn.api_name for fn in self.blocks.fns.values()}:
            return 404, "There is no endpoint of that name."
        return 0, ""

    def is_ours(self, name: str) -> bool:
        """Whether a name, or any address, is one this page answers to."""
        if (
            name in self.names
            or name.endswith(".localhost")
            or ("SPACE_ID" in os.environ and name.endswith(".hf.space"))
        ):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return "*" in self.names
        return True

    def session(self, scope: Scope, event_id: str | None) -> str:
        """Return whose messages a stream would show: those of the session named, or of the event's."""
        if event_id is None:
            return parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        event = self.queue.event_ids_to_events.get(event_id)
        pending = self.queue.pending_event_ids_session
        return (
            event.session_hash if event else next((name for name, ids in pending.items() if event_id in ids), event_id)
        )

    async def read(self, session: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream a session's messages to one reader at a time; a session that nobody opened is refused without a trace in the log."""
        for _ in range(int(TURN_SECONDS / 0.05)):
            if session not in self.readers:
                break
            await asyncio.sleep(0.05)
        sessions = self.queue.pending_messages_per_session
        if session not in sessions and session not in sessions.known:
            return await JSONResponse({"detail": "There is no such session."}, 404)(scope, receive, send)
        # One that nothing is pending for would hold its connection for ever, and the next run's frames from their owner. It may be a page
        # whose last stream told it everything just before it opened this one: that is no error, and it ends at once.
        if not self.queue.pending_event_ids_session.get(session):
            return await Response(NOTHING, media_type="text/event-stream")(scope, receive, send)
        if session in self.readers:
            return await JSONResponse({"detail": "Somebody reads this session already."}, 409)(scope, receive, send)
        self.readers.add(session)
        try:
            await self.app(scope, receive, send)
        finally:
            self.readers.discard(session)
            sessions.rest(session)

    async def cancel(self, scope: Scope, receive: Receive, send: Send) -> None:
        """End a run for who knows its event's id: Gradio's own route takes any id of a known session, and ends all of its runs."""
        try:
            asked = CancelBody.model_validate(json.loads(await Request(scope, receive).body()))
        except (ValueError, RecursionError):
            return await JSONResponse({"detail": "This is not a request that the page makes."}, 422)(
                scope, receive, send
            )
        event = self.queue.event_ids_to_events.get(asked.event_id)
        if event is None or event.session_hash != asked.session_hash or event.fn._id != asked.fn_index:
            return await JSONResponse({"success": False})(
                scope, receive, send
            )  # it ended meanwhile, or is somebody else's
        if event in self.queue.event_queue_per_concurrency_id[event.concurrency_id].queue:
            asked = asked.model_copy(update={"fn_index": -1})  # it only waits: what else this session runs goes on
        body = asked.model_dump_json().encode()

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        return await self.app(scope, again, send)
