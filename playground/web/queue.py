"""Who may wait for the model, and how many; and what keeps Gradio's queue alive whatever is sent to it."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
import secrets
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.utils import LRUCache
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from model.settings import Limits

log = logging.getLogger("inkblot")
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what a page, or a client, may call itself
LONE = re.compile("[\ud800-\udfff]")
PAGES = 2_000  # sessions whose messages are kept, beside those that wait or run

MODEL: dict[str, Any] = {
    "concurrency_id": "model",
    "concurrency_limit": 1,
}  # every run of a text takes the one place
# Races and sweeps have a place of their own: between two of their runs the engine's turn goes to whoever came before.
SERIES: dict[str, Any] = {"concurrency_id": "series", "concurrency_limit": 2}
COMPUTES = (MODEL["concurrency_id"], SERIES["concurrency_id"])
UNREAD_SECONDS = 30.0  # until a run whose messages nobody reads is ended, and what it wrote is forgotten
IDLE_SECONDS = (
    0.01  # between two looks at an empty queue: Gradio's own thousand a second cost 3 % of a core with nobody there
)
ROOM = 64  # requests that compute nothing (Stop, what a page asks as it opens) may wait, all visitors together


def at_once(blocks: gr.Blocks, places: int) -> None:
    """Let so many runs compute together: one here, more on an engine that has several machines. To be called before `blocks.queue`."""
    for wanted in blocks.fns.values():
        if wanted.concurrency_id == MODEL["concurrency_id"]:
            wanted.concurrency_limit = places


def limit_waiting(blocks: gr.Blocks, limits: Limits, proxies: int = 0) -> None:
    """Refuse, before it waits, a request for the model while so many wait already, of this visitor's or of all.

    proxies: see `address_of`. A request with too few values or too many is refused here too: Gradio would write them into the log.

    Gradio offers no place for this: a validator runs after the queue's size was checked, so that a burst of requests would pass the
    size limit together; and its size limit holds for Stop too, so that nobody could stop a run while the queue is full. Hence the
    queue's own `push`, which every request goes through, is wrapped; what is not for the model has room of its own.
    """
    queue = blocks._queue
    push, most, queue.max_size = queue.push, queue.max_size or sys.maxsize, None

    async def checked(body: Any, request: Any, username: Any) -> Any:
        if body.session_hash is None:
            body.session_hash = secrets.token_urlsafe(12)
        if (
            not SESSION.fullmatch(body.session_hash)
            or not isinstance(body.fn_index, int)
            or body.fn_index not in blocks.fns
        ):
            return False, "This is not a request that the page makes.", "error"
        try:
            body.data, body.event_data = whole(body.data), whole(body.event_data)
        except (RecursionError, ValueError):
            return False, "This is not a request that the page makes.", "error"
        inputs = blocks.fns[body.fn_index].inputs
        if len(body.data) != len(inputs):
            return False, f"This takes {len(inputs)} values; the request has {len(body.data)}.", "error"
        if body.trigger_id not in (None, blocks._id, *blocks.blocks):
            return False, "This is not a request that the page makes.", "error"
        waiting = [queue.event_queue_per_concurrency_id.get(name) for name in COMPUTES]
        held = [event for line in waiting if line for event in list(line.queue)]
        wanted = blocks.fns.get(body.fn_index)
        if wanted and wanted.concurrency_id in COMPUTES:
            mine = visitors(body.session_hash, request, proxies)
            if (
                sum(1 for event in held if mine & visitors(event.session_hash, event.request, proxies))
                >= limits.waiting_per_visitor
            ):
                words = (
                    f"You may have at most {limits.waiting_per_visitor} runs waiting; wait for one to end, or stop it."
                )
                return False, words, "error"
            full = len(held) >= most
        else:
            full = len(queue) - len(held) >= ROOM
        if full:
            return False, f"Queue is full: {most} runs wait already. Try again in a minute.", "queue_full"
        return await push(body=body, request=request, username=username)

    queue.push = checked


def whole(value: Any) -> Any:
    """Return what a request holds with U+FFFD for lone surrogates: one that came back would end the stream. Raise on what is no JSON."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(LONE.sub("\ufffd", text)) if LONE.search(text) else value


