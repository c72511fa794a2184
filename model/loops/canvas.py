"""The answer under work: what every position holds now, and the frame that says so. Loops write it, nothing else does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from model.loops.stopwatch import Stopwatch
from model.trace.frame import (
    AFTER_END,
    COMMITTED,
    MASK,
    PINNED,
    PROMPT,
    SETTLED,
    STATES,
    TAKEN_BACK,
    TOP,
    UNDECIDED,
    Frame,
    Reason,
    pack_entropy,
    pack_probability,
)

_OPEN = np.isin(np.arange(len(STATES)), UNDECIDED)  # by state: undecided?


class Canvas:
    """`length` positions, all undecided but the given ones. Arrays as in `trace.py`; `p` (float) is the exact confidence.

    given: {position: id} that must never change; `given_state` says what they are shown as. kept: more of them, shown as given text.
    start: ids to begin with, -1 where undecided; unlike given ones, a rule may take them back.
    """

    def __init__(
        self,
        length: int,
        vocab_size: int,
        eos_ids: Sequence[int],
        given: Mapping[int, int] | None = None,
        given_state: int = PINNED,
        start: Sequence[int] = (),
        kept: Mapping[int, int] | None = None,
    ):
        self.vocab_size, self.eos_ids = vocab_size, frozenset(eos_ids)
        self.ids = np.full(length, -1, np.int32)
        self.states = np.full(length, MASK, np.uint8)
        self.p = np.zeros(length)
        self.confidence = np.zeros(length, np.uint8)
        self.entropy = np.zeros(length, np.uint8)
        self.guess_ids = np.full((length, TOP), -1, np.int32)
        self.guess_p = np.zeros((length, TOP), np.uint8)
        self.fixed = np.zeros(length, bool)
        self.reasons: list[Reason] = []
        self.steps = 0
        self.place = (0, (0, length))  # block and span of the last frame
        for position, token in enumerate(start):
            if token >= 0:
                self.ids[position], self.states[position], self.p[position], self.confidence[position] = (
                    token,
                    SETTLED,
                    1.0,
                    255,
                )
        for fixed, state in ((kept or {}, PROMPT), (given or {}, given_state)):
            for position, token in fixed.items():
                self.ids[position], self.states[position], self.fixed[position] = token, state, True
                self.p[position], self.confidence[position] = 1.0, 255
        self.last_fixed = max(
            {**(kept or {}), **(given or {})}, default=-1
        )  # the text may not end before the last given position
        self.may_end = not self.eos_ids.isdisjoint(self.ids.tolist())  # whether an end token has ever stood here

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def taken(self) -> bool:
        """Whether this step took anything back."""
        return bool((self.states == TAKEN_BACK).any())

    def masked(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Positions in [start, stop) without a token."""
        return np.flatnonzero(self.ids[start:stop] < 0) + start

    def given(self, start: int, count: int) -> list[int]:
        """Return the fixed ids of `count` positions from `start` on, -1 elsewhere and behind the edge."""
        if self.last_fixed < start:
            return [-1] * count
        fixed = np.where(self.fixed, self.ids, -1)[start : start + count].tolist()
        return fixed + [-1] * (count - len(fixed))

    def look(self, positions: np.ndarray, entropy: np.ndarray, ids: np.ndarray, p: np.ndarray) -> None:
        """Record what the network sees at undecided positions: entropy (nats), TOP candidates (n, TOP), best first, and their p."""
        packed = pack_probability(p)
        self.confidence[positions], self.entropy[positions] = packed[:, 0], pack_entropy(entropy, self.vocab_size)
        self.guess_ids[positions], self.guess_p[positions] = ids, packed

    def look_at(self, position: int, entropy: float, ids: Sequence[int] = (), p: Sequence[float] = ()) -> None:
        """Record the entropy (nats) at which one position was decided, and what it was chosen from: TOP candidates, best first."""
        self.entropy[position] = round(255 * math.sqrt(min(1.0, max(0.0, entropy) / math.log(self.vocab_size))))
        if ids:
            self.guess_ids[position], self.guess_p[position] = ids, [round(255 * value) for value in p]

    def commit(self, position: int, token: int, p: float, rule: str, value: float, bound: float) -> None:
        """Decide one position in this step."""
        self.ids[position], self.states[position], self.p[position] = token, COMMITTED, p
        self.confidence[position] = round(255 * min(1.0, max(0.0, p)))
        self.may_end |= token in self.eos_ids
        self._reason(position, rule, value, bound)

    def take_back(self, position: int, rule: str, value: float, bound: float) -> None:
        """Undo one position in this step; its token stays visible in this frame only."""
        self.states[position] = TAKEN_BACK
        self._reason(position, rule, value, bound)

    def _reason(self, position: int, rule: str, value: float, bound: float) -> None:
        self.reasons.append(Reason(int(position), rule, float(f"{value:.4g}"), float(f"{bound:.4g}")))

    def age(self) -> None:
        """Begin a step: what the last one committed is settled, what it took back is undecided."""
        for position in [reason.position for reason in self.reasons]:
            if self.states[position] == TAKEN_BACK:
                self.states[position], self.ids[position] = MASK, -1
            elif self.states[position] == COMMITTED:
                self.states[position] = SETTLED
        self.reasons = []

    @property
    def end(self) -> int:
        """Position of the first end token if everything before it is decided, else -1."""
        if not self.may_end:
            return -1
        undecided = self.masked()
        known = self.ids[: undecided[0]] if len(undecided) else self.ids
        ends = [i for i, token in enumerate(known.tolist()) if token in self.eos_ids]
        return ends[0] if ends and not _OPEN[self.states[: ends[0] + 1]].any() else -1

    def close(self, end: int) -> None:
        """Mark everything behind position `end` as after the end."""
        behind = np.arange(len(self)) > end
        self.states[behind & ~self.fixed] = AFTER_END
        self.guess_ids[behind], self.guess_p[behind] = -1, 0

    def frame(
        self, block: int, span: tuple[int, int], watch: Stopwatch, notes: Mapping[str, float] | None = None
    ) -> Frame:
        """Return the canvas as a frame and count a step."""
        seconds = round(watch.pause(), 5)
        guess_ids, guess_p = self.guess_ids.copy(), self.guess_p.copy()
        decided = ~_OPEN[self.states]
        guess_ids[decided], guess_p[decided] = -1, 0
        self.place = (block, span)
        frame = Frame(
            self.steps,
            block,
            span,
            watch.forwards,
            seconds,
            round(watch.forward_seconds, 5),
            self.ids.copy(),
            self.states.copy(),
            self.confidence.copy(),
            self.entropy.copy(),
            (guess_ids, guess_p),
            tuple(self.reasons),
            dict(notes or {}),
        )
        self.steps += 1
        return frame
