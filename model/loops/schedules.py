"""How many tokens each step commits: mask-survival curves turned into whole counts.

A curve alpha(u) is the share already decided at time u in [0, 1], with alpha(0) = 0 and alpha(1) = 1. `counts` turns it into a list
of whole numbers, each at least 1, that sums exactly to the number of masks. Nothing need divide anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def _sigmoid(u: float, sharpness: float = 6.0) -> float:
    squash = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    low, high = squash(-sharpness), squash(sharpness)
    return (squash(sharpness * (2 * u - 1)) - low) / (high - low)


CURVES: dict[str, Callable[[float], float]] = {
    "linear": lambda u: u,  # MDLM's log-linear noise, arXiv 2406.07524
    "cosine": lambda u: 1 - math.cos(math.pi / 2 * u),  # MaskGIT, arXiv 2202.04200: few first, many last
    "power": lambda u: u**2,  # MaskGIT's "square"
    "sigmoid": _sigmoid,  # few, many, few
    "log": lambda u: math.log1p(9 * u) / math.log(10),  # many first
    "exp": lambda u: math.expm1(3 * u) / math.expm1(3),  # few first, steeper than power
}


def counts(name: str, masks: int, steps: int) -> list[int]:
    """Return tokens per step: min(steps, masks) whole numbers >= 1 with sum `masks`, following curve `name`."""
    if masks <= 0:
        return []
    steps = max(1, min(steps, masks))
    curve = CURVES[name]
    marks = [round(curve(i / steps) * masks) for i in range(steps + 1)]
    marks[0], marks[-1] = 0, masks
    for i in range(1, steps + 1):  # at least one a step ...
        marks[i] = max(marks[i], marks[i - 1] + 1)
    for i in range(steps, 0, -1):  # ... without overshooting the end
        marks[i] = min(marks[i], masks - (steps - i))
    return [b - a for a, b in zip(marks, marks[1:], strict=False)]


def share_steps(steps: int, masks: list[int]) -> list[int]:
    """Return denoising passes per block: `steps` shared in proportion to each block's masks, at least 1 where there are any.

    The sum is at most `steps`, unless there are more blocks with masks than steps (callers refuse that first).
    """
    total, out, spent, seen = sum(masks), [], 0, 0
    waiting = sum(1 for here in masks if here)
    for here in masks:
        seen += here
        waiting -= bool(here)
        want = round(steps * seen / total) - spent if total else 0
        take = max(1, min(want, here, steps - spent - waiting)) if here else 0
        out.append(take)
        spent += take
    return out


def targets(name: str, masks: int, steps: int) -> list[int]:
    """Return how many positions are decided after each of exactly `steps` passes (the last: all), for rules that take tokens back."""
    curve = CURVES[name]
    return [min(masks, max(1, round(curve(i / steps) * masks))) for i in range(1, steps)] + [masks]


def own_counts(how: str, masks: int, steps: int) -> list[int]:
    """Return tokens per step as a model's authors share them where steps do not divide the tokens; the sum is `masks`.

    'first': the first steps take one more (ML-GSAI/LLaDA@b7e6c35, generate.py). 'floor': each takes its share of what is left by times
    from 1 to 0.001, rounded down, the last one all (DreamLM/Dream@fac0a7f, generation_utils.py).
    """
    steps = max(1, min(steps, masks))
    if how == "first":
        return [masks // steps + (i < masks % steps) for i in range(steps)]
    times = [1 - (1 - 1e-3) * i / steps for i in range(steps + 1)]
    left, out = masks, []
    for i in range(steps):
        out.append(int(left * (1 - times[i + 1] / times[i])) if i < steps - 1 else left)
        left -= out[-1]
    return out
