"""One model, one run at a time; stopping, failing and leaving always give the turn back, and neighbours never notice."""

import gc
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from model.engine import catalog
from model.engine.catalog import entries, load
from model.engine.engine import Engine
from model.engine.parsing import parse_request
from model.errors import BusyError, ModelUnavailable, NumericsError, OutOfMemory, SettingError
from model.models.scripted import SCRIPT, Fake
from model.request import Request
from model.settings import LOCAL, PUBLIC, Settings
from tests.patience import patience, soon


def engine(limits=LOCAL, clock=time.perf_counter, **options) -> Engine:
    return Engine(limits, loader=lambda model_id, progress: Fake(**options), clock=clock)


def request(**settings) -> Request:
    return parse_request("hello", settings, model="fake")


def free(which: Engine) -> bool:
    """Whether the turn is there to be taken, soon."""
    return soon(lambda: not which.busy, 2)


def alone(**settings):
    return Fake().denoise("hello", Settings(**settings)).finish()


# ---------------------------------------------------------------- the turn
def test_a_run_holds_the_turn_from_its_first_frame_to_its_last():
    which = engine()
    run = which.run(request())
    assert not which.busy and run.trace is None
    next(run)
    assert which.busy
    assert [f.step for f in run][-1] == 33
    assert not which.busy and run.trace.final_text == SCRIPT and run.trace.result.stopped == "end"


@pytest.mark.parametrize("step", [0, 1, 16, 32])
def test_a_stop_ends_it_before_the_next_step_and_keeps_what_came(step):
    which = engine()
    run = which.run(request())
    for frame in run:
        if frame.step == step:
            run.stop()
    done = step == 32  # everything was decided: only the mark behind the end was still to come
    assert run.trace.result.stopped == ("end" if done else "cancelled")
    assert run.trace.result.forwards == step and free(which)


@pytest.mark.parametrize("frames", [0, 1, 5])
def test_closing_gives_the_turn_back(frames):
    which = engine()
    run = which.run(request())
    for _ in range(frames):
        next(run)
    run.close()
    run.close()
    assert free(which) and list(run) == []
    assert which.run(request()) is not None and len(list(which.run(request()))) == 34


def test_a_run_dropped_without_a_word_gives_the_turn_back():
    which = engine()
    run = which.run(request(), "ann")
    next(run)
    del run
    gc.collect()
    assert free(which) and which.runs("ann") == []


def test_closing_from_another_thread_during_a_step_frees_the_turn_with_that_step():
    entered, go_on = threading.Event(), threading.Event()

    def step(_):
        entered.set()
        go_on.wait(patience(5))

    which = engine(sleep=step)
    run = which.run(request())
    next(run)
    worker = threading.Thread(target=lambda: next(run, None))
    worker.start()
    assert entered.wait(patience(5))
    run.close()
    assert which.busy  # the step still computes: nobody else may start
    go_on.set()
    worker.join(patience(5))
    assert free(which) and run.trace.result.stopped == "cancelled"


def test_a_run_may_be_resumed_by_any_thread():
    which = engine()
    run, frames = which.run(request()), []
    while True:
        worker = threading.Thread(target=lambda: frames.append(next(run, None)))
        worker.start()
        worker.join()
        if frames[-1] is None:
            break
    assert len(frames) == 35 and free(which)


def test_two_runs_never_compute_at_once_and_equal_the_same_runs_alone():
    active, most, guard = 0, 0, threading.Lock()

    def step(_):
        nonlocal active, most
        with guard:
            active += 1
            most = max(most, active)
        time.sleep(0.001)
        with guard:
            active -= 1

    which = engine(sleep=step)
    traces = {}

    def work(seed):
        run = which.run(request(seed=seed))
        for frame in run:
            if seed % 5 == 4 and frame.step == seed % 30:
                run.stop()
        traces[seed] = run.trace

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(15)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(patience(30))
    assert most == 1 and free(which)
    for seed, trace in traces.items():
        if seed % 5 == 4:
            assert trace.result.stopped == "cancelled"
            continue
        expected = alone(seed=seed)
        assert all(a.same_as(b, times=False) for a, b in zip(trace.frames, expected.frames, strict=True))


