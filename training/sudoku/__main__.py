"""Train a Sudoku network: `python -m training.sudoku --out run --seconds 2400`; `--causal` for the autoregressive twin."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model.models.sudoku.pairs import KINDS, TWIN_KINDS, pairs, start, twin_pairs
from model.models.worlds.network import Shape
from model.sudoku import CELLS
from training.small import Batch, Trainer, add_options

from .boards import POOL, Boards, pool

MASK, TOKENS = 0, 10
ROWS = 16  # of the embedding: the mask, nine digits, and room to a round number


def shape(causal: bool, smoke: bool) -> Shape:
    """Return the sizes of a network."""
    full = Shape(ROWS, 2 * CELLS if causal else CELLS, causal=causal, relations=TWIN_KINDS if causal else KINDS)
    return replace(full, width=24, layers=1, heads=3, hidden=32) if smoke else full


def batches(boards: Boards, causal: bool, count: int) -> Iterator[Batch]:
    """Yield batches without end: ids that are seen, ids that are wanted, and which of these count."""
    while True:
        board, shown = boards.draw(count)
        seen = torch.where(shown, board, MASK)
        if causal:
            seen = torch.cat((seen, board), 1)[:, :-1].contiguous()
        yield {"seen": seen, "wanted": board, "counts": (~shown).float()}


def loss_of(causal: bool, device: str) -> Callable[[Any, Batch], Tensor]:
    """Return the loss of a batch: the mean cross-entropy (nats) of the cells that are not shown."""
    kinds = (twin_pairs()[:-1, :-1] if causal else pairs()).to(device)

    def loss(network: Any, batch: Batch) -> Tensor:
        features = network(batch["seen"], None, kinds)[:, -CELLS:]
        logits = network.logits(features)[..., :TOKENS]
        nats = F.cross_entropy(logits.flatten(0, 1), batch["wanted"].flatten(), reduction="none")
        return (nats * batch["counts"].flatten()).sum() / batch["counts"].sum().clamp_min(1)

    return loss


def main(argv: list[str] | None = None) -> None:
    """Train until the schedule or this call ends."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument(
        "--causal", action="store_true", help="the autoregressive twin: a puzzle, then its solution from left to right"
    )
    add_options(cli)
    cli.set_defaults(batch=128)
    args = cli.parse_args(argv)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = Trainer(args, shape(args.causal, args.smoke), device)
    if not trainer.step and not args.init:
        for weights in (trainer.network.weighed, trainer.average["weighed"]):
            assert weights is not None
            weights.data.copy_(start(trainer.shape.layers, trainer.shape.heads, args.causal))
    boards = Boards(*pool(args.out, 20 if args.smoke else POOL), trainer.generator)
    print(f"{sum(p.numel() for p in trainer.network.parameters()) / 1e6:.2f} M parameters", flush=True)
    trainer.run(batches(boards, args.causal, args.batch), loss_of(args.causal, device))


if __name__ == "__main__":
    main()
