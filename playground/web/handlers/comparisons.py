"""Generators that join races and sweeps to their pages and endpoints; the page's words are ours, everything else is escaped."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import gradio as gr

from model.engine.engine import Engine
from model.engine.parsing import parse_model
from model.errors import SettingError
from model.trace.trace import Trace
from playground.compare.diff import compare, comparison_html
from playground.compare.lanes import make_lanes, preset_lanes
from playground.compare.race import Race
from playground.compare.series import Progress
from playground.compare.sweep import Sweep, csv_text, plan
from playground.web import strings
from playground.web.components.chart import chart_value
from playground.web.components.stage import final_message, progress_message
from playground.web.handlers.runs import shown, status
from playground.web.views.plots import frontier, text_over_time
from playground.web.views.results import table_html, verdict_html

INTERVAL = 0.25  # seconds between two messages while something is timed: saying more would take time from it
Timed = TypeVar("Timed", Race, Sweep)


class Running:
    """The races and sweeps under way, by visitor, so that each can stop their own."""

    def __init__(self) -> None:
        self._lock, self._all = threading.Lock(), defaultdict[str, list[Race | Sweep]](list)

    @contextmanager
    def hold(self, visitor: str, what: Timed) -> Iterator[Timed]:
        """Keep `what` stoppable while the block runs; end it when the block is left early."""
        with self._lock:
            self._all[visitor].append(what)
        try:
            yield what
        finally:
            what.stop()
            with self._lock:
                self._all[visitor].remove(what)
                if not self._all[visitor]:
                    del self._all[visitor]

    def of(self, visitor: str) -> list[Race | Sweep]:
        """Return what this visitor has under way."""
        with self._lock:
            return list(self._all.get(visitor, ()))

    def stop(self) -> Callable[..., Any]:
        """Return the handler of Stop: end what this visitor has under way, and wait until its results were sent."""

        async def handler(request: gr.Request) -> None:
            visitor = request.session_hash or ""
            for what in self.of(visitor):
                what.stop()
            for _ in range(200):
                if not self.of(visitor):
                    return
                await asyncio.sleep(0.05)

        return handler


def spoken(what: Race | Sweep, clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """Run it; pass on the progress at most every `INTERVAL`, and whenever a run ends or begins to load."""
    last, phase = float("-inf"), ""
    for progress in what:
        if progress.phase in ("written", "failed") or progress.phase != phase or clock() - last >= INTERVAL:
            last, phase = clock(), progress.phase
            yield progress


def words(now: Progress) -> str:
    """Return one line about where a race or sweep stands."""
    return f"Run {now.job + 1} of {now.jobs}: {now.label}, {now.words}"


def packed(trace: Trace, max_bytes: int) -> bytes:
    """Return a trace small enough to keep with a session."""
    return zlib.compress(trace.to_json(max_bytes).encode(), 1)


def unpacked(document: bytes) -> str:
    """Return the document `packed` was given."""
    return zlib.decompress(document).decode()


@dataclass(frozen=True)
class Kept:
    """A run kept with the visitor's session: what it is called, its document, and where a sweep's chart shows it."""

    label: str
    document: bytes
    point: int = -1
    run: int = -1
    median: bool = False


# ---------------------------------------------------------------- race
def race_api(engine: Engine, running: Running) -> Callable[..., Iterator[Any]]:
    """Return the handler of the endpoint /race."""

    def handler(
        request: gr.Request, prompt: Any, lanes: Any, settings: Any, preset: Any, repeats: Any, new_seeds: Any
    ) -> Iterator[Any]:
        """Race lanes: yields {"progress": ...}, and last {"lanes": [...], "verdict": ..., "traces": [...]}.

        lanes: a list of mappings, each what the lane changes ('mode', 'model', 'label' or a setting); without it, `preset` counts.
        """
        yield {"progress": {"words": strings.STARTING}}
        with shown():
            base = mapping(settings, "settings")
            visitor = request.session_hash or ""
            raced, again = _lanes(engine, prompt, base, lanes, preset), truth(new_seeds, "New seeds")
            race = Race(engine, raced, whole(repeats, "Repeats"), again, visitor)
            with running.hold(visitor, race):
                for progress in spoken(race):
                    yield {"progress": asdict(progress)}
                yield race.record() | {"traces": [_document(run, engine) for run in race.results]}

    return handler


def _lanes(engine: Engine, prompt: Any, base: Mapping[str, Any], lanes: Any, preset: Any = "modes") -> list[Any]:
    if lanes in (None, "", []):
        lanes = preset_lanes(preset, parse_model(base.get("model", "builtin"), engine.limits))
    return make_lanes(prompt, base, lanes, engine.limits)


def _document(result: Any, engine: Engine) -> Any:
    run = result.shown
    return json.loads(run.trace.to_json(engine.limits.trace_bytes)) if run and run.trace else None


def race_page(engine: Engine, running: Running, lane_names: Sequence[str]) -> Callable[..., Iterator[tuple[Any, ...]]]:
    """Return the page's handler: (stage, status, verdict, table, two charts, record, kept runs)."""

    def handler(
        request: gr.Request, prompt: Any, repeats: Any, new_seeds: Any, count: Any, **values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Race the page's lanes."""
        nothing = [gr.skip()] * 6
        yield gr.skip(), status(strings.STARTING), *nothing
        base = {name: value for name, value in values.items() if "__" not in name}
        with shown():
            some = lane_names[: whole(count, "Lanes")]
            given = [{name: values[f"{lane}__{name}"] for name in LANE_KNOBS} for lane in some]
            lanes = _lanes(engine, prompt, base, given)
            visitor, name, again = request.session_hash or "", uuid.uuid4().hex[:12], truth(new_seeds, "New seeds")
            race = Race(engine, lanes, whole(repeats, "Repeats"), again, visitor)
            with running.hold(visitor, race):
                yield progress_message(name, race, None), status(strings.STARTING), "", "", "", "", "", []
                for progress in spoken(race):
                    yield progress_message(name, race, progress), status(words(progress)), *nothing
                yield race_views(race, name, engine)

    return handler


LANE_KNOBS = ("model", "mode", "steps", "rule", "threshold", "order", "block_length", "remasking", "remask_strength")


def race_views(race: Race, name: str, engine: Engine) -> tuple[Any, ...]:
    """Return everything the page shows of a race that ended, or was stopped."""
    results = race.results
    drawn = [(r.label, r.shown.trace) for r in results if r.shown and r.shown.trace]
    charts = [chart_value(text_over_time(drawn, clock)) if drawn else "" for clock in ("seconds", "forwards")]
    kept = [Kept(label, packed(trace, engine.limits.trace_bytes)) for label, trace in drawn]
    said = {
        "cancelled": "Stopped; what was finished is below.",
        "deadline": "The time for one race is over; what was finished is below.",
    }
    return (
        final_message(name, results, engine.limits.trace_bytes),
        status(said.get(race.series.stopped, "")),
        verdict_html(race.verdict),
        table_html(results),
        *charts,
        json.dumps(race.record()),
        kept,
    )


# ---------------------------------------------------------------- sweep
def sweep_api(engine: Engine, running: Running) -> Callable[..., Iterator[Any]]:
    """Return the handler of the endpoint /sweep."""

    def handler(
        request: gr.Request, knob: Any, values: Any, prompts: Any, seeds: Any, settings: Any, reference: Any
    ) -> Iterator[Any]:
        """Sweep one knob: yields {"progress": ...} and after every run {"progress", "points"}, and last the whole record."""
        yield {"progress": {"words": strings.STARTING}}
        with shown():
            what = plan(
                knob,
                values,
                lines(prompts),
                seeds,
                mapping(settings, "settings"),
                engine.limits,
                truth(reference, "Reference"),
            )
            with running.hold(request.session_hash or "", Sweep(engine, what, request.session_hash or "")) as sweep:
                for progress in spoken(sweep):
                    partial = {"points": sweep.record()["points"]} if progress.phase == "written" else {}
                    yield {"progress": asdict(progress)} | partial
                yield sweep.record()

    return handler


def sweep_page(
    engine: Engine, running: Running, base: Callable[[str], Mapping[str, Any] | None]
) -> Callable[..., Iterator[tuple[Any, ...]]]:
    """Return the page's handler: (status, charts as `sweep_charts` says, CSV, record as JSON, kept runs).

    base: from a model's id to the settings that the page has no controls for.
    """

    def handler(
        request: gr.Request, knob: Any, values: Any, prompts: Any, seeds: Any, reference: Any, **given: Any
    ) -> Iterator[Any]:
        """Sweep one knob on the page."""
        visitor, nothing = request.session_hash or "", [gr.skip()] * 5
        yield status(strings.STARTING), *nothing
        with shown():
            settings = {**(base(parse_model(given.get("model"), engine.limits)) or {}), **given}
            what = plan(knob, values, lines(prompts), seeds, settings, engine.limits, truth(reference, "Reference"))
            with running.hold(visitor, Sweep(engine, what, visitor)) as sweep:
                yield status(strings.STARTING), "", "", "", "", []
                for progress in spoken(sweep):
                    drawn = sweep_charts(sweep) if progress.phase == "written" else nothing[:2]
                    yield status(words(progress)), *drawn, *nothing[2:]
                said = {"cancelled": "Stopped", "deadline": "The time for one sweep is over"}.get(sweep.series.stopped)
                kept = sweep_runs(sweep, engine)
                ended = (
                    f"{said}; the finished runs are kept."
                    if said
                    else f"{len(kept)} runs. Click a point to play its run."
                )
                yield status(ended), *sweep_charts(sweep), csv_text(sweep), json.dumps(sweep.record()), kept

    return handler


def sweep_charts(sweep: Sweep) -> tuple[str, str]:
    """Return speed against the share of consistent texts, where a checker reads them, else against NLL; and against distinct-2."""
    points, knob = sweep.points, sweep.plan.knob
    first = "consistent" if any(point.spread("consistent") for point in points) else "nll"
    return chart_value(frontier(points, knob, first)), chart_value(frontier(points, knob, "distinct_2"))


def sweep_runs(sweep: Sweep, engine: Engine) -> list[Kept]:
    """Return the finished runs, to be opened from a chart or compared."""
    most = engine.limits.trace_bytes
    return [
        Kept(f"{run.job.label}: {run.trace.prompt[:40]}", packed(run.trace, most), i, n, point.shown is run)
        for i, point in enumerate(sweep.points)
        for n, run in enumerate(point.runs)
        if run.trace and run.finished
    ]


def clicked(kept: Sequence[Kept], point: Any) -> Kept | None:
    """Return the run that a chart's customdata [point, run] stands for; run -1 is the point's median run."""
    if not (isinstance(point, list) and len(point) == 2):
        return None
    return next((k for k in kept if k.point == point[0] and (k.run == point[1] or (point[1] == -1 and k.median))), None)


# ---------------------------------------------------------------- two runs
def comparison(kept: Sequence[Kept], first: int, second: int) -> str:
    """Return two kept runs token by token as HTML, '' where there are not two."""
    if not (0 <= first < len(kept) and 0 <= second < len(kept)) or first == second:
        return ""
    traces = [Trace.from_json(unpacked(kept[i].document)) for i in (first, second)]
    return comparison_html(compare(*traces), (kept[first].label, kept[second].label))


# ---------------------------------------------------------------- reading what was sent
def lines(text: Any) -> list[Any]:
    """Return the prompts: a list as it is, or the lines of a text that have something in them."""
    if isinstance(text, list):
        return text
    if not isinstance(text, str):
        raise SettingError("The prompts of a sweep must be a list of texts, or lines of one.", "prompts")
    return [line for line in text.split("\n") if line.strip()]


def mapping(value: Any, name: str) -> dict[str, Any]:
    """Return a mapping from untrusted input ('' and None are empty); raise SettingError."""
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise SettingError(f"'{name}' must map names to values, like {{'steps': 16}}.", name)
    return value


def truth(value: Any, label: str) -> bool:
    """Return a truth value, false where none is given; raise SettingError."""
    if not isinstance(value, bool | None):
        raise SettingError(f"{label} must be true or false; it was {str(value)[:20]!r}.", label.lower())
    return bool(value)


def whole(value: Any, label: str) -> int:
    """Return a whole number that the page's slider sends as a float; raise SettingError."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (isinstance(value, float) and not value.is_integer())
    ):
        raise SettingError(f"{label} must be a whole number; it was {str(value)[:20]}.", label.lower())
    return int(value)
