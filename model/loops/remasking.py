"""Rules that take tokens back during a block. Pure numpy; one value per decided, not fixed position.

`decided` is the share of the block decided before the step, `target` the share the schedule wants after it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _room(decided: float, target: float) -> float:
    """ReMDM's largest admissible sigma: (1 - alpha_s) / alpha_t, at most 1 (arXiv 2503.00307, section 4)."""
    return min(1.0, (1 - target) / decided) if decided > 0 else 0.0


def remdm_cap(confidence: np.ndarray, decided: float, target: float, eta: float) -> np.ndarray:
    """Chance of each decided token to be masked again: min(eta, room) (ReMDM-cap)."""
    return np.full(len(confidence), min(eta, _room(decided, target)))


def remdm_rescale(confidence: np.ndarray, decided: float, target: float, eta: float) -> np.ndarray:
    """Chance: eta times room (ReMDM-rescale)."""
    return np.full(len(confidence), eta * _room(decided, target))


def remdm_conf(confidence: np.ndarray, decided: float, target: float, eta: float) -> np.ndarray:
    """Chance: softmax(-psi) times room, psi the probability a token had when it was committed (ReMDM-conf); eta is not used."""
    if not len(confidence):
        return confidence
    weight = np.exp(-(confidence - confidence.min()))
    return weight / weight.sum() * _room(decided, target)


SIGMAS: dict[str, Callable[[np.ndarray, float, float, float], np.ndarray]] = {
    "remdm_cap": remdm_cap,
    "remdm_rescale": remdm_rescale,
    "remdm_conf": remdm_conf,
}


AT_ONCE = 3  # tokens that one pass takes back: of two that contradict each other, one may be right


def doubted(probability: np.ndarray, times: np.ndarray, least: float) -> np.ndarray:
    """Indices of the decided tokens to take back, at most AT_ONCE: those that today, given all the rest, are less probable than `least`.

    probability, times (n,): today's probability of each, and how often its position was taken back before; of equals the fresh one goes
    first, so that two positions do not wait for each other for ever.
    """
    worst = np.argsort(probability + 1e-3 * times, kind="stable")[:AT_ONCE]
    return worst[probability[worst] < least]


def ranked_out(probability: np.ndarray, keep: int) -> np.ndarray:
    """Indices that are not among the `keep` best by today's probability (P2 / path planning, arXiv 2502.03540; top-k re-ranking)."""
    return np.argsort(-probability, kind="stable")[keep:]
