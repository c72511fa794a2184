"""Make all three networks of the small worlds: `make worlds`. Each stage goes on where an earlier call stopped.

The masked network is trained, drilled in what it did not learn among everything else (see `drill`), and trained on; so is the noisy one,
which begins from it. The twin learns all of it at once, from the left, in about half the time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from model.models.worlds.record import FOLDER

from . import export, train
from .drill import drill

# (name of the run, kind, seconds on one core with AMX, the run whose drilled weights it begins from); a GPU needs a twentieth
STAGES = (
    ("masked-1", "masked", 5500, ""), ("masked", "masked", 1200, "masked-1"), ("causal", "causal", 3900, ""),
    ("noisy-1", "noisy", 1500, "masked-1"), ("noisy", "noisy", 1200, "noisy-1"),
)  # fmt: skip
NAMES = {"masked": "worlds", "causal": "worlds-twin", "noisy": "worlds-noisy"}
DRILL_SECONDS = 600


def main(argv: list[str] | None = None) -> None:
    """Train and export, stage after stage."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--runs", type=Path, default=Path("checkpoints/worlds"), help="where training keeps its state")
    cli.add_argument("--weights", type=Path, default=FOLDER, help="where the finished weights go")
    cli.add_argument("--share", type=float, default=1.0, help="of the usual seconds")
    cli.add_argument("--threads", type=int, default=1)
    cli.add_argument("--smoke", action="store_true", help="tiny networks, a few steps: does every stage run?")
    args = cli.parse_args(argv)
    torch.set_num_threads(args.threads)
    for name, kind, seconds, before in STAGES:
        given = ["--kind", kind, "--out", str(args.runs / name), "--seconds", str(seconds * args.share), "--threads", str(args.threads)]
        if before:
            drilled = args.runs / f"{before}-drilled.safetensors"
            if not drilled.exists():
                drill(args.runs / before, drilled, train_kind(before), 1 if args.smoke else DRILL_SECONDS, float32=args.smoke)
            given += ["--init", str(drilled), "--lr", "0.0015"]
        train.main(given + (["--smoke", "--no-compile", "--float32", "--batch", "4"] if args.smoke else []))
        if name in NAMES:
            export.main([str(args.runs / name), str(args.weights / f"{NAMES[name]}.safetensors")])


def train_kind(run: str) -> str:
    """Return the kind of a run by its name."""
    return run.partition("-")[0]


if __name__ == "__main__":
    main()
