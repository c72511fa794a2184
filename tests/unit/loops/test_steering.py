"""Knobs changed while a run is under way: from the next step on, noted in the trace, and the same again when the run is repeated."""

from __future__ import annotations

import threading

import pytest

from model import worlds
from model.engine.parsing import parse_continuation
from model.errors import SettingError
from model.models.scripted import Fake
from model.settings import Settings
from model.trace.trace import Trace
from tests.unit.models.test_worlds import model, noisy  # noqa: F401 (fixtures)

AT = 2  # the frame after which it is steered


def steered(one, settings, mode="diffusion", **values):
    run = one.denoise("a notice", settings, mode=mode)
    for frame in run:
        if frame.step == AT:
            run.steer(**values)
    return run.trace


def kinds(model, noisy):  # noqa: F811
    base = {"new_tokens": worlds.CANVAS, "steps": 8, "temperature": 1.0, "seed": 5, "remasking": "none"}
    yield model, Settings(**base, rule="threshold", threshold=0.9), "diffusion", {"threshold": 0.0}
    yield (
        model,
        Settings(**base, rule="entropy", entropy_bound=0.5),
        "diffusion",
        {"entropy_bound": 50.0, "temperature": 0.0},
    )
    yield model, Settings(**base), "ar", {"temperature": 0.0}
    yield (
        noisy,
        Settings(**base, entropy_bound=0.5, confidence_threshold=0.0),
        "diffusion",
        {"entropy_bound": 50.0, "t_min": 0.1},
    )


def test_what_is_steered_counts_from_the_next_step_on_and_is_noted_there(model, noisy):  # noqa: F811
    for one, settings, mode, values in kinds(model, noisy):
        plain, trace = one.denoise("a notice", settings, mode=mode).finish(), steered(one, settings, mode, **values)
        assert all(
            a.same_as(b, times=False) for a, b in zip(plain.frames[: AT + 1], trace.frames[: AT + 1], strict=True)
        )
        told = {
            frame.step: {name: value for name, value in frame.notes.items() if name.startswith("set_")}
            for frame in trace.frames
        }
        assert {step: notes for step, notes in told.items() if notes} == {
            AT + 1: {f"set_{name}": value for name, value in values.items()}
        }
        assert trace.settings == settings.as_dict()  # what it began with
        assert not all(a.same_as(b, times=False) for a, b in zip(plain.frames, trace.frames, strict=False))


def test_a_threshold_of_0_commits_all_that_is_left(model):  # noqa: F811
    settings = Settings(new_tokens=worlds.CANVAS, steps=40, rule="threshold", threshold=1.0, temperature=1.0)
    trace = steered(model, settings, threshold=0.0)
    assert [len(frame.committed) for frame in trace.frames[1 : AT + 1]] == [1] * AT and trace.frames[
        AT + 1
    ].undecided == 0


def test_on_random_canvases_the_new_bound_is_what_the_rule_compares(noisy):  # noqa: F811
    settings = Settings(steps=8, entropy_bound=0.01, confidence_threshold=0.0)
    trace = steered(noisy, settings, entropy_bound=50.0, t_max=0.5, t_min=0.5)
    assert trace.frames[AT].undecided - trace.frames[AT + 1].undecided >= 5  # 6.6 nats each, untrained
    assert {frame.notes["temperature"] for frame in trace.frames[AT + 1 : 8]} == {0.5}


def test_a_steered_run_goes_on_and_repeats_exactly(model, noisy):  # noqa: F811
    for one, settings, mode, values in kinds(model, noisy):
        trace = Trace.from_json(steered(one, settings, mode, **values).to_json())
        asked = parse_continuation(trace.to_json(), AT)
        again = one.denoise(asked.prompt, asked.settings, mode=asked.mode, draft=asked.draft).finish()
        assert all(a.same_as(b, times=False) for a, b in zip(trace.frames, again.frames, strict=True))


def test_an_edit_behind_it_is_made_with_the_knobs_as_they_were_then(model):  # noqa: F811
    settings = Settings(
        new_tokens=worlds.CANVAS, steps=8, rule="threshold", threshold=0.9, temperature=1.0, remasking="none"
    )
    trace = steered(model, settings, temperature=0.25)
    edits = [{"at": [0, 1], "do": "erase"}]
    for frame, wanted in ((AT, 1.0), (AT + 1, 0.25)):
        assert parse_continuation(trace.to_json(), frame, edits).settings.temperature == wanted
        assert (
            parse_continuation(trace.to_json(), frame, edits, settings={"temperature": 0.5}).settings.temperature == 0.5
        )


def test_the_scripted_model_is_steered_too_and_its_continued_run():
    fake, settings = Fake(), Settings(steps=40, rule="threshold", threshold=0.99)
    run = fake.denoise("x", settings)
    for frame in run:
        if frame.step == AT:
            run.stop()
    more = run.resume(lambda: 0.0, threading.Event(), None)
    for frame in more:
        if frame.step == AT:
            more.steer(threshold=0.0)
    assert more.trace.frames[AT + 1].notes == {"set_threshold": 0.0} and len(more.trace.frames) < 10
    assert not any(frame.notes for frame in run.trace.frames)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"steps": 4}, "only temperature, threshold, entropy_bound, t_max, t_min can be changed; it was 'steps'"),
        ({"temperature": 9}, "Temperature must be between 0 and 2; it was 9"),
        ({"temperature": "hot"}, "Temperature must be a number"),
        ({"t_max": 0.5}, "means nothing to this way of writing"),
        ({"temperature": 0.5, "threshold": 7}, "Confidence threshold must be between"),
    ],
)
def test_what_cannot_be_changed_is_refused_and_nothing_changes(model, values, said):  # noqa: F811
    run = model.denoise("a notice", Settings(steps=6))
    next(run)
    with pytest.raises(SettingError) as caught:
        run.steer(**values)
    assert said in str(caught.value)
    assert not any(name.startswith("set_") for frame in run for name in frame.notes)


def test_a_ramp_may_not_rise(noisy):  # noqa: F811
    run = noisy.denoise("a notice", Settings(steps=6))
    next(run)
    with pytest.raises(SettingError, match="Temperature at the end must be at most"):
        run.steer(t_min=1.5)
