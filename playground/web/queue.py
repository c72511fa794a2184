"""Who may wait for the model, and how many."""

from __future__ import annotations

import os
import sys
from typing import Any

import gradio as gr

from model.settings import Limits

MODEL: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}  # every event that computes takes the one place
ROOM = 64  # requests that compute nothing (Stop, what a page asks as it opens) may wait, all visitors together


def limit_waiting(blocks: gr.Blocks, limits: Limits) -> None:
    """Refuse, before it waits, a request for the model while so many wait already, of this visitor's or of all.

    Gradio offers no place for this: a validator runs after the queue's size was checked, so that a burst of requests would pass the
    size limit together; and its size limit holds for Stop too, so that nobody could stop a run while the queue is full. Hence the
    queue's own `push`, which every request goes through, is wrapped; what is not for the model has room of its own.
    """
    queue = blocks._queue
    push, most, queue.max_size = queue.push, queue.max_size or sys.maxsize, None

    async def checked(body: Any, request: Any, username: Any) -> Any:
        event_queue = queue.event_queue_per_concurrency_id.get(MODEL["concurrency_id"])
        held = list(event_queue.queue) if event_queue else []
        wanted = blocks.fns.get(body.fn_index)
        if wanted and wanted.concurrency_id == MODEL["concurrency_id"]:
            mine = visitors(body.session_hash, request)
            if sum(1 for event in held if mine & visitors(event.session_hash, event.request)) >= limits.waiting_per_visitor:
                words = f"You may have at most {limits.waiting_per_visitor} runs waiting; wait for one to end, or stop it."
                return False, words, "error"
            full = len(held) >= most
        else:
            full = len(queue) - len(held) >= ROOM
        if full:
            return False, f"Queue is full: {most} runs wait already. Try again in a minute.", "queue_full"
        return await push(body=body, request=request, username=username)

    queue.push = checked


def visitors(session: str | None, request: Any) -> set[str]:
    """Return the names a visitor goes by: the page's session and, behind a Space's proxy only, the address it reports."""
    forwarded = request.headers.get("x-forwarded-for", "") if "SPACE_ID" in os.environ and request is not None else ""
    return {name for name in (session, forwarded.split(",")[0].strip()) if name}
