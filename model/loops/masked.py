"""The loop for models with a mask token: full canvas or block by block, shifted or not, with an exact prefix cache where there is one.

One loop serves every such model. How many tokens a step commits (schedules), which ones (orders), what a rule takes back (remasking)
and what may never change (`Canvas.fixed`) are separate arguments. Inference mode is the predictor's affair: it belongs on the forward
pass, never around a loop that yields.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import accumulate
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from model.loops.canvas import Canvas
from model.loops.orders import Guess, admit
from model.loops.plan import Plan
from model.loops.readout import Readout, bar, choose, glance, pick, read, shares, shield
from model.loops.remasking import SIGMAS, doubted, ranked_out
from model.loops.schedules import counts, own_counts, share_steps, targets
from model.loops.steering import steered
from model.loops.stopwatch import Stopwatch
from model.trace.frame import Frame


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
class Ahead(Protocol):
    """A predictor whose pass over finished text can guess at the same time what follows each of its tokens."""

    def ahead(self, start: int, ids: list[int], behind: list[list[int]]) -> torch.Tensor:
        """Append ids as `advance` does; return next-token logits (R, V). What M masks behind each token guess is for `follow`.

        behind: for each of the last R tokens (of ids, or of the prompt where ids is empty) the M canvas ids after it, -1 where undecided.
        Mask m of a row stands m + 1 places behind the row's token and guesses the place after its own.
        """
        ...

    def follow(self, row: int, mask: int, before: int) -> tuple[np.ndarray, np.ndarray]:
        """Weigh a mask's likely tokens again, now that the ids before its guess are known; return their ids and logits (K,).

        before: the id right before the guess. A row's masks are asked in order, every one up to the last that is wanted.
        """
        ...


@runtime_checkable
class OnGrid(Protocol):
    """A predictor whose network was trained on blocks that lie at fixed places."""

    def span(self, position: int, width: int) -> tuple[int, int]:
        """Return the block [start, stop) that holds a position; start < 0 where tokens of the prompt lie in it too.

        width: what a network without fixed places would be given.
        """
        ...


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
        self.times = np.zeros(len(canvas))  # how often 'recheck' took each position back
        self.held = -1  # the block's first position where the causal pass decided it: never taken back
        # a whole text to begin with is doubted once: what a visitor changed in it may no longer fit the rest
        doubts = plan.settings.remasking == "recheck" and not plan.spec.causal_prefix
        self.unread = doubts and (canvas.end >= 0 or not len(canvas.masked()))
        self.grid = predictor if isinstance(predictor, OnGrid) else None
        self.notes: dict[str, float] = {}  # for the next frame: knobs that were changed under way

    def run(self) -> Generator[Frame, None, str]:
        canvas, verify = self.canvas, self.plan.settings.remasking == "verify"
        yield from self._show()
        while True:
            undecided = canvas.masked()
            done = not len(undecided) or canvas.end >= 0
            if done and not self.unread and not (verify and self.cached < self._finished()):
                break
            if why := self._steer():
                return why
            self._open_block(0 if self.unread else self._finished() if done else int(undecided[0]))
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

    @property
    def ahead(self) -> Ahead | None:
        """The predictor, where one pass checks a block and guesses the next."""
        at_once = self.plan.settings.one_guess and 1 < self.plan.block <= self.plan.spec.ahead
        return self.predictor if at_once and isinstance(self.predictor, Ahead) else None

    def _show(self) -> Iterator[Frame]:
        yield self.canvas.frame(max(0, self.block), (self.start, self.stop), self.watch, self.notes)
        self.notes = {}
        self.watch.resume()

    def _steer(self) -> str:
        """Return why the run must stop, '' where it need not; then take the knobs that were changed."""
        why = self.plan.should_stop()
        self.plan.settings, notes = steered(self.plan.should_stop, self.plan.settings, self.canvas.steps)
        self.notes |= notes
        return why

    def _finished(self) -> int:
        """Where the finished text stops: behind the end token, or at the canvas's edge."""
        return self.canvas.end + 1 or len(self.canvas)

    def _open_block(self, start: int) -> None:
        """Begin a block at `start`; once the step limit is spent, blocks hold just the token that the causal pass decides."""
        self.block, self.held = self.block + 1, -1
        width = self.plan.block if self.left > 0 or not self.plan.spec.shift else 1
        stop = start + width
        if self.grid:
            start, stop = self.grid.span(start, width)
        self.start, self.stop = max(0, start), min(stop, self._finished() if self.unread else len(self.canvas))

    def _ask(self, question: Callable[..., Any], *args: Any) -> Any:
        """Return what the predictor answers, timed; the passes it then says it made are counted."""
        answer = self.watch.forward(question, *args, passes=0)
        self.watch.forwards += self.predictor.passes
        return answer

    # ------------------------------------------------------------ the causal pass over finished text
    def _causal_pass(self) -> Iterator[Frame]:
        """Append the finished text to the cache, let it check the block before and decide the next block's first token.

        Ahead: the same pass guesses the rest of that block too, wherever the check lets it begin.
        """
        canvas, first = self.canvas, max(0, self.cached)
        check = self.plan.settings.remasking == "verify" and self.cached >= 0
        # masks stand behind every token that is checked: for a long given text there is no room, nor need, for them
        ahead = self.ahead if self.left > 0 and (not check or self.start - first <= self.plan.block) else None
        logits = self._read_on(first, self.start if not check else first + 1, ahead)
        self.cached = self.start
        if logits is None:
            return
        canvas.age()
        shield(logits, self.plan, self._no_end(np.arange(self.start - len(logits) + 1, self.start + 1)))
        row = len(logits) - 1
        if check and row and (refused := self._refused(logits, first)) >= 0:
            yield from self._show()
            canvas.age()
            self.predictor.crop(refused)
            self.cached = refused
            self._open_block(refused)
            row = refused - first - 1
        if canvas.end >= 0:
            return
        if self.start == len(canvas):  # nothing to decide, but the pass counts
            yield from self._show()
            return
        if canvas.ids[self.start] < 0:
            bar(logits[row : row + 1], self.plan, [self.start])
            token, p, entropy = choose(logits[row : row + 1], self.plan)
            canvas.commit(self.start, token, p, "causal", p, 1.0)
            canvas.look_at(self.start, entropy)
            self.held = self.start
        if ahead:
            self._guess_block(ahead, row)
        if canvas.reasons:
            yield from self._show()

    def _read_on(self, first: int, wanted: int, ahead: Ahead | None) -> torch.Tensor | None:
        """Pass the finished text from `first` on; return next-token logits (R, V) for positions `wanted` to the block's start."""
        canvas, ids = self.canvas, self.canvas.ids[first : self.start].tolist()
        logits: torch.Tensor | None
        if ahead is None:
            logits = self._ask(self.predictor.advance, first, ids, list(range(wanted - first - 1, len(ids))))
        else:
            behind = [canvas.given(position, self.plan.block - 1) for position in range(wanted, self.start + 1)]
            logits = self._ask(ahead.ahead, first, ids, behind)
            self.left -= 1
        return logits

    def _guess_block(self, ahead: Ahead, row: int) -> None:
        """Fill the block behind its first token, each guess told the one before it."""
        canvas, before = self.canvas, int(self.canvas.ids[self.start])
        for mask, position in enumerate(range(self.start + 1, self.stop)):
            if before in canvas.eos_ids:
                break
            names, logits = self.watch.forward(ahead.follow, row, mask, before, passes=0)
            if canvas.ids[position] >= 0:
                before = int(canvas.ids[position])
                continue
            barred = (*self.plan.forbidden, *(self.plan.spec.eos_ids if position < canvas.last_fixed else ()))
            if position in self.plan.spaced and self.plan.starts is not None:
                barred += tuple(token for token in names.tolist() if not self.plan.starts[token])
            place = pick(logits, names, barred, self.plan)
            p, entropy, best, top_p = glance(logits, place)
            before = int(names[place])
            canvas.commit(position, before, p, "ahead", p, 0.0)
            canvas.look_at(position, entropy, [int(names[i]) for i in best], top_p)

    def _refused(self, logits: torch.Tensor, first: int) -> int:
        """Take back the block's text from the first token on that the causal pass finds too unlikely; return its position, or -1."""
        canvas, keep = self.canvas, self.plan.settings.remask_strength
        share = shares(logits[: self.start - first - 1], canvas.ids[first + 1 : self.start].tolist())
        for refused, value in enumerate(share, first + 1):
            if value < keep and not canvas.fixed[refused]:
                movable = (canvas.ids[refused:] >= 0) & ~canvas.fixed[refused:]
                for later in np.flatnonzero(movable).tolist():
                    canvas.take_back(refused + later, "refused", value, keep)
                return refused
        return -1

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
        if not self.unread and (not masks or canvas.end >= 0):
            return ""
        passes, self.unread = self._passes(masks) if masks else self.left, False
        takes_back, rechecks = settings.remasking in ("p2", *SIGMAS), settings.remasking == "recheck"
        plan = (
            targets(settings.schedule, masks, passes) if takes_back else list(accumulate(self._counts(masks, passes)))
        )
        plan = plan or [0] * passes  # nothing to decide yet, all to be doubted
        for number, target in enumerate(plan):
            if why := self._steer():
                return why
            canvas.age()
            step = self._rerank if settings.remasking == "p2" else self._recheck if rechecks else self._commit
            step(target, masks, last=number == len(plan) - 1)
            self.left -= 1
            yield from self._show()
            if rechecks and canvas.reasons:
                continue  # what a pass decided, the next one checks
            if (not len(canvas.masked(self.start, self.stop)) and not canvas.taken) or canvas.end >= 0:
                break
        return ""

    def _counts(self, masks: int, passes: int) -> list[int]:
        """Return tokens per pass: along the curve, or on a straight one as the model's authors share them."""
        settings, how = self.plan.settings, self.plan.spec.shares
        if how and passes < masks and settings.schedule == "linear":
            return own_counts(how, masks, passes)
        return counts(settings.schedule, masks, passes)

    def _predict(self, positions: np.ndarray, drawn: int | None = None) -> Readout:
        logits = self._ask(
            self.predictor.predict, self.canvas.ids.tolist(), (self.start, self.stop), positions.tolist()
        )
        bar(logits, self.plan, positions.tolist())
        return read(logits, self.plan, self._no_end(positions), drawn)

    def _no_end(self, positions: np.ndarray) -> np.ndarray | None:
        """Rows whose position may not hold an end token because given text follows."""
        if self.canvas.last_fixed < 0:
            return None
        rows = np.flatnonzero(positions < self.canvas.last_fixed)
        return rows if len(rows) else None

    def _commit(self, target: int, masks: int, last: bool) -> None:
        """One pass: admit tokens by the rule; with ReMDM, take some back first and admit as many as the schedule then lacks."""
        canvas, settings = self.canvas, self.plan.settings
        open_ = canvas.masked(self.start, self.stop)
        seen = self._predict(open_)
        canvas.look(open_, seen.entropy, seen.top_ids, seen.top_p)
        decided = masks - len(open_)
        if settings.remasking in SIGMAS and decided and not last:
            decided -= self._remask(decided / masks, target / masks)
        self._admit(open_, seen, np.arange(len(open_)), max(0, target - decided), last)

    def _admit(self, open_: np.ndarray, seen: Readout, rows: np.ndarray, count: int, last: bool) -> None:
        """Decide the undecided positions that the rule admits; rows: of the readout, one per position."""
        settings = self.plan.settings
        bound = {"threshold": settings.threshold, "factor": settings.factor}.get(settings.rule, settings.entropy_bound)
        guess = Guess(
            seen.p[rows], seen.margin[rows], seen.entropy[rows], self.plan.uniform, lambda: seen.overlap(rows), open_
        )
        for i, rule, value, limit in admit(settings.rule, guess, settings.order, count, bound, last):
            self._decide(int(open_[i]), seen, int(rows[i]), rule, value, limit)

    def _recheck(self, target: int, masks: int, last: bool) -> None:
        """One pass over all positions: take back decided tokens that the rest makes unlikely, admit undecided ones by the rule."""
        canvas, movable = self.canvas, self._movable()
        open_ = canvas.masked(self.start, self.stop)
        positions = np.concatenate([open_, movable])
        if not len(positions):
            return
        seen = self._predict(positions, drawn=len(open_))
        rows = np.arange(len(open_))
        canvas.look(open_, seen.entropy[rows], seen.top_ids[rows], seen.top_p[rows])
        if len(open_):
            self._admit(open_, seen, rows, max(0, target - (masks - len(open_))), last)
        if last or not len(movable):
            return
        least = self.plan.settings.remask_strength
        today = np.array(
            [seen.probability_of(len(open_) + i, int(canvas.ids[position])) for i, position in enumerate(movable)]
        )
        for i in doubted(today, self.times[movable], least):
            canvas.take_back(int(movable[i]), "doubted", float(today[i]), least)
            self.times[movable[i]] += 1

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
        canvas.look(open_, seen.entropy[~decided], seen.top_ids[~decided], seen.top_p[~decided])
        out = set(ranked_out(today, len(positions) if last else target).tolist())
        for row, position in enumerate(positions.tolist()):
            if decided[row] and row in out:
                canvas.take_back(position, "ranked_out", float(today[row]), float(target))
            elif not decided[row] and row not in out:
                self._decide(position, seen, row, "schedule", float(today[row]), float(target))
