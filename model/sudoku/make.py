"""Make boards and puzzles: random solved boards, and puzzles dug out of them that keep exactly one solution."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from .board import CELLS, Board
from .solver import FULL, Search, by_singles, propagate, put, start


@dataclass(frozen=True)
class Level:
    """A difficulty: how many digits are given, and whether forced cells alone must not suffice."""

    name: str
    fewest: int
    most: int
    needs_search: bool = False


LEVELS = {
    level.name: level
    for level in (
        Level("easy", 40, 49),
        Level("medium", 36, 39),
        Level("hard", 28, 35),
        Level("extreme", 22, 27, needs_search=True),
    )
}


def solved(rng: random.Random) -> Board:
    """Return a random solved board."""
    while True:
        for board in Search(200, rng).run(_three_boxes(rng)):
            return board


def _three_boxes(rng: random.Random) -> list[int]:
    """Return where digits may stand once the three boxes of the diagonal, which do not see each other, are filled at random."""
    places = [FULL] * 9
    for box in (0, 30, 60):
        digits = rng.sample(range(9), 9)
        for i in range(9):
            put(places, digits[i], box + 9 * (i // 3) + i % 3)
    return places


def needed(board: list[int], cell: int) -> bool:
    """Whether a puzzle with one solution would have more of them without this given digit."""
    digit, board[cell] = board[cell], 0
    places = start(tuple(board))
    board[cell] = digit
    places[digit - 1] &= ~(1 << cell)  # solve it with any other digit here
    if (choice := propagate(places)) is None:
        return False
    return not choice or next(Search().run(places), None) is not None


def dig(solution: Board, givens: int, order: Iterable[int]) -> Board:
    """Return a puzzle with this one solution: digits are taken away in `order` while it stays the only one, down to `givens`."""
    board, left = list(solution), CELLS
    for cell in order:
        if left <= givens:
            break
        if not needed(board, cell):
            board[cell] = 0
            left -= 1
    return tuple(board)


def puzzle(level: Level, rng: random.Random) -> tuple[Board, Board]:
    """Return a puzzle of a level and its solution."""
    while True:
        solution, givens = solved(rng), rng.randint(level.fewest, level.most)
        board = dig(solution, givens, rng.sample(range(CELLS), CELLS))
        left = CELLS - board.count(0)
        if level.fewest <= left <= level.most and not (level.needs_search and by_singles(board)):
            return board, solution
