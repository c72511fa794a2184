"""How many puzzles a network solves, by difficulty and by the order in which cells are decided: `python -m training.sudoku.evaluate RUN`.

Puzzles come from other boards than training's. Whole batches are decided at once here, by the same scores as `model.loops.orders`;
`tests/unit/sudoku` compares both. `--twin RUN` adds the autoregressive twin. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.models.sudoku.pairs import pairs, twin_pairs
from model.models.worlds.network import Network
from model.models.worlds.session import Passes
from model.models.worlds.weights import load as load_shipped
from model.sudoku import CELLS, LEVELS, by_singles, puzzle
from training.small import load_average

ORDERS = ("random", "left_to_right", "confidence", "entropy", "margin")
SEED = "evaluation"
ROWS = 256  # boards a pass


def puzzles(level: str, count: int) -> tuple[Tensor, Tensor]:
    """Return puzzles of a level and their solutions (count, 81)."""
    r = random.Random(f"{SEED} {level}")
    made = [puzzle(LEVELS[level], r) for _ in range(count)]
    return torch.tensor([board for board, _ in made]), torch.tensor([solution for _, solution in made])


def read(path: Path) -> Network:
    """Return the network of a training run's folder, or of a file that ships."""
    return load_average(path)[0] if path.is_dir() else load_shipped(path)[0]


def scores(order: str, p: Tensor, rng: torch.Generator) -> Tensor:
    """Return the score of each cell (batch, 81), higher first, from probabilities (batch, 81, digits)."""
    if order == "random":
        return torch.rand(p.shape[:2], generator=rng)
    if order == "left_to_right":
        return -torch.arange(CELLS).expand(p.shape[:2]).float()
    if order == "entropy":
        return (p * p.clamp_min(1e-12).log()).sum(-1)
    best = p.topk(2, -1).values
    return best[..., 0] - best[..., 1] if order == "margin" else best[..., 0]


@torch.inference_mode()
def fill(passes: Passes, boards: Tensor, order: str, at_once: int, seed: int = 0) -> tuple[Tensor, float]:
    """Return boards (batch, 81) filled with the likeliest digits, `at_once` cells a pass, and the mean number of passes."""
    boards, rng, made = boards.clone(), torch.Generator().manual_seed(seed), 0
    while bool((boards == 0).any()):
        live = (boards == 0).any(1).nonzero()[:, 0]
        now = boards[live]
        p = passes.logits(passes.run(now))[..., 1:10].softmax(-1)
        score = scores(order, p, rng).masked_fill(now > 0, -torch.inf)
        chosen = score.topk(at_once, -1)
        put = torch.zeros_like(now, dtype=torch.bool).scatter(1, chosen.indices, chosen.values > -torch.inf)
        boards[live] = torch.where(put, p.argmax(-1) + 1, now)
        made += len(live)
    return boards, made / len(boards)


@torch.inference_mode()
def write(passes: Passes, boards: Tensor) -> Tensor:
    """Return boards (batch, 81) as the twin writes them: given cells are kept, each other one is the likeliest digit."""
    cache, out = passes.new_cache(len(boards)), boards.clone()
    features = passes.run(boards, 0, cache)[:, -1]
    for cell in range(CELLS):
        best = passes.logits(features)[:, 1:10].argmax(-1) + 1
        out[:, cell] = torch.where(boards[:, cell] > 0, boards[:, cell], best)
        if cell + 1 < CELLS:
            features = passes.run(out[:, cell : cell + 1], CELLS + cell, cache)[:, 0]
    return out


def interval(right: Tensor, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a share of puzzles (n,)."""
    rng = torch.Generator().manual_seed(seed)
    drawn = right.float()[torch.randint(len(right), (1000, len(right)), generator=rng)].mean(1)
    low, high = drawn.quantile(torch.tensor([0.025, 0.975])).tolist()
    return round(low, 4), round(high, 4)


def cell_of(right: Tensor, passes: float, **named: Any) -> dict[str, Any]:
    """Return one cell of the table."""
    low, high = interval(right)
    return {
        **named,
        "solved": round(right.float().mean().item(), 4),
        "low": low,
        "high": high,
        "passes": round(passes, 1),
    }


def measure(
    network: Network, count: int, at_once: tuple[int, ...], levels: tuple[str, ...] = tuple(LEVELS)
) -> list[dict[str, Any]]:
    """Return the table of the masked network."""
    passes, table = Passes(network, pairs()), []
    for level in levels:
        boards, solutions = puzzles(level, count)
        for several in at_once:
            for order in ORDERS if several == 1 else ("confidence", "margin"):
                began, done = time.time(), [fill(passes, part, order, several) for part in boards.split(ROWS)]
                right = (torch.cat([filled for filled, _ in done]) == solutions).all(1)
                table.append(
                    cell_of(right, sum(made for _, made in done) / len(done), level=level, order=order, at_once=several)
                )
                print(json.dumps(table[-1] | {"seconds": round(time.time() - began)}), flush=True)
    return table


def measure_twin(network: Network, count: int, levels: tuple[str, ...] = tuple(LEVELS)) -> list[dict[str, Any]]:
    """Return the table of the twin."""
    passes, table = Passes(network, twin_pairs()), []
    for level in levels:
        boards, solutions = puzzles(level, count)
        right = (torch.cat([write(passes, part) for part in boards.split(ROWS)]) == solutions).all(1)
        table.append(cell_of(right, float(CELLS), level=level, order="twin", at_once=1))
        print(json.dumps(table[-1]), flush=True)
    return table


def main(argv: list[str] | None = None) -> None:
    """Print the table, one JSON object a line."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("network", type=Path, help="a training run's folder, or a file that ships")
    cli.add_argument("--twin", type=Path)
    cli.add_argument("--puzzles", type=int, default=1024, help="per difficulty")
    cli.add_argument("--at-once", type=int, nargs="+", default=[1, 4], help="cells decided a pass")
    cli.add_argument("--levels", nargs="+", choices=tuple(LEVELS), default=list(LEVELS))
    args = cli.parse_args(argv)
    levels = tuple(args.levels)
    singles = {level: sum(map(by_singles, map(tuple, puzzles(level, 200)[0].tolist()))) / 200 for level in levels}
    table = measure(read(args.network), args.puzzles, tuple(args.at_once), levels)
    if args.twin:
        table += measure_twin(read(args.twin), args.puzzles, levels)
    print(json.dumps({"puzzles": args.puzzles, "solved by singles": singles, "table": table}))


if __name__ == "__main__":
    main()
