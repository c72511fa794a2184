"""From logits to a choice: what a run may write, and what a network's output says of every row, whatever loop asked for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from model.errors import NumericsError
from model.loops.plan import Plan
from model.loops.sampling import CHUNK, sample
from model.trace.frame import TOP


@dataclass(frozen=True)
class Readout:
    """What logits (n, V) say: chosen token, its probability, margin, entropy (nats), and the TOP candidates with theirs."""

    token: np.ndarray
    p: np.ndarray
    margin: np.ndarray
    entropy: np.ndarray
    top_ids: np.ndarray
    top_p: np.ndarray
    probability: torch.Tensor  # (n, V), overwritten by the run's next `read`

    def overlap(self, rows: np.ndarray) -> np.ndarray:
        """Return how much the distributions of rows (n,) overlap, pair by pair: Bhattacharyya coefficients (n, n), 1 for the same."""
        root = self.probability[torch.from_numpy(rows)].sqrt()
        return (root @ root.T).numpy()

    def probability_of(self, row: int, token: int) -> float:
        """Return the probability of any token in a row."""
        return float(self.probability[row, token])


FORBIDDEN = -1e4  # far enough for a probability of exactly 0, and 0 * FORBIDDEN stays a number
NOT_NUMBERS = "The model returned values that are not numbers; run again, or reload the model."


@torch.inference_mode()
def bar(logits: torch.Tensor, plan: Plan, positions: Sequence[int]) -> None:
    """Forbid, in place, whatever does not begin a word where one must begin; positions: of the rows of logits (n, V)."""
    if plan.starts is not None and (rows := [row for row, position in enumerate(positions) if position in plan.spaced]):
        wide = min(logits.shape[1], len(plan.starts))
        if bool(plan.starts[:wide].any()):
            logits[torch.tensor(rows)[:, None], (~plan.starts[:wide]).nonzero()[:, 0]] = FORBIDDEN


@torch.inference_mode()
def shield(logits: torch.Tensor, plan: Plan, no_end: np.ndarray | None = None) -> None:
    """Forbid, in place, what may never be written: the run's forbidden ids, and end tokens in rows `no_end`."""
    if plan.forbidden:
        logits[:, list(plan.forbidden)] = FORBIDDEN
    if no_end is not None:
        logits[torch.from_numpy(no_end)[:, None], torch.tensor(plan.spec.eos_ids, dtype=torch.long)] = FORBIDDEN


def shares(logits: torch.Tensor, ids: list[int]) -> list[float]:
    """Return how probable each row's own id (n) is beside the row's favourite, from 0 to 1, for shielded logits (n, V)."""
    peaks = logits.amax(-1).tolist()
    return [
        math.exp(logits[row, token].item() - peak) for row, (token, peak) in enumerate(zip(ids, peaks, strict=True))
    ]


@torch.inference_mode()
def read(logits: torch.Tensor, plan: Plan, no_end: np.ndarray | None = None, drawn: int | None = None) -> Readout:
    """Turn logits (n, V), which are shielded in place, into a choice per row; raise NumericsError on NaN.

    Confidence is taken before temperature, top-p and top-k. drawn: only so many rows are drawn from, the others just looked at.
    """
    shield(logits, plan, no_end)
    return weigh(logits, plan, drawn)


@torch.inference_mode()
def choose(logits: torch.Tensor, plan: Plan) -> tuple[int, float, float]:
    """Return what `weigh` says of one row (1, V) that is decided at once: its token, probability and entropy.

    Right after the weights have streamed through the caches every small operation costs several times its usual time: hence few.
    """
    values, probability = plan.scratch(logits)
    torch.softmax(values.copy_(logits), -1, out=probability)
    score, p = values[0].numpy(), probability[0].numpy()
    best = int(score.argmax())
    if not math.isfinite(p[best]):
        raise NumericsError(NOT_NUMBERS)
    entropy = max(0.0, float(score[best]) - math.log(p[best]) - float(torch.dot(values[0], probability[0])))
    token = best if plan.greedy else int(sample(values, plan)[0])
    return token, float(p[token]), entropy


