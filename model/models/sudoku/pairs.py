"""What two cells have to do with each other, as the networks' attention is told it: the same row, column, box.

A network that knows nothing else of where a cell lies treats all boards that are the same by symmetry (rows of a band exchanged, the
board turned over) in the same way, without having to learn it from data.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.sudoku import CELLS

BITS = 3  # row, column, box
KINDS = 1 << BITS
TWIN_KINDS = KINDS * KINDS * 4
SELDOM = -4.0  # nats by which a head starts out preferring the unit it looks along


def shared(cells: Tensor, others: Tensor) -> Tensor:
    """Return which of row (1), column (2) and box (4) each cell shares with each of the others, added up."""
    row, column = cells[:, None] // 9, cells[:, None] % 9
    row2, column2 = others[None] // 9, others[None] % 9
    box, box2 = row // 3 * 3 + column // 3, row2 // 3 * 3 + column2 // 3
    return (row == row2).long() + 2 * (column == column2).long() + 4 * (box == box2).long()


def pairs() -> Tensor:
    """Return the kind of each pair of cells (81, 81)."""
    cells = torch.arange(CELLS)
    return shared(cells, cells)


def twin_pairs() -> Tensor:
    """Return the kind of each pair of the twin's positions (162, 162): a puzzle, then its solution.

    A position asks for the cell after its own, so a kind holds what the other one shares with its own cell, what it shares with the one
    that is asked for, and in which half each of the two lies.
    """
    position = torch.arange(2 * CELLS)
    own, asked, half = position % CELLS, (position + 1) % CELLS, position // CELLS
    return shared(own, own) + KINDS * shared(asked, own) + KINDS * KINDS * (2 * half[:, None] + half[None])


def start(layers: int, heads: int, causal: bool) -> Tensor:
    """Return what a network weighs kinds with before training (layers, heads, kinds): each head looks along rows, columns or boxes.

    The twin's first half of the heads goes by a position's own cell, the rest by the one that is asked for.
    """
    kind = torch.arange(TWIN_KINDS if causal else KINDS)
    out = torch.zeros(heads, len(kind))
    for head in range(heads):
        bit = 1 << head % BITS
        seen = kind // KINDS if causal and head >= heads // 2 else kind
        out[head] = torch.where(seen % KINDS & bit > 0, 0.0, SELDOM)
    return out.expand(layers, -1, -1).clone()
