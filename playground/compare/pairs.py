"""How much faster one lane is than another, turn by turn: what a slow minute does to both cancels out."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLED = 2_000
FEW = 3  # turns from which on an interval means something


@dataclass(frozen=True)
class Ratio:
    """The geometric mean of paired ratios with its 95 % bootstrap interval, over `turns` pairs."""

    mean: float
    low: float
    high: float
    turns: int


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio | None:
    """Return the ratio of two lanes' speeds, the n-th run of one with the n-th of the other; None for fewer than `FEW` pairs."""
    logs = [math.log(a / b) for a, b in zip(ours, theirs, strict=False) if a > 0 and b > 0]
    if len(logs) < FEW:
        return None
    r = random.Random(0)
    means = sorted(sum(r.choices(logs, k=len(logs))) / len(logs) for _ in range(RESAMPLED))
    low, high = means[int(0.025 * RESAMPLED)], means[int(0.975 * RESAMPLED)]
    return Ratio(math.exp(sum(logs) / len(logs)), math.exp(low), math.exp(high), len(logs))
