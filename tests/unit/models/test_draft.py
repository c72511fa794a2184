"""Edits on the canvas of a run: what they make of it, what is refused, and that whatever is fixed never changes."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from model import worlds
from model.draft import Draft, Edit, draft_of, parse_edits
from model.engine.parsing import parse_continuation
from model.errors import SettingError
from model.models.worlds.record import WORLDS
from model.settings import ORDERS, REMASKING, RULES, Settings
from model.trace.frame import PINNED, PROMPT
from tests.unit.models.test_worlds import model, noisy  # noqa: F401 (fixtures)

FREE = replace(WORLDS, canvas=0)  # a canvas that can grow
TEXT = worlds.write(random.Random(3), "notice")
IDS = worlds.encode(TEXT.words)


def words(text):
    return worlds.tokens(text)


def whole(ids=IDS):
    return (*ids, *[worlds.END] * (worlds.CANVAS - len(ids)))


def test_each_edit_does_what_it_says():
    draft = Draft((7, 8, 9, 10, 11), edits=(Edit(0, 2, "erase"), Edit(2, 3, "pin"), Edit(4, 5, "put", token=20)))
    made = draft.made(words, FREE)
    assert made.ids == (-1, -1, 9, 10, 20) and made.pinned == (2, 4) and made.kept == ()
    assert Draft(draft.ids, edits=draft.edits, keep=True).made(words, FREE).kept == (3,)


def test_typed_words_push_what_follows_and_a_fixed_canvas_gives_its_end_for_them():
    owl = words("owl")[0]
    made = Draft(whole(), pinned=(5,), edits=(Edit(3, 4, "type", "owl owl owl"),)).made(words, WORLDS)
    assert len(made.ids) == worlds.CANVAS and made.ids[:3] == tuple(IDS[:3]) and made.ids[3:6] == (owl,) * 3
    assert made.ids[6 : len(IDS) + 2] == tuple(IDS[4:]) and made.pinned == (3, 4, 5, 7)
    shorter = Draft(whole(), edits=(Edit(3, 6, "type", "owl"),)).made(words, WORLDS)
    assert len(shorter.ids) == worlds.CANVAS and shorter.ids[4:6] == tuple(IDS[6:8]) and shorter.ids[-1] == worlds.END
    with pytest.raises(SettingError, match=r"This canvas has 72 positions and cannot grow; the text now takes 7\d\."):
        Draft(tuple([owl] * 72), edits=(Edit(3, 4, "type", "owl owl"),)).made(words, WORLDS)
    assert len(Draft((5, 6), edits=(Edit(0, 1, "type", "owl owl"),)).made(words, FREE).ids) == 3  # a free canvas grows


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("erase", "must be a list"),
        ([{"at": [0, 1], "do": "erase"}] * 257, "at most 256"),
        ([7], "An edit must be like"),
        ([{"at": [0, 1], "do": "eat"}], "one of erase, pin, type, put"),
        ([{"at": [1, 1], "do": "pin"}], "two positions"),
        ([{"at": [0.0, 1], "do": "pin"}], "two positions"),
        ([{"at": [True, 2], "do": "pin"}], "two positions"),
        ([{"do": "pin"}], "two positions"),
        ([{"at": [0, 1], "do": "type", "text": " "}], "between 1 and 2,000 characters"),
        ([{"at": [0, 1], "do": "type", "text": 5}], "between 1 and 2,000 characters"),
        ([{"at": [0, 2], "do": "put", "id": 5}], "one position"),
        ([{"at": [0, 1], "do": "put", "id": -5}], "one position"),
        ([{"at": [0, 3], "do": "pin"}, {"at": [2, 4], "do": "erase"}], "Two edits change position 2"),
    ],
)
def test_bad_edits_are_refused_in_one_sentence(value, said):
    with pytest.raises(SettingError) as caught:
        parse_edits(value)
    assert said in str(caught.value)


def test_edits_that_the_canvas_cannot_take_are_refused():
    for edit, said in (
        (Edit(3, 9, "erase"), "between 0 and 4; it ended at 8"),
        (Edit(0, 1, "pin"), "Only words that stand"),
    ):
        with pytest.raises(SettingError, match=said):
            Draft((-1, 8, 9, 10, 11), edits=(edit,)).made(words, FREE)
    for token in (len(worlds.VOCABULARY), worlds.MASK):
        with pytest.raises(SettingError, match=f"has no word with the id {token}"):
            Draft(whole(), edits=(Edit(3, 4, "put", token=token),)).made(words, WORLDS)
    with pytest.raises(SettingError, match="'spaceship' is not among"):
        Draft(whole(), edits=(Edit(0, 1, "type", "spaceship"),)).made(lambda text: _unknown(text), WORLDS)


def _unknown(text):
    raise SettingError(f"'{text}' is not among my words.", "pinned")


def test_a_frame_becomes_a_draft_and_what_lies_behind_the_end_is_free(model):  # noqa: F811
    trace = model.denoise("a notice", Settings(steps=4, temperature=1.0), pinned={0: "Lost"}).finish()
    for k, frame in enumerate(trace.frames[:-1]):
        draft = draft_of(trace, k, None, False)
        assert draft.pinned == (0,) and draft.about == f"step {frame.step}"
        assert [i for i, token in enumerate(draft.ids) if token < 0] == [
            i for i, s in enumerate(frame.states) if s in (2, 3, 6, 7)
        ]
    for step, keep in ((99, False), (-1, False), ("1", False), (True, False), (0, "yes")):
        with pytest.raises(
            SettingError, match="The step to go on from must be between 0 and|'keep' must be true or false"
        ):
            draft_of(trace, step, [], keep)


EDITS = st.lists(
    st.tuples(st.integers(0, worlds.CANVAS - 4), st.integers(1, 3), st.sampled_from(["erase", "pin", "type", "put"])),
    max_size=5,
)
KNOBS = st.one_of(
    st.builds(lambda rule: {"rule": rule}, st.sampled_from(RULES)),
    st.builds(lambda order: {"order": order}, st.sampled_from(ORDERS)),
    st.builds(lambda back: {"remasking": back}, st.sampled_from([name for name in REMASKING if name != "verify"])),
)


def chosen(picked):
    """Edits from drawn triples, none over another."""
    edits, free = [], 0
    for start, length, do in sorted(picked):
        if start >= free:
            length = 1 if do in ("put", "type") else length
            edits.append(Edit(start, start + length, do, "owl" if do == "type" else "", 40))
            free = start + length
    return tuple(edits)


@given(EDITS, KNOBS, st.booleans(), st.booleans())
@hypothesis(max_examples=40, deadline=None)
def test_whatever_is_fixed_never_changes(model, noisy, picked, knobs, keep, random_words):  # noqa: F811
    draft = Draft(whole(), edits=chosen(picked), keep=keep)
    made = draft.made(words, WORLDS)
    settings = Settings(**{"steps": 4, "temperature": 1.0, "entropy_bound": 3.0, "remask_strength": 0.5} | knobs)
    run = (noisy if random_words else model).denoise("a notice", settings, draft=draft)
    fixed = {p: made.ids[p] for p in (*made.pinned, *made.kept)}
    for frame in run:
        assert all(frame.ids[p] == token for p, token in fixed.items())
        if not random_words:
            assert all(frame.states[p] == PINNED for p in made.pinned) and all(
                frame.states[p] == PROMPT for p in made.kept
            )


def test_what_was_erased_is_written_again_and_the_rest_stands(model):  # noqa: F811
    draft = Draft(whole(), edits=(Edit(4, 9, "erase"),), keep=True)
    trace = model.denoise("a notice", Settings(steps=5, rule="schedule"), draft=draft).finish()
    assert (
        trace.frames[0].undecided == 5 and trace.frames[-1].undecided == 0 and trace.branch == "a partly filled canvas"
    )
    assert [t for i, t in enumerate(trace.final_ids) if not 4 <= i < 9] == [*IDS[:4], *IDS[9:], worlds.END]


@pytest.mark.parametrize("mode", ["diffusion", "ar"])
@pytest.mark.parametrize("random_words", [False, True])
def test_going_on_without_an_edit_is_the_run_there_was(model, noisy, mode, random_words):  # noqa: F811
    one = noisy if random_words else model
    settings = Settings(steps=6, temperature=1.0, seed=3, new_tokens=worlds.CANVAS, remasking="none")
    trace = one.denoise("a notice", settings, mode=mode, pinned={0: "Lost"}).finish()
    assert trace.weights_sha256 == one.fingerprint(mode)
    asked = parse_continuation(trace.to_json(), 3, [], False, None)
    again = one.denoise(asked.prompt, asked.settings, mode=asked.mode, draft=asked.draft).finish()
    assert all(a.same_as(b, times=False) for a, b in zip(trace.frames, again.frames, strict=True))


def test_a_run_of_other_weights_cannot_go_on(model):  # noqa: F811
    trace = model.denoise("a notice", Settings(steps=2), mode="ar").finish()
    asked = parse_continuation(trace.to_json(), 1, [], False, None)
    with pytest.raises(SettingError, match="other weights"):
        model.denoise("a notice", asked.settings, mode="diffusion", draft=asked.draft)  # the twin wrote it


@pytest.mark.parametrize("random_words", [False, True])
@pytest.mark.parametrize("mode", ["diffusion", "ar"])
def test_a_stopped_run_goes_on_unedited_as_if_it_had_not_been_stopped(model, noisy, mode, random_words):  # noqa: F811
    one = noisy if random_words else model
    settings = Settings(steps=8, temperature=1.0, seed=3, new_tokens=worlds.CANVAS, remasking="none", entropy_bound=0.5)
    whole = one.denoise("a notice", settings, mode=mode).finish()
    run = one.denoise("a notice", settings, mode=mode)
    for frame in run:
        if frame.step == 3:
            run.stop()
    stopped = run.trace
    assert stopped.result.stopped == "cancelled" and len(stopped.frames) < len(whole.frames)
    asked = parse_continuation(stopped.to_json(), len(stopped.frames) - 1)
    again = one.denoise(asked.prompt, asked.settings, mode=asked.mode, draft=asked.draft).finish()
    assert all(a.same_as(b, times=False) for a, b in zip(whole.frames, again.frames, strict=True))


def test_a_run_that_ran_out_of_time_goes_on_from_where_it_was(model):  # noqa: F811
    trace = model.denoise("a notice", Settings(steps=8, temperature=1.0, remasking="none"), deadline=0.0).finish()
    assert trace.result.stopped == "deadline"
    late = model.denoise("a notice", Settings(steps=8, temperature=1.0, remasking="none"))
    frames = [next(late) for _ in range(4)]
    late.trace.finish("deadline")
    asked = parse_continuation(late.trace.to_json(), 3)
    assert [token for token in asked.draft.ids if token >= 0] == [
        token for token in frames[3].ids.tolist() if token >= 0
    ]
    assert asked.draft.about == "step 3"
