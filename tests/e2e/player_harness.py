"""Made-up runs of every shape for the player's tests: no model, but frames that keep every rule of `model/trace.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from model.loops.schedules import counts, share_steps
from model.settings import Settings
from model.spec import ModelSpec
from model.trace.frame import (
    AFTER_END,
    COMMITTED,
    MASK,
    NOISE,
    PINNED,
    PROMPT,
    SETTLED,
    TAKEN_BACK,
    TOP,
    Frame,
    Reason,
    pack_entropy,
    pack_probability,
)
from model.trace.trace import Trace

STORY = (
    "Once upon a rainy evening the lighthouse keeper wrote a letter to the sea.\n\nDear Sea,\n    you have been loud again; "
    "the gulls complain.\nPlease be gentle with the small boats, and bring back my hat.\nYours,\nTomas"
)
HOSTILE = [
    "<img src=x onerror=window.hit=1>",
    " ${window.hit=1}",
    " {{window.hit=1}}",
    " `",
    "</script><script>window.hit=1</script>",
    " \u202eabc",
    "\u200b",
    " &lt;b&gt;",
    "\u0000",
    " e\u0301\u0301\u0301",
    "javascript:window.hit=1",
    "\n",
    "\t<svg onload=window.hit=1>",
    " \u2066x\u2069",
    "\ufffd",
    " end",
]
NOISE_WORDS = [" zq", "##", " lorem", "~", " Qui", "vex", " 77", "%%", " ohm", "ex"]


def tokens_of(text: str) -> list[bytes]:
    """Split text much as a byte-level tokenizer does; long words fall into pieces, characters outside ASCII into single bytes."""
    out: list[bytes] = []
    for piece in re.findall(r" ?[A-Za-z]+|\n+|[ \t]+(?=\S)| ?\d| ?[^\w\s]|\s|.", text, re.DOTALL):
        raw = piece.encode()
        if not piece.isascii():
            out += [raw[i : i + 1] for i in range(len(raw))]
        else:
            out += [raw[i : i + 6] for i in range(0, len(raw), 6)]
    return out


class Maker:
    """Build one run step by step; positions hold ids of `pieces`, wrong guesses come from the same table."""

    def __init__(
        self,
        target: Sequence[bytes],
        *,
        length: int,
        family: str = "masked",
        mode: str = "diffusion",
        steps: int = 16,
        seed: int = 0,
        pinned: Sequence[int] = (),
        given: Sequence[int] = (),
        block: int = 0,
        candidates: bool = True,
        view: str = "",
    ):
        others = [] if view else [w.encode() for w in NOISE_WORDS]
        self.pieces = list(dict.fromkeys([b"", *target, *others]))
        self.index = {piece: i for i, piece in enumerate(self.pieces)}
        n = len(self.pieces)
        mask = None if family == "uniform" else n
        modes = ("diffusion", "ar")
        self.spec = ModelSpec(
            "made-up", "Made-up model", family, n, (0,), mask, default_block=block or length, modes=modes, view=view
        )
        settings = Settings(steps=steps, new_tokens=length, block_length=block or 0, seed=seed)
        self.trace = Trace(
            self.spec,
            mode,
            settings.as_dict(),
            "Write a letter from a lighthouse keeper to the sea.",
            (1, 2, 3),
            dtype="float32",
            device="cpu",
            hardware="a made-up processor",
            versions={"numpy": np.__version__},
        )
        self.trace.pieces = dict(enumerate(self.pieces))
        self.rng = np.random.default_rng(seed)
        self.final = np.zeros(length, np.int32)
        self.final[: min(length, len(target))] = [self.index[piece] for piece in target[:length]]
        self.length, self.family, self.steps, self.block, self.has_candidates = (
            length,
            family,
            steps,
            block or length,
            candidates,
        )
        self.ids, self.states = (
            np.full(length, -1, np.int32),
            np.full(length, NOISE if family == "uniform" else MASK, np.uint8),
        )
        self.p, self.nats = np.zeros(length), np.zeros(length)
        self.ease = self.rng.uniform(0.15, 0.9, length)
        for places, state in ((pinned, PINNED), (given, PROMPT)):
            for i in places:
                self.ids[i], self.states[i], self.p[i] = self.final[i], state, 1.0
        if family == "uniform":
            self.ids[:] = self.rng.integers(1, n, length)
        self.reasons: list[Reason] = []
        self.step, self.forwards, self.seconds = 0, 0, 0.0

    def age(self) -> None:
        self.states[self.states == COMMITTED] = SETTLED
        taken = self.states == TAKEN_BACK
        self.states[taken] = NOISE if self.family == "uniform" else MASK
        if self.family != "uniform":
            self.ids[taken] = -1
        self.reasons = []

    @property
    def open(self) -> np.ndarray:
        return np.flatnonzero(np.isin(self.states, (MASK, NOISE)))

    def look(self, progress: float, where: np.ndarray) -> None:
        """One forward pass: the model grows surer."""
        self.p[where] = np.clip(
            self.ease[where] * (0.35 + 0.8 * progress) + self.rng.normal(0, 0.05, len(where)), 0.02, 0.99
        )
        self.nats[where] = (1 - self.p[where]) * 3.0
        self.forwards += 1
        self.seconds = round(self.seconds + float(self.rng.uniform(0.03, 0.06)), 5)

    def commit(self, i: int, token: int, rule: str = "schedule", bound: float = 1.0) -> None:
        self.ids[i], self.states[i] = token, COMMITTED
        self.reasons.append(Reason(int(i), rule, float(f"{self.p[i]:.4g}"), bound))

    def take_back(self, i: int, rule: str = "remdm") -> None:
        self.states[i] = TAKEN_BACK
        self.reasons.append(Reason(int(i), rule, 0.2, 0.1))

    def frame(self, span: tuple[int, int], block: int = 0) -> None:
        ids, p = np.full((self.length, TOP), -1, np.int32), np.zeros((self.length, TOP), np.uint8)
        undecided = (
            np.isin(self.states, (MASK, NOISE, TAKEN_BACK)) & (np.arange(self.length) < span[1]) & (self.forwards > 0)
        )
        for i in np.flatnonzero(undecided):
            wrong = self.rng.integers(1, len(self.pieces), TOP)
            right = self.p[i] > 0.3
            ids[i] = [self.final[i], wrong[0], wrong[1]] if right else [wrong[0], self.final[i], wrong[1]]
            p[i] = pack_probability([self.p[i], (1 - self.p[i]) * 0.5, (1 - self.p[i]) * 0.2])
        seen = pack_probability(self.p)
        self.trace.frames.append(
            Frame(
                self.step,
                block,
                span,
                self.forwards,
                self.seconds,
                round(self.seconds * 0.95, 5),
                self.ids.copy(),
                self.states.copy(),
                seen,
                pack_entropy(self.nats, self.spec.vocab_size),
                (ids, p) if self.has_candidates else None,
                tuple(self.reasons),
            )
        )
        self.step += 1

    def close(self) -> bool:
        """Mark what lies behind the first end token once everything before it stands; return whether that is so."""
        ends = np.flatnonzero((self.ids == 0) & ~np.isin(self.states, (MASK, NOISE, TAKEN_BACK)))
        if not len(ends) or (len(self.open) and self.open[0] < ends[0]):
            return False
        self.age()
        self.states[ends[0] + 1 :] = AFTER_END
        return True

    def done(self, stopped: str = "full") -> Trace:
        self.trace.finish(stopped)
        return self.trace


def masked(
    target: Sequence[bytes],
    *,
    length: int,
    steps: int = 16,
    block: int = 0,
    taken: Mapping[int, int] | None = None,
    **more: object,
) -> Trace:
    """A run with a mask token, block by block; `taken` maps a step to the position that loses a wrong token in it."""
    maker = Maker(target, length=length, steps=steps, block=block, **more)  # type: ignore[arg-type]
    edges = [(a, min(a + maker.block, length)) for a in range(0, length, maker.block)]
    masks = [int(((maker.open >= a) & (maker.open < b)).sum()) for a, b in edges]
    maker.frame(edges[0])
    for number, ((a, b), share) in enumerate(zip(edges, share_steps(steps, masks), strict=True)):
        for k, count in enumerate(counts("cosine", masks[number], share)):
            maker.age()
            here = maker.open[(maker.open >= a) & (maker.open < b)]
            maker.look((k + 1) / share, here)
            for i in here[np.argsort(-maker.p[here], kind="stable")][
                : count + (taken is not None and k == share - 1) * len(here)
            ]:
                wrong = (
                    taken is not None
                    and i in taken.values()
                    and maker.step < next(s for s, at in taken.items() if at == i)
                )
                maker.commit(i, 1 if wrong else int(maker.final[i]), bound=float(count))
            if taken and maker.step in taken and maker.states[taken[maker.step]] == SETTLED:
                maker.take_back(taken[maker.step])
            maker.frame((a, b), number)
    while taken and len(maker.open):
        maker.age()
        maker.look(1.0, maker.open)
        for i in maker.open:
            maker.commit(i, int(maker.final[i]), "cap", float(len(maker.open)))
        maker.frame(edges[-1], len(edges) - 1)
    if maker.close():
        maker.frame(edges[-1], len(edges) - 1)
        return maker.done("end")
    return maker.done()


SOLVED = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
GIVEN = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"


def board() -> Trace:
    """A Sudoku: given cells, candidates, and a wrong digit that clashes from step 2 on and is taken back in step 7."""
    given = [i for i, digit in enumerate(GIVEN) if digit != "."]
    return masked(
        [digit.encode() for digit in SOLVED], length=81, steps=14, pinned=given, taken={7: 5}, view="board", seed=11
    )


def uniform(length: int = 64, steps: int = 12, seed: int = 3) -> Trace:
    """A random canvas: acceptance comes and goes, everything else is new noise at every step."""
    maker = Maker(tokens_of(STORY), length=length, family="uniform", steps=steps, seed=seed)
    maker.frame((0, length))
    for k in range(steps):
        maker.age()
        maker.look((k + 1) / steps, np.arange(length))
        decided = np.isin(maker.states, (SETTLED,))
        order = np.argsort(-maker.p, kind="stable")
        keep = set(order[: round(length * ((k + 1) / steps) ** 1.4)].tolist())
        for i in range(length):
            if i in keep and not decided[i]:
                maker.commit(i, int(maker.final[i]), "accepted", 0.1)
            elif i not in keep and decided[i]:
                maker.take_back(i, "unaccepted")
            elif i not in keep:
                maker.ids[i] = maker.rng.integers(1, len(maker.pieces))
        maker.frame((0, length))
    maker.age()
    if maker.close():
        maker.frame((0, length))
    return maker.done("converged")


def autoregressive(length: int = 40) -> Trace:
    """Left to right, one token a pass."""
    maker = Maker(tokens_of(STORY)[:30], length=length, mode="ar", steps=length)
    maker.frame((0, 1))
    for i in range(length):
        maker.age()
        maker.look(1.0, np.array([i]))
        maker.commit(i, int(maker.final[i]), "next", 1.0)
        maker.frame((i, i + 1))
        if maker.final[i] == 0:
            break
    maker.close()
    maker.frame((i, i + 1))
    return maker.done("end")


def shapes() -> dict[str, Trace]:
    """Every kind of run the player must show."""
    story = tokens_of(STORY)
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    emoji = tokens_of(
        f"A na\u00efve wave \U0001f44b and a family {family} say \u00e7a va \u2014 \u4f60\u597d\uff01 ok."
    )
    hostile = [text.encode() for text in HOSTILE]
    return {
        "full": masked(story, length=64, steps=20),
        "blocks": masked(story[:50], length=64, steps=24, block=16, seed=2),
        "taken_back": masked(story, length=48, steps=16, taken={9: 5, 11: 20, 14: 33}, seed=4),
        "after_end": masked(story[:26], length=48, steps=12, seed=5),
        "pinned": masked(story, length=48, steps=12, pinned=(4, 5, 30), given=(0, 1), seed=6),
        "bytes": masked(emoji, length=len(emoji), steps=14, seed=7),
        "hostile": masked(hostile, length=len(hostile), steps=5, seed=8),
        "plain": masked(story, length=64, steps=8, candidates=False, seed=9),
        "uniform": uniform(),
        "ar": autoregressive(),
        "board": board(),
        "long": masked(story * 6, length=256, steps=128, block=64, seed=10),
    }
