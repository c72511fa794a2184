"""One prompt, several lanes: each timed alone, one after the other, then compared in figures and in one plain sentence.

A lane is a model, a mode and settings. Every lane uses its cache, is warmed up, and is timed by its own stopwatch (see `series.py`).
Lanes of one model take turns, so that a machine that slows down slows all of them; lanes of another model follow after loading it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from model.engine.engine import Engine
from model.engine.quality import CAVEAT
from model.errors import SettingError
from model.request import Request
from playground.compare.figures import LaneResult
from playground.compare.lanes import Lane
from playground.compare.series import Job, Progress, Series
from playground.compare.verdict import verdict

MOST_REPEATS = 20


class Race:
    """Runs the lanes; iterate to make it go, read `results`, `verdict` and `record()` at any time, `stop` from any thread.

    repeats: runs of each lane; new_seeds: the n-th one uses the seed plus n. Raises SettingError for what may not run.
    """

    def __init__(
        self, engine: Engine, lanes: Sequence[Lane], repeats: int = 1, new_seeds: bool = False, visitor: str = ""
    ):
        if isinstance(repeats, bool) or not isinstance(repeats, int) or not 1 <= repeats <= MOST_REPEATS:
            raise SettingError(f"Repeats must be between 1 and {MOST_REPEATS}; it was {str(repeats)[:20]}.", "repeats")
        self.lanes = tuple(lanes)
        jobs = []
        for model in dict.fromkeys(lane.request.model for lane in lanes):
            for turn in range(repeats):
                order = list(enumerate(lanes))
                for number, lane in order if turn % 2 == 0 else order[::-1]:  # who goes first alternates
                    if lane.request.model == model:
                        again = f", run {turn + 1} of {repeats}" if repeats > 1 else ""
                        jobs.append(Job(_seeded(lane.request, turn if new_seeds else 0), lane.label + again, number))
        self.series = Series(engine, jobs, visitor)

    def __iter__(self) -> Iterator[Progress]:
        """Run, yielding where the race stands."""
        return iter(self.series)

    def stop(self) -> None:
        """End the race; what was finished stays."""
        self.series.stop()

    @property
    def results(self) -> list[LaneResult]:
        """One result a lane, in the lanes' order."""
        results = [LaneResult(lane) for lane in self.lanes]
        for written in self.series.written:
            results[int(str(written.job.group))].runs.append(written)
        return results

    @property
    def verdict(self) -> str:
        """Who won, in one sentence."""
        return verdict(self.results)

    def record(self) -> dict[str, Any]:
        """Return the whole race JSON-ready, without the traces."""
        lanes = [result.record() for result in self.results]
        return {"lanes": lanes, "verdict": self.verdict, "stopped": self.series.stopped, "note": CAVEAT}


def _seeded(request: Request, by: int) -> Request:
    seed = (request.settings.seed + by) % 2**31
    return replace(request, settings=replace(request.settings, seed=seed)) if by else request
