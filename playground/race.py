"""One prompt, several lanes: each timed alone, one after the other, then compared in figures and in one plain sentence.

A lane is a model, a mode and settings. Every lane uses its cache, is warmed up, and is timed by its own stopwatch (see `measure.py`).
Lanes of one model take turns, so that a machine that slows down slows all of them; lanes of another model follow after loading it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from model.catalog import entries, entry
from model.engine import Engine
from model.errors import SettingError
from model.quality import CAVEAT
from model.run import Request
from model.settings import FIELD, FIELDS, Limits, applies
from model.trace import Trace
from playground.measure import Job, Progress, Series, Written
from playground.summary import summary
from playground.verdict import verdict

MOST_REPEATS = 20


@dataclass(frozen=True)
class Lane:
    """One competitor: a name for it and what it is asked."""

    label: str
    request: Request


@dataclass(frozen=True)
class Preset:
    """Lanes that make a telling race: what each changes in the base request ('mode', 'model' or a setting)."""

    label: str
    lanes: tuple[Mapping[str, Any], ...]


# Where text is compared over steps or orders, the plan decides how many tokens a step commits, or the knob would not be read.
_PLANNED = {"mode": "diffusion", "rule": "schedule", "remasking": "none", "block_length": 0}
PRESETS = {
    "modes": Preset("Diffusion against its own autoregressive mode", ({"mode": "diffusion"}, {"mode": "ar"})),
    "steps": Preset("8, 16 and 64 steps, one seed", tuple(_PLANNED | {"steps": n} for n in (8, 16, 64))),
    "orders": Preset("Three orders, one seed", tuple(_PLANNED | {"steps": 32, "order": order}
                                                     for order in ("confidence", "random", "left_to_right"))),
    "models": Preset("Two models", ({}, {"model": "another"})),
}  # fmt: skip


def preset_lanes(name: str, base: str = "builtin") -> list[dict[str, Any]]:
    """Return the changes of a preset's lanes; 'another' model becomes the base's twin, or another one that can run here.

    Raise SettingError for an unknown preset, ModelUnavailable for an unknown model.
    """
    if name not in PRESETS:
        raise SettingError(f"The preset of a race must be one of {', '.join(PRESETS)}; it was {str(name)[:40]!r}.", "preset")
    lanes = [dict(lane) for lane in PRESETS[name].lanes]
    for lane in lanes:
        if lane.get("model") == "another":
            lane["model"] = _another(base)
    return lanes


def _another(base: str) -> str:
    twin = entry(base).spec.twin
    others = [known for known in entries() if known.spec.id != base and known.spec.parameters]  # a scripted stand-in has none
    usable = [known.spec.id for known in others if known.available()[0]]
    # Where nothing else can run here, its lane says what it would need.
    return twin if twin in usable else usable[0] if usable else others[0].spec.id if others else base


def make_lanes(prompt: Any, base: Mapping[str, Any], lanes: Sequence[Mapping[str, Any]], limits: Limits, system: Any = "") -> list[Lane]:
    """Return named lanes from untrusted values; raise SettingError with one sentence.

    base: settings all lanes share (and 'model', 'mode'); lanes: what each changes, with an optional 'label'.
    """
    if not isinstance(lanes, Sequence) or isinstance(lanes, str) or not 1 <= len(lanes) <= limits.lanes:
        count = len(lanes) if isinstance(lanes, Sequence) else 0
        raise SettingError(f"A race must have between 1 and {limits.lanes} lanes; it has {count}.", "lanes")
    requests, names = [], []
    for lane in lanes:
        if not isinstance(lane, Mapping):
            raise SettingError("A lane must map names to values, like {'mode': 'ar'}.", "lanes")
        values = {**base, **lane}
        names.append(str(values.pop("label", "") or "")[:60])
        model, mode = values.pop("model", "builtin"), values.pop("mode", "diffusion")
        requests.append(Request.parse(prompt, values, model=model, mode=mode, system=system, limits=limits))
    return [Lane(name or label, request) for name, label, request in zip(names, labels(requests), requests, strict=True)]


def labels(requests: Sequence[Request]) -> list[str]:
    """Name each request by what tells it from the others: 'Autoregressive', 'Diffusion, 16 steps', ..."""
    several_models = len({request.model for request in requests}) > 1
    several_modes = len({request.mode for request in requests}) > 1
    denoisers = [request for request in requests if request.mode != "ar"]
    differing = [f for f in FIELDS if f.name != "seed" and len({getattr(r.settings, f.name) for r in denoisers}) > 1]
    out = []
    for request in requests:
        parts = [entry(request.model).spec.name] if several_models else []
        if several_modes or not (several_models or differing):
            parts.append("autoregressive" if request.mode == "ar" else "diffusion")
        if request.mode != "ar":
            family = entry(request.model).spec.family
            parts += [_knob(f.name, getattr(request.settings, f.name)) for f in differing
                      if family in f.families and applies(f, request.settings)]  # fmt: skip
        name = ", ".join(parts) or "diffusion"
        out.append(name[0].upper() + name[1:])
    return [f"{name} ({i + 1})" if out.count(name) > 1 else name for i, name in enumerate(out)]


def _knob(name: str, value: Any) -> str:
    field_ = FIELD[name]
    if field_.kind == "choice":
        return f"{field_.label.lower()} {str(value).replace('_', ' ')}"
    return f"{value} steps" if name == "steps" else f"{field_.label.lower()} {value:g}"


@dataclass(frozen=True)
class Figure:
    """One row of the result table."""

    name: str
    label: str
    unit: str
    digits: int
    help: str


FIGURES = (
    Figure("tokens_per_second", "Tokens per second", "", 1,
           "Tokens up to and including the end token, over all seconds of computing. This decides who wins."),
    Figure("seconds", "Seconds to the whole text", "s", 2,
           "Computing only, the prompt's pass included; loading, waiting, warming up and drawing excluded."),
    Figure("first_token_seconds", "Seconds to the first token", "s", 3,
           "From the start to the first decided token, the prompt's pass included."),
    Figure("tokens", "Tokens", "", 0, "Up to and including the end token; positions behind it are not counted."),
    Figure("forwards", "Forward passes", "", 0,
           "How often the network ran; the prompt's pass and passes that only store text are counted on both sides."),
    Figure("tokens_per_forward", "Tokens per forward pass", "", 2,
           "Not a speed: a pass over a block costs more than a pass over one token."),
    Figure("ms_per_forward", "Milliseconds per forward pass", "ms", 1, "Seconds of computing over forward passes."),
    Figure("nll", "NLL under the twin", "nats a token", 2, CAVEAT),
    Figure("distinct_2", "Distinct-2", "", 2, "The share of token pairs that are different ones; 1 means no pair occurs twice."),
    Figure("repetition", "Repeated 4-grams", "", 2, "The share of four-token sequences that stood earlier in the same text."),
)  # fmt: skip


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
        values = self.values(name)
        return statistics.median(values) if values else None

    def record(self) -> dict[str, Any]:
        """Return the lane JSON-ready: the shown run's fields of `run`, and medians and ranges over all finished runs."""
        out: dict[str, Any] = {"label": self.label, "mode": self.lane.request.mode, "model": self.lane.request.model,
                               "settings": self.lane.request.settings.as_dict()}  # fmt: skip
        if self.shown and self.shown.trace and self.shown.trace.result:
            out |= figures(self.shown) | summary(self.shown.trace)
        spread = {f.name: {"median": self.median(f.name), "low": min(v), "high": max(v)} for f in FIGURES if (v := self.values(f.name))}
        return out | {"finished": len(self.finished), "over_runs": spread, "load_seconds": round(self.load_seconds, 3), "error": self.error}


