"""Train the small networks (worlds, Sudoku): one loop, resumable, the same on a CPU and on a CUDA GPU.

A task gives batches without end and the loss of one; everything else is here. Matrices of the blocks are moved by Muon, the rest by
AdamW; the learning rate is flat and falls over the last part of the schedule, which counts seconds of training or rows seen; weights are
averaged.
`--out` holds state.safetensors (everything needed to go on), average.safetensors (what is evaluated and exported) and log.jsonl.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.models.worlds.network import Network, Shape
from model.models.worlds.weights import load as load_weights

Batch = dict[str, Tensor]
WARM_UP, FALL, LAST, CLIP = 100, 0.25, 0.02, 1.0  # steps; share of the schedule; of the peak rate; gradient norm
AVERAGE = 0.999


def add_options(cli: argparse.ArgumentParser) -> None:
    """Add what every task's command line has."""
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument(
        "--seconds",
        type=float,
        default=3600,
        help="of training in all, over every resumed call: the length of the schedule",
    )
    cli.add_argument(
        "--rows",
        type=int,
        default=0,
        help="the length of the schedule: rows seen in all; --seconds ends it all the same",
    )
    cli.add_argument(
        "--stop-after",
        type=float,
        default=math.inf,
        help="seconds of this call; the schedule goes on when it is resumed",
    )
    cli.add_argument("--batch", type=int, default=64, help="rows a step")
    cli.add_argument("--lr", type=float, default=3e-3, help="peak")
    cli.add_argument("--threads", type=int, default=1)
    cli.add_argument(
        "--workers", type=int, default=0, help="processes that make batches, for a GPU that is faster than one of them"
    )
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument(
        "--init", type=Path, help="start from these weights: average.safetensors of another run, or a file that ships"
    )
    cli.add_argument("--no-compile", action="store_true", help="run the network as it is (no C++ compiler needed)")
    cli.add_argument("--float32", action="store_true", help="no bfloat16")
    cli.add_argument("--every", type=float, default=45, help="seconds between checkpoints")
    cli.add_argument("--smoke", action="store_true", help="a tiny network for a few steps: does every stage run?")


def drawn(rng: torch.Generator, *size: int) -> Tensor:
    """Return numbers in [0, 1), on the device of the generator."""
    return torch.rand(size, generator=rng, device=rng.device)


class Optimizers:
    """Muon for the matrices of the blocks, AdamW for the rest."""

    def __init__(self, network: Network, lr: float):
        named = list(network.named_parameters())
        matrices = [p for name, p in named if name.startswith("blocks") and p.dim() == 2]
        others = [p for name, p in named if not (name.startswith("blocks") and p.dim() == 2)]
        self.all: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
        ]
        self.named = {id(p): name for name, p in named}

    def step(self, lr: float) -> None:
        """Move the weights by their gradients and forget these."""
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
            optimizer.zero_grad()

    def tensors(self) -> dict[str, Tensor]:
        """Return everything the optimizers remember, by name."""
        out: dict[str, Tensor] = {}
        for optimizer in self.all:
            for parameter, state in optimizer.state.items():
                out |= {
                    f"{self.named[id(parameter)]}|{key}": torch.as_tensor(value)
                    for key, value in state.items()
                    if value is not None
                }
        return out

    def load(self, tensors: dict[str, Tensor], network: Network) -> None:
        """Take back what `tensors` returned."""
        parameters = dict(network.named_parameters())
        owner = {
            id(p): optimizer for optimizer in self.all for group in optimizer.param_groups for p in group["params"]
        }
        for key, value in tensors.items():
            name, what = key.split("|")
            owner[id(parameters[name])].state[parameters[name]][what] = value