def test_a_stop_while_waiting_computes_nothing():
    which = engine()
    first, second = which.run(request()), which.run(request())
    next(first)
    said = []
    for why in second.prepare():
        said.append(why.what)
        if len(said) == 2:
            second.stop()
    assert said[-1] == "queue" and list(second) == [] and second.trace is None
    assert which.busy
    first.close()
    assert free(which)


def test_a_deadline_ends_a_run_and_frees_the_turn():
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    which = engine(PUBLIC, clock=lambda: now[0], delay=7.0, sleep=sleep)
    trace = None
    with which.run(request()) as run:
        list(run)
        trace = run.trace
    assert trace.result.stopped == "deadline" and trace.result.seconds <= PUBLIC.seconds + 7 and free(which)


def test_a_run_nobody_asks_on_loses_the_turn_after_its_deadline():
    now = [0.0]
    which = engine(clock=lambda: now[0])
    forgotten = which.run(request())
    next(forgotten)
    now[0] = LOCAL.seconds + 10
    assert len(list(which.run(request()))) == 34
    assert forgotten.ended


# ---------------------------------------------------------------- what may be asked for
def test_limits_hold_here_too():
    public = engine(PUBLIC)
    with pytest.raises(SettingError, match=r"at most 65,536 positions"):
        list(
            public.run(parse_request("hello", {"steps": 1024, "new_tokens": 1024, "block_length": 1024}, model="fake"))
        )
    with pytest.raises(SettingError, match=r"at most 512 tokens; it has"):
        list(public.run(parse_request("\u00e9" * 1000, {}, model="fake")))
    assert free(public)


def test_a_visitor_has_so_many_places_and_others_keep_theirs():
    which = engine(PUBLIC)
    held = [which.run(request(), "ann"), which.run(request(), "ann")]
    with pytest.raises(BusyError, match="at most 2 runs"):
        which.run(request(), "ann")
    which.run(request(), "bob").close()
    held[0].close()
    which.run(request(), "ann").close()
    assert which.runs("ann") == held[1:]


# ---------------------------------------------------------------- failures
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"nan_at": 3}, NumericsError, "step 3"),
        ({"fail_at": 3, "error": MemoryError}, OutOfMemory, "lower the length"),
        ({"fail_at": 3, "error": lambda: RuntimeError("CUDA out of memory. Tried")}, OutOfMemory, "smaller model"),
        ({"fail_at": 3}, RuntimeError, "scripted failure"),
    ],
)
def test_a_failure_is_told_and_the_next_run_starts_at_once(options, error, words):
    fakes = iter([Fake(**options), Fake()])
    which = Engine(loader=lambda model_id, progress: next(fakes))
    run = which.run(request())
    with pytest.raises(error, match=words):
        list(run)
    assert run.trace.result.stopped == "error" and run.trace.result.forwards in (2, 3) and free(which)
    which.unload()
    assert len(list(which.run(request()))) == 34


