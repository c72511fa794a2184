"""A scripted stand-in for a model: no weights, no torch, the same frames. For tests, and for trying the page out.

It fills a fixed text in an order drawn from the seed, and honours steps, length, block length, schedule, the threshold rule, pinned
words and taking back (the factor and entropy rules plan like the schedule). Everything it says is scripted, and it is called a fake
wherever a visitor can see it. Its vocabulary is the 256 bytes, an end token, a mask token and the script's plain words, so that
anything else, an accent or an emoji, is spelt in tokens that are not whole characters.
"""

from __future__ import annotations

import copy
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from model.draft import Draft
from model.entry import Entry, Progress
from model.errors import NumericsError, SettingError
from model.loops.canvas import Canvas
from model.loops.schedules import counts, share_steps
from model.loops.steering import Steering
from model.loops.stopwatch import Clock, Stopwatch
from model.request import Request
from model.run import Model, Run, replayed
from model.settings import LOCAL, Limits, Settings
from model.spec import ModelSpec
from model.text import before
from model.trace.frame import SETTLED, TOP, Frame
from model.trace.trace import Trace

SCRIPT = """This text is scripted, not written by a model.
Every word was fixed in advance:
    the order comes from the seed,
    the steps from the schedule.
A na\u00efve visitor \U0001f44b may watch it appear."""
END, MASK_ID, FIRST_WORD = 256, 257, 258
_PIECE = re.compile(r" ?[A-Za-z]+|\n *| ?\d| ?[^\w\s]|\s|.", re.DOTALL)
_WORDS = tuple(dict.fromkeys(piece for piece in _PIECE.findall(SCRIPT) if piece.isascii() and len(piece) > 1))
SPEC = ModelSpec(
    id="fake",
    name="Fake (scripted, not a model)",
    family="masked",
    vocab_size=FIRST_WORD + len(_WORDS),
    eos_ids=(END,),
    mask_id=MASK_ID,
    causal_prefix=True,
    default_block=32,
    verify=True,
    modes=("diffusion", "ar"),
    twin="fake",
    max_tokens=4096,
    note="A scripted stand-in without weights: its text, confidences and order are made up.",
)
ENTRIES = (Entry(SPEC, "model.models.scripted:load", needs="nothing"),)


def load(progress: Progress | None = None, **options: Any) -> Fake:
    """Return a `Fake`; `options` are its constructor's."""
    if progress:
        progress(1.0, "ready")
    return Fake(**options)


