"""Which undecided positions a step commits: orders score them, rules admit them. Pure numpy; one value per undecided position.

An order gives a score (higher goes first). A rule takes the step's `Guess` and returns the admitted indices, best first, each with
the rule's name and the two numbers it compared. Every rule admits at least one position while there is any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Admitted = list[tuple[int, str, float, float]]  # (index, reason, value, bound)


@dataclass(frozen=True)
class Guess:
    """What the network says of n undecided positions: chosen token's probability, runner-up's margin and entropy (nats), each (n,)."""

    probability: np.ndarray
    margin: np.ndarray
    entropy: np.ndarray
    uniform: Callable[[int], np.ndarray]  # n draws from U(0, 1) by the run's own generator
    overlap: Callable[[], np.ndarray] = lambda: np.zeros(
        (0, 0)
    )  # (n, n) Bhattacharyya coefficients of the distributions
    positions: np.ndarray = field(default_factory=lambda: np.zeros(0, int))  # (n,) where they are on the canvas


def _gumbel(uniform: np.ndarray) -> np.ndarray:
    return -np.log(-np.log(np.clip(uniform, 1e-12, 1 - 1e-12)))


ORDERS: dict[str, Callable[[Guess], np.ndarray]] = {
    "confidence": lambda g: g.probability,  # LLaDA's low_confidence, MaskGIT (arXiv 2202.04200)
    "margin": lambda g: g.margin,  # top-1 minus top-2, arXiv 2502.06768
    "entropy": lambda g: -g.entropy,  # Dream
    "random": lambda g: g.uniform(len(g.probability)),  # ancestral sampling of MDLM, LLaDA's random
    "left_to_right": lambda g: -np.arange(len(g.probability), dtype=float),
    # Gumbel-top-k = drawing without replacement in proportion to p (Efraimidis and Spirakis 2006; Dream's alg_temp = 1 on log p)
    "proportional": lambda g: np.log(np.maximum(g.probability, 1e-30)) + _gumbel(g.uniform(len(g.probability))),
}


def by_schedule(guess: Guess, score: np.ndarray, count: int) -> Admitted:
    """Admit the `count` best by score."""
    best = np.argsort(-score, kind="stable")[:count]
    return [(int(i), "schedule", float(score[i]), float(count)) for i in best]


def by_threshold(guess: Guess, score: np.ndarray, threshold: float) -> Admitted:
    """Admit all with p >= threshold, else the best by score (Fast-dLLM, arXiv 2505.22618)."""
    p = guess.probability
    sure = [int(i) for i in np.argsort(-p, kind="stable") if p[i] >= threshold]
    if sure:
        return [(i, "threshold", float(p[i]), threshold) for i in sure]
    best = int(np.argmax(score))
    return [(best, _fallback(p, best), float(p[best]), threshold)]


def _fallback(p: np.ndarray, best: int) -> str:
    """Name why a position was admitted that the rule itself did not admit: only some orders take the surest one."""
    return "surest" if p[best] >= p.max() else "first"


def by_factor(guess: Guess, score: np.ndarray, factor: float) -> Admitted:
    """Admit the largest n with (n + 1)(1 - p of the n-th) < factor (Fast-dLLM's factor rule, arXiv 2505.22618), at least one."""
    p = guess.probability
    ranked = np.argsort(-p, kind="stable")
    doubt = (np.arange(1, len(p) + 1) + 1) * (1 - p[ranked])
    passing = np.flatnonzero(doubt < factor)
    if not len(passing):
        best = int(np.argmax(score))
        return [(best, _fallback(p, best), float(p[best]), 1 - factor / 2)]
    return [(int(i), "factor", float(d), factor) for i, d in zip(ranked[: passing[-1] + 1], doubt, strict=False)]


def by_entropy(guess: Guess, score: np.ndarray, bound: float) -> Admitted:
    """Admit, lowest entropy first, while the sum less the largest is <= bound (EB-Sampler, arXiv 2505.24857); always at least one."""
    ranked = np.argsort(guess.entropy, kind="stable")
    entropy = guess.entropy[ranked]
    spent = np.cumsum(entropy) - entropy  # ascending, so the largest so far is the last
    return [(int(i), "entropy", float(s), bound) for i, s in zip(ranked, spent, strict=True) if s <= bound]


SURE, OPEN = 0.05, 1.2  # nats under which a position is as good as decided, over which it is a free choice
APART, NEAR = 0.2, 2  # overlap from which on two positions are linked; so are neighbours up to so many places apart
TOGETHER = 2  # free choices of one step: with more, two of them belong more and more often to sentences that exclude each other


def by_independent(guess: Guess, score: np.ndarray, bound: float) -> Admitted:
    """Admit as `by_entropy` does, and beside those up to TOGETHER free choices that no other uncertain one of this step can contradict.

    An entropy budget cannot tell ten free choices from ten copies of one: both are uncertain. Two positions that may hold the same words
    are likely to be the same thing said twice, or the same sentence shifted, so one of them waits for the other; positions of high entropy
    whose distributions do not overlap are admitted together. Neighbours wait too (two words of one phrase), and so do entropies between
    (a pronoun before its name): those follow from others.
    """
    admitted = by_entropy(guess, score, bound)
    overlap, entropy = guess.overlap(), guess.entropy
    uncertain = [i for i, *_ in admitted if entropy[i] > SURE]
    there, most = {i for i, *_ in admitted}, len(admitted) + TOGETHER
    for i in (int(i) for i in np.argsort(entropy, kind="stable") if entropy[i] > OPEN and int(i) not in there):
        if len(admitted) == most:
            break
        closest = float(overlap[i, uncertain].max()) if uncertain else 0.0
        alone = not uncertain or int(np.abs(guess.positions[uncertain] - guess.positions[i]).min()) > NEAR
        if closest < APART and alone:
            admitted.append((i, "independent", closest, APART))
            uncertain.append(i)
    return admitted


def admit(rule: str, guess: Guess, order: str, count: int, bound: float, last: bool) -> Admitted:
    """Apply a rule; on the `last` pass that the step limit allows, whatever it leaves is admitted too."""
    score = ORDERS[order](guess)
    if rule == "schedule":
        return by_schedule(guess, score, len(score) if last else count)
    rules = {"threshold": by_threshold, "factor": by_factor, "entropy": by_entropy, "independent": by_independent}
    admitted = rules[rule](guess, score, bound)
    if last:
        there = {i for i, *_ in admitted}
        rest = [int(i) for i in np.argsort(-score, kind="stable") if int(i) not in there]
        admitted += [(i, "cap", float(guess.probability[i]), float(len(rest))) for i in rest]
    return admitted
