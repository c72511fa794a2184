"""One knob over a range, several prompts, several seeds: what it does to speed and to text.

Every value is written for every prompt and seed, in an order that spreads a drifting machine over all values; a point is the median
over its finished runs, with the middle half of them as its interval. Where an exact checker reads the texts, a point is also the share
of consistent ones, with its 95 % interval.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.engine.catalog import entry
from model.engine.engine import Engine
from model.engine.parsing import parse_request
from model.errors import SettingError
from model.intervals import wilson
from model.request import Request
from model.settings import FIELD, Field, Limits, parse_value
from model.spec import ModelSpec
from playground.compare.figures import FIGURES, SHARES, figures
from playground.compare.series import Job, Progress, Series, Written
from playground.compare.summary import summary

# The knobs that can be swept, the values offered first, and what must be so for the knob to be read at all.
_PLANNED = {"rule": "schedule", "remasking": "none", "block_length": 0}
KNOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "steps": ("8, 16, 32, 64", _PLANNED),
    "threshold": ("0.5, 0.6, 0.7, 0.8, 0.9, 0.95", _PLANNED | {"rule": "threshold"}),
    "temperature": ("0, 0.4, 0.8, 1.2", {}),
    "block_length": ("4, 8, 16, 32", {}),
    "order": ("confidence, margin, entropy, random, left_to_right", _PLANNED),
    "schedule": ("linear, cosine, sigmoid, log, exp", _PLANNED),
}
MOST_VALUES, MOST_PROMPTS, MOST_SEEDS = 16, 16, 64
CHECKED_VALUES = {"steps": "4, 8, 12, 24, 72"}  # offered first where texts are checked exactly, down to very few
REFERENCE = "autoregressive"  # the label of the reference point


@dataclass(frozen=True)
class Plan:
    """What to sweep: the runs of every value, all checked. `reference`: the autoregressive mode of the same model is measured too."""

    knob: str
    values: tuple[Any, ...]
    requests: Mapping[Any, tuple[Request, ...]]  # value (or REFERENCE) -> one request for each prompt and seed

    @property
    def keys(self) -> tuple[Any, ...]:
        """The values in their order, the reference last where there is one."""
        return tuple(self.requests)


def offered(knob: str, spec: ModelSpec) -> str:
    """Return the values of a knob that are offered first for a model."""
    return CHECKED_VALUES.get(knob, KNOBS[knob][0]) if spec.checked else KNOBS[knob][0]


def parse_values(knob: Any, text: Any, limits: Limits) -> tuple[Any, ...]:
    """Return the values of a knob from '8, 16, 32' or '8..64/4' (4 values from 8 to 64); raise SettingError with one sentence."""
    if not isinstance(knob, str) or knob not in KNOBS:
        raise SettingError(f"The knob of a sweep must be one of {', '.join(KNOBS)}; it was {str(knob)[:40]!r}.", "knob")
    field = FIELD[knob]
    text = ", ".join(map(str, text)) if isinstance(text, list | tuple) else text
    if not isinstance(text, str) or len(text) > 400:
        raise SettingError("The values of a sweep must be text of at most 400 characters, like '8, 16, 32'.", "values")
    words = _range(field, text) if ".." in text else [word.strip() for word in text.split(",") if word.strip()]
    if not 1 <= len(words) <= MOST_VALUES:
        raise SettingError(f"A sweep must have between 1 and {MOST_VALUES} values; it has {len(words)}.", "values")
    return tuple(dict.fromkeys(parse_value(field, _number(field, word), limits) for word in words))


def _number(field: Field, word: str) -> Any:
    if field.kind == "choice":
        return word.replace(" ", "_")
    try:
        return float(word)
    except ValueError:
        return word  # refused by the table, in its own words


def _range(field: Field, text: str) -> list[str]:
    """Spread 'low..high/n': evenly, or by equal factors for whole numbers above 0."""
    ends, _, count = text.partition("/")
    try:
        low, high = (float(end) for end in ends.split(".."))
        n = int(count or 5)
        if field.kind == "choice" or not 2 <= n <= MOST_VALUES or not low < high:
            raise ValueError
        shares = [i / (n - 1) for i in range(n)]
        even = field.kind != "int" or low <= 0
        spread = [low + (high - low) * s if even else low * (high / low) ** s for s in shares]
        if not all(map(math.isfinite, spread)):
            raise ValueError
    except (ValueError, OverflowError):
        like = f"A range of values must be like '8..64/4', with 2 to {MOST_VALUES} of them"
        raise SettingError(f"{like}; it was {text[:40]!r}.", "values") from None
    return [str(round(value)) if field.kind == "int" else f"{value:.6g}" for value in spread]


def plan(
    knob: Any,
    values: Any,
    prompts: Sequence[Any],
    seeds: Any,
    base: Mapping[str, Any],
    limits: Limits,
    reference: bool = True,
) -> Plan:
    """Return the checked plan of a sweep from untrusted values; raise SettingError with one sentence.

    seeds: how many, counted up from the base's own. base: every other setting, and 'model' and 'system'.
    """
    swept = parse_values(knob, values, limits)
    if not isinstance(prompts, Sequence) or isinstance(prompts, str) or not 1 <= len(prompts) <= MOST_PROMPTS:
        count = 1 if isinstance(prompts, str) else len(prompts)
        raise SettingError(f"A sweep must have between 1 and {MOST_PROMPTS} prompts; it has {count}.", "prompts")
    if (
        isinstance(seeds, bool)
        or not isinstance(seeds, int | float)
        or not 1 <= seeds <= MOST_SEEDS
        or seeds != int(seeds)
    ):
        raise SettingError(f"Seeds must be between 1 and {MOST_SEEDS}; it was {str(seeds)[:20]}.", "seeds")
    given = {**base, **KNOBS[knob][1]}
    first = parse_value(FIELD["seed"], given.pop("seed", 0), limits)
    common = {"model": given.pop("model", "builtin"), "system": given.pop("system", ""), "limits": limits}
    given.pop("mode", None)
    pairs = [(prompt, first + i) for prompt in prompts for i in range(int(seeds))]
    requests: dict[Any, tuple[Request, ...]] = {
        value: tuple(parse_request(prompt, {**given, knob: value, "seed": seed}, **common) for prompt, seed in pairs)
        for value in swept
    }
    if reference and "ar" in entry(common["model"]).spec.modes:
        requests[REFERENCE] = tuple(
            parse_request(prompt, {**given, "seed": seed}, mode="ar", **common) for prompt, seed in pairs
        )
    return Plan(knob, swept, requests)


@dataclass(frozen=True)
class Spread:
    """A figure over several runs: its middle and an interval around it."""

    median: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Return the median with the quartiles as its interval, None of nothing."""
        if not values:
            return None
        quartiles = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        return cls(statistics.median(values), quartiles[0], quartiles[2], len(values))

    @classmethod
    def share(cls, values: Sequence[float]) -> Spread | None:
        """Return the mean of zeros and ones with Wilson's 95 % interval, None of nothing."""
        n = len(values)
        if not n:
            return None
        return cls(statistics.mean(values), *wilson(sum(values), n), n)


