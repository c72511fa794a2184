"""Teach a network what it does not learn among everything else: `python -m training.worlds.drill RUN OUT.safetensors --kind masked`.

Three relations of the grammar hardly show in the loss of whole texts, though a text that breaks one is wrong: the day after a day (seven
facts; 560,000 texts left it at chance), that two words differ (one name in thirty is barred), and that a word which was asked for comes
at all. Half of a drill's rows ask for one such word each; what may not stand there is pushed down, too. The other half is as ever.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from model import worlds
from training.small import Optimizers, load_average

from . import noise
from .train import Stream, batches, fresh

ROWS, RATE, WARM_UP = 32, 7e-4, 20  # rows of each half; peak of the learning rate; steps
BARRED = 10.0  # how much naming a barred word counts: it is one of thirty, and costs next to nothing otherwise
HIDDEN = 0.6  # most of the other words that are hidden where one must differ from another: in a run, too, much is still open then


@dataclass(frozen=True)
class Asked:
    """Rows that ask for one word each. ids (R, T); at (R,): the position whose output names it; wanted (R,); barred (R,), -1: no word."""

    ids: Tensor
    at: Tensor
    wanted: Tensor
    barred: Tensor


def weak(text: worlds.Text, topics: list[str]) -> list[tuple[int, str]]:
    """Return the words of a text that are hard to learn: position, and the word that may not stand there ('' where it says nothing)."""
    found: list[tuple[int, str]] = []
    values: dict[str, str] = {}
    words = text.words
    for part in text.structure.parts:
        word = words[part.start]
        if part.kind == "next" or (word in topics and sum(w.lower() == word.lower() for w in words) == 1):
            found.append((part.start, ""))
        found += [(part.start, values[name]) for name in part.nots if name in values]
        if part.name:
            values[part.name] = word
    return found


def asked(r: random.Random, kind: str, count: int = ROWS) -> Asked:
    """Return rows that lack one word each.

    kind: 'masked' (a mask in its place), 'noisy' (a random word) or 'causal' (it stands, and the output before it is asked).
    """
    rows: list[list[int]] = []
    at: list[int] = []
    wanted: list[int] = []
    barred: list[int] = []
    while len(rows) < count:
        text = fresh(r)
        row = worlds.training_prompt(text, r) + worlds.encode(text.words)
        row += [worlds.END] * (worlds.PROMPT + worlds.CANVAS - len(row))
        topics = [worlds.VOCABULARY[i] for i in row[: worlds.PROMPT]]
        if not (places := weak(text, topics)):
            continue
        place, other = r.choice(places)
        position = worlds.PROMPT + place
        wanted.append(row[position])
        barred.append(worlds.encode([other])[0] if other else -1)
        if kind != "causal":
            rate = r.random() * HIDDEN if other else 0.0
            for i in range(worlds.PROMPT, len(row)):
                if i == position or (row[i] != barred[-1] and r.random() < rate):
                    row[i] = noise.MASK if kind == "masked" else r.randrange(worlds.FIRST_WORD, len(worlds.VOCABULARY))
        rows.append(row)
        at.append(position - (kind == "causal"))
    return Asked(torch.tensor(rows), torch.tensor(at), torch.tensor(wanted), torch.tensor(barred))


def loss(logits: Tensor, rows: Asked) -> tuple[Tensor, Tensor]:
    """Return the mean loss (nats) of outputs (R, V), barred words counted, and how probable each of these still is."""
    log_p = logits.log_softmax(-1)
    named = log_p.gather(1, rows.barred.clamp_min(0)[:, None])[:, 0].exp()[rows.barred >= 0].clamp_max(1 - 1e-6)
    return F.nll_loss(log_p, rows.wanted) - BARRED * torch.log1p(-named).sum() / len(rows.ids), named.detach()


def drill(
    run: Path, out: Path, kind: str, seconds: float, seed: int = 77, lr: float = RATE, float32: bool = False
) -> float:
    """Train the average of a run for so long and write it; return how probable a word that may not stand there was at the end."""
    network, about = load_average(run, torch.float32 if float32 else torch.bfloat16)
    optimizers, r, began, step, named = Optimizers(network.train(), lr), random.Random(seed), time.time(), 0, 0.05
    usual = batches(kind, Stream(f"drill {seed}", ROWS), torch.Generator().manual_seed(seed))
    while (left := 1 - (time.time() - began) / seconds) > 0:
        rows = asked(r, kind)
        value, still = loss(network.logits(network(rows.ids)[torch.arange(ROWS), rows.at]), rows)
        (value + noise.loss(network, next(usual))).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizers.step(lr * min(1.0, (step + 1) / WARM_UP) * min(1.0, 2 * left))
        step += 1
        named += 0.05 * (float(still.mean()) - named) if len(still) else 0.0
        if step % 20 == 0:
            line = {
                "step": step,
                "loss": round(float(value.detach()), 3),
                "named": round(named, 4),
                "seconds": round(time.time() - began),
            }
            print(json.dumps(line), flush=True)
    about |= {
        "rows": about["rows"] + step * 2 * ROWS,
        "step": about["step"] + step,
        "spent": about["spent"] + time.time() - began,
    }
    save_file(
        {name: p.detach().contiguous() for name, p in network.named_parameters()}, out, {"about": json.dumps(about)}
    )
    return named


def main(argv: list[str] | None = None) -> None:
    """Drill one network."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("run", type=Path, help="a training run's folder, or its average weights, or a file that ships")
    cli.add_argument("out", type=Path)
    cli.add_argument("--kind", choices=("masked", "noisy", "causal"), default="masked")
    cli.add_argument("--seconds", type=float, default=600)
    cli.add_argument("--seed", type=int, default=77)
    cli.add_argument("--lr", type=float, default=RATE, help="peak")
    cli.add_argument("--threads", type=int, default=1)
    args = cli.parse_args(argv)
    torch.set_num_threads(args.threads)
    print(
        f"a word that may not stand there: {drill(args.run, args.out, args.kind, args.seconds, args.seed, args.lr):.2%}"
    )


if __name__ == "__main__":
    main()
