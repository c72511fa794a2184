"""What a run is judged by, and the figures of a race's lane."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from model.engine.quality import CAVEAT
from model.trace.trace import Trace
from playground.compare.lanes import Lane
from playground.compare.series import Written
from playground.compare.summary import summary


@dataclass(frozen=True)
class Figure:
    """One row of the result table."""

    name: str
    label: str
    unit: str
    digits: int
    help: str
    of_texts: bool = False  # a share of texts: 0 or 1 for a single run


FIGURES = (
    Figure(
        "tokens_per_second",
        "Tokens per second",
        "",
        1,
        "Tokens written, up to and including the end token, over all seconds of computing. This decides who wins.",
    ),
    Figure(
        "seconds",
        "Time to the whole text",
        "s",
        2,
        "Computing only, the prompt's pass included; loading, waiting, warming up and drawing excluded.",
    ),
    Figure(
        "first_token_seconds",
        "Time to the first token",
        "s",
        3,
        "From the start to the first decided token, the prompt's pass included.",
    ),
    Figure("tokens", "Tokens", "", 0, "Up to and including the end token; positions behind it are not counted."),
    Figure(
        "forwards",
        "Forward passes",
        "",
        0,
        "How often the network ran; the prompt's pass and passes that only store text are counted on both sides.",
    ),
    Figure(
        "tokens_per_forward",
        "Tokens per forward pass",
        "",
        2,
        "Not a speed: a pass over a block costs more than a pass over one token.",
    ),
    Figure("ms_per_forward", "Time per forward pass", "ms", 1, "Seconds of computing over forward passes."),
    Figure(
        "consistent",
        "Consistent",
        "",
        2,
        "The share of texts, or boards, in which an exact checker finds nothing wrong; open answers have none.",
        of_texts=True,
    ),
    Figure("nll", "NLL under the twin", "nats a token", 2, CAVEAT),
    Figure(
        "distinct_2",
        "Distinct-2",
        "",
        2,
        "The share of token pairs that are different ones; 1 means no pair occurs twice.",
    ),
    Figure(
        "repetition",
        "Repeated 4-grams",
        "",
        2,
        "The share of four-token sequences that stood earlier in the same text.",
    ),
)
SHARES = frozenset(figure.name for figure in FIGURES if figure.of_texts)


@dataclass
class LaneResult:
    """What became of a lane: every run of it."""

    lane: Lane
    runs: list[Written] = field(default_factory=list)

    @property
    def label(self) -> str:
        return self.lane.label

    @property
    def finished(self) -> list[Written]:
        """Runs whose text was written to its end."""
        return [run for run in self.runs if run.finished]

    @property
    def error(self) -> str:
        """Why the lane failed, '' if it did not."""
        return next((run.error for run in self.runs if run.error), "")

    @property
    def load_seconds(self) -> float:
        return sum(run.load_seconds for run in self.runs)

    @property
    def shown(self) -> Written | None:
        """The run with the median speed, the one that is replayed; an unfinished one where there is no other."""
        done = sorted(self.finished, key=lambda run: figures(run)["tokens_per_second"] or 0)
        cut = [run for run in self.runs if run.trace and run.trace.frames]
        return done[(len(done) - 1) // 2] if done else cut[-1] if cut else None

    def values(self, name: str) -> list[float]:
        """Return one figure of every finished run that has it."""
        found = [figures(run)[name] for run in self.finished]
        return [value for value in found if value is not None]

    def median(self, name: str) -> float | None:
        """Return the median of a figure over finished runs; of a share, the mean."""
        values = self.values(name)
        return None if not values else statistics.mean(values) if name in SHARES else statistics.median(values)

    @property
    def contradictions(self) -> tuple[int, int] | None:
        """Return how many of the checked texts contradict themselves, and how many were checked; None where nothing checks them."""
        checked = self.values("consistent")
        return (checked.count(0.0), len(checked)) if checked else None

    def record(self) -> dict[str, Any]:
        """Return the lane JSON-ready: the shown run's fields of `run`, and medians and ranges over all finished runs."""
        out: dict[str, Any] = {
            "label": self.label,
            "mode": self.lane.request.mode,
            "model": self.lane.request.model,
            "settings": self.lane.request.settings.as_dict(),
        }
        if self.shown and self.shown.trace and self.shown.trace.result:
            out |= figures(self.shown) | summary(self.shown.trace)
        spread = {
            f.name: {"median": self.median(f.name), "low": min(v), "high": max(v)}
            for f in FIGURES
            if (v := self.values(f.name))
        }
        return out | {
            "finished": len(self.finished),
            "over_runs": spread,
            "load_seconds": round(self.load_seconds, 3),
            "error": self.error,
        }


def figures(run: Written) -> dict[str, float | None]:
    """Return every figure of `FIGURES` of one run, None for what is not known."""
    result = run.trace.result if run.trace else None
    if run.trace is None or result is None:
        return {figure.name: None for figure in FIGURES}
    return {
        "tokens_per_second": result.tokens_per_second,
        "seconds": result.seconds,
        "first_token_seconds": first_token_seconds(run.trace),
        "tokens": result.tokens,
        "forwards": result.forwards,
        "tokens_per_forward": result.tokens_per_forward,
        "ms_per_forward": 1000 * result.seconds / result.forwards if result.forwards else None,
        "consistent": None if result.faults is None else float(not result.faults),
        "nll": run.quality.nll,
        "distinct_2": run.quality.distinct_2,
        "repetition": run.quality.repetition,
    }


def first_token_seconds(trace: Trace) -> float | None:
    """Return the seconds of computing until a token was decided, None if none was."""
    return next((frame.seconds for frame in trace.frames if frame.committed), None)
