"""A run as data: what every position of the canvas held after each step, and why.

A `Trace` is a header and a list of `Frame`s. The live page, replay, races, plots, exports, the API and the tests consume it; it
knows neither torch nor Gradio. Its JSON form (`text-diffusion-trace`, version 1) is in `encode.py` and `assets/trace.schema.json`.

The canvas is the answer: L positions, in reading order. Per position a frame holds
- `ids` int32: the token, -1 where there is none (a mask; `noise` positions hold the random token the model saw),
- `states` uint8: an index into `STATES`,
- `confidence` uint8: round(255 p), p the softmax probability of the token (of the guess, where undecided) after the shift and
  after forbidden ids, before temperature and top-p,
- `entropy` uint8: round(255 sqrt(H / ln V)), H in nats, V the vocabulary size,
- `candidates` (ids int32 (L, 3), probabilities uint8 (L, 3)): the likeliest tokens of undecided positions, -1 where there are none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

STATES = ("prompt", "pinned", "mask", "noise", "committed", "settled", "taken_back", "after_end")
PROMPT, PINNED, MASK, NOISE, COMMITTED, SETTLED, TAKEN_BACK, AFTER_END = range(8)
UNDECIDED = (MASK, NOISE, TAKEN_BACK)
TOP = 3  # candidates kept per undecided position

# Why a token was admitted or taken back. {v} is what the rule compared, {b} what it compared it with.
REASONS = {
    "schedule": "score {v}; this step takes the best {b}",
    "threshold": "p {v} >= {b}",
    "surest": "the surest one of the step: p {v} < {b}",
    "first": "none was as sure as the rule asks; the first by the chosen order: p {v} < {b}",
    "independent": "a free choice that no other of this step can contradict: overlap {v} < {b}",
    "doubted": "taken back: given all the rest its probability is {v} < {b}",
    "factor": "(n + 1)(1 - p) = {v} < {b}",
    "entropy": "entropy budget {v} <= {b} nats",
    "cap": "the step limit was reached with {b} left: p {v}",
    "ahead": "guessed in the pass that checked the block before: p {v}",
    "causal": "decided by the causal pass over the finished text: p {v}",
    "kept": "the causal pass agrees: {v} of its favourite's probability >= {b}",
    "refused": "taken back by the causal pass: {v} of its favourite's probability < {b}",
    "remdm": "taken back by ReMDM: drawn with chance {v}",
    "ranked_out": "taken back: its probability {v} is no longer among the {b} best",
    "accepted": "entropy budget {v} <= {b} nats",
    "unaccepted": "no longer within the entropy budget: {v} > {b} nats",
    "converged": "the guess was stable and sure: mean entropy {v} < {b} nats",
    "next": "the next token, left to right: p {v}",
    "served": "sent by a server, which does not send its steps: p {v}",
    "unsaid": "sent by a server, which sends neither steps nor probabilities",
    "after_end": "decided, but behind the end of the text",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Which rule admitted a position's token (or took it back), and the two numbers it compared."""

    position: int
    rule: str
    value: float
    bound: float

    def __str__(self) -> str:
        return REASONS[self.rule].format(v=f"{self.value:.3g}", b=f"{self.bound:.3g}")


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The canvas after one step. Arrays are read-only; see the module docstring for shapes and units.

    step 0 is the canvas before any pass. `span` is the block under work [start, stop). `forwards` counts every forward pass so
    far (prefill, encoder, guidance and store passes too). `seconds` is compute time so far, drawing and waiting excluded;
    `forward_seconds` the part of it inside forward passes. `notes` holds a family's own numbers (temperature, mean entropy, ...).
    """

    step: int
    block: int
    span: tuple[int, int]
    forwards: int
    seconds: float
    forward_seconds: float
    ids: np.ndarray
    states: np.ndarray
    confidence: np.ndarray
    entropy: np.ndarray
    candidates: tuple[np.ndarray, np.ndarray] | None = None
    reasons: tuple[Reason, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for array in (self.ids, self.states, self.confidence, self.entropy, *(self.candidates or ())):
            array.flags.writeable = False

    @property
    def undecided(self) -> int:
        """Positions the model has not decided yet."""
        return int(np.isin(self.states, UNDECIDED).sum())

    @property
    def committed(self) -> tuple[int, ...]:
        """Positions decided in this very step."""
        return tuple(np.flatnonzero(self.states == COMMITTED).tolist())

    @property
    def taken_back(self) -> tuple[int, ...]:
        """Positions whose token was taken back in this very step."""
        return tuple(np.flatnonzero(self.states == TAKEN_BACK).tolist())

    def same_as(self, other: Frame, times: bool = True) -> bool:
        """Whether every field is equal (times aside, if asked)."""
        plain = ("step", "block", "span", "forwards", "reasons", "notes") + (
            ("seconds", "forward_seconds") if times else ()
        )
        arrays = ("ids", "states", "confidence", "entropy")
        if (self.candidates is None) != (other.candidates is None):
            return False
        pairs = [(getattr(self, name), getattr(other, name)) for name in arrays]
        pairs += list(zip(self.candidates or (), other.candidates or (), strict=True))
        return all(getattr(self, n) == getattr(other, n) for n in plain) and all(np.array_equal(a, b) for a, b in pairs)


def answer_ids(frame: Frame, eos_ids: Iterable[int]) -> list[int]:
    """Return the frame's decided ids in order, up to and including the first end token."""
    ends, out = set(eos_ids), []
    for token, state in zip(frame.ids.tolist(), frame.states.tolist(), strict=True):
        if state == AFTER_END:
            break
        if state in UNDECIDED or token < 0:
            continue
        out.append(token)
        if token in ends:
            break
    return out


def given_tokens(frames: Sequence[Frame], eos_ids: Iterable[int]) -> int:
    """Return how many of the answer's tokens no pass wrote: pinned, given, or on the canvas before the first pass and unchanged."""
    if not frames:
        return 0
    first, last, ends, count = frames[0], frames[-1], set(eos_ids), 0
    began = (
        {} if first.forwards else {i: t for i, t in enumerate(first.ids.tolist()) if first.states[i] not in UNDECIDED}
    )
    for i, (token, state) in enumerate(zip(last.ids.tolist(), last.states.tolist(), strict=True)):
        if state == AFTER_END:
            break
        if state in UNDECIDED or token < 0:
            continue
        count += state in (PROMPT, PINNED) or began.get(i) == token
        if token in ends:
            break
    return count


def pack_probability(p: Any) -> np.ndarray:
    """Probabilities -> uint8; NaN becomes 0."""
    return (np.fmin(np.fmax(p, 0), 1) * 255 + 0.5).astype(np.uint8)


def pack_entropy(nats: Any, vocab_size: int) -> np.ndarray:
    """Entropies in nats -> uint8; the square root keeps small ones apart; NaN becomes 0."""
    return np.rint(np.sqrt(np.fmin(np.fmax(np.divide(nats, math.log(max(2, vocab_size))), 0), 1)) * 255).astype(
        np.uint8
    )


def unpack_entropy(packed: np.ndarray, vocab_size: int) -> np.ndarray:
    """uint8 -> entropies in nats (float64)."""
    return (np.asarray(packed, dtype=np.float64) / 255) ** 2 * math.log(max(2, vocab_size))