# ---------------------------------------------------------------- loading
def test_ten_callers_cause_one_load():
    loads, seen = [], []

    def loader(model_id, progress):
        loads.append(model_id)
        for share in (0.0, 0.5, 1.0):
            progress(share, "reading")
            time.sleep(0.02)
        return Fake()

    which = Engine(loader=loader)
    workers = [
        threading.Thread(target=which.load, args=("fake", lambda share, words: seen.append((share, words))))
        for _ in range(10)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(patience(5))
    assert loads == ["fake"] and which.loaded.id == "fake" and free(which)
    assert (1.0, "reading") in seen


def test_a_run_says_how_far_the_loading_is():
    gate = threading.Event()

    def loader(model_id, progress):
        progress(0.25, "reading")
        gate.wait(patience(5))
        return Fake()

    which, said = Engine(loader=loader), []
    with which.run(request()) as run:
        for why in run.prepare():
            said.append((why.what, why.share, why.words))
            if said[-1] == ("loading", 0.25, "reading"):
                gate.set()
        assert ("loading", 0.25, "reading") in said
        assert len(list(run)) == 34


def test_switching_unloads_the_other_and_waits_for_its_run():
    made = {}

    def loader(model_id, progress):
        made[model_id] = Fake()
        made[model_id].spec = replace(made[model_id].spec, id=model_id)
        return made[model_id]

    which = Engine(loader=loader)
    first = which.run(parse_request("x", {}, model="a"))
    next(first)
    switch = threading.Thread(target=which.load, args=("b",))
    switch.start()
    time.sleep(0.1)
    assert switch.is_alive() and not made["a"].closed
    first.close()
    switch.join(patience(5))
    assert made["a"].closed and which.loaded.id == "b"
    which.unload()
    assert made["b"].closed and which.loaded is None


def test_a_failed_load_is_told_to_all_and_another_may_follow():
    fakes = iter([OSError("disk"), Fake()])

    def loader(model_id, progress):
        made = next(fakes)
        if isinstance(made, Exception):
            raise made
        return made

    which = Engine(loader=loader)
    with pytest.raises(ModelUnavailable, match=r"Loading fake failed \(OSError\)"):
        which.load("fake")
    with which.run(request()) as run:
        assert len(list(run)) == 34


def test_closing_the_engine_ends_the_run_and_frees_the_model():
    which = engine()
    run = which.run(request())
    next(run)
    which.close()
    assert run.ended and which.loaded is None and free(which)


# ---------------------------------------------------------------- catalog
def test_every_entry_is_whole():
    for known in entries():
        usable, reason = known.available()
        assert usable != bool(reason), known.spec.id
        assert known.needs and ":" in known.loader and known.spec.name


def test_an_unknown_model_is_refused_by_name():
    with pytest.raises(ModelUnavailable, match="no model called 'nope'; `playground models` lists"):
        load("nope")
    with pytest.raises(ModelUnavailable):
        list(Engine().run(parse_request("x", {}, model="nope")))


def test_what_cannot_run_here_is_refused_with_its_reason(monkeypatch):
    monkeypatch.setattr("model.models.chat135m.record.WEIGHTS", Path("/nowhere"))
    with pytest.raises(ModelUnavailable, match="weight files are missing"):
        load("builtin")


def test_a_model_that_nobody_knows_takes_nothings_place():
    which = Engine()
    which.load("fake")
    for name in ("no-such-model", "nope"):
        with pytest.raises(ModelUnavailable, match="There is no model called"):
            which.load(name)
        assert which.loaded is not None and which.loaded.id == "fake"


def test_a_model_that_fails_to_load_brings_the_old_one_back():
    def loader(model_id, progress=None):
        if model_id == "broken":
            raise RuntimeError("its file is damaged")
        return load("fake")

    which = Engine(loader=loader)
    which.load("fake")
    with pytest.raises(ModelUnavailable, match="failed"):
        which.load("broken")
    assert which.loaded is not None and which.loaded.id == "fake" and not which.busy


@pytest.mark.parametrize("name", ["/etc", "/nope", "hf:owner/name", "~/models", "no-such-model", "hf:" + "x" * 200])
def test_a_public_page_says_the_same_of_every_model_that_it_does_not_offer(name):
    with pytest.raises(ModelUnavailable, match=r"^There is no model called '.*' on this page\.$"):
        parse_request("x", model=name, limits=PUBLIC)
    with pytest.raises(ModelUnavailable, match=r"on this page\.$"):
        Engine(PUBLIC).run(Request("x", model=name))


def test_a_public_page_downloads_nothing_for_a_visitor(monkeypatch):
    known = replace(entries()[0], fetched=lambda: False)
    monkeypatch.setattr(catalog, "known", lambda model_id: known)
    with pytest.raises(ModelUnavailable, match="downloads no models"):
        parse_request("x", model=known.spec.id, limits=PUBLIC)
    with pytest.raises(ModelUnavailable, match="downloads no models"):
        Engine(PUBLIC).run(Request("x", model=known.spec.id))
    assert parse_request("x", model=known.spec.id, limits=LOCAL)


def test_runs_take_their_turn_in_the_order_they_came_and_one_that_was_dropped_holds_nobody_up(monkeypatch):
    from model.engine import waiting

    line, (first, second, third) = waiting.Line(), (object(), object(), object())
    assert line.first(first) and not line.first(second) and not line.first(third)
    line.leave(first)
    assert not line.first(third) and line.first(second)
    line.leave(second)
    assert not line.first(first) and line.first(third)  # who comes again comes last
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.0)
    assert line.first(first)
