"""Branches in Python: `run.edit`, and `edit` for a trace from elsewhere."""

import numpy as np
import pytest

from model.branch import edit, edits_of
from model.errors import SettingError
from model.models.scripted import Fake
from model.settings import Settings
from model.trace.frame import MASK, PINNED, PROMPT
from model.trace.trace import Trace

FAKE = Fake()
KNOBS = Settings(new_tokens=24, steps=24, seed=2)


@pytest.fixture(scope="module")
def run():
    made = FAKE.denoise("hi", KNOBS)
    made.finish()
    return made


def same(one, other):
    return all(a.same_as(b, times=False) for a, b in zip(one.frames, other.frames, strict=True))


def test_each_edit_stands_in_the_first_frame_and_what_is_fixed_stays(run):
    branch = run.edit(step=10, erase="2-3", pin=["5", "7: upon"], keep=True).finish()
    first, last = branch.frames[0], branch.frames[-1]
    assert first.states[2] == first.states[3] == MASK and first.states[5] == first.states[7] == PINNED
    assert branch.branch == "step 10" and first.ids[7] == FAKE.tokens("upon")[0]
    fixed = np.isin(first.states, (PINNED, PROMPT))
    assert all((frame.ids[fixed] == first.ids[fixed]).all() for frame in branch.frames) and not last.undecided


@pytest.mark.parametrize("step", [0, 5, None])
def test_unedited_it_is_the_same_run(run, step):
    assert same(run.edit(step=step).finish(), run.trace)


def test_a_stopped_run_goes_on_and_a_trace_from_a_file_too(run):
    stopped = FAKE.denoise("hi", KNOBS)
    for frame in stopped:
        if frame.step == 4:
            stopped.stop()
    assert stopped.trace.result.stopped == "cancelled" and same(stopped.edit().finish(), run.trace)
    assert same(edit(FAKE, Trace.from_json(stopped.trace.to_json())).finish(), run.trace)


def test_undone_edits_leave_the_exact_frames(run):
    """An edit is data beside the trace: taken away, what it would have changed is as it was."""
    before = run.trace.to_json()
    for erase, pin in (("1-4", ()), ((), "3: upon"), ("0", "2")):
        run.edit(step=20, erase=erase, pin=pin, keep=True).finish()
        assert run.trace.to_json() == before and same(run.edit(step=6).finish(), run.trace)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"erase": "9-5"}, "Erase must name positions like 5 or 5-9"),
        ({"pin": "x: y"}, "Pin must name positions like 5, 5-9 or '12: Otto'"),
        ({"erase": "50"}, "An edit must lie within the canvas, between 0 and 23; it ended at 50"),
        ({"step": 99, "erase": "1"}, "The step to go on from must be between 0 and"),
        ({"erase": "1-3", "pin": "2"}, "Two edits change position 2"),
        ({"settings": {"steps": -1}}, "Steps must be between"),
        ({"pin": "3: "}, "between 1 and 2,000 characters"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, changes, said):
    with pytest.raises(SettingError, match=said) as caught:
        run.edit(**changes)
    assert str(caught.value).count(". ") == 0


def test_a_run_of_another_model_cannot_be_changed(run):
    other = Trace.from_json(run.trace.to_json())
    other.spec = type(other.spec)(**{**vars(other.spec), "id": "other", "name": "Another"})
    with pytest.raises(SettingError, match=r"This run was written by Another; the model here is"):
        edit(FAKE, other)
    with pytest.raises(SettingError, match="no step yet"):
        FAKE.denoise("hi", KNOBS).edit()


def test_positions_are_read_as_the_command_line_does():
    assert edits_of("5-9", "12: Otto") == [
        {"at": [5, 10], "do": "erase"},
        {"at": [12, 13], "do": "type", "text": "Otto"},
    ]
