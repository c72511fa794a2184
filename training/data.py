"""Text for training: prompts, the base model's own answers, and batches of two streams.

Clean stream: prompt and answer, causal: the autoregressive model, and the decoder's cache. Noised stream: the answer in blocks, some
tokens masked; a block sees the clean stream before it and itself both ways (block diffusion, arXiv:2503.09573). Shift: the output at a
token predicts the next one, so a block's first token is predicted by the clean stream alone and is never masked.
"""

from __future__ import annotations

import json
import random
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch

from .network import EOS, MASK

DATA = Path(__file__).parent / "data"
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
ENDINGS = ("", "", "", " Keep it short.", " Answer in one sentence.", " Answer in two sentences.", " Be brief.")
IGNORED = -100
AHEAD = 4  # block length of a pass that checks and guesses at once: three masks stand behind every token
COLUMNS = ("noised", "positions", "block", "first", "target", "taught", "depth")  # of the noised stream
DOCUMENT = 0  # <|endoftext|>: what stood before every text in pretraining


class Chat:
    """SmolLM2's tokenizer and chat template, equal to `model.models.chat135m.model`; special tokens typed by a visitor stay text."""

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.encode_special_tokens = True

    def tokens(self, text: str) -> list[int]:
        """Return the ids of plain text."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode(self, prompt: str) -> list[int]:
        """Return the ids of the default system turn, the user's turn and the start of the answer."""
        start, newline = [1], self.tokens("\n")
        turns = [
            [*start, *self.tokens(f"{role}\n{text}"), EOS, *newline]
            for role, text in (("system", SYSTEM), ("user", prompt))
        ]
        return [*turns[0], *turns[1], *start, *self.tokens("assistant\n")]

    def decode(self, ids: Sequence[int]) -> str:
        """Return text, special tokens left out."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)


@dataclass(frozen=True)
class Row:
    """One answer: ids of what stands before it, its own ids (the last is EOS where it ended), and the prompt it is filed under."""

    prompt: str
    before: list[int]
    answer: list[int]


def lines(path: Path) -> list[str]:
    """Return the non-empty lines of a text file."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def prompts(
    templates: Sequence[str], topics: Sequence[Sequence[str]], rng: random.Random, endings: Sequence[str] = ENDINGS
) -> Iterator[str]:
    """Yield prompts for ever: a template, one or two topics (each list of them as likely as the next), sometimes a wish for brevity."""
    while True:
        first, second = (rng.choice(rng.choice(topics)) for _ in range(2))
        yield rng.choice(templates).format(a=first, b=second) + rng.choice(endings)


def repetitive(answer: Sequence[int], most: int = 4) -> bool:
    """Whether one 4-gram stands more than `most` times, or the answer says nothing."""
    grams = Counter(zip(answer, answer[1:], answer[2:], answer[3:], strict=False))
    return len(answer) < 4 or max(grams.values()) > most


def read_rows(path: Path, chat: Chat) -> tuple[list[Row], list[Row]]:
    """Return (held-out, training) rows of a JSONL file of answers, one a prompt, repetitive ones left out.

    A line is {"p": prompt, "r": answer ids} or, for text without the chat template, {"t": beginning, "r": ids}. A hundredth of the
    prompts is held out by a hash, so it stays the same as the file grows.
    """
    found: dict[str, Row] = {}
    for line in lines(path):
        entry = json.loads(line)
        prompt = entry.get("p", entry.get("t", ""))
        if not repetitive(entry["r"]):
            before = chat.encode(prompt) if "p" in entry else [DOCUMENT, *chat.tokens(prompt)]
            found[prompt] = Row(prompt, before, entry["r"])
    held_out = [row for row in found.values() if zlib.crc32(row.prompt.encode()) % 100 == 0]
    return sorted(held_out, key=lambda row: row.prompt), [
        row for row in found.values() if zlib.crc32(row.prompt.encode()) % 100
    ]


@dataclass(frozen=True)
class Noise:
    """How blocks are masked: shares of blocks that are all masks, lack their right part, or lack a gap whose right part is given;
    the rest is masked uniformly at a random ratio. complementary: every block twice, the second view masks what the first shows.
    ahead: share of answers in which masks alone stand behind every token: what a pass that checks one block and guesses the next sees."""

    everything: float = 0.2
    right: float = 0.35
    gap: float = 0.1
    complementary: bool = False
    ahead: float = 0.0

    def draw(self, length: int, rng: random.Random, ratio: float | None = None) -> list[bool]:
        """Return which of a block's tokens are masked, never the first, at least one. ratio: fixed, for evaluation."""
        if length == 1:
            return [False]
        kind, known = (rng.random() if ratio is None else 1.0), rng.randrange(1, length)
        if kind < self.everything:
            return [False] + [True] * (length - 1)
        if kind < self.everything + self.right:
            masked = [False] * known + [rng.random() < 0.92 for _ in range(length - known)]
        elif kind < self.everything + self.right + self.gap:
            first = min(known, max(1, length - 2))
            last = rng.randrange(first, max(first + 1, length - 1))
            masked = [first <= i <= last for i in range(length)]
        else:
            ratio = ratio or rng.uniform(0.05, 1.0)
            masked = [False] + [rng.random() < ratio for _ in range(length - 1)]
        if not any(masked):
            masked[known] = True
        return masked

    def views(self, length: int, rng: random.Random, ratio: float | None = None) -> list[list[bool]]:
        """Return one mask, or two that together mask everything but the first token once."""
        first = self.draw(length, rng, ratio)
        second = [False] + [not masked for masked in first[1:]]
        return [first, second] if self.complementary and any(second) else [first]


