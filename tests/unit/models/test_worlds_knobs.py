"""The small worlds' own weights: every knob of the loop does something to a run, and no run breaks what the loop promises."""

import pytest

from model import worlds
from model.models.worlds.model import Worlds
from model.models.worlds.together import together
from model.settings import ORDERS, REMASKING, RULES, SCHEDULES, Settings
from model.trace.frame import MASK, NOISE, TAKEN_BACK

PROMPT = "A postcard from the lighthouse with a penguin"
PINNED = {1: "Otto", 4: "from"}
BASE = dict(new_tokens=worlds.CANVAS, block_length=0, steps=12, temperature=0.8, seed=4, entropy_bound=0.3)
VARIED = {
    "order": [dict(order=order, rule="schedule") for order in ORDERS],
    "schedule": [dict(schedule=curve, rule="schedule") for curve in SCHEDULES],
    "rule": [dict(rule=rule) for rule in RULES],
    "remasking": [
        dict(remasking=back, rule="schedule", remask_strength=0.95 if back == "recheck" else 0.3)
        for back in REMASKING
        if back != "verify"
    ],
}


@pytest.fixture(scope="module")
def made():
    """Return the traces of every variation, by knob, their passes made together."""
    model = Worlds()
    knobs = [{**BASE, **one} for group in VARIED.values() for one in group]

    def job(one):
        return lambda stand_in: stand_in.denoise(PROMPT, Settings(**one), pinned=PINNED).finish()

    traces = iter(together(model, [job(one) for one in knobs]))
    return {knob: [next(traces) for _ in group] for knob, group in VARIED.items()}


@pytest.mark.parametrize("knob", VARIED)
def test_every_choice_of_a_knob_gives_a_run_of_its_own(made, knob):
    runs = [tuple((frame.committed, tuple(frame.ids)) for frame in trace.frames) for trace in made[knob]]
    assert len(set(map(str, runs))) == len(VARIED[knob])


@pytest.mark.parametrize("knob", VARIED)
def test_every_run_spares_what_is_pinned_and_counts_what_it_does(made, knob):
    for knobs, trace in zip(VARIED[knob], made[knob], strict=True):
        assert trace.result.stopped in ("end", "full") and trace.result.forwards <= BASE["steps"], knobs
        assert trace.frames[-1].undecided == 0
        fixed = {position: worlds.tokens(word)[0] for position, word in PINNED.items()}
        for before, frame in zip(trace.frames, trace.frames[1:], strict=False):
            assert all(frame.ids[position] == token for position, token in fixed.items())
            kept = (before.ids >= 0) & (before.states != TAKEN_BACK)
            moved = kept & (frame.ids != before.ids)
            assert not moved.any(), knobs  # a word that stands goes only by being taken back first
            if knobs.get("remasking", "none") == "none":
                assert frame.undecided <= before.undecided
                assert not (frame.states == TAKEN_BACK).any()
        assert not set(trace.frames[-1].states.tolist()) & {MASK, NOISE, TAKEN_BACK}
    if knob == "remasking":
        for knobs, trace in zip(VARIED[knob], made[knob], strict=True):
            took = any((frame.states == TAKEN_BACK).any() for frame in trace.frames)
            assert took == (knobs["remasking"] != "none"), knobs


def test_runs_whose_passes_are_made_together_are_the_runs_alone():
    model = Worlds()
    prompts = ("a diary with a goat", "a recipe", "a letter about a piano", "the weather at the mill")
    settings = Settings(**{**BASE, "temperature": 0.0, "rule": "independent", "remasking": "recheck"})
    alone = [model.denoise(prompt, settings).finish() for prompt in prompts]
    jobs = [lambda stand_in, prompt=prompt: stand_in.denoise(prompt, settings).finish() for prompt in prompts]
    for one, other in zip(alone, together(model, jobs), strict=True):
        assert one.final_text == other.final_text and one.result.forwards == other.result.forwards


def test_a_run_that_fails_does_not_hold_up_the_others():
    def fails(stand_in):
        raise ValueError("no")

    def writes(stand_in):
        return stand_in.denoise("a diary", Settings(**BASE, rule="schedule")).finish()

    with pytest.raises(ValueError, match="no"):
        together(Worlds(), [writes, fails, writes])
