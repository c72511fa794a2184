"""What of written ids is the answer, and what was thought before it, as a chat model's own tokenizer reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from model.loops.uniform_frames import thought
from model.models.chat import Chat
from model.spec import ModelSpec
from model.text import joined
from model.trace.trace import Trace


def answer_only(trace: Trace, chat: Chat) -> None:
    """Leave the thinking channel out of the result's text, and keep it beside; the canvas has both."""
    ids, result = trace.final_ids, trace.result
    span = thought(ids, *chat.thinking) if chat.thinking else None
    if span and result:
        answer = text_of(without_thought(ids, chat), chat, trace.spec)
        inside = [token for token in ids[slice(*span)] if token not in (chat.thinking or ())]
        said = text_of(inside, chat, trace.spec).removeprefix("thought\n").strip()
        trace.result = replace(result, text=answer, thought=said)


def without_thought(ids: list[int], chat: Chat) -> list[int]:
    """Return ids without the thinking channel."""
    span = thought(ids, *chat.thinking) if chat.thinking else None
    return ids[: span[0]] + ids[span[1] :] if span else ids


def text_of(ids: Sequence[int], chat: Chat, spec: ModelSpec) -> str:
    """Return the text of ids, end tokens left out."""
    kept, first = [token for token in ids if token not in spec.eos_ids], spec.first_byte
    text = joined([*map(chat.pieces, kept)], [0 < first <= token < first + 256 for token in kept])
    return text.removeprefix(" ") if spec.spaced else text
