"""A stopped run goes on: exactly, for its own visitor only, once, and only while its model is there."""

from dataclasses import replace

import pytest

from model.engine.engine import Engine
from model.errors import ModelUnavailable, SettingError
from model.settings import LOCAL
from tests.unit.engine.test_engine import alone, engine, free, request


def stopped_at(which: Engine, step: int, visitor: str = "ann", keep: bool = True):
    run = which.run(request(), visitor, keep)
    for frame in run:
        if frame.step == step:
            run.stop()
    return run


@pytest.mark.parametrize("step", [0, 1, 16, 31])
def test_a_stopped_run_is_resumed_from_its_first_frame_and_writes_what_it_would_have(step):
    which, whole = engine(), alone()
    before = stopped_at(which, step)
    kept = len(before.trace.frames)
    run = which.resume("ann")
    assert all(a.same_as(b, times=False) for a, b in zip(run, whole.frames, strict=True))
    assert (
        run.trace.final_ids == whole.final_ids
        and run.trace.result.stopped == "end"
        and run.trace.pieces == whole.pieces
    )
    assert len(before.trace.frames) == kept == step + 1 and before.trace.result.stopped == "cancelled"
    assert which._model.passes == 32 and free(which)  # nothing was computed twice


def test_only_the_visitor_whose_run_was_stopped_last_can_resume_it_and_once():
    which = engine()
    stopped_at(which, 3)
    for other in ("bob", ""):
        assert not which.resumable(other)
        with pytest.raises(SettingError, match="no stopped run to continue"):
            which.resume(other)
    stopped_at(which, 5, "bob")  # one is kept, not one a visitor
    assert not which.resumable("ann") and which.resumable("bob")
    list(which.run(request(), "ann", keep=True))  # ann's new run is not bob's business
    assert which.resumable("bob") and len(list(which.resume("bob"))) == 34
    with pytest.raises(SettingError, match="no stopped run to continue"):
        which.resume("bob")


@pytest.mark.parametrize("end", ["not asked to", "left", "finished", "new run", "unloaded"])
def test_what_was_not_paused_cannot_be_resumed(end):
    which = engine()
    if end == "left":
        with which.run(request(), "ann", keep=True) as run:
            next(run)
    elif end == "finished":
        list(which.run(request(), "ann", keep=True))
    else:
        stopped_at(which, 3, keep=end != "not asked to")
        if end == "new run":
            list(which.run(request(), "ann", keep=True))
        if end == "unloaded":
            which.unload()
    assert not which.resumable("ann") and which._paused is None


def test_a_run_whose_model_went_while_it_waited_to_go_on_is_refused():
    which = engine()
    stopped_at(which, 3)
    run = which.resume("ann")
    which.unload()
    with pytest.raises(ModelUnavailable, match="its model was unloaded; run again"):
        next(run)
    assert free(which)


def test_a_deadline_can_be_gone_on_from_too():
    which = engine(replace(LOCAL, seconds=0.05), delay=0.02)
    run = which.run(request(), "ann", keep=True)
    list(run)
    assert run.trace.result.stopped == "deadline"
    again = which.resume("ann")
    assert len(list(again)) > len(run.trace.frames)


def test_stopped_again_while_it_waits_its_turn_it_can_still_be_resumed():
    which = engine()
    stopped_at(which, 3)
    other = which.run(request(), "bob")
    next(other)
    run = which.resume("ann")
    assert next(run.prepare()).what == "queue" and not which.resumable("ann")
    run.stop()
    assert list(run) == [] and which.resumable("ann")
    other.close()
    assert len(list(which.resume("ann"))) == 34 and free(which)
