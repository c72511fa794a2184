"""Text at the boundary: what a visitor typed, made safe for tokenizers, pages and terminals."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

_KEEP = {"\n", "\t"}
MARKS_PER_BASE = 8


def normalise(text: str) -> str:
    """Return `text` in NFC with lone surrogates as U+FFFD, control characters removed and at most 8 combining marks a base."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    # controls go first: one between a base and its mark would keep NFC from joining them
    text = "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cs") or char in _KEEP)
    out, marks = [], 0
    for char in unicodedata.normalize("NFC", text):
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if marks <= MARKS_PER_BASE:
            out.append(char)
    return "".join(out)


def joined(pieces: Sequence[bytes], single: Sequence[bool] = ()) -> str:
    """Return the text of tokens by their bytes. single: which of them are a byte of a character that the vocabulary lacks.

    Half a character shows as U+FFFD; where a run of such bytes makes no characters each shows one, as tokenizers with byte fallback do.
    """
    if not any(single):
        return b"".join(pieces).decode("utf-8", errors="replace")
    out, at = [], 0
    while at < len(pieces):
        stop = at + 1
        while stop < len(pieces) and single[stop] == single[at]:
            stop += 1
        run = b"".join(pieces[at:stop])
        try:
            out.append(run.decode("utf-8", errors="strict" if single[at] else "replace"))
        except UnicodeDecodeError:
            out.append("\ufffd" * len(run))
        at = stop
    return "".join(out)


Turn = tuple[str, str]  # role, text


class Conversation(str):
    """A prompt that knows what was said before it; being text, it goes wherever a prompt goes.

    The last thing that was said, by the user. before: the turns before it in order, from the user's first."""

    before: tuple[Turn, ...]

    def __new__(cls, prompt: str, before: Sequence[Turn] = ()) -> Conversation:
        out = super().__new__(cls, prompt)
        out.before = tuple(before)
        return out

    def __getnewargs__(self) -> tuple[Any, ...]:
        return str(self), self.before


def before(prompt: str) -> tuple[Turn, ...]:
    """Return the turns before a prompt: none where it is plain text."""
    return prompt.before if isinstance(prompt, Conversation) else ()


def messages_of(prompt: str) -> list[dict[str, str]]:
    """Return a prompt with all that was said before it, as messages."""
    return [{"role": role, "content": text} for role, text in (*before(prompt), ("user", str(prompt)))]