class Trainer:
    """One network under training; `run` goes on until the schedule, or this call, ends."""

    def __init__(self, args: argparse.Namespace, shape: Shape, device: str):
        torch.set_num_threads(args.threads)
        self.args, self.shape, self.device = args, shape, device
        args.out.mkdir(parents=True, exist_ok=True)
        self.generator = torch.Generator(device).manual_seed(args.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.seed)
            self.network = Network(shape, torch.float32 if args.float32 else torch.bfloat16).to(device)
        self.step, self.spent, self.rows, self.before = 0, 0.0, 0, 0
        self.optimizers = Optimizers(self.network, args.lr)
        if args.init and not (args.out / "state.safetensors").exists():
            self._start_from(args.init)
        self.average = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        if (args.out / "state.safetensors").exists():
            self._resume(args.out / "state.safetensors")

    def _start_from(self, path: Path) -> None:
        """Copy weights of the same name; a vocabulary that has grown since keeps its new rows as they are.

        What a network of the same shape has seen before counts as seen.
        """
        network, about = load_average(path)
        tensors = network.state_dict()
        if about["shape"] == self.shape.as_dict():
            self.before = about["rows"]
        for name, p in self.network.named_parameters():
            if name in tensors:
                p.data[tuple(slice(0, n) for n in tensors[name].shape)] = tensors[name].to(p.device)

    def _resume(self, path: Path) -> None:
        tensors = load_file(path, device=self.device)
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["about"])
        self.step, self.spent, self.before = about["step"], about["spent"], about.get("before", 0)
        self.rows = about["rows"] - self.before
        self.generator.manual_seed(self.args.seed + self.step)
        for name, p in self.network.named_parameters():
            p.data.copy_(tensors["net|" + name])
            self.average[name].copy_(tensors["avg|" + name])
        rest = {key.removeprefix("opt|"): value for key, value in tensors.items() if key.startswith("opt|")}
        self.optimizers.load(rest, self.network)

    def rate(self, spent: float) -> float:
        """Return the learning rate after so many seconds of training in all."""
        seen = self.rows / max(1, self.args.rows - self.before) if self.args.rows else 0.0
        left = max(0.0, 1 - max(spent / self.args.seconds, seen))
        return self.args.lr * min(1.0, (self.step + 1) / WARM_UP) * min(1.0, max(LAST, left / FALL))

    def run(self, batches: Iterator[Batch], loss: Callable[[Any, Batch], Tensor]) -> None:
        """Train; `loss` takes the network and a batch and returns one number. It is compiled, network and all."""
        if not self.args.no_compile and self.device == "cuda":
            for block in self.network.blocks:  # one compiled block serves all: seconds instead of a minute
                block.compile()
        elif not self.args.no_compile:
            loss = torch.compile(loss)
        began = shown = time.time()
        start, total, seen = self.spent, torch.zeros((), device=self.device), 0
        while True:
            value = loss(
                self.network, {name: x.to(self.device, non_blocking=True) for name, x in next(batches).items()}
            )
            value.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
            self.optimizers.step(self.rate(self.spent))
            self._average()
            self.step, self.rows = self.step + 1, self.rows + self.args.batch
            now = time.time()
            self.spent, total, seen = start + now - began, total + value.detach(), seen + 1
            ended = self.spent >= self.args.seconds or 0 < self.args.rows <= self.before + self.rows
            done = ended or now - began >= self.args.stop_after or (self.args.smoke and seen >= 3)
            if done or now - shown >= self.args.every:
                self._say(float(total) / seen, float(norm))
                self.save()
                shown, total, seen = now, torch.zeros_like(total), 0
            if done:
                return

    @torch.no_grad()
    def _average(self) -> None:
        share = 1 - min(AVERAGE, (self.step + 1) / (self.step + 10))
        names, parameters = zip(*self.network.named_parameters(), strict=True)
        torch._foreach_lerp_([self.average[name] for name in names], list(parameters), share)

    def _say(self, loss: float, norm: float) -> None:
        line = {
            "step": self.step,
            "seconds": round(self.spent),
            "rows": self.before + self.rows,
            "loss": round(loss, 4),
            "norm": round(norm, 3),
            "lr": round(self.rate(self.spent), 6),
        }
        print(json.dumps(line), flush=True)
        with (self.args.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """Write both files, each in one go."""
        about = {
            "step": self.step,
            "spent": self.spent,
            "rows": self.before + self.rows,
            "before": self.before,
            "shape": self.shape.as_dict(),
        }
        everything = {f"net|{name}": p.data for name, p in self.network.named_parameters()}
        everything |= {f"avg|{name}": p for name, p in self.average.items()}
        everything |= {f"opt|{name}": p for name, p in self.optimizers.tensors().items()}
        for name, tensors in (("state", everything), ("average", self.average)):
            part = self.args.out / f"{name}.part"
            save_file(
                {key: value.contiguous().cpu() for key, value in tensors.items()}, part, {"about": json.dumps(about)}
            )
            os.replace(part, self.args.out / f"{name}.safetensors")


def load_average(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[Network, dict[str, Any]]:
    """Return the averaged network of a run (a folder or a file), or one that ships, and what its file says about it."""
    path = folder / "average.safetensors" if folder.is_dir() else folder
    with safe_open(path, "pt") as file:
        ships, about = "seal" in file.metadata(), json.loads(file.metadata()["about"])
    if ships:
        about = {
            "step": about.get("steps", 0),
            "spent": about.get("seconds", 0.0),
            "rows": about["rows"],
            "shape": about["shape"],
        }
    about["shape"].pop("groups", None)  # in checkpoints from before boards had a network
    network = Network(Shape(**about["shape"]), dtype).eval()
    network.load_state_dict(load_weights(path)[0].state_dict() if ships else load_file(path))
    return network, about
