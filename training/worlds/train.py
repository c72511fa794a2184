"""Train one of the worlds networks: `python -m training.worlds.train --kind masked --out run --seconds 5400`.

No text is seen twice: the grammar is the data set. Kinds: masked, noisy (random words, self-conditioning), causal (the twin).
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from model import worlds
from model.models.worlds.network import Shape
from training.small import Batch, Trainer, add_options

from . import noise

KINDS = ("masked", "noisy", "causal")
ROWS = 1344  # of the embedding: room for words to come


HARD = (
    "next",
    "less",
)  # what has to be worked out from another word, not copied: seven days and a few numbers, each its own case
RARE = 0.3  # share of the texts that are drawn until they hold such a word: in one of five only, it was not learnt


def fresh(r: random.Random) -> worlds.Text:
    """Return a text, more often than by chance one that holds a word of the `HARD` kinds."""
    wanted = r.random() < RARE
    while True:
        text = worlds.write(r)
        if not wanted or any(part.kind in HARD for part in text.structure.parts):
            return text


def texts(r: random.Random, count: int) -> tuple[Tensor, Tensor]:
    """Return ids of fresh texts behind prompts that ask for some of what is in them, and which words must agree with another one.

    Both (count, PROMPT + CANVAS); the latter 0: no word, 1: must agree, 2: must be worked out.
    """
    rows, linked = [], torch.zeros(count, worlds.PROMPT + worlds.CANVAS, dtype=torch.uint8)
    for row in range(count):
        text = fresh(r)
        ids = worlds.encode(text.words)
        rows.append(worlds.training_prompt(text, r) + ids + [worlds.END] * (worlds.CANVAS - len(ids)))
        linked[row, [worlds.PROMPT + position for position in text.structure.linked]] = 1
        linked[row, [worlds.PROMPT + part.start for part in text.structure.parts if part.kind in HARD]] = 2
    return torch.tensor(rows), linked


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """What `texts` returns, without end; each worker process of a DataLoader writes texts of its own."""

    def __init__(self, seed: str, count: int):
        self.seed, self.count = seed, count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        r = random.Random(f"{self.seed} {worker.id}" if worker else self.seed)
        while True:
            ids, linked = texts(r, self.count)
            yield ids.short(), linked


def batches(kind: str, stream: Iterable[tuple[Tensor, Tensor]], rng: torch.Generator) -> Iterator[Batch]:
    """Yield batches without end, on the generator's device."""
    words = torch.arange(worlds.END, len(worlds.VOCABULARY), device=rng.device)
    words = words[(words == worlds.END) | (words >= worlds.FIRST_WORD)]
    for ids, linked in stream:
        ids, linked = ids.to(rng.device, non_blocking=True).long(), linked.to(rng.device, non_blocking=True)
        if kind == "masked":
            yield noise.masked(ids, linked, rng)
        elif kind == "noisy":
            yield noise.random_words(ids, linked, rng, words)
        else:
            yield noise.next_words(ids, linked, worlds.END, rng)


def shape(kind: str, smoke: bool) -> Shape:
    """Return the sizes of a kind's network."""
    full = Shape(ROWS, worlds.PROMPT + worlds.CANVAS, causal=kind == "causal", conditioned=kind == "noisy")
    return replace(full, width=32, layers=1, heads=1, hidden=64) if smoke else full


def main(argv: list[str] | None = None) -> None:
    """Train until the schedule or this call ends."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--kind", choices=KINDS, default="masked")
    cli.add_argument(
        "--practice", action="store_true", help="half of the rows from the network's own runs (masked; see `practice`)"
    )
    add_options(cli)
    args = cli.parse_args(argv)
    trainer = Trainer(args, shape(args.kind, args.smoke), "cuda" if torch.cuda.is_available() else "cpu")
    if args.practice:
        from . import practice

        r = random.Random(f"{args.seed} {trainer.step}")
        trainer.run(practice.batches(trainer.network, r, trainer.generator, args.batch), noise.loss)
        return
    stream = Stream(f"{args.seed} {trainer.step}", args.batch)
    ahead = 4 if args.workers else None
    loader = DataLoader(
        stream, batch_size=None, num_workers=args.workers, prefetch_factor=ahead, pin_memory=trainer.device == "cuda"
    )
    print(
        f"{sum(p.numel() for p in trainer.network.parameters()) / 1e6:.2f} M parameters, {len(worlds.VOCABULARY)} words",
        flush=True,
    )
    trainer.run(batches(args.kind, loader, trainer.generator), noise.loss)


if __name__ == "__main__":
    main()
