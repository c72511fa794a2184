"""The rules of the masked loop once more, each in ten lines after its paper: no cache, no plan, no canvas, the network asked from nothing.

Everything runs on one block over the whole canvas, greedily. A canvas is a list of ids, -1 where undecided; its first position belongs to
the causal pass. Each reference yields the canvas after every pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from tests.tiny import MASK, Tiny

Choose = Callable[
    [np.ndarray], Sequence[int]
]  # (n, V) probabilities of the n undecided positions -> which of them are decided now


class Asked:
    """A network and a prompt; every answer is computed anew."""

    def __init__(self, model: Tiny, prompt: str = "ab"):
        self.model, self.prompt = model, model.encode(prompt)

    def after(self, text: list[int]) -> np.ndarray:
        """Return the probabilities (V,) of the token that follows."""
        reader = self.model.predictor("", "", self.prompt + text, 1, None, "ar")
        return _shares(reader.advance(0, [], [-1]))[0]

    def inside(self, block: list[int], text: Sequence[int] = ()) -> np.ndarray:
        """Return the probabilities (n - 1, V) of every position of a block (n,) behind a text, but for its first."""
        reader = self.model.predictor("", "", [*self.prompt, *text], len(block), None, "diffusion")
        reader.advance(0, [], [-1])
        return _shares(reader.predict(block, (0, len(block)), list(range(1, len(block)))))

    def begin(self, length: int) -> list[int]:
        """Return a canvas of which the causal pass has decided the first position."""
        return [int(self.after([]).argmax())] + [-1] * (length - 1)


def _shares(logits: torch.Tensor) -> np.ndarray:
    logits = logits.clone()
    logits[:, MASK] = -torch.inf
    return logits.softmax(-1).double().numpy()


def open_places(canvas: Sequence[int]) -> list[int]:
    return [i for i, token in enumerate(canvas) if token < 0]


def fill(asked: Asked, length: int, choose: Choose) -> Iterator[list[int]]:
    """Pass after pass, decide what `choose` names of the undecided positions, each with its likeliest token."""
    canvas = asked.begin(length)
    while places := open_places(canvas):
        p = asked.inside(canvas)[[i - 1 for i in places]]
        for row in choose(p, places) if getattr(choose, "placed", False) else choose(p):
            canvas[places[row]] = int(p[row].argmax())
        yield list(canvas)


# ---------------------------------------------------------------- which ones: scores, the higher the earlier
def entropy_of(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(-1)


SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "confidence": lambda p: p.max(-1),  # LLaDA, arXiv 2502.09992
    "margin": lambda p: np.sort(p)[:, -1] - np.sort(p)[:, -2],  # arXiv 2502.06768
    "entropy": lambda p: -entropy_of(p),  # Dream, arXiv 2508.15487
    "left_to_right": lambda p: -np.arange(len(p), dtype=float),
}


# ---------------------------------------------------------------- how many: rules
def threshold(bound: float) -> Choose:
    """Fast-dLLM (arXiv 2505.22618): all above the bound, else the surest."""
    return lambda p: [i for i in range(len(p)) if p[i].max() >= bound] or [int(p.max(-1).argmax())]


def factor(bound: float) -> Choose:
    """Fast-dLLM, factor-based: the largest n for which (n + 1)(1 - c_n) < f, c sorted downwards; at least one."""

    def choose(p: np.ndarray) -> list[int]:
        ranked = sorted(range(len(p)), key=lambda i: -p[i].max())
        fits = [n for n in range(1, len(p) + 1) if (n + 1) * (1 - p[ranked[n - 1]].max()) < bound]
        return ranked[: max(fits, default=1)]

    return choose


def entropy(bound: float) -> Choose:
    """EB-Sampler (arXiv 2505.24857): the largest set, lowest entropy first, with sum(H) - max(H) <= bound; at least one."""

    def choose(p: np.ndarray) -> list[int]:
        nats = entropy_of(p)
        ranked = [int(i) for i in np.argsort(nats, kind="stable")]
        fits = [n for n in range(1, len(p) + 1) if nats[ranked[:n]].sum() - nats[ranked[:n]].max() <= bound]
        return ranked[: max(fits, default=1)]

    return choose


def independent(
    bound: float, free: float = 1.2, sure: float = 0.05, apart: float = 0.2, near: int = 2, together: int = 2
) -> Choose:
    """As `entropy`, and two free choices that are no neighbours of an uncertain one of this pass, nor overlap with it (Bhattacharyya)."""

    def choose(p: np.ndarray, places: Sequence[int]) -> list[int]:
        chosen, nats, root = entropy(bound)(p), entropy_of(p), np.sqrt(p)
        most = len(chosen) + together
        for i in np.argsort(nats, kind="stable").tolist():
            rivals = [j for j in chosen if nats[j] > sure]
            alone = all(root[i] @ root[j] < apart and abs(places[i] - places[j]) > near for j in rivals)
            if len(chosen) < most and i not in chosen and nats[i] > free and alone:
                chosen.append(i)
        return chosen

    choose.placed = True
    return choose


# ---------------------------------------------------------------- taking back
def p2(asked: Asked, length: int, targets: Sequence[int]) -> Iterator[list[int]]:
    """P2 (arXiv 2502.03540): fill every hole with its likeliest token, keep the `target` tokens that are likeliest now, old or new."""
    canvas = asked.begin(length)
    for target in targets:
        p = asked.inside(canvas)
        full = [token if token >= 0 else int(p[i].argmax()) for i, token in enumerate(canvas[1:])]
        keep = np.argsort([-p[i, token] for i, token in enumerate(full)], kind="stable")[:target]
        canvas = [canvas[0]] + [token if i in keep else -1 for i, token in enumerate(full)]
        yield list(canvas)


Chance = Callable[
    [np.ndarray, float, float], np.ndarray
]  # psi of the decided tokens, alpha_t, alpha_s -> sigma of each


def room(now: float, then: float) -> float:
    return min(1.0, (1 - then) / now)


def remdm(
    asked: Asked, length: int, targets: Sequence[int], chance: Chance, draw: Callable[[int], np.ndarray]
) -> Iterator[list[int]]:
    """ReMDM (arXiv 2503.00307): mask each token again with chance sigma, then decide so many that `target` are decided after the pass."""
    canvas, psi, masks = asked.begin(length), np.zeros(length), length - 1
    for number, target in enumerate(targets):
        holes, told = open_places(canvas), [i for i in range(1, length) if canvas[i] >= 0]
        p = asked.inside(canvas)
        if told and number < len(targets) - 1:
            sigma = chance(psi[told], len(told) / masks, target / masks)
            for i, uniform, chance_of_it in zip(told, draw(len(told)), sigma, strict=True):
                canvas[i] = -1 if uniform < chance_of_it else canvas[i]
        lacking = target - (masks - len(open_places(canvas))) if number < len(targets) - 1 else length
        for i in sorted(holes, key=lambda i: -p[i - 1].max())[: max(0, lacking)]:
            canvas[i], psi[i] = int(p[i - 1].argmax()), p[i - 1].max()
        yield list(canvas)


def recheck(asked: Asked, length: int, targets: Sequence[int], least: float) -> Iterator[list[int]]:
    """One pass over all positions: what the rest makes less likely than `least` goes, at most three, the worst first; holes as planned."""
    canvas, times = asked.begin(length), np.zeros(length)
    for number, target in enumerate(targets):
        last, holes, told = (
            number == len(targets) - 1,
            open_places(canvas),
            [i for i in range(1, length) if canvas[i] >= 0],
        )
        p = asked.inside(canvas)
        today = {i: p[i - 1, canvas[i]] for i in told}
        for i in sorted(holes, key=lambda i: -p[i - 1].max())[: len(holes) if last else max(0, target - len(told))]:
            canvas[i] = int(p[i - 1].argmax())
        for i in [] if last else sorted(told, key=lambda i: today[i] + 1e-3 * times[i])[:3]:
            if today[i] < least:
                canvas[i], times[i] = -1, times[i] + 1
        yield list(canvas)


def verify(
    asked: Asked, length: int, block: int, strength: float, pinned: Mapping[int, int]
) -> tuple[list[int], list[int]]:
    """Guess a block in one pass, then keep it up to the first free token that the causal model finds too unlikely beside its favourite.

    Return the text and the positions that were refused, in the order in which that happened.
    """
    canvas, checked, refused = [pinned.get(i, -1) for i in range(length)], 0, []
    while True:
        start = min(open_places(canvas), default=length)
        for i in range(checked + 1, start):
            p = asked.after(canvas[:i])
            if p[canvas[i]] < strength * p.max() and i not in pinned:
                canvas[i:], start = [pinned.get(j, -1) for j in range(i, length)], i
                refused.append(i)
                break
        if start == length:
            return canvas, refused
        canvas[start], checked, stop = int(asked.after(canvas[:start]).argmax()), start, min(length, start + block)
        if -1 in canvas[start:stop]:
            guess = asked.inside(canvas[start:stop], canvas[:start]).argmax(-1).tolist()
            canvas[start + 1 : stop] = [
                new if old < 0 else old for old, new in zip(canvas[start + 1 : stop], guess, strict=True)
            ]
