"""Races on the scripted fake with a scripted clock: every second that is reported was scripted."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace

import pytest

from model.engine.engine import Engine
from model.errors import BusyError, ModelUnavailable, SettingError
from model.models.scripted import SPEC, Fake
from model.settings import LOCAL, PUBLIC
from playground.compare.lanes import PRESETS, make_lanes, preset_lanes
from playground.compare.race import Race
from playground.compare.series import WARM_UP, Series
from tests.patience import patience

BASE = {"model": "fake", "new_tokens": 64, "steps": 16, "rule": "schedule"}


class Clock:
    """Seconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def engine_of(make=None, limits=LOCAL, clock=None):
    """Return (engine, clock); make(clock) -> the fake that is loaded."""
    clock = clock or Clock()
    make = make or (lambda clock: Fake(0.1, sleep=clock.sleep))
    return Engine(limits, loader=lambda model_id, progress=None: make(clock), clock=clock), clock


def lanes_of(*lanes, base=BASE, prompt="hi"):
    return make_lanes(prompt, base, lanes or ({"mode": "diffusion"}, {"mode": "ar"}), LOCAL)


class Paced(Fake):
    """A fake whose forward pass takes seconds[mode] or, by steps, seconds[steps]; each run takes the next of a list."""

    def __init__(self, clock, seconds):
        super().__init__(sleep=clock.sleep)
        self.seconds = {
            key: itertools.cycle(value if isinstance(value, list) else [value]) for key, value in seconds.items()
        }
        self.runs = itertools.count()

    def begin(self, request, **rest):
        key = request.mode if request.mode in self.seconds else request.settings.steps
        self.delay = self.first_delay = next(self.seconds[key])
        return super().begin(request, **rest)


def paced(seconds):
    engine, clock = engine_of()
    engine._loader = lambda model_id, progress=None: Paced(clock, seconds)
    return engine, clock


def finish(race):
    for _ in race:
        pass
    return race


def test_reported_times_are_exactly_the_script_however_long_drawing_takes():
    engine, clock = engine_of(lambda clock: Fake(0.25, first_delay=0.75, sleep=clock.sleep))
    race = Race(engine, lanes_of())
    for _ in race:
        clock.sleep(2.0)  # somebody draws, or waits
    diffusion, ar = (lane.record() for lane in race.results)
    assert (diffusion["forwards"], diffusion["seconds"], diffusion["first_token_seconds"]) == (
        16,
        0.75 + 15 * 0.25,
        0.75,
    )
    assert (ar["forwards"], ar["seconds"], ar["first_token_seconds"]) == (52, 0.75 + 51 * 0.25, 0.75)
    assert diffusion["tokens"] == ar["tokens"] == 52
    assert ar["tokens_per_second"] == round(52 / 13.5, 3)
    assert ar["ms_per_forward"] == pytest.approx(1000 * 13.5 / 52)
    assert diffusion["tokens_per_forward"] == 52 / 16


def test_the_warm_up_is_computed_and_counted_nowhere():
    engine, _ = engine_of()
    race = finish(Race(engine, lanes_of(), repeats=2))
    model = engine._model
    reported = sum(run.trace.result.forwards for lane in race.results for run in lane.runs)
    assert model.passes == reported + 2 * WARM_UP
    assert [run.trace.frames[0].forwards for lane in race.results for run in lane.runs] == [0] * 4


def test_lanes_never_overlap():
    engine, clock = engine_of()
    inside = threading.Lock()

    class Alone(Fake):
        def _pass(self, step):
            assert inside.acquire(blocking=False), "two lanes compute at once"
            try:
                super()._pass(step)
            finally:
                inside.release()

    engine._loader = lambda model_id, progress=None: Alone(0.001)
    races = [Race(engine, lanes_of(), repeats=2, visitor=f"v{i}") for i in range(3)]
    threads = [threading.Thread(target=finish, args=(race,)) for race in races]
    [thread.start() for thread in threads]
    [thread.join(patience(60)) for thread in threads]
    assert all(run.finished for race in races for lane in race.results for run in lane.runs)
    assert not engine.busy


def test_one_model_takes_turns_two_models_load_in_turn():
    order, specs = [], {"fake": SPEC, "builtin": replace(SPEC, id="builtin", name="Other", twin="")}

    def load(model_id, progress=None):
        order.append(f"load {model_id}")
        model = Fake()
        model.spec = specs[model_id]
        return model

    engine = Engine(LOCAL, loader=load)
    race = Race(engine, lanes_of({}, {"model": "builtin"}, {"mode": "ar"}), repeats=2)
    for progress in race:
        if progress.phase == "written":
            order.append(progress.label)
    assert [step for step in order if step.startswith("load")] == ["load fake", "load builtin"]
    assert order.index("load builtin") == 5, order  # two lanes, two turns each, before the other model is loaded
    first, other, _ = race.results
    assert other.record()["nll"] is None and first.record()["nll"] == 0.5, "no twin: not computed"
    assert other.load_seconds >= 0 and len(other.runs) == 2


def test_loading_is_excluded_from_seconds_and_shown():
    clock, started, go = Clock(), threading.Event(), threading.Event()

    def load(model_id, progress=None):
        started.set()
        assert go.wait(patience(20))
        return Fake(0.5, sleep=clock.sleep)

    engine = Engine(LOCAL, loader=load, clock=clock)
    race, phases = Race(engine, lanes_of({})), []
    for progress in race:
        phases.append(progress.phase)
        if progress.phase == "loading" and not go.is_set():
            clock.sleep(30.0)
            go.set()
    record = race.record()["lanes"][0]
    assert record["load_seconds"] == 30.0 and record["seconds"] == 8.0
    assert phases[0] == "loading" and phases[-1] == "written"