class Fake(Model):
    """A loaded fake. See the module docstring.

    delay: seconds each forward pass takes, spent in `sleep`. fail_at: the step in which `error` is raised. nan_at: the step that
    returns NaN. emit: texts that take the script's place, one token each, repeated over the canvas. eos_at: where the text ends
    (None: after the script). first_delay: seconds the first pass takes instead.
    """

    def __init__(
        self,
        delay: float = 0.0,
        *,
        first_delay: float | None = None,
        fail_at: int | None = None,
        error: Callable[[], BaseException] = lambda: RuntimeError("scripted failure"),
        nan_at: int | None = None,
        emit: Sequence[str] = (),
        eos_at: int | None = None,
        sleep: Callable[[float], Any] = time.sleep,
    ):
        self.spec = SPEC
        self.delay, self.first_delay = delay, delay if first_delay is None else first_delay
        self.fail_at, self.error, self.nan_at, self.eos_at, self.sleep = fail_at, error, nan_at, eos_at, sleep
        self._pieces = [bytes([b]) for b in range(256)] + [b"<end>", b"<mask>"] + [word.encode() for word in _WORDS]
        self._ids = {word: FIRST_WORD + i for i, word in enumerate(_WORDS)}
        self._emitted = list(range(len(self._pieces), len(self._pieces) + len(emit)))
        self._pieces += [text.encode("utf-8", "replace") for text in emit]
        self.spec = replace(SPEC, vocab_size=max(SPEC.vocab_size, len(self._pieces)))
        self.passes = 0  # over all runs: tests read it to see who computed
        self.closed = False

    def encode(self, prompt: str, system: str = "") -> list[int]:
        """Return the prompt's ids; there is no template and nothing typed becomes a special token."""
        said = "".join(f"{text}\n" for _, text in before(prompt))
        return self.tokens(f"{system}\n{said}{prompt}\n" if system else f"{said}{prompt}\n")

    def tokens(self, text: str) -> list[int]:
        """Return ids of plain text: known words whole, everything else as bytes."""
        out: list[int] = []
        for piece in _PIECE.findall(text):
            out += [self._ids[piece]] if piece in self._ids else piece.encode("utf-8", "replace")
        return out

    def piece(self, token: int) -> bytes:
        """Return the bytes of one token."""
        return self._pieces[token]

    def score(self, prompt: str, ids: Sequence[int], system: str = "") -> list[float] | None:
        """Return scripted surprises: half a nat for every token."""
        return [0.5] * len(ids)

    def reader(self, prompt: str, length: int, seed: int = 0) -> _Reads:
        """Return what reads a form by script."""
        return _Reads(self, seed)

    def close(self) -> None:
        """Refuse further passes."""
        self.closed = True

    def begin(
        self,
        request: Request,
        *,
        limits: Limits = LOCAL,
        clock: Clock = time.perf_counter,
        cancelled: threading.Event | None = None,
        deadline: float | None = None,
    ) -> Run:
        """Return a run of the script; see `Model.begin`."""
        settings, draft, ids = request.settings, request.draft, self.encode(request.prompt, request.system)
        made = draft.made(self.tokens, self.spec) if draft else Draft()
        if draft and draft.grows:
            settings = replace(settings, new_tokens=len(made.ids))
        request = replace(request, settings=settings)
        request.check(self.spec, len(ids), limits)
        script = _Script(self, settings, request.mode, dict(request.pinned), made)
        trace = Trace(
            self.spec,
            request.mode,
            settings.as_dict(),
            request.prompt,
            tuple(ids),
            request.system,
            dtype="none",
            device="script",
            branch=made.about if draft else "",
        )
        cancelled = cancelled or threading.Event()
        run = FakeRun(trace, self._frames(trace, script, clock, cancelled, deadline), self, script, cancelled)
        run.steering = script.steering = Steering(draft.steered if draft else None)
        run.model = self
        return run

    def target(self, length: int) -> np.ndarray:
        """Return the ids that a run of `length` positions ends with."""
        script = self._emitted * -(-length // len(self._emitted)) if self._emitted else self.tokens(SCRIPT)
        end = len(script) if self.eos_at is None else self.eos_at
        ids = np.full(length, END, np.int32)
        ids[:end] = np.resize(np.array(script, np.int32), max(len(script), end))[:end][:length]
        return ids

    def _frames(
        self,
        trace: Trace,
        script: _Script,
        clock: Clock,
        cancelled: threading.Event,
        deadline: float | None,
        last: Frame | None = None,
    ) -> Generator[Frame, None, None]:
        watch, began = Stopwatch(clock), clock()
        canvas = script.canvas
        if last is not None:
            watch.continue_from(last)
        yield last or canvas.frame(0, script.span, watch)
        while (len(canvas.masked()) or canvas.taken) and canvas.end < 0:
            if cancelled.is_set() or (deadline is not None and clock() - began > deadline):
                trace.finish("cancelled" if cancelled.is_set() else "deadline")
                return
            watch.resume()
            watch.forward(self._pass, canvas.steps)
            script.settings, notes = script.steering.take(script.settings, canvas.steps)
            script.advance(nan=canvas.steps == self.nan_at)
            yield canvas.frame(script.block, script.span, watch, notes)
        if canvas.end >= 0:
            canvas.age()
            canvas.close(canvas.end)
            yield canvas.frame(script.block, script.span, watch)
        trace.finish("end" if canvas.end >= 0 else "full")

    def _pass(self, step: int) -> None:
        if self.closed:
            raise RuntimeError("this fake was unloaded")
        self.passes += 1
        self.sleep(self.first_delay if step == 1 else self.delay)
        if step == self.fail_at:
            raise self.error()


class FakeRun(Run):
    """A run of the script that can be resumed once it was stopped, as those on random canvases can."""

    def __init__(self, trace: Trace, frames: Iterator[Frame], fake: Fake, script: _Script, cancelled: threading.Event):
        super().__init__(trace, frames, fake.piece, cancelled)
        self._fake, self._script = fake, script

    def resume(self, clock: Clock, cancelled: threading.Event, deadline: float | None) -> FakeRun:
        """Return a run that yields this one's frames again and goes on behind them."""
        script, last = copy.deepcopy(self._script), self.trace.frames[-1]
        trace = replace(self.trace, frames=[], pieces={}, result=None)
        rest = self._fake._frames(trace, script, clock, cancelled, deadline, last)
        run = FakeRun(trace, replayed(self.trace.frames, rest), self._fake, script, cancelled)
        run.steering, run.model = script.steering, self.model
        return run


class _Reads:
    """A form read by script: what is likely at a place is drawn from the seed, the place, and the token before it."""

    def __init__(self, fake: Fake, seed: int):
        self.fake, self.seed, self.forwards = fake, seed, 0

    def open(self, canvas: list[int]) -> int:
        """Return where the canvas ends: all of it can be read."""
        return len(canvas)

    def log_p(self, canvas: list[int], places: list[int]) -> np.ndarray:
        """Return log p (len(places), V)."""
        self.forwards += 1
        self.fake._pass(self.forwards)
        before = [max(0, canvas[place - 1]) if place else 0 for place in places]
        rows = [
            np.random.default_rng([self.seed, place, token]).normal(0, 2, self.fake.spec.vocab_size)
            for place, token in zip(places, before, strict=True)
        ]
        return np.array([row - np.log(np.exp(row).sum()) for row in rows])


class _Script:
    """One run: the canvas, what the script holds for each position, and how sure it pretends to be."""

    def __init__(self, fake: Fake, settings: Settings, mode: str, pinned: dict[int, str], made: Draft):
        self.settings, self.ar, n = settings, mode == "ar", settings.new_tokens
        self.steering = Steering()
        self.rng, self.target = np.random.default_rng(settings.seed), fake.target(n)
        given = {at + i: token for at, text in pinned.items() for i, token in enumerate(fake.tokens(text))}
        if given and max(given) >= n:
            raise SettingError(f"Pinned words must end by position {n - 1}; these end at {max(given)}.", "pinned")
        given = {p: made.ids[p] for p in made.pinned} | given
        self.canvas = Canvas(
            n, fake.spec.vocab_size, fake.spec.eos_ids, given, start=made.ids, kept={p: made.ids[p] for p in made.kept}
        )
        self.left_to_right = self.ar or settings.order == "left_to_right"
        self.rank = np.arange(n) if self.left_to_right else self.rng.permutation(n)
        self.rivals = self.rng.integers(0, len(_WORDS), (n, TOP)) + FIRST_WORD
        size = 1 if self.ar else min(settings.block_length or fake.spec.default_block, n)
        masks = [len(self.canvas.masked(i, i + size)) for i in range(0, n, size)]
        shares = masks if size == 1 else share_steps(settings.steps, masks)
        self.plan = [
            (i, (i * size, min(n, (i + 1) * size)), take)
            for i, (share, m) in enumerate(zip(shares, masks, strict=True))
            for take in counts(settings.schedule, m, share)
        ]
        self.block, self.span = self.plan[0][:2] if self.plan else (0, (0, n))

    def advance(self, nan: bool = False) -> None:
        """Decide one step's tokens."""
        (self.block, self.span, planned), self.plan = self.plan[0], self.plan[1:]
        last_of_block = not self.plan or self.plan[0][0] != self.block
        self.canvas.age()
        p = self._guess(self.canvas.masked(), nan)
        here = self.canvas.masked(*self.span)
        here = here[np.argsort(self.rank[here] if self.left_to_right else -p[here], kind="stable")]
        self._commit(here, p, planned, last_of_block)
        if self.settings.remasking != "none" and self.canvas.steps % 3 == 0 and not last_of_block and not self.ar:
            self._take_back()
        elif not len(self.canvas.masked(*self.span)):
            self.plan = [item for item in self.plan if item[0] != self.block]

    def _guess(self, undecided: np.ndarray, nan: bool) -> np.ndarray:
        """Pretend to be surer of every undecided position, the first ranks most of all; return the probabilities (length,)."""
        canvas = self.canvas
        order = np.argsort(np.argsort(self.rank[undecided]))
        sure = np.clip(0.98 - 0.8 * order / len(undecided) - 0.06 * self.rng.random(len(undecided)), 0.02, 0.999)
        if nan:
            sure[0] = np.nan
        if not np.isfinite(sure).all():
            raise NumericsError(
                f"The model returned values that are not numbers in step {canvas.steps}, so the run was ended."
            )
        ids = self.rivals[undecided].astype(np.int32)
        ids[:, 0] = self.target[undecided]
        canvas.look(undecided, 4 * (1 - sure), ids, np.stack([sure, (1 - sure) / 2, (1 - sure) / 4], 1))
        p = np.ones(len(canvas))
        p[undecided] = sure
        return p

    def _commit(self, here: np.ndarray, p: np.ndarray, planned: int, last_of_block: bool) -> None:
        """Commit those of `here` (surest first) that the rule admits, all of them in a block's last step."""
        threshold = self.settings.threshold if self.settings.rule == "threshold" else 2.0
        for place, at in enumerate(here.tolist()):
            if self.ar:
                rule, bound = "next", 1.0
            elif p[at] >= threshold:
                rule, bound = "threshold", threshold
            elif threshold < 2:
                rule, bound = ("surest", threshold) if place == 0 else ("cap", float(len(here)))
            else:
                rule, bound = ("schedule", float(planned)) if place < planned else ("cap", float(len(here)))
            if rule != "cap" or last_of_block:
                self.canvas.commit(at, int(self.target[at]), float(p[at]), rule, float(p[at]), bound)

    def _take_back(self) -> None:
        """Take one settled token of the block back: the scripted image of a rule that does."""
        start, stop = self.span
        settled = np.flatnonzero(self.canvas.states[start:stop] == SETTLED) + start
        if len(settled):
            self.canvas.take_back(int(self.rng.choice(settled)), "remdm", self.settings.remask_strength, 1.0)