class Sessions(LRUCache):
    """Messages by session. The oldest are forgotten, but never those of a session that waits or runs, however old its page is."""

    def __init__(self, queue: Any):
        super().__init__(PAGES)
        self.queue = queue
        self.known: OrderedDict[str, None] = (
            OrderedDict()
        )  # sessions that were told everything: their names, nothing else

    def rest(self, session: str) -> None:
        """Forget what is kept of a session that was told everything, all but its name: its next stream is no stranger's."""
        messages = self.get(session)
        if messages is None or not messages.empty() or self.queue.pending_event_ids_session.get(session):
            return
        del self[session]
        self.queue.pending_event_ids_session.pop(session, None)
        self.known[session] = None
        self.known.move_to_end(session)
        if len(self.known) > PAGES:
            self.known.popitem(last=False)

    def __setitem__(self, session: str, messages: Any) -> None:
        """Keep a session's messages, forgetting the oldest idle one's where there are too many."""
        if session not in self and len(self) >= self.max_size:
            busy = set(at_work(self.queue))
            idle = next((name for name in self if name not in busy), None)
            if idle is not None:
                del self[idle]
        OrderedDict.__setitem__(self, session, messages)
        self.move_to_end(session)


def at_work(queue: Any) -> Iterator[str]:
    """Yield the sessions that wait in Gradio's queue, or run."""
    for waiting in list(queue.event_queue_per_concurrency_id.values()):
        yield from (event.session_hash for event in list(waiting.queue))
    for job in queue.active_jobs:
        yield from (event.session_hash for event in job or ())


def keep_alive(blocks: gr.Blocks) -> None:
    """Let nothing that is sent to the queue, and nothing that leaves it, end its processing.

    Gradio ends it for good where a waiting event's session is missing from its map of messages, a map that forgets the oldest session
    by itself. Here that map forgets idle sessions only, a message to nobody is dropped, and processing that failed begins again.
    """
    queue = blocks._queue
    queue.pending_messages_per_session = Sessions(queue)
    queue.ANALYTICS_MAX_EVENTS = 64  # of events that ended; nobody looks at them
    send, process, unread = queue.send_message, queue.start_processing, Unread(queue)

    def to_somebody(event: Any, message: Any) -> None:
        if event.session_hash in queue.pending_messages_per_session:
            send(event, message)
            unread.sent(event.session_hash)

    async def processing() -> None:
        forgetting = asyncio.create_task(unread.forget())
        try:
            while True:
                try:
                    return await process()
                except Exception as error:
                    log.error("The queue failed (%s) and begins again.", type(error).__name__)
                    queue.stopped = False
                    await asyncio.sleep(0.05)
        finally:
            forgetting.cancel()

    queue.send_message, queue.start_processing, queue.sleep_when_free = to_somebody, processing, IDLE_SECONDS


class Unread:
    """Ends runs whose messages nobody reads, and forgets what nobody came for: each holds a whole trace in memory.

    `queue.readers` are the sessions somebody reads now (see `doors`).
    """

    def __init__(self, queue: Any):
        self.queue = queue
        queue.readers = set()
        self.since: dict[str, float] = {}  # when a session was first sent something that nobody has read yet

    def sent(self, session: str) -> None:
        """Note that a session was sent a message."""
        if session in self.queue.readers:
            self.since.pop(session, None)
        else:
            self.since.setdefault(session, time.monotonic())

    async def forget(self) -> None:
        """Look, for as long as the queue is at work."""
        while True:
            await asyncio.sleep(UNREAD_SECONDS / 6)
            busy = set(at_work(self.queue))
            for session, since in list(self.since.items()):
                if session in self.queue.readers:
                    del self.since[session]
                elif time.monotonic() - since > UNREAD_SECONDS and session in busy:
                    await self.queue.clean_events(session_hash=session)
                elif time.monotonic() - since > UNREAD_SECONDS:
                    del self.since[session]
                    self.queue.pending_messages_per_session.pop(session, None)
                    self.queue.pending_event_ids_session.pop(session, None)


def health_route(blocks: gr.Blocks) -> Route:
    """Return a route that says whether the queue is at work: 200, or 503 where only a restart would help."""

    async def health(request: Request) -> JSONResponse:
        alive = not blocks._queue.stopped
        return JSONResponse({"queue": "at work" if alive else "stopped"}, 200 if alive else 503)

    return Route("/health", health)


def visitors(session: str | None, request: Any, proxies: int = 0) -> set[str]:
    """Return the names a visitor goes by: the page's session, and the address where one can be told."""
    return {name for name in (session, address_of(request, proxies)) if name}


def address_of(request: Any, proxies: int = 0) -> str:
    """Return the address that a request is counted under, '' where none can be told.

    proxies: how many trusted proxies stand before the page. Each appends the address it saw to X-Forwarded-For; what is left of
    theirs was written by the client and is not read. An address of this machine is its owner's, or a proxy's that nobody named.
    Of IPv6 the first 64 bits count, since a visitor has a whole such network.
    """
    if request is None:
        return ""
    text = request.client.host if request.client else ""
    if proxies:
        told = [part.strip() for part in ",".join(request.headers.getlist("x-forwarded-for")).split(",")]
        text = told[-proxies] if len(told) >= proxies else ""
    text = text.partition(":")[0] if text.count(":") == 1 else text.strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback:
        return ""
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
