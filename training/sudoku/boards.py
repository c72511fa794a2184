"""Boards to learn from: puzzles dug to the bottom, turned over by the symmetries of the game so that none is ever seen twice.

A board has 9! x 2 x 6^8 = 1.2e12 images under exchanged digits, turning, and exchanged rows, columns, bands and stacks; all of them are
puzzles with one solution if it is one.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.sudoku import CELLS, dig, solved
from training.small import drawn

POOL = 4_000  # puzzles, about a minute of one core
PUZZLES = 0.7  # share of rows that show a puzzle and some of its solution; the rest shows any cells of a board
SEED = "training"


def dug(count: int, seed: str = SEED) -> tuple[Tensor, Tensor]:
    """Return puzzles that need every digit they give, and their solutions, (count, 81) each."""
    r, puzzles, boards = random.Random(seed), [], []
    for _ in range(count):
        board = solved(r)
        boards.append(board)
        puzzles.append(dig(board, 0, r.sample(range(CELLS), CELLS)))
    return torch.tensor(puzzles, dtype=torch.uint8), torch.tensor(boards, dtype=torch.uint8)


def pool(folder: Path, count: int) -> tuple[Tensor, Tensor]:
    """Return `dug(count)`, kept in a file between calls."""
    path = folder / f"boards-{count}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        puzzles, boards = dug(count)
        save_file({"puzzles": puzzles, "boards": boards}, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)
    stored = load_file(path)
    return stored["puzzles"], stored["boards"]


def symmetries(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return where each cell of an image comes from (count, 81), and what each digit becomes (count, 10), 0 staying 0."""

    def lines() -> Tensor:
        bands = drawn(rng, count, 3).argsort(1)
        inside = drawn(rng, count, 3, 3).argsort(2)
        return (3 * bands[:, :, None] + inside).view(count, 9)

    rows, columns = lines(), lines()
    cells = 9 * rows[:, :, None] + columns[:, None]
    turned = drawn(rng, count, 1, 1) < 0.5
    cells = torch.where(turned, cells.transpose(1, 2), cells).reshape(count, CELLS)
    digits = drawn(rng, count, 9).argsort(1) + 1
    return cells, torch.cat((torch.zeros(count, 1, dtype=torch.long, device=rng.device), digits), 1)


class Boards:
    """Fresh boards without end."""

    def __init__(self, puzzles: Tensor, boards: Tensor, rng: torch.Generator):
        self.puzzles, self.boards, self.rng = puzzles.to(rng.device), boards.to(rng.device), rng

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Return solved boards (count, 81) and which of their cells are shown.

        Shown are a random share of the cells, uniform in [0, 1], and in PUZZLES of the rows beside them those that make a puzzle with one
        solution: what a run meets on its way from the puzzle to the full board.
        """
        rng = self.rng
        chosen = torch.randint(len(self.boards), (count,), generator=rng, device=rng.device)
        cells, digits = symmetries(count, rng)
        board = digits.gather(1, self.boards[chosen].long().gather(1, cells))
        given = (self.puzzles[chosen] > 0).gather(1, cells)
        shown = drawn(rng, count, CELLS) < drawn(rng, count, 1)
        puzzle = drawn(rng, count, 1) < PUZZLES
        return board, shown | (given & puzzle)
