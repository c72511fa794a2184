"""The loop for models with a mask token: full canvas or block by block, shifted or not, with an exact prefix cache where there is one.

One loop serves every such model. How many tokens a step commits (schedules), which ones (orders), what a rule takes back (remasking)
and what may never change (`Canvas.fixed`) are separate arguments. Inference mode is the predictor's affair: it belongs on the forward
pass, never around a loop that yields.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from .canvas import Canvas
from .errors import NumericsError
from .orders import Guess, admit
from .remasking import SIGMAS, ranked_out
from .run import Stopwatch
from .schedules import counts, share_steps, targets
from .settings import Settings
from .trace import TOP, Frame, ModelSpec


class Predictor(Protocol):
    """What the loop asks of a network for one run; positions are the canvas's own, the prompt lies before position 0."""

    passes: int  # forward passes that the last call made (2 with guidance, 0 where there was nothing to append)

    def advance(self, start: int, ids: list[int], rows: list[int]) -> torch.Tensor | None:
        """Append finished tokens ids at [start, start + len(ids)) to the cache; the first call appends the prompt before them.

        rows: indices into ids (-1: the token before them) whose next-token logits (len(rows), V) are wanted. Networks that learned
        no next-token prediction return None, those without an exact prefix cache are never asked.
        """
        ...

    def predict(self, canvas: list[int], span: tuple[int, int], positions: list[int]) -> torch.Tensor:
        """Return logits (len(positions), V) for undecided positions (-1 in canvas) within span; the shift is already applied."""
        ...

    def crop(self, length: int) -> None:
        """Forget cached tokens from canvas position `length` on."""
        ...


@runtime_checkable
class OnGrid(Protocol):
    """A predictor whose network was trained on blocks that lie at fixed places."""

    def span(self, position: int, width: int) -> tuple[int, int]:
        """Return the block [start, stop) that holds a position; start < 0 where tokens of the prompt lie in it too.

        width: what a network without fixed places would be given.
        """
        ...


