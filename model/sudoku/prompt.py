"""What a prompt asks for: a puzzle that was typed, or one of a difficulty, or none at all."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache

from model.errors import SettingError

from .board import CELLS, EMPTY, Board, parse
from .check import refuse
from .make import LEVELS, puzzle
from .solver import solve

NOTHING = "empty"
OTHERS = {
    "beginner": "easy",
    "simple": "easy",
    "moderate": "medium",
    "normal": "medium",
    "difficult": "hard",
    "expert": "extreme",
    "evil": "extreme",
    "fiendish": "extreme",
    "blank": NOTHING,
}
FEW = 20  # cells from which on a text is taken for a puzzle, whatever words are in it
HINT = f"Type a Sudoku of 81 cells with dots for the empty ones, or one of {', '.join(LEVELS)} (and a number: 'hard 7'), or '{NOTHING}'."
MOST = 10**9


@dataclass(frozen=True)
class Asked:
    """A puzzle and its solution; without given cells any board solves it, and `solution` is None."""

    puzzle: Board
    solution: Board | None


def read_prompt(prompt: str, seed: int = 0) -> Asked:
    """Return what a prompt asks for; raise SettingError with one sentence.

    A difficulty gives the same puzzle for the same number: that in the prompt, else `seed`.
    """
    words = re.findall(r"[^\W\d_]+", prompt.lower())
    found = [OTHERS.get(word, word) for word in words if OTHERS.get(word, word) in (*LEVELS, NOTHING)]
    cells = sum(char.isdecimal() or char in EMPTY for char in prompt)
    if not words or cells >= FEW:
        if cells < FEW:
            raise SettingError(HINT, "prompt")
        return typed(parse(prompt))
    if not found:
        raise SettingError(HINT, "prompt")
    if len(set(found)) > 1:
        raise SettingError(
            f"Ask for one difficulty: this prompt names {found[0]} and {next(f for f in found if f != found[0])}.",
            "prompt",
        )
    if found[0] == NOTHING:
        return Asked((0,) * CELLS, None)
    numbers = re.findall(r"\d+", prompt)
    if len(numbers) > 1 or any(len(number) > 9 for number in numbers):
        raise SettingError(f"A puzzle is chosen by one number below {MOST:,}: '{found[0]} 7'.", "prompt")
    return of_level(found[0], int(numbers[0]) if numbers else seed)


@lru_cache(maxsize=64)
def of_level(level: str, number: int) -> Asked:
    """Return a level's puzzle of that number."""
    return Asked(*puzzle(LEVELS[level], random.Random(f"{level} {number}")))


@lru_cache(maxsize=64)
def typed(board: Board) -> Asked:
    """Return a typed puzzle and its solution; raise SettingError where it has none, or more than one."""
    refuse(board)
    return Asked(board, solve(board))
