"""Text with holes: what is parsed and refused, that given text stays to the letter, and how the length of an open hole is chosen."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from model import worlds
from model.draft import Draft, Edit
from model.engine.parsing import parse_fill
from model.errors import SettingError
from model.holes import (
    LENGTHS,
    LONGEST,
    Filling,
    Hole,
    asked_of,
    attempts,
    confidence,
    ending,
    fill,
    parse_holes,
    places,
    reach,
    written,
)
from model.models.chat135m.record import BUILTIN
from model.models.scripted import SPEC, Fake
from model.models.sudoku.record import SUDOKU
from model.models.worlds.record import WORLDS
from model.settings import LOCAL, PUBLIC, Settings
from model.trace.frame import PROMPT
from tests.unit.models.test_worlds import model, noisy  # noqa: F401 (fixtures)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a ___ b", ("a ", Hole(), " b")),
        ("___", ("", Hole(), "")),
        ("x[5]", ("x", Hole(5), "")),
        ("________ and [12] .", ("", Hole(), " and ", Hole(12), " .")),
        (r"keep \___ and \[5], fill [1]", ("keep ___ and [5], fill ", Hole(1), "")),
        ("  two  spaces ___\n\n\tdone ", ("  two  spaces ", Hole(), "\n\n\tdone ")),
    ],
)
def test_text_and_holes_are_told_apart(text, parts):
    assert parse_holes(text, LOCAL) == parts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "The text must be text."),
        ("no hole __ here [x]", "The text has no hole yet"),
        ("a [0] b", "between 1 and 64 tokens; this one was [0]"),
        ("a [65] b", "between 1 and 64 tokens; this one was [65]"),
        ("a ___[3] b", "Two holes need text between them"),
        ("___ a " * 5, "at most 16 holes, of which 4 without a length"),
        ("[1] a " * 17, "at most 16 holes"),
        ("a ___" + "x" * 9000, "The text may have at most"),
    ],
)
def test_what_cannot_be_filled_is_refused_in_one_sentence(text, said):
    with pytest.raises(SettingError) as caught:
        parse_fill(text, model="worlds", limits=PUBLIC)
    assert said in str(caught.value)


def test_a_model_that_cannot_fill_says_so():
    with pytest.raises(SettingError, match="writes no text that could have holes"):
        asked_of(SUDOKU, ("a", Hole(), ""))
    assert reach(SUDOKU) == "" and "both sides" in reach(WORLDS)
    assert "what follows a hole included" in reach(replace(BUILTIN, infills=True))
    assert "blocks from left to right" in reach(replace(BUILTIN, infills=False))
    with pytest.raises(SettingError, match="canvas of 72 tokens; this text takes"):
        fill(
            type(
                "M",
                (),
                {"spec": WORLDS, "score": None, "denoise": lambda self, *a, draft: draft.made(worlds.tokens, WORLDS)},
            )(),
            "the owl " * 40 + "___",
        )


WORD = st.sampled_from(
    ["Only", " the", "  holes", "\tare", "\nwritten", " \u00e9t\u00e9", " \U0001f44b", ",", ".", " text", "(", " ["]
)
TEXTS = st.lists(WORD, min_size=1, max_size=6).map("".join)


@given(st.lists(TEXTS, min_size=2, max_size=5), st.lists(st.integers(1, 9), min_size=4, max_size=4), st.integers(0, 99))
@hypothesis(max_examples=60)
def test_given_text_stays_to_the_letter_and_never_changes(texts, sizes, seed):
    parts = [texts[0]]
    for text, size in zip(texts[1:], sizes, strict=False):
        parts += [f"[{size}]", text]
    trace = fill(Fake(), "".join(parts), Settings(seed=seed, remasking="remdm_cap"))
    at = 0
    for text in texts:  # in order, each whole
        at = trace.final_text.index(text, at) + len(text)
    assert trace.final_text.startswith(texts[0]) and trace.final_text.endswith(texts[-1])
    first = trace.frames[0]
    fixed = first.states == PROMPT
    assert all((frame.ids[fixed] == first.ids[fixed]).all() for frame in trace.frames)
    lengths = tuple(sizes[: len(texts) - 1])
    assert [len(where) for where in places(trace, lengths)] == list(lengths)
    assert written(trace, parse_holes("".join(parts), LOCAL), lengths)[0] == trace.final_text


@pytest.mark.parametrize("random_words", [False, True])
def test_the_small_worlds_write_only_the_holes(model, noisy, random_words):  # noqa: F811
    words = worlds.write(random.Random(3), "notice").words
    text = worlds.display(words[:4]) + " [3]  " + worlds.display(words[7:])  # two spaces, kept
    trace = fill(noisy if random_words else model, text, Settings(steps=6, temperature=1.0, seed=5))
    assert trace.prompt == "notice" and trace.final_text.startswith(worlds.display(words[:4]) + " ")
    assert trace.final_text.endswith("  " + worlds.display(words[7:])) and trace.result.stopped in (
        "end",
        "converged",
        "full",
    )
    assert [token for i, token in enumerate(trace.final_ids) if not 4 <= i < 7] == [
        *worlds.encode([*words[:4], *words[7:]]),
        worlds.END,
    ]


def test_a_word_behind_a_space_brings_that_space(model):  # noqa: F811
    words = worlds.write(random.Random(3), "notice").words
    for seed in range(6):
        trace = fill(
            model, worlds.display(words[:4]) + " [1] " + worlds.display(words[5:]), Settings(temperature=2.0, seed=seed)
        )
        assert worlds.piece(trace.final_ids[4]).startswith(" ")  # no full stop, no end


def test_every_form_is_known_by_its_fixed_words():
    for form in worlds.FORMS:
        for seed in range(10):
            words = worlds.write(random.Random(seed), form).words
            assert worlds.form_of(worlds.display(words[len(words) // 3 :])) == form
        assert worlds.read_prompt(form).form == form and worlds.read_prompt(form).topics == ()


def play(parts, sure, enough=lambda lengths: False):
    policy, tried = attempts(parts, enough), []
    lengths = next(policy)
    while True:
        tried.append(lengths)
        try:
            lengths = policy.send(sure(lengths))
        except StopIteration as over:
            return tried, *over.value


def test_open_holes_are_settled_one_after_the_other_by_their_own_confidence():
    parts = ("a", Hole(), "b", Hole(4), "c", Hole(), "d")
    tried, best, said = play(parts, lambda n: [0.9 - 0.1 * abs(n[0] - 3), 0.5, 0.9 - 0.1 * abs(n[2] - 5)])
    assert best == (3, 4, 5) and len(tried) == 2 * len(LENGTHS) - 1 and tried[0] == (1, 4, 2)
    assert said.startswith(
        "Hole 1 takes 3 tokens: mean confidence 0.90 (1: 0.70, 2: 0.80, 5: 0.70, 8: 0.40). Hole 3 takes 5 tokens"
    )


def test_where_all_lengths_are_given_there_is_one_try_and_nothing_to_say():
    assert play(("", Hole(5), "b"), lambda n: [0.1]) == ([(5,)], (5,), "")


def test_out_of_time_the_best_so_far_is_taken():
    tried, best, said = play(("", Hole(), "."), lambda n: [0.5], enough=lambda lengths: True)
    assert tried == [(1,)] and best == (1,) and "no time or room for others" in said


def test_a_hole_that_ends_the_text_is_not_tried_at_lengths():
    assert play(("a ", Hole(), " \n"), lambda n: [0.5]) == ([(LONGEST,)], (LONGEST,), "")
    tried, best, said = play(("a ", Hole(), " b ", Hole(), ""), lambda n: [0.9 - 0.1 * abs(n[0] - 3), 0.5])
    assert (
        [lengths[0] for lengths in tried] == [*LENGTHS, 3]
        and best == (3, LONGEST)
        and said.startswith("Hole 1 takes 3")
    )
    assert not ending(("a", Hole(3), "")) and not ending(("a", Hole(), "b"))  # a length that is asked for is kept


@pytest.mark.parametrize(("at", "said"), [(9, "4 tokens"), (6, "1 token")])
def test_a_hole_that_ends_the_text_ends_where_the_model_ends_it(at, said):
    trace = fill(Fake(eos_at=at), "Only a ___", Settings(steps=64))
    given = len(Fake().tokens("Only a"))
    assert trace.frames[0].states[:given].tolist() == [PROMPT] * given and len(trace.final_ids) == at + 1
    assert trace.notice == f"The last hole was ended by the model itself, after {said}."
    assert trace.final_text.startswith("Only a ") and "END" not in trace.final_text.upper()[7:]


def test_a_hole_that_ends_the_text_may_take_all_there_is():
    trace = fill(Fake(eos_at=500), "Only ___\n")
    assert trace.final_text.startswith("Only ") and trace.final_text.endswith("\n")
    assert trace.notice == f"The last hole took all of its {LONGEST} tokens."


def test_a_prompt_of_ones_own_stands_before_the_text_that_is_quoted():
    parts = parse_holes("Dear ___, hello.", LOCAL)
    assert asked_of(BUILTIN, parts) == "Fill in the blanks (___) of this text:\nDear ___, hello."
    assert asked_of(BUILTIN, parts, "Be kind.") == f"Be kind.\n\n{asked_of(BUILTIN, parts)}"
    assert parse_fill("Dear ___, hello.", model="worlds", prompt="a notice")[0].prompt == "a notice"


def test_confidence_behind_a_hole_counts_where_the_text_can_be_read_from_left_to_right():
    trace = fill(Fake(), "Only [2] here")
    nats = [0.0] * len(trace.final_ids)
    start = places(trace, (2,))[0][0]
    assert confidence(trace, (2,), nats) == [1.0]
    nats[start + 3] = 10.0  # a surprise behind the hole
    assert confidence(trace, (2,), nats)[0] < 0.5
    assert 0 < confidence(trace, (2,))[0] < 1


def test_the_choice_is_told_in_the_trace_and_the_space_is_the_holes_own():
    trace = fill(Fake(), "Only ___ is written.")
    assert trace.notice.startswith("The hole takes ") and trace.final_text.startswith("Only ") and trace.branch == ""
    made = Filling(parts=("Only ", Hole(), " is"), lengths=(2,)).made(Fake().tokens, SPEC)
    assert made.spaced == (len(Fake().tokens("Only")),) and made.ids.count(-1) == 2 and made.ids[-1] == SPEC.eos_ids[0]


def test_a_length_that_the_canvas_has_no_room_for_is_not_tried(model):  # noqa: F811
    words = "the owl " * 33  # 66 of 72 tokens, and an end
    trace = fill(model, f"{words}___ owl .", Settings(steps=2))
    tried = {int(length) for length in re.findall(r"(\d) tokens?:|(\d):", trace.notice) for length in length if length}
    assert tried == {1, 2, 3}  # 66 + 3 + 2 + 1 = 72
    with pytest.raises(SettingError, match="this text takes"):
        fill(model, "the owl " * 36 + "___", Settings(steps=2))


def test_a_text_longer_than_the_limits_is_refused_whatever_made_it_so():
    filling = Filling(parts=("words " * 45, Hole(), ""), lengths=(2,))
    typed = Draft(tuple(range(258, 260)) * 127, edits=(Edit(0, 1, "type", "words " * 20),))
    for draft in (filling, typed):
        with pytest.raises(SettingError, match="Length must be between 1 and 256; it was"):
            Fake().denoise("x", Settings(steps=1, block_length=1024), draft=draft, limits=PUBLIC)
