"""What a visitor types is made safe at the boundary, and nothing else is changed."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.text import MARKS_PER_BASE, normalise

anything = st.text(st.one_of(st.characters(), st.characters(categories=["Cs", "Cc", "Mn", "Me", "Cf"])), max_size=80)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("a plain prompt", "a plain prompt"),
        ("\ud800", "\ufffd"),
        ("a\udfffb", "a\ufffdb"),
        ("\ud83d\ude42", "🙂"),  # a surrogate pair is one character
        ("nul\x00 bell\x07 esc\x1b[31m del\x7f c1\x9b", "nul bell esc[31m del c1"),
        ("line\r\nline\rline\n\ttab", "line\nline\nline\n\ttab"),
        ("e\u0301", "é"),
        ("e\x00\u0301", "é"),  # a control character does not keep them apart
        ("\u212b", "Å"),
        ("a" + "\u0336" * 50, "a" + "\u0336" * MARKS_PER_BASE),
        ("שלום مرحبا", "שלום مرحبا"),
        ("👩‍🔧 naïve 你好", "👩‍🔧 naïve 你好"),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),  # escaping belongs to the page
        ("", ""),
    ],
)
def test_a_typed_text_becomes(typed: str, kept: str):
    assert normalise(typed) == kept


@settings(max_examples=400)
@given(anything)
def test_the_result_can_always_be_sent_and_shown(typed: str):
    text = normalise(typed)
    assert text.encode("utf-8").decode("utf-8") == text
    assert unicodedata.is_normalized("NFC", text)
    assert not any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t" for char in text)


@settings(max_examples=400)
@given(anything)
def test_no_base_carries_more_than_eight_marks(typed: str):
    run = 0
    for char in normalise(typed):
        run = run + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        assert run <= MARKS_PER_BASE


@settings(max_examples=400)
@given(anything)
def test_normalising_twice_changes_nothing_more(typed: str):
    assert normalise(normalise(typed)) == normalise(typed)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200))
def test_plain_text_stays_as_it_is(typed: str):
    assert normalise(typed) == typed
