"""What is wrong with a board, in sentences a visitor understands, with the cells to mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.errors import SettingError

from .board import BOXES, CELLS, COLUMNS, ROWS, Board, name
from .solver import Search, solutions

SIDES = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
NAMED = (
    *((unit, f"row {i}") for i, unit in enumerate(ROWS, 1)),
    *((unit, f"column {i}") for i, unit in enumerate(COLUMNS, 1)),
    *((unit, f"the {side} box") for unit, side in zip(BOXES, SIDES, strict=True)),
)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: a sentence for a reader, and the cells that disagree."""

    sentence: str
    positions: tuple[int, ...]


def conflicts(board: Sequence[int]) -> list[Fault]:
    """Return every digit that stands twice in a row, column or box (the same pair of cells once)."""
    found: dict[tuple[int, ...], Fault] = {}
    for unit, called in NAMED:
        for digit in range(1, 10):
            cells = tuple(cell for cell in unit if board[cell] == digit)
            if len(cells) > 1 and cells not in found:
                often = {2: "twice", 3: "three times"}.get(len(cells), f"{len(cells)} times")
                found[cells] = Fault(f"The {digit} stands {often} in {called}.", cells)
    return list(found.values())


def check(board: Sequence[int], givens: Board | None = None) -> list[Fault]:
    """Return what keeps a board from being solved: clashes, given digits that were changed, cells left empty; [] where it is solved."""
    faults = conflicts(board)
    changed = [cell for cell, digit in enumerate(givens or ()) if digit and board[cell] != digit]
    if changed:
        cell = changed[0]
        faults.append(Fault(f"The given {(givens or ())[cell]} in {name(cell)} was changed.", tuple(changed)))
    empty = tuple(cell for cell in range(CELLS) if not board[cell])
    if empty:
        faults.append(Fault(f"{len(empty)} cell{'s are' if len(empty) > 1 else ' is'} empty.", empty))
    return faults


def refuse(board: Board) -> None:
    """Raise SettingError with one sentence where a puzzle has no solution, or more than one."""
    if clashes := conflicts(board):
        one, other = clashes[0].positions[:2]
        raise SettingError(
            f"This puzzle cannot be solved: the {board[one]} in {name(one)} clashes with the {board[other]} in {name(other)}.",
            "prompt",
        )
    search = Search()
    found = solutions(board, 2, search)
    if len(found) == 2:
        cell = next(i for i in range(CELLS) if found[0][i] != found[1][i])
        one, other = sorted((found[0][cell], found[1][cell]))
        raise SettingError(
            f"This puzzle has more than one solution ({name(cell)} may be {one} or {other}); give more digits.",
            "prompt",
        )
    if search.exhausted:
        raise SettingError(
            "Whether this puzzle has exactly one solution could not be decided in time; give more digits.", "prompt"
        )
    if not found:
        raise SettingError(
            "This puzzle has no solution, though no two of its digits clash; check what was typed.", "prompt"
        )
