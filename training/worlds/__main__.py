"""Make all three networks of the small worlds: `make worlds`. Each stage goes on where an earlier call stopped.

The masked network is trained first, the twin on as many texts in about half the time; the noisy one begins from the masked one's weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from model.models.worlds.record import FOLDER

from . import export, train

SECONDS = {"masked": 5500, "causal": 2900, "noisy": 2700}  # one core with AMX; a GPU needs a twentieth
NAMES = {"masked": "worlds", "causal": "worlds-twin", "noisy": "worlds-noisy"}


def main(argv: list[str] | None = None) -> None:
    """Train and export, stage after stage."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--runs", type=Path, default=Path("checkpoints/worlds"), help="where training keeps its state")
    cli.add_argument("--weights", type=Path, default=FOLDER, help="where the finished weights go")
    cli.add_argument("--share", type=float, default=1.0, help="of the usual seconds")
    cli.add_argument("--threads", type=int, default=1)
    cli.add_argument("--smoke", action="store_true", help="tiny networks, a few steps: does every stage run?")
    args = cli.parse_args(argv)
    for kind, seconds in SECONDS.items():
        given = ["--kind", kind, "--out", str(args.runs / kind), "--seconds", str(seconds * args.share), "--threads", str(args.threads)]
        if kind == "noisy":
            given += ["--init", str(args.runs / "masked" / "average.safetensors")]
        train.main(given + (["--smoke", "--no-compile", "--float32", "--batch", "4"] if args.smoke else []))
        export.main([str(args.runs / kind), str(args.weights / f"{NAMES[kind]}.safetensors")])


if __name__ == "__main__":
    main()
