"""Make all three networks of the small worlds: `make worlds`. Each stage goes on where an earlier call stopped.

Each network is trained and then drilled in what it did not learn among everything else (see `drill`). The noisy one begins from the masked
one. On a CUDA GPU `training.gpu` trains all small networks side by side instead.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from model.models.worlds.record import FOLDER

from . import export, train
from .drill import drill

# (kind, seconds on one core with AMX, the kind whose weights it begins from, the file that ships)
STAGES = (
    ("masked", 6700, "", "worlds"),
    ("causal", 6700, "", "worlds-twin"),
    ("noisy", 2700, "masked", "worlds-noisy"),
)
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
    for kind, seconds, before, ships in STAGES:
        run, drilled = args.runs / kind, args.runs / f"{kind}-drilled.safetensors"
        given = [
            "--kind",
            kind,
            "--out",
            str(run),
            "--seconds",
            str(seconds * args.share),
            "--threads",
            str(args.threads),
        ]
        given += ["--init", str(args.runs / f"{before}-drilled.safetensors")] if before else []
        train.main(given + (["--smoke", "--no-compile", "--float32", "--batch", "4"] if args.smoke else []))
        drill(run, drilled, kind, 1 if args.smoke else DRILL_SECONDS * args.share, float32=args.smoke)
        export.main([str(drilled), str(args.weights / f"{ships}.safetensors")])


if __name__ == "__main__":
    main()
