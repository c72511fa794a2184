"""Over random texts, holes, edits, orders, rules and families: what is fixed never changes, holes end no text, words keep their space."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from model import worlds
from model.draft import Draft, Edit, draft_of, steered_of
from model.engine.parsing import parse_continuation
from model.holes import Filling, Hole, places
from model.settings import ORDERS, REMASKING, RULES, SCHEDULES, Settings
from model.trace.frame import PINNED, PROMPT, UNDECIDED
from tests.tiny import EOS, Tiny
from tests.unit.models.test_worlds import model, noisy  # noqa: F401 (fixtures)


class Words(Tiny):
    """A tiny network in blocks, from left to right, whose even tokens begin a word."""

    def piece(self, token):
        return (b" " if token % 2 == 0 and token > 6 else b"") + bytes([40 + token])


class Whole(Words):
    """The same for a network that sees the whole canvas: what it says is drawn, and changes with every word."""

    passes = 1

    def predictor(self, *_):
        return self

    def predict(self, canvas, span, positions):
        drawn = torch.Generator().manual_seed(hash(tuple(canvas)) % 2**31)
        return 3 * torch.randn(len(canvas), self.spec.vocab_size, generator=drawn)[torch.tensor(positions)]


BLOCKS, AHEAD = Words(), Words(rank=4)
WHOLE = Whole(shift=False, causal_prefix=False, verify=False, ahead=0, default_block=0)


@st.composite
def knobs(draw, verify=True):
    """Settings of any order, rule and way of taking back that go together."""
    back = draw(st.sampled_from([name for name in REMASKING if verify or name != "verify"]))
    rule = draw(st.sampled_from(RULES)) if back in ("none", "verify", "recheck") else "schedule"
    return Settings(
        steps=64,
        rule=rule,
        remasking=back,
        order=draw(st.sampled_from(ORDERS)),
        schedule=draw(st.sampled_from(SCHEDULES)),
        temperature=draw(st.sampled_from([0.0, 1.0, 2.0])),
        threshold=draw(st.sampled_from([0.0, 0.3, 0.9])),
        block_length=draw(st.sampled_from([0, 1, 3, 8])),
        remask_strength=draw(st.sampled_from([0.05, 0.5, 1.0])),
        entropy_bound=draw(st.sampled_from([0.1, 3.0])),
        seed=draw(st.integers(0, 9)),
    )


@st.composite
def holes(draw):
    """Text and holes in turn, the text with and without a space before a hole, and the holes' lengths."""
    text = st.text("abcdefgh", min_size=1, max_size=4)
    parts, lengths = [draw(st.one_of(st.just(""), text))], []
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()) and parts[-1]:
            parts[-1] += " "
        lengths.append(draw(st.integers(1, 5)))
        parts += [Hole(lengths[-1]), draw(text)]
    return tuple(parts), tuple(lengths)


@pytest.mark.parametrize("one", [BLOCKS, AHEAD, WHOLE], ids=["blocks", "ahead", "whole"])
def test_only_holes_are_written_and_each_word_keeps_its_space(one):
    @given(holes(), knobs(verify=one is not WHOLE))
    @hypothesis(max_examples=60)
    def check(text, settings):
        (parts, lengths), run = text, None
        draft = Filling(parts=parts, lengths=lengths)
        made, run = draft.made(one.tokens, one.spec), one.denoise("ask", settings, draft=draft)
        kept = np.array(made.kept)
        for frame in run:
            assert (frame.ids[kept] == np.array(made.ids)[kept]).all() and (frame.states[kept] == PROMPT).all()
            decided = ~np.isin(frame.states, UNDECIDED)
            assert all(one.piece(int(frame.ids[i])).startswith(b" ") for i in made.spaced if decided[i])
        trace = run.trace
        assert (
            trace.result.stopped == "end"
            and len(trace.final_ids) == len(made.ids)
            and trace.final_ids.index(EOS) == len(made.ids) - 1
        )
        assert [len(where) for where in places(trace, lengths)] == list(lengths)
        assert sorted(i for where in places(trace, lengths) for i in where) == [
            i for i, token in enumerate(made.ids) if token < 0
        ]

    check()