@dataclass
class Plan:
    """Everything of a run that does not change: settings, spec, block length, and when to stop."""

    settings: Settings
    spec: ModelSpec
    block: int
    generator: torch.Generator
    forbidden: tuple[int, ...]  # ids that may never be written
    should_stop: Callable[[], str]  # '' or 'cancelled' / 'deadline'
    _scratch: torch.Tensor = field(default_factory=lambda: torch.empty(0), repr=False)

    def scratch(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return two float32 tensors of that shape (n, V), valid until the next call: fresh megabytes in every pass cost page faults."""
        if self._scratch.numel() < 2 * like.numel() or self._scratch.device != like.device:
            self._scratch = torch.empty(2 * like.numel(), device=like.device)
        first, second = self._scratch[: 2 * like.numel()].view(2, *like.shape)
        return first, second

    def uniform(self, n: int) -> np.ndarray:
        """Return n draws from U(0, 1) by the run's own generator."""
        return torch.rand(n, generator=self.generator, dtype=torch.float64).numpy()


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

    def probability_of(self, row: int, token: int) -> float:
        """Return the probability of any token in a row."""
        return float(self.probability[row, token])


CHUNK = 256
FORBIDDEN = -1e4  # far enough for a probability of exactly 0, and 0 * FORBIDDEN stays a number


@torch.inference_mode()
def shield(logits: torch.Tensor, plan: Plan, no_end: np.ndarray | None = None) -> None:
    """Forbid, in place, what may never be written: the run's forbidden ids, and end tokens in rows `no_end`."""
    for token in plan.forbidden:
        logits[:, token] = FORBIDDEN
    if no_end is not None:
        logits[torch.from_numpy(no_end)[:, None], torch.tensor(plan.spec.eos_ids, dtype=torch.long)] = FORBIDDEN


@torch.inference_mode()
def shares(logits: torch.Tensor, ids: np.ndarray) -> np.ndarray:
    """Return how probable each row's own id (n,) is beside the row's favourite, from 0 to 1, for shielded logits (n, V)."""
    own = logits.gather(1, torch.from_numpy(ids).long()[:, None])[:, 0]
    return np.exp(own.double().numpy() - _peaks(logits).amax(-1).double().numpy())


@torch.inference_mode()
def read(logits: torch.Tensor, plan: Plan, no_end: np.ndarray | None = None) -> Readout:
    """Turn logits (n, V), which are shielded in place, into a choice per row; raise NumericsError on NaN.

    Confidence is taken before temperature, top-p and top-k.
    """
    shield(logits, plan, no_end)
    values, probability = plan.scratch(logits)
    torch.softmax(values.copy_(logits), -1, out=probability)
    best, top_ids = _top(values)
    top_p = np.take_along_axis(probability.numpy(), top_ids, 1).astype(np.float64)
    if not np.isfinite(top_p).all():
        raise NumericsError("The model returned values that are not numbers; run again, or reload the model.")
    # H = log Z - sum p l, and log Z = l - log p at the likeliest token, where p is far from 0
    entropy = best[:, 0] - np.log(top_p[:, 0]) - torch.linalg.vecdot(probability, values).numpy()
    if plan.settings.temperature <= 1e-6:
        token, p = top_ids[:, 0], top_p[:, 0]
    else:
        token = sample(values, plan).numpy()
        p = np.take_along_axis(probability.numpy(), token[:, None], 1)[:, 0].astype(np.float64)
    return Readout(token, p, top_p[:, 0] - top_p[:, 1], np.maximum(entropy, 0), top_ids.astype(np.int32), top_p, probability)


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
    best, at = logits.view(n, -1, CHUNK).gather(1, where[:, :, None].expand(-1, -1, CHUNK)).view(n, -1).topk(TOP, dim=-1)
    chunk, inside = np.divmod(at.numpy(), CHUNK)
    return best.double().numpy(), np.take_along_axis(where.numpy(), chunk, 1) * CHUNK + inside


HEAD = 1024  # likeliest tokens looked at for top-p; all of them where those do not reach it


def sample(logits: torch.Tensor, plan: Plan) -> torch.Tensor:
    """Draw one token a row at the temperature, within top-k, then within top-p (the token that crosses it included).

    By the inverse of the distribution function in float64: 32-bit Gumbel noise would act like a lower temperature (arXiv 2409.02908).
    """
    settings, n = plan.settings, len(logits)
    scaled = logits / settings.temperature
    uniform = torch.rand(n, generator=plan.generator, dtype=torch.float64)
    if not settings.top_k and settings.top_p == 1:
        return _draw(scaled.softmax(-1), uniform)
    size = min(settings.top_k or HEAD, scaled.shape[-1])
    values, ids = scaled.topk(size, dim=-1)
    weights = values.softmax(-1) if settings.top_k else (values - scaled.logsumexp(-1, keepdim=True)).exp()
    if not settings.top_k and bool((weights.sum(-1) < settings.top_p).any()):
        weights, ids = scaled.softmax(-1).sort(dim=-1, descending=True)
    weights = weights.masked_fill(weights.cumsum(-1) - weights >= settings.top_p, 0.0)
    return ids.gather(1, _draw(weights, uniform)[:, None])[:, 0]


def _draw(weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Return one index per row of weights (n, m), drawn in proportion, uniform (n,) in [0, 1); chunk first, then inside it."""
    n, m = weights.shape
    if m % CHUNK or m == CHUNK:
        return _invert(weights, uniform)[0]
    chunks = weights.view(n, -1, CHUNK)
    chunk, rest = _invert(chunks.sum(-1, dtype=torch.float64), uniform)
    inside = chunks.gather(1, chunk[:, None, None].expand(-1, 1, CHUNK))[:, 0]
    return chunk * CHUNK + _invert(inside, rest)[0]


def _invert(weights: torch.Tensor, uniform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (index, how far into that index's own share the draw fell, in [0, 1)); an index of weight 0 is never drawn."""
    edges = weights.double().cumsum(-1)
    aim = (uniform * edges[:, -1])[:, None]
    last = edges.argmax(-1, keepdim=True)  # the last index with weight: argmax takes the first of equal edges
    index = torch.minimum(torch.searchsorted(edges, aim, right=True), last)
    width = weights.double().gather(1, index)
    rest = (aim - edges.gather(1, index) + width) / width
    return index[:, 0], rest[:, 0].clamp(0, 1 - 1e-12)


def denoise(predictor: Predictor, canvas: Canvas, plan: Plan, watch: Stopwatch) -> Generator[Frame, None, str]:
    """Yield the canvas before any pass and after every one that changes it; return why it stopped ('end', 'full', ...).

    Blocks run from left to right. With a causal prefix the finished text enters the cache exactly once; a shifted network's clean
    pass over it also decides the next block's first token, exactly as autoregressive decoding would, so block length 1 is greedy
    autoregressive decoding, token for token.
    """
    return (yield from _Loop(predictor, canvas, plan, watch).run())


class _Loop:
    def __init__(self, predictor: Predictor, canvas: Canvas, plan: Plan, watch: Stopwatch):
        self.predictor, self.canvas, self.plan, self.watch = predictor, canvas, plan, watch
        self.left = plan.settings.steps  # denoising passes that may still be made
        self.cached = -1  # canvas positions in the cache; -1: not even the prompt
        self.block, self.start, self.stop = -1, 0, min(plan.block, len(canvas))
        self.held = -1  # the block's first position where the causal pass decided it: never taken back

    def run(self) -> Generator[Frame, None, str]:
        canvas, verify = self.canvas, self.plan.settings.remasking == "verify"
        yield from self._show()
        while True:
            undecided = canvas.masked()
            done = not len(undecided) or canvas.end >= 0
            if done and not (verify and self.cached < self._finished()):
                break
            if why := self.plan.should_stop():
                return why
            self._open_block(self._finished() if done else int(undecided[0]))
            if self.plan.spec.causal_prefix:
                yield from self._causal_pass()
            if why := (yield from self._denoise_block()):
                return why
        if (end := canvas.end) < 0:
            return "full"
        canvas.age()
        canvas.close(end)
        yield from self._show()
        return "end"

    def _show(self) -> Iterator[Frame]:
        yield self.canvas.frame(max(0, self.block), (self.start, self.stop), self.watch)
        self.watch.resume()

    def _finished(self) -> int:
        """Where the finished text stops: behind the end token, or at the canvas's edge."""
        return self.canvas.end + 1 or len(self.canvas)

    def _open_block(self, start: int) -> None:
        """Begin a block at `start`; once the step limit is spent, blocks hold just the token that the causal pass decides."""
        self.block, self.held = self.block + 1, -1
        width = self.plan.block if self.left > 0 or not self.plan.spec.shift else 1
        stop = start + width
        if isinstance(self.predictor, OnGrid):
            start, stop = self.predictor.span(start, width)
        self.start, self.stop = max(0, start), min(stop, len(self.canvas))

    def _ask(self, question: Callable[..., Any], *args: Any) -> Any:
        """Return what the predictor answers, timed; the passes it then says it made are counted."""
        answer = self.watch.forward(question, *args, passes=0)
        self.watch.forwards += self.predictor.passes
        return answer

    # ------------------------------------------------------------ the causal pass over finished text
    def _causal_pass(self) -> Iterator[Frame]:
        """Append the finished text to the cache, let it check the block before ('verify') and decide the next block's first token."""
        canvas, first = self.canvas, max(0, self.cached)
        check = self.plan.settings.remasking == "verify" and self.cached >= 0
        ids = canvas.ids[first : self.start].tolist()
        rows = list(range(len(ids))) if check else [len(ids) - 1]
        logits = self._ask(self.predictor.advance, first, ids, rows)
        self.cached = self.start
        if logits is None:
            return
        canvas.age()
        row = len(rows) - 1
        if check and row and (refused := self._refused(logits, first)) >= 0:
            yield from self._show()
            canvas.age()
            self.predictor.crop(refused)
            self.cached = refused
            self._open_block(refused)
            row = refused - first - 1
        if self.start < len(canvas) and canvas.ids[self.start] < 0:
            seen = read(logits[row : row + 1], self.plan, self._no_end(np.array([self.start])))
            self._decide(self.start, seen, 0, "causal", float(seen.p[0]), 1.0)
            self.held = self.start
            yield from self._show()

    def _refused(self, logits: torch.Tensor, first: int) -> int:
        """Take back the block's text from the first token on that the causal pass finds too unlikely; return its position, or -1."""
        canvas, keep = self.canvas, self.plan.settings.remask_strength
        positions = np.arange(first + 1, self.start)
        shield(logits, self.plan, self._no_end(positions))
        share = shares(logits[: len(positions)], canvas.ids[positions])
        unlikely = positions[(share < keep) & ~canvas.fixed[positions]]
        if not len(unlikely):
            return -1
        refused = int(unlikely[0])
        later = np.arange(len(canvas)) >= refused
        for position in np.flatnonzero(later & (canvas.ids >= 0) & ~canvas.fixed).tolist():
            canvas.take_back(position, "refused", float(share[refused - first - 1]), keep)
        return refused

    def _decide(self, position: int, seen: Readout, row: int, rule: str, value: float, bound: float) -> None:
        self.canvas.commit(position, int(seen.token[row]), float(seen.p[row]), rule, value, bound)
        self.canvas.look_at(position, float(seen.entropy[row]))

    # ------------------------------------------------------------ the denoising passes of one block
    def _passes(self, masks: int) -> int:
        """Denoising passes for this block: its share of those left."""
        canvas, settings = self.canvas, self.plan.settings
        later = [len(canvas.masked(i, i + self.plan.block)) for i in range(self.stop, len(canvas), self.plan.block)]
        if settings.remasking in ("none", "verify"):
            return share_steps(max(1, self.left), [masks, *later])[0]
        return max(1, round(self.left * masks / (masks + sum(later))))

    def _denoise_block(self) -> Generator[Frame, None, str]:
        canvas, settings = self.canvas, self.plan.settings
        masks = len(canvas.masked(self.start, self.stop))
        if not masks:
            return ""
        passes = self._passes(masks)
        takes_back = settings.remasking in ("p2", *SIGMAS)
        plan = targets(settings.schedule, masks, passes) if takes_back else list(accumulate(counts(settings.schedule, masks, passes)))
        for number, target in enumerate(plan):
            if why := self.plan.should_stop():
                return why
            canvas.age()
            step = self._rerank if settings.remasking == "p2" else self._commit
            step(target, masks, last=number == len(plan) - 1)
            self.left -= 1
            yield from self._show()
            if (not len(canvas.masked(self.start, self.stop)) and not canvas.taken) or canvas.end >= 0:
                break
        return ""

    def _predict(self, positions: np.ndarray) -> Readout:
        logits = self._ask(self.predictor.predict, self.canvas.ids.tolist(), (self.start, self.stop), positions.tolist())
        return read(logits, self.plan, self._no_end(positions))

    def _no_end(self, positions: np.ndarray) -> np.ndarray | None:
        """Rows whose position may not hold an end token because given text follows."""
        rows = np.flatnonzero(positions < self.canvas.last_fixed)
        return rows if len(rows) else None

    def _commit(self, target: int, masks: int, last: bool) -> None:
        """One pass: admit tokens by the rule; with ReMDM, take some back first and admit as many as the schedule then lacks."""
        canvas, settings = self.canvas, self.plan.settings
        open_ = canvas.masked(self.start, self.stop)
        seen = self._predict(open_)
        canvas.look(open_, seen.top_p[:, 0], seen.entropy, seen.top_ids, seen.top_p)
        decided = masks - len(open_)
        if settings.remasking in SIGMAS and decided and not last:
            decided -= self._remask(decided / masks, target / masks)
        bound = {"threshold": settings.threshold, "factor": settings.factor, "entropy": settings.entropy_bound}.get(settings.rule, 0.0)
        guess = Guess(seen.p, seen.margin, seen.entropy, self.plan.uniform)
        for row, rule, value, limit in admit(settings.rule, guess, settings.order, max(0, target - decided), bound, last):
            self._decide(int(open_[row]), seen, row, rule, value, limit)

    def _movable(self) -> np.ndarray:
        """Decided positions of the block that a rule may take back."""
        span = np.arange(self.start, self.stop)
        return span[(self.canvas.ids[span] >= 0) & ~self.canvas.fixed[span] & (span != self.held)]

    def _remask(self, decided: float, target: float) -> int:
        canvas, settings, movable = self.canvas, self.plan.settings, self._movable()
        chance = SIGMAS[settings.remasking](canvas.p[movable], decided, target, settings.remask_strength)
        drawn = np.flatnonzero(self.plan.uniform(len(movable)) < chance)
        for i in drawn:
            canvas.take_back(int(movable[i]), "remdm", float(chance[i]), settings.remask_strength)
        return len(drawn)

    def _rerank(self, target: int, masks: int, last: bool) -> None:
        """One pass of P2: keep the `target` best positions of all by today's probability, take the others back."""
        canvas = self.canvas
        positions = np.union1d(canvas.masked(self.start, self.stop), self._movable())
        seen = self._predict(positions)
        decided = canvas.ids[positions] >= 0
        today = seen.p.copy()
        rows = np.flatnonzero(decided)
        today[rows] = [seen.probability_of(int(row), int(canvas.ids[positions[row]])) for row in rows]
        open_ = positions[~decided]
        canvas.look(open_, seen.top_p[~decided, 0], seen.entropy[~decided], seen.top_ids[~decided], seen.top_p[~decided])
        out = set(ranked_out(today, len(positions) if last else target).tolist())
        for row, position in enumerate(positions.tolist()):
            if decided[row] and row in out:
                canvas.take_back(position, "ranked_out", float(today[row]), float(target))
            elif not decided[row] and row not in out:
                self._decide(position, seen, row, "schedule", float(today[row]), float(target))
