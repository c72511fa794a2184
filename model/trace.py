"""A run as data: what every position of the canvas held after each step, and why.

A `Trace` is a header and a list of `Frame`s. The live page, replay, races, plots, exports, the API and the tests consume it; it
knows neither torch nor Gradio. Its JSON form (`text-diffusion-trace`, version 1) is in `trace_json.py` and `assets/trace.schema.json`.

The canvas is the answer: L positions, in reading order. Per position a frame holds
- `ids` int32: the token, -1 where there is none (a mask; `noise` positions hold the random token the model saw),
- `states` uint8: an index into `STATES`,
- `confidence` uint8: round(255 p), p the softmax probability of the token (of the guess, where undecided) after the shift and
  after forbidden ids, before temperature and top-p,
- `entropy` uint8: round(255 sqrt(H / ln V)), H in nats, V the vocabulary size,
- `candidates` (ids int32 (L, 3), probabilities uint8 (L, 3)): the likeliest tokens of undecided positions, -1 where there are none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
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
    "after_end": "decided, but behind the end of the text",
}
STOPPED = {
    "end": "the text ended: the end token and everything before it stand",
    "full": "every position of the canvas is decided",
    "converged": "the guess was stable and confident",
    "cancelled": "you stopped it",
    "deadline": "the time limit was reached",
    "error": "an error ended it",
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
        plain = ("step", "block", "span", "forwards", "reasons", "notes") + (("seconds", "forward_seconds") if times else ())
        arrays = ("ids", "states", "confidence", "entropy")
        if (self.candidates is None) != (other.candidates is None):
            return False
        pairs = [(getattr(self, name), getattr(other, name)) for name in arrays]
        pairs += list(zip(self.candidates or (), other.candidates or (), strict=True))
        return all(getattr(self, n) == getattr(other, n) for n in plain) and all(np.array_equal(a, b) for a, b in pairs)


@dataclass(frozen=True)
class ModelSpec:
    """What differs between models, as data.

    family: 'masked', 'uniform' (random canvas, no mask token) or 'autoregressive'. shift: the output at position i - 1 predicts
    position i. causal_prefix: finished text enters through an exact cache and is computed once. block_lengths: those it was
    trained for (empty: any). ahead: longest block that one pass can guess while it checks the block before; 0: none. canvas: fixed
    canvas length, 0 where the length is free. modes: what it can run. vision: takes an image.
    """

    id: str
    name: str
    family: str
    vocab_size: int
    eos_ids: tuple[int, ...]
    mask_id: int | None = None
    shift: bool = False
    causal_prefix: bool = False
    block_lengths: tuple[int, ...] = ()
    default_block: int = 0
    canvas: int = 0
    self_conditioning: bool = False
    guidance: bool = False
    verify: bool = False
    ahead: int = 0
    vision: bool = False
    modes: tuple[str, ...] = ("diffusion",)
    twin: str = ""
    max_tokens: int = 1024
    parameters: int = 0
    memory_bytes: int = 0
    license: str = ""
    url: str = ""
    revision: str = ""
    note: str = ""


@dataclass(frozen=True)
class Result:
    """How a run ended. tokens: up to and including the end token. after_end: positions decided behind it. Rates use `tokens`."""

    text: str
    stopped: str
    tokens: int
    after_end: int
    forwards: int
    seconds: float
    first_frame_seconds: float

    @property
    def tokens_per_forward(self) -> float:
        return self.tokens / self.forwards if self.forwards else 0.0

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


@dataclass
class Trace:
    """One run: header fields, the frames so far, and how it ended (None while it runs or if it was cut off)."""

    spec: ModelSpec
    mode: str
    settings: dict[str, Any]
    prompt: str
    prompt_ids: tuple[int, ...]
    system: str = ""
    dtype: str = ""
    device: str = ""
    hardware: str = ""
    weights_sha256: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    recorded: str = ""  # the date of a shipped recording, empty for a live run
    branch: str = ""  # where a continued run started: "step 12 of <id>", or empty
    pieces: dict[int, bytes] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    result: Result | None = None

    @property
    def seed(self) -> int:
        return int(self.settings.get("seed", 0))

    @property
    def length(self) -> int:
        """Positions on the canvas."""
        return max((len(frame.ids) for frame in self.frames), default=0)

    def text(self, frame: Frame, hole: str = "") -> str:
        """Return the frame's decided text up to its first end token; `hole` stands for each undecided position."""
        runs: list[bytes] = []
        for token, state in zip(frame.ids.tolist(), frame.states.tolist(), strict=True):
            if state in UNDECIDED:
                runs.append(hole.encode())
            elif token in self.spec.eos_ids or state == AFTER_END:
                break
            else:
                runs.append(self.pieces.get(token, b""))
        return b"".join(runs).decode("utf-8", errors="replace")

    @property
    def final_text(self) -> str:
        """The text of the last frame."""
        return self.result.text if self.result else self.text(self.frames[-1]) if self.frames else ""

    @property
    def final_ids(self) -> list[int]:
        """Decided ids of the last frame, up to and including the end token."""
        return answer_ids(self.frames[-1], self.spec.eos_ids) if self.frames else []

    def finish(self, stopped: str) -> Result:
        """Set and return `result` from the frames there are."""
        last = self.frames[-1] if self.frames else None
        first = next((frame.seconds for frame in self.frames if frame.forwards), 0.0)
        tokens = len(self.final_ids)
        self.result = Result(
            text=self.text(last) if last else "", stopped=stopped, tokens=tokens,
            after_end=int(((last.states == AFTER_END) & (last.ids >= 0)).sum()) if last else 0,
            forwards=last.forwards if last else 0, seconds=last.seconds if last else 0.0, first_frame_seconds=first,
        )  # fmt: skip
        return self.result

    def to_json(self, max_bytes: int | None = None) -> str:
        """Return the versioned JSON document; candidates are left out if it would be longer than `max_bytes`."""
        from .trace_json import dumps

        return dumps(self, max_bytes)

    @classmethod
    def from_json(cls, text: str | bytes, max_bytes: int = 8_000_000) -> Trace:
        """Parse and check a document; raise TraceError with one sentence."""
        from .trace_json import loads

        return loads(text, max_bytes)


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


def pack_probability(p: Any) -> np.ndarray:
    """Probabilities -> uint8; NaN becomes 0."""
    return (np.fmin(np.fmax(p, 0), 1) * 255 + 0.5).astype(np.uint8)


def pack_entropy(nats: Any, vocab_size: int) -> np.ndarray:
    """Entropies in nats -> uint8; the square root keeps small ones apart; NaN becomes 0."""
    return np.rint(np.sqrt(np.fmin(np.fmax(np.divide(nats, math.log(max(2, vocab_size))), 0), 1)) * 255).astype(np.uint8)


def unpack_entropy(packed: np.ndarray, vocab_size: int) -> np.ndarray:
    """uint8 -> entropies in nats (float64)."""
    return (np.asarray(packed, dtype=np.float64) / 255) ** 2 * math.log(max(2, vocab_size))
