"""Solve boards by bits: for each digit one 81-bit number of the cells it may still stand in.

A board is filled by what is forced (a cell with one digit left, a digit with one place left in a row, column or box) and, where nothing
is, by trying the choice with the fewest options. Exact: `solutions` finds them all unless told to stop.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from .board import CELLS, PEERS, UNITS, Board

FULL = (1 << CELLS) - 1
UNIT_BITS = tuple(sum(1 << cell for cell in unit) for unit in UNITS)
KEEP = tuple(
    FULL & ~sum(1 << peer for peer in peers) for peers in PEERS
)  # what is left of a digit's places once it stands here
OTHERS = tuple(FULL & ~(1 << cell) for cell in range(CELLS))
MOST_NODES = 20_000  # choices tried before a board is given up: about ten seconds

Places = list[int]  # nine numbers, one a digit


class Search:
    """One search: how many choices it has tried, and of how many it may."""

    def __init__(self, most: int = MOST_NODES, rng: random.Random | None = None):
        self.most, self.rng, self.nodes = most, rng, 0
        self.exhausted = False  # whether it gave up: what it has not found may be there

    def run(self, places: Places) -> Iterator[Board]:
        """Yield every solution within `places`; they are used up."""
        choice = propagate(places)
        if choice is None:
            return
        if not choice:
            yield _read(places)
            return
        if self.rng:
            self.rng.shuffle(choice)
        for digit, cell in choice:
            self.nodes += 1
            if self.nodes > self.most:
                self.exhausted = True
                return
            trial = places.copy()
            put(trial, digit, cell)
            yield from self.run(trial)


def start(board: Board) -> Places:
    """Return where each digit may stand beside a board's own; a board that clashes leaves some cell or unit without any."""
    places = [FULL] * 9
    for cell, digit in enumerate(board):
        if digit:
            put(places, digit - 1, cell)
    return places


def put(places: Places, digit: int, cell: int) -> None:
    """Let `digit` (0-8) be the only one in a cell, and this its only place among the cell's peers."""
    here, keep, others = places[digit] & (1 << cell), KEEP[cell], OTHERS[cell]
    for other in range(9):
        places[other] &= others
    places[digit] = (places[digit] & keep) | here


def propagate(places: Places) -> list[tuple[int, int]] | None:
    """Fill in what is forced; return the smallest choice that is left, as (digit, cell) pairs, [] where all is decided, None where
    nothing fits."""
    settled = 0  # cells whose digit has been taken from their peers
    while True:
        once = twice = thrice = 0
        for bits in places:
            thrice |= twice & bits
            twice |= once & bits
            once |= bits
        if once != FULL:
            return None
        forced = once & ~twice & ~settled
        if forced:
            for digit in range(9):
                new = places[digit] & forced
                while new:
                    bit = new & -new
                    new ^= bit
                    cell = bit.bit_length() - 1
                    if not places[digit] & bit:  # another cell of the same unit was forced to the same digit
                        return None
                    places[digit] &= KEEP[cell]
            settled |= forced
            continue
        if not twice:
            return []
        best = _hidden(places, twice)
        if best is None:
            return None
        if len(best) == 1:
            digit, cell = best[0]
            put(places, digit, cell)
            continue
        pairs = twice & ~thrice
        if len(best) > 2 and pairs:
            bit = pairs & -pairs
            return [(digit, bit.bit_length() - 1) for digit in range(9) if places[digit] & bit]
        return best


def _hidden(places: Places, open_: int) -> list[tuple[int, int]] | None:
    """Return the digit and unit with the fewest places left, as (digit, cell) pairs; None where some digit has none in some unit."""
    fewest, best = 10, (0, 0)
    for digit, bits in enumerate(places):
        undecided = bits & open_
        for unit in UNIT_BITS:
            here = bits & unit
            if not here:
                return None
            if not here & undecided:
                continue
            count = here.bit_count()
            if count < fewest:
                fewest, best = count, (digit, here)
                if count == 1:
                    return [(digit, here.bit_length() - 1)]
    digit, here = best
    return [(digit, cell) for cell in range(CELLS) if here >> cell & 1]


def _read(places: Places) -> Board:
    board = [0] * CELLS
    for digit, bits in enumerate(places, 1):
        while bits:
            board[(bits & -bits).bit_length() - 1] = digit
            bits &= bits - 1
    return tuple(board)


def solutions(board: Board, most: int = 2, search: Search | None = None) -> list[Board]:
    """Return up to `most` solutions of a board."""
    found: list[Board] = []
    for solution in (search or Search()).run(start(board)):
        found.append(solution)
        if len(found) == most:
            break
    return found


def solve(board: Board) -> Board | None:
    """Return a solution of a board, or None where there is none."""
    found = solutions(board, 1)
    return found[0] if found else None


def by_singles(board: Board) -> bool:
    """Whether forced cells alone (naked and hidden singles) solve a board."""
    return propagate(start(board)) == []
