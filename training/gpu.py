"""Train all five small networks side by side on one GPU: `python -m training.gpu --seconds 450 --texts 4000000 --boards 4000000`.

Each runs in a process of its own, begins from the weights that ship (`--init`), and ends when it has seen so many texts or boards in all,
or at `--seconds`, whichever comes first: a masked network and its twin have then seen as many. In `--out`: the files that ship, and logs.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from .worlds import export

# The masked Sudoku network fell apart at the usual rate, compiled, on an H200 (torch 2.11); the others did not.
# run: (module and its options, what its rows are, worker processes, the file that ships)
RUNS = {
    "masked": (("training.worlds.train", "--kind", "masked"), "texts", 3, "worlds"),
    "causal": (("training.worlds.train", "--kind", "causal"), "texts", 3, "worlds-twin"),
    "noisy": (("training.worlds.train", "--kind", "noisy"), "texts", 3, "worlds-noisy"),
    "sudoku": (("training.sudoku", "--lr", "0.001", "--no-compile"), "boards", 0, "sudoku"),
    "sudoku-twin": (("training.sudoku", "--causal"), "boards", 0, "sudoku-twin"),
}


def command(name: str, args: argparse.Namespace) -> list[str]:
    """Return the command line of one run."""
    module, rows, workers, ships = RUNS[name]
    line = [
        sys.executable,
        "-m",
        module[0],
        "--out",
        str(args.runs / name),
        "--seconds",
        str(args.seconds),
        "--rows",
        str(getattr(args, rows)),
        "--batch",
        str(args.batch),
        "--lr",
        str(args.lr),
        "--workers",
        str(workers if args.workers else 0),
        *module[1:],
    ]
    begin = args.init / f"{ships}.safetensors"
    if args.init.name and begin.exists() and not args.smoke:
        line += ["--init", str(begin)]
    if rows == "boards" and args.boards_dug:
        (args.runs / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(args.boards_dug, args.runs / name)
    return line + (["--smoke", "--no-compile", "--float32"] if args.smoke else [])


def main(argv: list[str] | None = None) -> None:
    """Train, then export every network that got anywhere."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--runs", type=Path, default=Path("checkpoints/gpu"), help="where training keeps its state")
    cli.add_argument("--out", type=Path, default=Path("checkpoints/gpu/out"), help="where finished weights and logs go")
    cli.add_argument(
        "--init",
        type=Path,
        default=Path("assets/weights/small"),
        help="folder of weights to begin from; '': from nothing",
    )
    cli.add_argument("--boards-dug", type=Path, help="boards-4000.safetensors of an earlier run (a minute saved)")
    cli.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    cli.add_argument("--seconds", type=float, default=450)
    cli.add_argument("--texts", type=int, default=4_000_000, help="for each of the worlds networks")
    cli.add_argument("--boards", type=int, default=4_000_000, help="for each of the Sudoku networks")
    cli.add_argument("--batch", type=int, default=512)
    cli.add_argument("--lr", type=float, default=3e-3)
    cli.add_argument("--workers", action="store_true", help="write texts in processes of their own")
    cli.add_argument("--smoke", action="store_true", help="tiny networks, a few steps: does every stage run?")
    args = cli.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    print(
        f"torch {torch.__version__}, {torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'}",
        flush=True,
    )
    logs = {name: (args.out / f"{name}.log").open("w") for name in args.only}
    running = {
        name: subprocess.Popen(command(name, args), stdout=log, stderr=subprocess.STDOUT) for name, log in logs.items()
    }
    for name, process in running.items():
        code = process.wait()
        logs[name].close()
        print(name, "exit", code, *(args.out / f"{name}.log").read_text().splitlines()[-3:], sep="\n  ", flush=True)
        if (args.runs / name / "average.safetensors").exists():
            export.main([str(args.runs / name), str(args.out / f"{RUNS[name][3]}.safetensors")])


if __name__ == "__main__":
    main()
