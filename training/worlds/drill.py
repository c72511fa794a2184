"""Teach a network what must be worked out from another word, alone: `python -m training.worlds.drill RUN OUT.safetensors --kind masked`.

The day after a day was not learnt among everything else: 560,000 texts left it at chance, though it is seven facts. Asked for nothing but
that word, all others in view, the network learns it in about 200 steps; training then goes on from here with `--init`.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from model import worlds
from training.small import Optimizers, load_average

from .noise import MASK
from .train import fresh

WORD, ROWS, RATE, ENOUGH = "next", 48, 1e-3, 0.97


def asked(r: random.Random, kind: str, count: int = ROWS) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids (count, T) that lack one word each, the positions whose output names it, and its ids.

    kind: 'masked' (a mask in its place), 'noisy' (a random word) or 'causal' (it stands, and the output before it is asked).
    """
    rows: list[list[int]] = []
    places: list[int] = []
    wanted: list[int] = []
    while len(rows) < count:
        text = fresh(r)
        where = next((part.start for part in text.structure.parts if part.kind == WORD), None)
        if where is None:
            continue
        ids = worlds.encode(text.words)
        row, at = worlds.training_prompt(text, r) + ids + [worlds.END] * (worlds.CANVAS - len(ids)), worlds.PROMPT + where
        wanted.append(row[at])
        if kind != "causal":
            row[at] = MASK if kind == "masked" else r.randrange(worlds.FIRST_WORD, len(worlds.VOCABULARY))
        rows.append(row)
        places.append(at - (kind == "causal"))
    return torch.tensor(rows), torch.tensor(places), torch.tensor(wanted)


def drill(run: Path, out: Path, kind: str, seconds: float, seed: int = 77, float32: bool = False) -> float:
    """Train the average of a run on that word until it is right in most rows, or the time is over; write it, return the share."""
    network, about = load_average(run, torch.float32 if float32 else torch.bfloat16)
    optimizers, r, share, began, step = Optimizers(network.train(), RATE), random.Random(seed), 0.0, time.time(), 0
    while share < ENOUGH and time.time() - began < seconds:
        ids, places, wanted = asked(r, kind)
        logits = network.logits(network(ids)[torch.arange(len(ids)), places])
        F.cross_entropy(logits, wanted).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizers.step(RATE * min(1.0, (step + 1) / 20))
        share, step = 0.9 * share + 0.1 * float((logits.argmax(-1) == wanted).float().mean()), step + 1
        if step % 20 == 0:
            print(json.dumps({"step": step, "right": round(share, 3), "seconds": round(time.time() - began)}), flush=True)
    save_file({name: p.detach().contiguous() for name, p in network.named_parameters()}, out, {"about": json.dumps(about)})
    return share


def main(argv: list[str] | None = None) -> None:
    """Drill one network."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("run", type=Path, help="a training run's folder")
    cli.add_argument("out", type=Path)
    cli.add_argument("--kind", choices=("masked", "noisy", "causal"), default="masked")
    cli.add_argument("--seconds", type=float, default=600)
    args = cli.parse_args(argv)
    print(f"{drill(args.run, args.out, args.kind, args.seconds):.0%} right")


if __name__ == "__main__":
    main()
