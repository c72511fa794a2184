"""What a transformers tokenizer does to text, taken apart: plain text without control tokens, and the bytes that each token stands for.

Every kind is read from its own pipeline: byte-level BPE, SentencePiece's BPE and unigram, WordPiece, whole words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
Step = Callable[[str], str]


# ---------------------------------------------------------------- text to ids
def added_ids(tokenizer: Any) -> dict[int, str]:
    """Return {id: text} of the tokens that were added to a vocabulary whole, flagged special or not; white space and bytes are text."""
    added = {int(token): str(entry) for token, entry in getattr(tokenizer, "added_tokens_decoder", {}).items()}
    return {
        token: text
        for token, text in added.items()
        if text.replace("\u2581", " ").strip() and not _BYTE.fullmatch(text)
    }


def spelt(tokenizer: Any, text: str, added: dict[int, str]) -> list[int]:
    """Return the ids of plain text in which nothing is taken for an added token: what looks like one is spelt out."""
    if not text:
        return []
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:  # a tokenizer in Python: its model, without the search for added tokens before it
        cut = getattr(tokenizer, "_tokenize", tokenizer.tokenize)
        return _without(
            added,
            text,
            lambda part: [(tokenizer.convert_tokens_to_ids(t), t) for t in cut(part)],
            tokenizer.unk_token_id,
        )
    if backend.normalizer is not None:
        text = backend.normalizer.normalize_str(text)
    parts = (
        [text] if backend.pre_tokenizer is None else [part for part, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
    )
    out: list[int] = []
    for part in parts:
        out += _without(
            added, part, lambda text: [(t.id, t.value) for t in backend.model.tokenize(text)], tokenizer.unk_token_id
        )
    return out


def _without(
    added: dict[int, str], text: str, model: Callable[[str], list[tuple[int, str]]], unknown: int | None
) -> list[int]:
    """Return the ids a tokenizer's model gives; where its own vocabulary holds an added token whole, those of its halves."""
    out: list[int] = []
    for token, value in model(text):
        if token not in added or (token == unknown and value != text):
            out.append(token)
        elif len(value) > 1 and value in text:
            for half in (value[: len(value) // 2], value[len(value) // 2 :]):
                out += _without(added, half, model, unknown)
        elif unknown is not None:  # one character that is a control token: nothing spells it
            out.append(unknown)
    return out


def opening(tokenizer: Any) -> list[int]:
    """Return the tokens that a tokenizer puts before a text by itself; what it puts behind one would end it."""
    probe = "a"
    bare = tokenizer(probe, add_special_tokens=False)["input_ids"]
    whole = tokenizer(probe, add_special_tokens=True)["input_ids"]
    at = next((i for i in range(len(whole) - len(bare) + 1) if whole[i : i + len(bare)] == bare), 0)
    return list(whole[:at])


# ---------------------------------------------------------------- ids to bytes
class Pieces:
    """The bytes of every token, so that a text is the joined bytes of its tokens.

    leads: whether a tokenizer leaves out the space that its first word would bring (`ModelSpec.spaced`).
    """

    def __init__(self, tokenizer: Any):
        self._tokenizer, self.leads = tokenizer, False
        backend = getattr(tokenizer, "backend_tokenizer", None)
        decoder = json.loads(backend.to_str())["decoder"] if backend is not None else {"type": "Metaspace"}
        self._bytes: dict[str, int] = {}
        self._falls_back = backend is None
        self._steps: list[Step] = []
        if decoder is None and tokenizer.convert_tokens_to_ids("\u0120") not in (None, tokenizer.unk_token_id):
            self._bytes = byte_level()
        elif decoder is None:  # words joined by spaces
            self._steps, self.leads = [lambda text: f" {text}"], True
        else:
            self._read(decoder)

    @property
    def first_byte(self) -> int:
        """The id of byte 0 where bytes of unknown characters are tokens, all in order; 0 where there are none."""
        first = self._tokenizer.convert_tokens_to_ids("<0x00>") if self._falls_back else None
        named = self._tokenizer.convert_ids_to_tokens(range(first, first + 256)) if first else []
        return first if first and named == [f"<0x{byte:02X}>" for byte in range(256)] else 0

    def _read(self, decoder: dict[str, Any]) -> None:
        """Take one of the tokenizers library's decoders as steps on a token's text."""
        kind, fused = decoder["type"], False
        if kind == "Sequence":
            for each in decoder["decoders"]:
                if each["type"] == "Strip" and fused:
                    self.leads |= bool(each["start"])
                else:
                    self._read(each)
                fused |= each["type"] == "Fuse"
        elif kind == "ByteLevel":
            self._bytes = byte_level()
        elif kind == "ByteFallback":
            self._falls_back = True
        elif kind == "Replace" and "String" in decoder["pattern"]:
            self._steps.append(lambda text: text.replace(decoder["pattern"]["String"], decoder["content"]))
        elif kind == "Replace":
            pattern = re.compile(decoder["pattern"]["Regex"])
            self._steps.append(lambda text: pattern.sub(lambda _: decoder["content"], text))
        elif kind == "Strip":
            self._steps.append(lambda text: _strip(text, decoder["content"], decoder["start"], decoder["stop"]))
        elif kind == "Metaspace":
            self.leads |= decoder.get("prepend_scheme", "always") != "never"
            self._steps.append(lambda text: text.replace(decoder.get("replacement", "\u2581"), " "))
        elif kind == "WordPiece":
            self.leads = True
            self._steps.append(lambda text: _word_piece(text, decoder["prefix"], decoder["cleanup"]))
        elif kind == "BPEDecoder":
            self._steps.append(lambda text: text.replace(decoder["suffix"], " "))

    def __call__(self, token: int) -> bytes:
        """Return the bytes of one token; an id beyond the vocabulary has none."""
        text = self._tokenizer.convert_ids_to_tokens(int(token)) if 0 <= token < len(self._tokenizer) else None
        if text is None:
            return b""
        if self._falls_back and (found := _BYTE.fullmatch(text)):
            return bytes([int(found[1], 16)])
        for step in self._steps:
            text = step(text)
        if self._bytes and all(char in self._bytes for char in text):
            return bytes(self._bytes[char] for char in text)
        return text.encode("utf-8", "replace")


def byte_level() -> dict[str, int]:
    """Return GPT-2's printable stand-ins for bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(rest)}


def _strip(text: str, char: str, start: int, stop: int) -> str:
    """Take at most `start` and `stop` characters off the two ends."""
    while start and text.startswith(char):
        text, start = text[1:], start - 1
    while stop and text.endswith(char):
        text, stop = text[:-1], stop - 1
    return text


CLEANUP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


def _word_piece(text: str, prefix: str, cleanup: bool) -> str:
    """Return a piece as it stands within a text: the rest of a word, or a word with a space before it."""
    text = text.removeprefix(prefix) if text.startswith(prefix) else f" {text}"
    for spaced, close in CLEANUP if cleanup else ():
        text = text.replace(spaced, close)
    return text