def pick(logits: np.ndarray, names: np.ndarray, barred: Sequence[int], plan: Plan) -> int:
    """Return the place of one of a few tokens, ids `names` (m,), by their logits (m,), where those of `barred` are overwritten."""
    known = names.tolist()
    for token in barred:
        if token in known:
            logits[known.index(token)] = FORBIDDEN
    return int(logits.argmax()) if plan.greedy else int(sample(torch.from_numpy(logits)[None], plan)[0])


def glance(logits: np.ndarray, place: int) -> tuple[float, float, list[int], list[float]]:
    """Return what `weigh` says of one row of a few tokens (m,): the probability of the one at `place`, entropy (nats), and the TOP
    best places with theirs. Raise NumericsError on NaN. In plain Python: for so few numbers every call of a library costs more."""
    values = logits.tolist()
    if not math.isfinite(sum(values)):
        raise NumericsError(NOT_NUMBERS)
    best = sorted(range(len(values)), key=values.__getitem__, reverse=True)[:TOP]
    peak = values[best[0]]
    weights = [math.exp(value - peak) for value in values]
    total = sum(weights)
    entropy = (
        math.log(total) - sum(weight * (value - peak) for weight, value in zip(weights, values, strict=True)) / total
    )
    return weights[place] / total, entropy, best, [weights[i] / total for i in best]


@torch.inference_mode()
def weigh(logits: torch.Tensor, plan: Plan, drawn: int | None = None) -> Readout:
    """Turn logits (n, V) into a choice per row; raise NumericsError on NaN. drawn: rows that are drawn from, the others take their best."""
    values, probability = plan.scratch(logits)
    torch.softmax(values.copy_(logits), -1, out=probability)
    best, top_ids = _top(values)
    top_p = np.take_along_axis(probability.numpy(), top_ids, 1).astype(np.float64)
    if not np.isfinite(top_p).all():
        raise NumericsError(NOT_NUMBERS)
    # H = log Z - sum p l, and log Z = l - log p at the likeliest token, where p is far from 0
    entropy = best[:, 0] - np.log(top_p[:, 0]) - torch.linalg.vecdot(probability, values).numpy()
    token = top_ids[:, 0].copy()
    if not plan.greedy and drawn != 0:
        token[:drawn] = sample(values[:drawn], plan).numpy()
    p = np.take_along_axis(probability.numpy(), token[:, None], 1)[:, 0].astype(np.float64)
    return Readout(
        token, p, top_p[:, 0] - top_p[:, 1], np.maximum(entropy, 0), top_ids.astype(np.int32), top_p, probability
    )


def _peaks(logits: torch.Tensor) -> torch.Tensor:
    """Return the largest logit of each of a row's chunks (n, V / CHUNK), of the whole row where they do not divide it."""
    n, vocab = logits.shape
    return logits.amax(-1, keepdim=True) if vocab % CHUNK else logits.view(n, -1, CHUNK).amax(-1)


def _top(logits: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return logits.topk(TOP), faster: the best tokens lie in the chunks with the largest maxima, so only those are sorted."""
    n, vocab = logits.shape
    if vocab % CHUNK or vocab < CHUNK * TOP:
        best, ids = logits.topk(TOP, dim=-1)
        return best.double().numpy(), ids.numpy()
    where = _peaks(logits).topk(TOP, dim=-1).indices
    best, at = (
        logits.view(n, -1, CHUNK).gather(1, where[:, :, None].expand(-1, -1, CHUNK)).view(n, -1).topk(TOP, dim=-1)
    )
    chunk, inside = np.divmod(at.numpy(), CHUNK)
    return best.double().numpy(), np.take_along_axis(where.numpy(), chunk, 1) * CHUNK + inside
