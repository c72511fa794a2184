"""A board: 81 numbers, row by row, 0 where a cell is empty; its units, and how people type it."""

from __future__ import annotations

from model.errors import SettingError

Board = tuple[int, ...]

CELLS = 81
ROWS = tuple(tuple(range(9 * r, 9 * r + 9)) for r in range(9))
COLUMNS = tuple(tuple(range(c, CELLS, 9)) for c in range(9))
BOXES = tuple(tuple(27 * (b // 3) + 3 * (b % 3) + 9 * (i // 3) + i % 3 for i in range(9)) for b in range(9))
UNITS = ROWS + COLUMNS + BOXES
PEERS = tuple(tuple(sorted({p for unit in UNITS if cell in unit for p in unit} - {cell})) for cell in range(CELLS))

EMPTY = ".0_*?"
DASH = "-"  # an empty cell, or part of a line drawn between boxes: whichever makes 81
SEPARATORS = "|+=,;:/\\'\"[](){}│┃║─━═┼╋╬├┤┬┴┌┐└┘┠┨┯┷┿╂╔╗╚╝╠╣╦╩╟╢╤╧╪╫"
GIVES = "a puzzle has 81 cells, row by row, with dots for the empty ones"


def name(cell: int) -> str:
    """Return where a cell is, in words."""
    return f"row {cell // 9 + 1}, column {cell % 9 + 1}"


def show(board: Board) -> str:
    """Return a board as 81 characters, dots for empty cells."""
    return "".join(str(digit) if digit else "." for digit in board)


def parse(text: str) -> Board:
    """Return a board as typed: 81 digits, dots, zeros or underscores, in one line or nine, with or without lines drawn between the boxes.

    Whether it can be solved is not asked here (`check.refuse`). Raise SettingError naming the character or the length.
    """
    cells: list[int] = []
    dashes = text.count(DASH)
    with_dashes = sum(char.isdecimal() or char in EMPTY + DASH for char in text) == CELLS
    for char in text:
        if char.isdecimal():
            cells.append(int(char))
        elif char in EMPTY or (char == DASH and with_dashes):
            cells.append(0)
        elif not (char.isspace() or char in SEPARATORS or char == DASH):
            raise SettingError(f"A puzzle is written with digits and dots; this one has {char!r} in it.", "prompt")
    if len(cells) != CELLS:
        beside = f" ({dashes} dashes left out)" if dashes else ""
        raise SettingError(f"{GIVES.capitalize()}; this one has {len(cells)}{beside}.", "prompt")
    return tuple(cells)