@dataclass(frozen=True)
class Batch:
    """Both streams. N clean tokens, M noised ones; positions count from the start of the prompt.

    clean (B, N); next_token (B, N): what each clean output should predict, inside the answer only; noised, positions, target,
    taught, depth (B, M); mask (B, 1, M, N + M). taught: nothing to the right is known in the block, so the autoregressive distribution is
    the right one. depth: how many masks stand before this one behind the same token, -1 in blocks of the usual kind. Targets are -100
    where there is none.
    """

    clean: torch.Tensor
    next_token: torch.Tensor
    noised: torch.Tensor
    positions: torch.Tensor
    target: torch.Tensor
    taught: torch.Tensor
    depth: torch.Tensor
    mask: torch.Tensor

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device."""
        return replace(self, **{item.name: getattr(self, item.name).to(device) for item in fields(self)})


def _streams(row: Row, size: int, noise: Noise, rng: random.Random, ratio: float | None) -> dict[str, list[int]]:
    """Return the columns of one row: both streams, and per noised token its block's number and first position."""
    n, answer = len(row.before), list(row.answer)
    end = n + len(answer)  # after EOS the teacher has nothing to say
    if noise.ahead and rng.random() < noise.ahead:
        return _ahead(row, AHEAD)
    if answer[-1] == EOS:
        answer += [EOS] * (-len(answer) % size)
    ids = [*row.before, *answer]
    out: dict[str, list[int]] = {name: [] for name in COLUMNS}
    number = 0
    for first in range(n, len(ids), size):
        tokens = ids[first : first + size]
        for masked in noise.views(len(tokens), rng, ratio):
            known = max(i for i, hidden in enumerate(masked) if not hidden)
            out["noised"] += [MASK if hidden else token for token, hidden in zip(tokens, masked, strict=True)]
            out["positions"] += range(first, first + len(tokens))
            out["block"] += [number] * len(tokens)
            out["first"] += [first] * len(tokens)
            out["depth"] += [-1] * len(tokens)
            out["target"] += [t if hidden else IGNORED for t, hidden in zip(tokens[1:], masked[1:], strict=True)] + [
                IGNORED
            ]
            out["taught"] += [i > known and first + i < end for i in range(1, len(tokens))] + [False]
            number += 1
    out["clean"] = ids
    out["next_token"] = [IGNORED] * (n - 1) + row.answer + [IGNORED] * (len(ids) - n + 1 - len(row.answer))
    return out


def _ahead(row: Row, size: int) -> dict[str, list[int]]:
    """Return the columns of a row with size - 1 masks behind every token of the answer: they guess what follows its successor."""
    n, ids = len(row.before), row.before + row.answer
    out: dict[str, list[int]] = {name: [] for name in COLUMNS}
    for number, first in enumerate(range(n, len(ids) - 1)):
        count = min(size - 1, len(ids) - 1 - first)
        out["noised"] += [MASK] * count
        out["positions"] += range(first, first + count)
        out["block"] += [number] * count
        out["first"] += [first] * count
        out["target"] += ids[first + 1 : first + 1 + count]
        out["taught"] += [False] * count
        out["depth"] += range(count)
    out["clean"] = ids
    out["next_token"] = [IGNORED] * (n - 1) + row.answer + [IGNORED]
    return out


def collate(
    rows: Sequence[Row], noise: Noise, lengths: Sequence[int], rng: random.Random, ratio: float | None = None
) -> Batch:
    """Return a batch, each row cut into blocks of one of `lengths`. ratio: a fixed masking ratio, for evaluation."""
    columns = [_streams(row, rng.choice(lengths), noise, rng, ratio) for row in rows]

    def pad(name: str, value: int) -> torch.Tensor:
        width = max(len(column[name]) for column in columns)
        return torch.tensor([column[name] + [value] * (width - len(column[name])) for column in columns])

    clean, block, first = pad("clean", EOS), pad("block", -1), pad("first", 0)
    sees_clean = torch.arange(clean.shape[1])[None, None, :] < first[:, :, None]
    sees_block = block[:, :, None] == block[:, None, :]
    return Batch(
        clean,
        pad("next_token", IGNORED),
        pad("noised", EOS),
        pad("positions", 0),
        pad("target", IGNORED),
        pad("taught", 0).bool(),
        pad("depth", -1),
        torch.cat([sees_clean, sees_block], -1)[:, None],
    )
