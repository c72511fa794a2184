"""Timed runs, one after the other and each alone: what a race and a sweep are made of.

Every run goes through the engine, whose lock keeps runs apart; the time of a run is its own stopwatch's, so waiting, loading, warming
up and drawing are no part of it. Before the first run with given settings, a few forward passes of it are computed and thrown away.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Hashable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Literal

from model.engine.catalog import entry
from model.engine.engine import Engine, EngineRun, Waiting
from model.engine.quality import Quality, quality
from model.errors import BusyError, PlaygroundError, SettingError
from model.request import Request
from model.settings import Limits
from model.trace.frame import Frame
from model.trace.trace import Trace

log = logging.getLogger("inkblot")
WARM_UP = 4  # forward passes computed and thrown away
COMBINED = 4  # a race or a sweep may cost, and last, this many times what a single run may
FINISHED = ("end", "full", "converged")

Phase = Literal["queue", "loading", "warm-up", "writing", "written", "failed", "skipped"]


@dataclass(frozen=True)
class Job:
    """One run to make. After a failure the other jobs of its `group` are skipped."""

    request: Request
    label: str
    group: Hashable = 0


@dataclass(frozen=True)
class Progress:
    """Where a series stands: the job under way, what happens to it, the share of it done in [0, 1], and words for it."""

    job: int
    jobs: int
    label: str
    phase: Phase
    share: float
    words: str


@dataclass
class Written:
    """What became of a job. trace: None where nothing was written; error: one sentence, '' where nothing failed."""

    job: Job
    trace: Trace | None = None
    load_seconds: float = 0.0
    error: str = ""
    quality: Quality = field(default_factory=Quality)

    @property
    def finished(self) -> bool:
        """Whether the text was written to its end."""
        return bool(self.trace and self.trace.result and self.trace.result.stopped in FINISHED and not self.error)


class Series:
    """Runs jobs one after the other; iterate to make it go, read `written` at any time, `stop` from any thread.

    visitor: whose place in the engine each run takes. Raises SettingError for too much, BusyError where the visitor has no place left.
    """

    def __init__(self, engine: Engine, jobs: Sequence[Job], visitor: str = ""):
        check_total([job.request for job in jobs], engine.limits)
        self.engine, self.jobs, self.visitor = engine, tuple(jobs), visitor
        self.written: list[Written] = []
        self.stopped = ""  # why it ended early: 'cancelled', 'deadline', or ''
        self._cancelled = threading.Event()
        self._run: EngineRun | None = None
        self._warm: set[Hashable] = set()

    def stop(self) -> None:
        """End the run under way before its next step and start no other; what was written stays."""
        self._cancelled.set()
        if run := self._run:
            run.stop()

    def __iter__(self) -> Iterator[Progress]:
        """Run every job, yielding where it stands after each step."""
        began, failed = self.engine.clock(), set[Hashable]()
        for number, job in enumerate(self.jobs):
            if self._cancelled.is_set() or self.engine.clock() - began > COMBINED * self.engine.limits.seconds:
                self.stopped = "cancelled" if self._cancelled.is_set() else "deadline"
                return
            if job.group in failed:
                yield Progress(number, len(self.jobs), job.label, "skipped", 1.0, "skipped: it failed before")
                continue
            written = Written(job)
            self.written.append(written)
            yield from self._write(number, written)
            if written.error:
                failed.add(job.group)
        if self._cancelled.is_set():
            self.stopped = "cancelled"

    def _write(self, number: int, written: Written) -> Iterator[Progress]:
        """Warm up, then write one job's text and judge it."""
        job = written.job

        def at(phase: Phase, share: float, words: str) -> Progress:
            return Progress(number, len(self.jobs), job.label, phase, share, words)

        def steps(keep: bool) -> Iterator[Progress]:
            with closing(self._frames(job.request, written, keep)) as frames:
                for step in frames:
                    if isinstance(step, Waiting):
                        yield at("loading" if step.what == "loading" else "queue", step.share, step.words)
                    elif keep:
                        done = len(step.ids) - step.undecided
                        yield at("writing", done / max(1, len(step.ids)), f"{done} of {len(step.ids)} tokens")
                    else:
                        yield at("warm-up", min(1.0, step.forwards / WARM_UP), "warming up")
                        if step.forwards >= WARM_UP:
                            return

        try:
            key = (job.request.model, job.request.mode, replace(job.request.settings, seed=0))
            if key not in self._warm:
                yield from steps(keep=False)
                self._warm.add(key)
            yield from steps(keep=True)
            if written.trace and written.trace.result:
                written.quality = quality(written.trace, self.engine)
            yield at("written", 1.0, "written") if written.finished else at("skipped", 1.0, "stopped")
        except BusyError:
            raise
        except PlaygroundError as error:
            written.error = str(error)
        except Exception as error:
            log.error("a timed run failed: %s", type(error).__name__)
            written.error = f"An unexpected error ended it ({type(error).__name__}); the log has the details."
        if written.error:
            yield at("failed", 1.0, written.error)

    def _frames(self, request: Request, written: Written, keep: bool = False) -> Generator[Frame | Waiting, None, None]:
        """Yield one run's waiting and its frames; count loading time; put the trace into `written` if asked to keep it."""
        if self._cancelled.is_set():
            return
        clock = self.engine.clock
        # A series takes its visitor's place once: what else they run between two of its runs does not end it.
        visitor = "" if self._warm else self.visitor
        with closing(self.engine.run(request, visitor)) as run:
            self._run = run
            try:
                asked, loading = clock(), False
                for waiting in run.prepare():
                    if loading and waiting.what != "loading":
                        written.load_seconds += clock() - asked
                    elif waiting.what != "loading":
                        asked = clock()
                    loading = waiting.what == "loading"
                    yield waiting
                written.load_seconds += clock() - asked if loading else 0.0
                if keep:
                    written.trace = run.trace
                yield from run
            finally:
                self._run = None


def check_total(requests: Sequence[Request], limits: Limits) -> None:
    """Refuse more runs, or more computing, than one race or sweep may ask for; raise SettingError with one sentence."""
    if len(requests) > limits.runs:
        most = f"A race or a sweep may have at most {limits.runs} runs; it has {len(requests)}."
        raise SettingError(f"{most} Ask for fewer repeats, values, prompts or seeds.", "runs")
    cost = 0
    for request in requests:
        spec = entry(request.model).spec
        tokens = len(request.prompt) // 3  # a guess: the tokenizer belongs to the model, which may not be loaded yet
        cost += request.cost(spec, tokens)
    if cost > COMBINED * limits.cost:
        raise SettingError(
            f"A race or a sweep may compute at most {COMBINED * limits.cost:,} positions in all its runs; it asks for {cost:,}. "
            "Lower the length, the steps, or the number of runs.",
            "runs",
        )
