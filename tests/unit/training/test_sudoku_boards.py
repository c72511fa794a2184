"""What the Sudoku networks learn from: images of puzzles that are puzzles, and a training that runs and resumes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.sudoku import CELLS, check, solutions
from training.small import load_average
from training.sudoku.__main__ import batches, main
from training.sudoku.boards import Boards, dug, pool, symmetries


@pytest.fixture(scope="module")
def boards() -> Boards:
    return Boards(*dug(4), torch.Generator().manual_seed(1))


def test_a_dug_puzzle_has_one_solution(boards: Boards):
    for puzzle, board in zip(boards.puzzles.tolist(), boards.boards.tolist(), strict=True):
        assert solutions(tuple(puzzle)) == [tuple(board)]


def test_images_of_a_board_are_boards_and_of_a_puzzle_puzzles(boards: Boards):
    cells, digits = symmetries(30, boards.rng)
    chosen = torch.randint(4, (30,), generator=boards.rng)
    full = digits.gather(1, boards.boards[chosen].long().gather(1, cells))
    puzzle = digits.gather(1, boards.puzzles[chosen].long().gather(1, cells))
    assert all(check(board) == [] for board in full.tolist()) and len({tuple(board) for board in full.tolist()}) == 30
    for board, solution in zip(puzzle.tolist()[:5], full.tolist(), strict=False):
        assert solutions(tuple(board)) == [tuple(solution)]


def test_rows_show_puzzles_with_one_solution_or_any_cells(boards: Boards):
    full, shown = boards.draw(120)
    unique = [len(solutions(tuple(row))) == 1 for row in torch.where(shown, full, 0).tolist()]
    assert 0.6 < sum(unique) / 120 < 1
    assert shown.float().mean(1).min() < 0.3 and shown.float().mean(1).max() > 0.95


def test_only_hidden_cells_count_and_the_twin_reads_the_puzzle_first(boards: Boards):
    for causal in (False, True):
        batch = next(batches(boards, causal, 6))
        shown = batch["seen"][:, :CELLS] > 0
        assert torch.equal(batch["counts"].bool(), ~shown) and torch.equal(
            batch["seen"][:, :CELLS][shown], batch["wanted"][shown]
        )
        assert batch["seen"].shape[1] == (2 * CELLS - 1 if causal else CELLS)
        if causal:
            assert torch.equal(batch["seen"][:, CELLS:], batch["wanted"][:, :-1])


def test_the_pool_is_kept(tmp_path: Path):
    first = pool(tmp_path, 3)
    (file,) = tmp_path.iterdir()
    stamp = file.stat().st_mtime_ns
    assert (
        all(torch.equal(a, b) for a, b in zip(first, pool(tmp_path, 3), strict=True))
        and file.stat().st_mtime_ns == stamp
    )


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
def test_training_runs_and_goes_on(tmp_path: Path, causal: bool):
    command = [
        "--out",
        str(tmp_path),
        "--smoke",
        "--no-compile",
        "--float32",
        "--batch",
        "4",
        *(["--causal"] if causal else []),
    ]
    main(command)
    main(command)
    network, about = load_average(tmp_path)
    assert about["step"] == 6 and about["rows"] == 24 and network.shape.causal == causal and network.weighed is not None
    weighed = network.weighed.detach()[0, 0]
    assert float(weighed[0]) < -3 and float(weighed[1]) > -1
