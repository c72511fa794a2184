"""A checkpoint's own tokenizer and chat template, safe for what visitors type: control tokens in a prompt stay ordinary text."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from model.models.base import TorchModel

PLACE = "\ue000{}\ue001"  # private-use characters that stand for a visitor's text while the template is rendered
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Chat:
    """Wrap a transformers tokenizer. thinking: ask for a thinking channel where the template knows one."""

    def __init__(self, tokenizer: Any, thinking: bool = False):
        self._tokenizer, self._thinking = tokenizer, thinking

    def encode(self, prompt: str, system: str = "", image: bool = False) -> list[int]:
        """Return the ids of the templated prompt, up to where the answer begins; `image` puts an image before the text.

        Where nothing that was typed looks like a control token, these are exactly the ids of the template's own text.
        """
        if not self._tokenizer.chat_template:
            return self._ids(f"{system}\n{prompt}" if system else prompt, begin=True)
        if all(self._ids(text) == self.tokens(text) for text in (prompt, system)):
            return self._ids(self._render(prompt, system, image))
        places = {PLACE.format(1): prompt.strip(), PLACE.format(2): system.strip()}
        rendered = self._render(PLACE.format(1), PLACE.format(2) if system else "", image)
        out: list[int] = []
        for part in re.split("(\ue000\\d\ue001)", rendered):
            out += self.tokens(places[part]) if part in places else self._ids(part)
        return out

    def _render(self, prompt: str, system: str, image: bool) -> str:
        content = [{"type": "image"}, {"type": "text", "text": prompt}] if image else prompt
        turns = [{"role": "user", "content": content}]
        options = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": self._thinking}
        if not system:
            return self._tokenizer.apply_chat_template(turns, **options)
        try:
            return self._tokenizer.apply_chat_template([{"role": "system", "content": system}, *turns], **options)
        except Exception:  # templates without a system turn raise jinja's own error
            return self._render(f"{system}\n\n{prompt}", "", image)

    def _ids(self, text: str, begin: bool = False) -> list[int]:
        return self._tokenizer(text, add_special_tokens=begin, split_special_tokens=False)["input_ids"] if text else []

    def tokens(self, text: str) -> list[int]:
        """Return the ids of plain text; what looks like a control token is spelt out."""
        return self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] if text else []

    def token_id(self, text: str) -> int | None:
        """Return the id of one token by its text, or None."""
        found = self._tokenizer.convert_tokens_to_ids(text)
        return None if found is None or (found == self._tokenizer.unk_token_id and text != self._tokenizer.unk_token) else int(found)

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """The tokenizer's own end token, if it has one."""
        return () if self._tokenizer.eos_token_id is None else (int(self._tokenizer.eos_token_id),)

    def ends(self, generation_config: Any) -> tuple[int, ...]:
        """The end tokens that a checkpoint's generation config names, else the tokenizer's own."""
        named = getattr(generation_config, "eos_token_id", None)
        return self.eos_ids if named is None else tuple(named) if isinstance(named, list | tuple) else (named,)

    @cached_property
    def thinking(self) -> tuple[int, int] | None:
        """Ids that open and close a thinking channel, where the vocabulary has both."""
        for opens, closes in (("<|channel>", "<channel|>"), ("<think>", "</think>")):
            ids = self.token_id(opens), self.token_id(closes)
            if ids[0] is not None and ids[1] is not None:
                return ids[0], ids[1]
        return None

    @cached_property
    def _byte_level(self) -> dict[str, int]:
        """GPT-2's printable stand-ins for bytes, where the vocabulary is spelt in them, else nothing."""
        if self.token_id("\u0120") is None:
            return {}
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        rest = [b for b in range(256) if b not in printable]
        return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(rest)}

    def piece(self, token: int) -> bytes:
        """Return the bytes of one token; an id beyond the vocabulary has none."""
        text = self._tokenizer.convert_ids_to_tokens(int(token)) if 0 <= token < len(self._tokenizer) else None
        if text is None:
            return b""
        if found := _BYTE.fullmatch(text):
            return bytes([int(found[1], 16)])
        if self._byte_level:
            return bytes(self._byte_level[c] for c in text) if all(c in self._byte_level for c in text) else text.encode()
        return text.replace("\u2581", " ").encode()


class ChatModel(TorchModel):
    """A model whose text goes through a checkpoint's own tokenizer: '[MASK]' or '<|im_end|>' typed by a visitor stay ordinary text."""

    chat: Chat

    def encode(self, prompt: str, system: str = "") -> list[int]:
        """Return the templated prompt's ids."""
        return self.chat.encode(prompt, system)

    def tokens(self, text: str) -> list[int]:
        """Return plain text's ids, special tokens kept as text."""
        return self.chat.tokens(text)

    def piece(self, token: int) -> bytes:
        """Return one token's bytes."""
        return self.chat.piece(token)