EDIT = st.tuples(st.integers(0, 20), st.integers(1, 3), st.sampled_from(["erase", "pin", "type", "put"]))


def edits_of(drawn, length):
    """Edits from drawn triples within a canvas, none over another."""
    out, free = [], 0
    for start, width, do in sorted(drawn):
        width = 1 if do in ("put", "type") else width
        if start >= free and start + width <= length:
            out.append(Edit(start, start + width, do, "abc" if do == "type" else "", 20))
            free = start + width
    return tuple(out)


@pytest.mark.parametrize("one", [BLOCKS, AHEAD, WHOLE], ids=["blocks", "ahead", "whole"])
def test_what_was_fixed_by_hand_never_changes_in_any_order_or_rule(one):
    @given(
        st.lists(EDIT, max_size=5), knobs(verify=one is not WHOLE), st.booleans(), st.sampled_from(["diffusion", "ar"])
    )
    @hypothesis(max_examples=60)
    def check(drawn, settings, keep, mode):
        ids = tuple(range(10, 34))
        draft = Draft(ids, pinned=(2,), kept=(4,), edits=edits_of(drawn, len(ids)), keep=keep)
        if not draft.edits:
            return
        made = draft.made(one.tokens, one.spec)
        for frame in one.denoise("ask", settings, mode=mode if one is not WHOLE else "diffusion", draft=draft):
            for positions, state in ((made.pinned, PINNED), (made.kept, PROMPT)):
                where = np.array(positions, int)
                assert (frame.ids[where] == np.array(made.ids)[where]).all() and (frame.states[where] == state).all()

    check()


@given(st.data())
@hypothesis(max_examples=30)
def test_a_run_steered_and_stopped_anywhere_goes_on_as_it_would_have(data):
    one, settings = data.draw(st.sampled_from([BLOCKS, AHEAD])), data.draw(knobs())
    when, stop = data.draw(st.integers(0, 6)), data.draw(st.integers(1, 9))
    values = data.draw(
        st.dictionaries(st.sampled_from(["temperature", "threshold"]), st.sampled_from([0.0, 0.4, 1.0]), min_size=1)
    )

    def play(last=None):
        run = one.denoise("ask", settings)
        for frame in run:
            if frame.step == when:
                run.steer(**values)
            if frame.step == last:
                run.stop()
        return run.trace

    stopped = play(stop)
    script = steered_of(stopped)
    if not script:  # it was stopped before the change was taken
        return
    # as `parse_continuation` does, whose catalogue does not know this network
    again = one.denoise("ask", settings, draft=Draft(draft_of(stopped, 0, None, False).ids, steered=script)).finish()
    assert all(a.same_as(b, times=False) for a, b in zip(play().frames, again.frames, strict=True))


@given(st.lists(EDIT.filter(lambda edit: edit[2] in ("erase", "type")), min_size=1, max_size=3), st.booleans())
@hypothesis(max_examples=20)
def test_random_words_leave_what_is_typed_and_kept(noisy, drawn, keep):  # noqa: F811
    trace = noisy.denoise("a notice", Settings(steps=4)).finish()
    edits = [{"at": [edit.start, edit.stop], "do": edit.do, "text": "owl"} for edit in edits_of(drawn, 24)]
    asked = parse_continuation(trace.to_json(), len(trace.frames) - 1, edits, keep)
    made = asked.draft.made(worlds.tokens, noisy.spec)
    for frame in noisy.denoise(asked.prompt, asked.settings, draft=asked.draft):
        assert all(frame.ids[p] == made.ids[p] for p in (*made.pinned, *made.kept))


def test_a_long_given_text_between_holes_leaves_room_for_the_pass_that_checks_it():
    draft = Filling(parts=("a ", Hole(), "bcd" * 60, Hole(), "e"), lengths=(2, 3))
    settings = Settings(steps=64, rule="threshold", threshold=0.0, remasking="verify", block_length=4)
    assert AHEAD.denoise("ask", settings, draft=draft).finish().result.stopped == "end"
