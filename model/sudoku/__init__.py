"""Sudoku, exactly: boards as typed and as tuples, rules, a solver, puzzles by difficulty, and a checker that names what clashes.

Pure Python, no torch: the page, the command line, training and tests use the same.
"""

from __future__ import annotations

from .board import BOXES, CELLS, COLUMNS, PEERS, ROWS, UNITS, Board, name, parse, show
from .check import Fault, check, conflicts, refuse
from .make import LEVELS, Level, dig, puzzle, solved
from .prompt import Asked, of_level, read_prompt
from .solver import Search, by_singles, solutions, solve

__all__ = [
    "BOXES",
    "CELLS",
    "COLUMNS",
    "LEVELS",
    "PEERS",
    "ROWS",
    "UNITS",
    "Asked",
    "Board",
    "Fault",
    "Level",
    "Search",
    "by_singles",
    "check",
    "conflicts",
    "dig",
    "name",
    "of_level",
    "parse",
    "puzzle",
    "read_prompt",
    "refuse",
    "show",
    "solutions",
    "solve",
    "solved",
]
