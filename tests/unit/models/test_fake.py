"""The scripted fake behaves like a model: same frames, same contract, always the same run for a seed."""

import threading

import numpy as np
import pytest

from model.errors import NumericsError, SettingError
from model.models.scripted import END, SCRIPT, Fake
from model.settings import ORDERS, RULES, SCHEDULES, Settings
from model.trace.frame import AFTER_END, PINNED
from model.trace.trace import Trace


class Clock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def run(fake: Fake | None = None, mode: str = "diffusion", pinned=None, **settings) -> Trace:
    return (fake or Fake()).denoise("hello", Settings(**settings), mode=mode, pinned=pinned).finish()


@pytest.mark.parametrize("mode", ["diffusion", "ar"])
def test_it_writes_its_script_and_says_what_it_is(mode):
    trace = run(mode=mode)
    assert trace.final_text == SCRIPT
    assert "not a model" in trace.spec.name and "scripted" in trace.final_text
    assert trace.result.stopped == "end"


def test_a_seed_decides_the_order_and_nothing_else_does():
    same, again, other = run(seed=3), run(seed=3), run(seed=4)
    assert all(a.same_as(b, times=False) for a, b in zip(same.frames, again.frames, strict=True))
    assert [f.committed for f in same.frames] != [f.committed for f in other.frames]
    assert same.final_text == other.final_text


@pytest.mark.parametrize("steps", [1, 2, 7, 64])
def test_steps_are_forward_passes(steps):
    trace = run(steps=steps, new_tokens=40, block_length=40)  # shorter than the script: no early end
    assert trace.result.forwards == min(steps, 40) and trace.result.stopped == "full"
    assert sum(len(f.committed) for f in trace.frames) == 40


@pytest.mark.parametrize(
    "knob", [{"rule": r} for r in RULES] + [{"order": o} for o in ORDERS] + [{"schedule": s} for s in SCHEDULES]
)
def test_every_choice_ends_with_the_whole_script(knob):
    trace = run(**knob)
    assert trace.final_text == SCRIPT and trace.frames[-1].undecided == 0


def test_left_to_right_commits_in_reading_order():
    firsts = [f.committed for f in run(mode="ar").frames if f.committed]
    assert firsts == [(i,) for i in range(len(firsts))]


def test_pinned_words_stand_from_the_first_frame_to_the_last():
    trace = run(pinned={3: " upon"})
    places = np.flatnonzero(trace.frames[0].states == PINNED)
    assert places[0] == 3
    for frame in trace.frames:
        assert (frame.ids[places] == trace.frames[0].ids[places]).all() and (frame.states[places] == PINNED).all()
    with pytest.raises(SettingError, match="position 63"):
        run(pinned={62: "too long for the canvas"})


def test_tokens_are_not_whole_characters_and_still_join():
    fake = Fake()
    pieces = [fake.piece(t) for t in fake.tokens("naïve 👋")]
    assert b"".join(pieces).decode() == "naïve 👋"
    assert any(b >= 0x80 and len(piece) == 1 for piece in pieces for b in piece)


def test_nothing_typed_becomes_a_special_token():
    assert not {256, 257} & set(Fake().tokens("<end><mask> \ud800"))


def test_emitted_texts_take_the_scripts_place():
    trace = run(Fake(emit=["<b>", "\x1b[31m"]), new_tokens=4)
    assert trace.final_text == "<b>\x1b[31m<b>\x1b[31m"


def test_the_end_goes_where_it_is_put():
    trace = run(Fake(eos_at=5), new_tokens=20)
    assert trace.result.tokens == 6 and trace.final_ids[-1] == END
    assert (trace.frames[-1].states[6:] == AFTER_END).all()


def test_tokens_are_taken_back_and_the_run_still_ends():
    trace = run(remasking="remdm_cap")
    assert sum(len(f.taken_back) for f in trace.frames) > 3
    assert trace.final_text == SCRIPT


def test_time_is_the_scripts_own():
    clock = Clock()
    fake = Fake(0.5, first_delay=2.0, sleep=clock.sleep)
    trace = fake.denoise("x", Settings(steps=4, new_tokens=16), clock=clock).finish()
    assert [f.seconds for f in trace.frames] == [0, 2.0, 2.5, 3.0, 3.5]
    assert trace.result.first_frame_seconds == 2.0


def test_a_deadline_ends_it_within_a_step():
    clock = Clock()
    trace = Fake(1.0, sleep=clock.sleep).denoise("x", Settings(steps=32), clock=clock, deadline=3.5).finish()
    assert trace.result.stopped == "deadline" and trace.result.forwards == 4


def test_a_cancel_ends_it_within_a_step():
    cancelled = threading.Event()
    run = Fake().denoise("x", Settings(steps=32), cancelled=cancelled)
    for frame in run:
        if frame.step == 3:
            cancelled.set()
    assert run.trace.result.stopped == "cancelled" and run.trace.result.forwards == 3


def test_it_fails_as_told():
    with pytest.raises(NumericsError, match="step 3"):
        run(Fake(nan_at=3))
    with pytest.raises(MemoryError):
        run(Fake(fail_at=2, error=MemoryError))


def test_its_trace_survives_json():
    trace = run(remasking="verify", rule="threshold", seed=9)
    again = Trace.from_json(trace.to_json())
    assert all(a.same_as(b) for a, b in zip(trace.frames, again.frames, strict=True)) and again.result == trace.result
