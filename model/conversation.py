"""A conversation from untrusted messages: checked once, the same for page, API, command line and Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.errors import SettingError
from model.request import visible_text
from model.settings import LOCAL, Limits
from model.text import Conversation, Turn

ROLES = ("user", "assistant")
MOST_TURNS = 64


def parse_messages(messages: Any, limits: Limits = LOCAL) -> tuple[Conversation, str]:
    """Return a conversation and its system prompt ('': none) from untrusted messages; raise SettingError with one sentence."""
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes) or not messages:
        raise SettingError('Messages must be a list like [{"role": "user", "content": "Hello"}].', "messages")
    if len(messages) > MOST_TURNS:
        raise SettingError(
            f"A conversation may have at most {MOST_TURNS} messages; it has {len(messages)}: start anew.", "messages"
        )
    turns = [_turn(message, limits) for message in messages]
    total = sum(len(text) for _, text in turns)
    if total > limits.prompt_chars:
        raise SettingError(
            f"A conversation may have at most {limits.prompt_chars:,} characters; it has {total:,}: start anew.",
            "messages",
        )
    system = turns.pop(0)[1] if turns[0][0] == "system" else ""
    for i, (role, text) in enumerate(turns):
        if role != ROLES[i % 2]:
            raise SettingError(
                f"Messages must be the user's and the assistant's in turn, from the user's on; number {i + 1} was {role}'s.",
                "messages",
            )
        if not text.strip():
            raise SettingError(f"A message must have at least 1 character; number {i + 1} has none.", "messages")
    if len(turns) % 2 == 0:
        raise SettingError("The last message must be the user's: it is what is answered.", "messages")
    return Conversation(turns[-1][1], turns[:-1]), system


def _turn(message: Any, limits: Limits) -> Turn:
    if not isinstance(message, dict) or set(message) != {"role", "content"}:
        raise SettingError("A message is an object of exactly 'role' and 'content'.", "messages")
    if message["role"] not in ("system", *ROLES):
        raise SettingError(
            f"A message's role is system, user or assistant; it was {str(message['role'])[:40]!r}.", "messages"
        )
    return message["role"], visible_text("A message", message["content"], limits.prompt_chars)


def conversation(messages: Sequence[Any]) -> Conversation:
    """Return messages as the prompt that `denoise` takes, for Python; raise SettingError. A system prompt is `denoise`'s own argument."""
    prompt, system = parse_messages(messages)
    if system:
        raise SettingError("Give the system prompt to denoise as system=..., not among the messages.", "messages")
    return prompt
