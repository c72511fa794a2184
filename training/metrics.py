"""Numbers about how a text came about, beside `model.quality`. Lists of token ids in, plain floats out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def doubled(ids: Sequence[int]) -> float:
    """Return the share of tokens that equal the one before: what colliding guesses look like."""
    return sum(a == b for a, b in zip(ids, ids[1:], strict=False)) / max(1, len(ids) - 1)


def kendall_tau(steps: Sequence[int]) -> float:
    """Return Kendall's tau-b between position and the step that committed it: 1 strictly left to right, 0 no order or one step."""
    order = np.asarray(steps)
    sign = np.sign(order[None, :] - order[:, None])[np.triu_indices(len(order), 1)]
    untied = np.count_nonzero(sign)
    return float(sign.sum() / np.sqrt(untied * len(sign))) if untied else 0.0


def mean_and_error(values: Sequence[float], weights: Sequence[float] | None = None) -> tuple[float, float]:
    """Return the weighted mean over prompts and its standard error (0 for a single value)."""
    x, w = np.asarray(values, float), np.asarray(weights if weights is not None else [1.0] * len(values), float)
    if not len(x) or not w.sum():
        return float("nan"), 0.0
    mean = float((w * x).sum() / w.sum())
    if len(x) < 2:
        return mean, 0.0
    return mean, float(np.sqrt(((w * (x - mean)) ** 2).sum() * len(x) / (len(x) - 1)) / w.sum())