def figures(run: Written) -> dict[str, float | None]:
    """Return every figure of `FIGURES` of one run, None for what is not known."""
    result = run.trace.result if run.trace else None
    if run.trace is None or result is None:
        return {figure.name: None for figure in FIGURES}
    return {
        "tokens_per_second": result.tokens_per_second, "seconds": result.seconds, "first_token_seconds": first_token_seconds(run.trace),
        "tokens": result.tokens, "forwards": result.forwards, "tokens_per_forward": result.tokens_per_forward,
        "ms_per_forward": 1000 * result.seconds / result.forwards if result.forwards else None,
        "nll": run.quality.nll, "distinct_2": run.quality.distinct_2, "repetition": run.quality.repetition,
    }  # fmt: skip


def first_token_seconds(trace: Trace) -> float | None:
    """Return the seconds of computing until a token was decided, None if none was."""
    return next((frame.seconds for frame in trace.frames if frame.committed), None)


class Race:
    """Runs the lanes; iterate to make it go, read `results`, `verdict` and `record()` at any time, `stop` from any thread.

    repeats: runs of each lane; new_seeds: the n-th one uses the seed plus n. Raises SettingError for what may not run.
    """

    def __init__(self, engine: Engine, lanes: Sequence[Lane], repeats: int = 1, new_seeds: bool = False, visitor: str = ""):
        if isinstance(repeats, bool) or not isinstance(repeats, int) or not 1 <= repeats <= MOST_REPEATS:
            raise SettingError(f"Repeats must be between 1 and {MOST_REPEATS}; it was {str(repeats)[:20]}.", "repeats")
        self.lanes = tuple(lanes)
        jobs = []
        for model in dict.fromkeys(lane.request.model for lane in lanes):
            for turn in range(repeats):
                for number, lane in enumerate(lanes):
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