@dataclass
class Point:
    """One value of the knob and every run of it. `median` in its record is the mean where the figure is a share."""

    value: Any
    runs: list[Written]

    @property
    def label(self) -> str:
        """The value as words."""
        return str(self.value).replace("_", " ") if isinstance(self.value, str) else f"{self.value:g}"

    def spread(self, name: str) -> Spread | None:
        """Return one figure's spread over the finished runs that have it."""
        found = [figures(run)[name] for run in self.runs if run.finished]
        values = [value for value in found if value is not None]
        return Spread.share(values) if name in SHARES else Spread.of(values)

    @property
    def shown(self) -> Written | None:
        """The finished run with the median speed: the one a click on the point opens."""
        done = sorted((r for r in self.runs if r.finished), key=lambda run: figures(run)["tokens_per_second"] or 0)
        return done[(len(done) - 1) // 2] if done else None

    @property
    def error(self) -> str:
        return next((run.error for run in self.runs if run.error), "")


class Sweep:
    """Runs a plan; iterate to make it go, read `points` and `record()` at any time, `stop` from any thread."""

    def __init__(self, engine: Engine, what: Plan, visitor: str = ""):
        self.plan = what
        rounds = max(len(requests) for requests in what.requests.values())
        jobs = [
            Job(what.requests[key][i], f"{_name(what.knob, key)}, run {i + 1} of {rounds}", key)
            for i in range(rounds)
            for key in what.keys
        ]
        self.series = Series(engine, jobs, visitor)

    def __iter__(self) -> Iterator[Progress]:
        """Run, yielding where the sweep stands."""
        return iter(self.series)

    def stop(self) -> None:
        """End the sweep; what was finished stays."""
        self.series.stop()

    @property
    def points(self) -> list[Point]:
        """One point a value that has runs."""
        found = [Point(key, [run for run in self.series.written if run.job.group == key]) for key in self.plan.keys]
        return [point for point in found if point.runs]

    def record(self) -> dict[str, Any]:
        """Return the sweep JSON-ready, without the traces: a point for each value, a row for each run."""
        points = []
        for point in self.points:
            spread = {
                f.name: {"median": s.median, "low": s.low, "high": s.high}
                for f in FIGURES
                if (s := point.spread(f.name))
            }
            finished = sum(run.finished for run in point.runs)
            points.append({"value": point.value, "finished": finished, "error": point.error, "spread": spread})
        about = {"knob": self.plan.knob, "values": list(self.plan.values), "stopped": self.series.stopped}
        return about | {"points": points, "runs": rows(self)}


def _name(knob: str, key: Any) -> str:
    return REFERENCE if key == REFERENCE else f"{FIELD[knob].label.lower()} {str(key).replace('_', ' ')}"


def rows(sweep: Sweep) -> list[dict[str, Any]]:
    """Return one flat record a finished run: the knob, its value, and the fields of `run` with the figures of a race."""
    return [
        {"knob": sweep.plan.knob, "value": point.value} | figures(run) | summary(run.trace)
        for point in sweep.points
        for run in point.runs
        if run.finished and run.trace
    ]


def csv_text(sweep: Sweep) -> str:
    """Return the finished runs as CSV; texts that a spreadsheet could take for a formula are led by an apostrophe."""
    found = [{name: value for name, value in row.items() if name != "ids"} for row in rows(sweep)]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(found[0]) if found else ["knob", "value"], lineterminator="\n")
    writer.writeheader()
    for row in found:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return out.getvalue()


def _cell(value: Any) -> Any:
    return "'" + value if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
