"""What a prompt asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import SettingError
from model.sudoku import CELLS, LEVELS, read_prompt, solutions
from tests.unit.sudoku.test_sudoku import LINES, PUZZLE, SOLUTION


def given_of(prompt: str, seed: int = 0) -> int:
    asked = read_prompt(prompt, seed)
    assert solutions(asked.puzzle) == [asked.solution]
    return CELLS - asked.puzzle.count(0)


@pytest.mark.parametrize(
    ("prompt", "level"),
    [
        ("easy", "easy"),
        ("Hard", "hard"),
        ("an EXTREME one, please", "extreme"),
        ("medium 12", "medium"),
        ("fiendish", "extreme"),
        ("a difficult sudoku with number 7", "hard"),
    ],
)
def test_a_word_asks_for_a_difficulty(prompt: str, level: str):
    assert LEVELS[level].fewest <= given_of(prompt) <= LEVELS[level].most


def test_the_number_in_the_prompt_or_the_seed_chooses_the_puzzle():
    assert read_prompt("hard", 3) == read_prompt("hard 3", 9) == read_prompt("hard #3")
    assert read_prompt("hard", 3) != read_prompt("hard", 4) and read_prompt("hard 3") != read_prompt("easy 3")


@pytest.mark.parametrize("typed", [PUZZLE, "\n".join(LINES), " ".join(PUZZLE)])
def test_a_typed_puzzle_is_itself(typed: str):
    asked = read_prompt(typed, 5)
    assert "".join(str(d or ".") for d in asked.puzzle) == PUZZLE
    assert asked.solution is not None and "".join(map(str, asked.solution)) == SOLUTION


def test_an_empty_board_may_be_asked_for():
    assert read_prompt("an empty board").puzzle == (0,) * CELLS and read_prompt("blank").solution is None


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("Write a letter", "or one of easy, medium, hard, extreme"),
        ("12345", "Type a Sudoku of 81 cells"),
        ("?", "Type a Sudoku"),
        ("easy or hard", "names easy and hard"),
        ("hard 7 8", "one number"),
        ("hard 12345678901", "one number below 1,000,000,000"),
        (PUZZLE[:60], "this one has 60"),
        (PUZZLE + " easy", "'e'"),
        ("." * 81, "more than one solution"),
        ("5" + PUZZLE[:-1], "clashes with"),
    ],
)
def test_other_prompts_are_refused_in_one_sentence(prompt: str, said: str):
    with pytest.raises(SettingError) as error:
        read_prompt(prompt)
    assert said in str(error.value) and str(error.value).endswith(".") and error.value.knob == "prompt"


@given(st.text(max_size=120), st.integers(0, 2**31))
def test_any_text_is_read_or_refused(prompt: str, seed: int):
    try:
        assert len(read_prompt(prompt, seed).puzzle) == CELLS
    except SettingError as error:
        assert str(error)
