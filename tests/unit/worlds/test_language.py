"""The small worlds: what is written is consistent, what is broken is found and named, what is shown reads as text."""

import random
from collections import Counter

import pytest

from model import worlds
from model.worlds import forms
from model.worlds.grammar import DERIVED, KINDS, article, derived, structures
from model.worlds.write import held_out_pairs

R = random.Random


@pytest.mark.parametrize("form", forms.FORMS)
def test_every_written_text_is_consistent_and_fits_the_canvas(form):
    r = R(form)
    for _ in range(150):
        text = worlds.write(r, form)
        assert worlds.check(text.words, form) == []
        assert 40 <= len(text.words) < worlds.CANVAS
        assert worlds.decode(worlds.encode(text.words)) == list(text.words)


@pytest.mark.parametrize("form", forms.FORMS)
def test_every_option_of_a_kind_is_equally_long_so_that_positions_never_shift(form):
    assert structures(form)
    for structure in structures(form):
        assert len(structure) == sum(part.length for part in structure.parts) < worlds.CANVAS
    for kind, options in KINDS.items():
        assert len({len(option) for option in options}) == 1 and len(options) == len(set(options)), kind


def agrees(text):
    """Yield the parts of a text that must agree with another one, with the words that would not."""
    for part in text.structure.parts:
        own = text.words[part.start]
        if part.kind == "again":
            yield part, [word for word in text.structure.allowed[part.start] if word != own]
        elif part.kind in DERIVED:
            yield part, [word for word in DERIVED[part.kind] if word != own]
        elif part.kind == "a":
            yield part, ["an" if own == "a" else "a"]


@pytest.mark.parametrize("form", forms.FORMS)
def test_every_broken_agreement_is_found_at_its_place_and_named(form):
    r, seen = R(form), set()
    for _ in range(60):
        text = worlds.write(r, form)
        for part, others in agrees(text):
            words = list(text.words)
            words[part.start] = r.choice(sorted(others))
            faults = worlds.check(words, form)
            assert faults and part.start in faults[0].positions, words[part.start]
            assert f"'{words[part.start]}'" in faults[0].sentence
            seen.add(part.kind)
    assert len(seen) >= 2


def test_a_changed_first_mention_is_found_too():
    r, found = R(4), Counter()
    for _ in range(200):
        text = worlds.write(r)
        for part in text.structure.parts:
            again = [other for other in text.structure.parts if other.of == part.name and other.kind == "again"]
            if part.name and again:
                words = list(text.words)
                words[part.start] = r.choice(
                    sorted(w for w in text.structure.allowed[part.start] if w != words[part.start])
                )
                found[bool(worlds.check(words, text.form))] += 1
    assert found[True] > 200 and not found[False]


def test_other_faults_are_said_in_words():
    text = worlds.write(R(1), "notice")
    words = list(text.words)
    place = next(part for part in text.structure.parts if part.kind == "place")

    def first(changed):
        return worlds.check(changed, "notice")[0].sentence

    assert first([*words[: place.start], "seven", *words[place.start + 1 :]]).endswith("is no place.")
    assert first(words[:-5]).startswith("The notice of a lost animal breaks off in the ")
    assert "A word is missing in the" in first(words[:8] + words[9:])
    assert "There is a word too many in the" in first(words[:8] + ["seven"] + words[8:])
    assert (
        worlds.check(words, "notice", ["nose-bleed"])[0].sentence
        == "The prompt asked for 'nose-bleed', which is nowhere in the text."
    )
    assert worlds.check([], "notice") and worlds.check(["owl"] * 71) and worlds.check(words) == []


def test_derived_words():
    assert (
        derived("next", "Sunday") == "Monday"
        and derived("less", "three") == "two"
        and derived("sound", "owl") == "hoots"
    )
    assert derived("his", "Mira") == "her" and derived("He", "Otto") == "He" and derived("him", "widow") == "her"
    assert [article(word) for word in ("owl", "fox", "one-eyed", "unusual", "uncle")] == ["an", "a", "a", "an", "an"]


def test_a_tenth_of_the_pairs_is_held_out_of_training():
    r = R(2)
    assert all(not held_out_pairs(t.structure, t.words) for t in (worlds.write(r) for _ in range(300)))
    assert all(held_out_pairs(t.structure, t.words) for t in (worlds.write(r, held_out=True) for _ in range(100)))
    share = (
        sum(bool(held_out_pairs(t.structure, t.words)) for t in (worlds.write(r, held_out=None) for _ in range(600)))
        / 600
    )
    assert 0.05 < share < 0.5


def test_no_clause_repeats_often():
    r, seen, texts = R(3), Counter(), 3000
    for _ in range(texts):
        text = worlds.write(r)
        owner = {
            p: part.start
            for part in text.structure.parts
            if part.kind in KINDS
            for p in range(part.start, part.start + part.length)
        }
        clauses = {
            text.words[i : i + 6]
            for i in range(len(text.words) - 5)
            if len({owner.get(p) for p in range(i, i + 6)} - {None}) >= 2
        }
        seen.update(clauses)
    clause, most = seen.most_common(1)[0]
    assert most / texts < 0.005, clause


def test_text_reads_as_text():
    text = worlds.write(R(6), "postcard")
    shown = worlds.display(text.words)
    assert "".join(worlds.piece(token) for token in worlds.encode(text.words)).strip() == shown
    assert shown.startswith("Dear ") and " ," not in shown and " ." not in shown and shown[0].isupper()


@pytest.mark.parametrize(
    ("typed", "form", "topics", "unknown"),
    [
        ("A notice about a lost owl near the lighthouse", "notice", ("owl", "lighthouse"), ()),
        ("POSTCARD from Mira, with foxes!", "postcard", ("Mira", "fox"), ()),
        ("a spaceship recipe", "recipe", (), ("spaceship",)),
        ("letter of complaint about a piano on monday", "letter", ("piano", "Monday"), ()),
        ("Why is the sky blue?", None, (), ("sky", "blue")),
        ("", None, (), ()),
    ],
)
def test_a_prompt_is_read_as_far_as_the_world_knows_it(typed, form, topics, unknown):
    asked = worlds.read_prompt(typed)
    assert (asked.form, asked.unknown) == (form, unknown)
    assert asked.topics == topics
    assert (f"'{unknown[0]}'" in asked.sentence) if unknown else asked.sentence == ""


def test_a_prompt_with_too_many_words_says_which_it_left_out():
    asked = worlds.read_prompt("owl fox goat cat dog pig hen")
    assert len(asked.topics) == 5 and asked.dropped == ("pig", "hen") and "pig, hen" in asked.sentence


def test_pins_that_no_text_can_hold_are_named():
    assert worlds.unholdable({0: "Lost", 1: ":"}) == ""
    assert worlds.unholdable({0: "owl"}) == "No text of the small worlds has 'owl' at position 0."
    assert worlds.unholdable({0: "Lost", 1: "Mira"}) != ""
    text = worlds.write(R(8), "notice")
    again = [part for part in text.structure.parts if part.of == "p"][-1]
    first = next(part for part in text.structure.parts if part.name == "p")
    other = next(word for word in sorted(text.structure.allowed[again.start]) if word != text.words[first.start])
    fixed = {i: word for i, word in enumerate(text.words) if text.structure.parts[0].start <= i}
    assert worlds.unholdable(fixed) == ""
    assert "one text cannot hold both" in worlds.unholdable(fixed | {again.start: other})