def test_repeats_give_medians_and_ranges_and_the_median_run_is_shown():
    engine, _ = paced({"diffusion": [9.9, 0.1, 0.4, 0.2], "ar": 1.0})  # the first is the warm-up's
    lane = finish(Race(engine, lanes_of(), repeats=3)).results[0]
    seconds = lane.record()["over_runs"]["seconds"]
    assert (seconds["low"], seconds["median"], seconds["high"]) == (1.6, 3.2, 6.4)
    assert lane.shown.trace.result.seconds == 3.2


def test_new_seeds_are_the_base_seed_and_those_after_it():
    engine, _ = engine_of()
    race = finish(Race(engine, lanes_of({"seed": 5}), repeats=3, new_seeds=True))
    assert [run.trace.seed for run in race.results[0].runs] == [5, 6, 7]
    race = finish(Race(engine, lanes_of({"seed": 5}), repeats=2))
    assert [run.trace.seed for run in race.results[0].runs] == [5, 5]


# ---------------------------------------------------------------- stopping, refusing
def test_stop_keeps_what_was_finished_and_frees_the_engine():
    engine, _ = engine_of()
    race = Race(engine, lanes_of(), repeats=3)
    for progress in race:
        if progress.job == 1 and progress.phase == "writing" and progress.share > 0.3:
            race.stop()
    diffusion, ar = race.results
    assert race.record()["stopped"] == "cancelled"
    assert len(diffusion.finished) == 1 and not ar.finished and ar.shown.trace.result.stopped == "cancelled"
    assert "autoregressive was stopped before its end" in race.verdict
    assert not engine.busy


def test_closing_the_iterator_mid_run_frees_the_engine():
    engine, _ = engine_of()
    steps = iter(Race(engine, lanes_of()))
    while next(steps).phase != "writing":
        pass
    assert engine.busy
    steps.close()
    assert not engine.busy


def test_a_race_that_lasts_too_long_ends_and_keeps_what_it_has():
    engine, _ = engine_of(lambda clock: Fake(1.0, sleep=clock.sleep), replace(LOCAL, seconds=20.0))
    race = finish(Race(engine, lanes_of(), repeats=5))
    assert race.record()["stopped"] == "deadline"
    assert race.results[0].finished and not race.results[1].finished


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda e: Race(e, lanes_of(), repeats=0), "Repeats must be between 1 and 20; it was 0."),
        (lambda e: Race(e, lanes_of(), repeats=True), "Repeats must be between 1 and 20; it was True."),
        (lambda e: make_lanes("hi", BASE, [], LOCAL), "A race must have between 1 and 4 lanes; it has 0."),
        (lambda e: make_lanes("hi", BASE, [{}] * 5, LOCAL), "A race must have between 1 and 4 lanes; it has 5."),
        (lambda e: make_lanes("hi", BASE, ["ar"], LOCAL), "A lane must map names to values"),
        (lambda e: make_lanes("hi", BASE, [{"steps": 0}], LOCAL), "Steps must be between 1"),
        (lambda e: make_lanes("hi", BASE, [{"speed": 9}], LOCAL), "There is no setting called 'speed'."),
        (lambda e: make_lanes(" ", BASE, [{}], LOCAL), "Write a prompt first"),
        (lambda e: Race(Engine(PUBLIC), lanes_of(), repeats=13), "at most 24 runs; it has 26"),
        (
            lambda e: Race(Engine(replace(PUBLIC, cost=100)), lanes_of()),
            "at most 400 positions in all its runs; it asks for",
        ),
    ],
)
def test_what_may_not_run_is_refused_in_one_sentence(call, words):
    with pytest.raises(SettingError, match="^.*$") as caught:
        call(engine_of()[0])
    assert words in str(caught.value)


def test_unknown_model_is_refused():
    with pytest.raises(ModelUnavailable, match="no model called 'nope'"):
        lanes_of({"model": "nope"})


def test_no_place_left_ends_the_race_with_the_engine_s_sentence():
    engine, _ = engine_of(limits=replace(LOCAL, waiting_per_visitor=1))
    with engine.run(lanes_of()[0].request, "me"), pytest.raises(BusyError):
        finish(Race(engine, lanes_of(), visitor="me"))


def test_a_series_can_be_stopped_before_it_starts():
    engine, _ = engine_of()
    race = Race(engine, lanes_of())
    race.stop()
    assert list(race) == [] and race.record()["stopped"] == "cancelled" and isinstance(race.series, Series)


@pytest.mark.parametrize(
    ("preset", "names"),
    [
        ("modes", ["Diffusion", "Autoregressive"]),
        ("steps", ["8 steps", "16 steps", "64 steps"]),
        ("orders", ["Order margin", "Order confidence", "Order random", "Order left to right"]),
        ("sudoku", ["Order margin", "Order confidence", "Order random", "Order left to right"]),
        ("solvers", ["Diffusion", "Autoregressive"]),
    ],
)
def test_presets_name_their_lanes_by_what_differs(preset, names):
    assert [lane.label for lane in lanes_of(*preset_lanes(preset, "fake"))] == names


def test_every_preset_can_run():
    for name in PRESETS:
        engine, _ = engine_of()
        lanes = [{**lane, "model": "fake"} for lane in preset_lanes(name, "fake")]
        assert all(lane.finished for lane in finish(Race(engine, lanes_of(*lanes))).results), name


def test_equal_lanes_get_numbers_and_given_labels_stay():
    assert [lane.label for lane in lanes_of({}, {})] == ["Diffusion (1)", "Diffusion (2)"]
    assert [lane.label for lane in lanes_of({"label": "mine"}, {"mode": "ar"})] == ["mine", "Autoregressive"]
