"""A checkpoint's own tokenizer and chat template, safe for what visitors type: control tokens in a prompt stay ordinary text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from model.errors import SettingError
from model.models.base import TorchModel
from model.models.vocabulary import Pieces, added_ids, opening, spelt
from model.text import Conversation, before, messages_of

PLACE = "\ue000{}\ue001"  # private-use characters that stand for a visitor's text while the template is rendered


class Chat:
    """Wrap a transformers tokenizer. thinking: ask for a thinking channel where the template knows one."""

    def __init__(self, tokenizer: Any, thinking: bool = False):
        self._tokenizer, self._thinking = tokenizer, thinking

    def encode(self, prompt: str, system: str = "", images: int = 0, **asked: Any) -> list[int]:
        """Return the ids of the templated prompt, up to where the answer begins; `images`: how many places for one stand before the text.
        asked: what else the template is given (`thinking`, `tools`).

        Where nothing that was typed looks like a control token, these are exactly the ids of the template's own text.
        """
        if not self._tokenizer.chat_template:
            if before(prompt):
                raise SettingError("This checkpoint has no chat template, so it holds no conversation.", "messages")
            return opening(self._tokenizer) + self.tokens(f"{system}\n{prompt}" if system else prompt)
        said = before(prompt)
        places = {PLACE.format(1): prompt.strip(), PLACE.format(2): system.strip()}
        places |= {PLACE.format(3 + i): text.strip() for i, (_, text) in enumerate(said)}
        shown = Conversation(PLACE.format(1), [(role, PLACE.format(3 + i)) for i, (role, _) in enumerate(said)])
        rendered = self._render(shown, PLACE.format(2) if system else "", images, **asked)
        out: list[int] = []
        controls: list[int] = []
        for part in re.split("(\ue000\\d+\ue001)", rendered):
            ids = self.tokens(places[part]) if part in places else self._ids(part)
            out += ids
            controls += [] if part in places else self._controls(ids)
        whole = self._ids(self._render(prompt, system, images, **asked))
        return out if self._controls(whole) != controls or self._says_unknown("".join(places.values())) else whole

    def _controls(self, ids: list[int]) -> list[int]:
        """Return the added tokens among ids; the one for unknown text is none of them."""
        return [token for token in ids if token in self._added and token != self._tokenizer.unk_token_id]

    def _render(self, prompt: str, system: str, images: int, thinking: bool | None = None, tools: Any = None) -> str:
        content = [{"type": "image"}] * images + [{"type": "text", "text": prompt}] if images else prompt
        turns = [*messages_of(prompt)[:-1], {"role": "user", "content": content}]
        options = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": self._thinking}
        if thinking is not None:
            options["enable_thinking"] = thinking
        if tools:
            options["tools"] = tools
        if not system:
            return self._tokenizer.apply_chat_template(turns, **options)
        try:
            return self._tokenizer.apply_chat_template([{"role": "system", "content": system}, *turns], **options)
        except Exception:  # templates without a system turn raise jinja's own error
            first, *rest = (*before(prompt), ("user", str(prompt)))
            joined = [("user", f"{system}\n\n{first[1]}"), *rest]
            return self._render(Conversation(joined[-1][1], joined[:-1]), "", images, thinking, tools)

    def _says_unknown(self, text: str) -> bool:
        return bool(self._tokenizer.unk_token) and self._tokenizer.unk_token in text

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"] if text else []

    @cached_property
    def _added(self) -> dict[int, str]:
        return added_ids(self._tokenizer)

    def check_asked(self, name: str, thinking: bool | None, tools: Sequence[Mapping[str, Any]]) -> None:
        """Refuse what this template does not read, and control tokens in what is told of tools; raise SettingError."""
        template = str(self._tokenizer.chat_template or "")
        if thinking and "enable_thinking" not in template:
            raise SettingError(f"{name} has no thinking to switch on: its chat template does not know it.", "thinking")
        if not tools:
            return
        if "tools" not in template:
            raise SettingError(f"{name} takes no tools: its chat template has no place for them.", "tools")
        if not isinstance(tools, list | tuple) or not all(isinstance(each, Mapping) for each in tools):
            raise SettingError("Tools must be a list of JSON schemas, one a function.", "tools")
        if found := next((text for text in self._added.values() if text in json.dumps(tools, ensure_ascii=False)), ""):
            raise SettingError(f"What is told of a tool may not hold the control token {found}.", "tools")

    def tokens(self, text: str) -> list[int]:
        """Return the ids of plain text; what looks like an added token is spelt out."""
        ids = self._ids(text)
        return spelt(self._tokenizer, text, self._added) if self._controls(ids) or self._says_unknown(text) else ids

    def token_id(self, text: str) -> int | None:
        """Return the id of one token by its text, or None."""
        found = self._tokenizer.convert_tokens_to_ids(text)
        return (
            None
            if found is None or (found == self._tokenizer.unk_token_id and text != self._tokenizer.unk_token)
            else int(found)
        )

    def ends(self, *configs: Mapping[str, Any]) -> tuple[int, ...]:
        """The end tokens that the tokenizer and a checkpoint's configs name, each once."""
        out: list[int] = []
        for named in (self._tokenizer.eos_token_id, *(config.get("eos_token_id") for config in configs)):
            out += named if isinstance(named, list | tuple) else [] if named is None else [named]
        return tuple(dict.fromkeys(map(int, out)))

    @cached_property
    def thinking(self) -> tuple[int, int] | None:
        """Ids that open and close a thinking channel, where the vocabulary has both."""
        for opens, closes in (("<|channel>", "<channel|>"), ("<think>", "</think>")):
            ids = self.token_id(opens), self.token_id(closes)
            if ids[0] is not None and ids[1] is not None:
                return ids[0], ids[1]
        return None

    @cached_property
    def pieces(self) -> Pieces:
        """What every token stands for."""
        return Pieces(self._tokenizer)

    @cached_property
    def known(self) -> frozenset[int]:
        """The ids that the tokenizer has a token for."""
        return frozenset(self._tokenizer.get_vocab().values())


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
        return self.chat.pieces(token)

    @cached_property
    def unwritten(self) -> tuple[int, ...]:
        """Rows of the network's output that the tokenizer has no token for: a text never holds them."""
        return tuple(sorted(set(range(self.spec.vocab_size)) - self.chat.known))
