"""Teach SmolLM2 to fill masked blocks. Resumable, seeded, the same on a CPU and on one CUDA GPU.

    python -m training.train --base assets/weights --data answers.jsonl --out run --mode lora --init assets/weights --seconds 3600
    python -m training.train --base assets/weights --data answers.jsonl --out run --mode lora --resume          # goes on

--mode lora: the base stays frozen and writes token by token, a low-rank adapter makes it the denoising decoder (what ships).
--mode full: one set of weights learns both modes; the clean stream keeps its own next-token loss.

--out holds log.jsonl (one object a line), latest.safetensors and best.safetensors (the weights, averaged if --ema; best by the held-out
measure), and state.safetensors (everything needed to go on). What step n sees depends on the seed and n alone, so a run that was
interrupted and resumed equals one that was not.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from .data import Batch, Chat, Noise, Row, collate, read_rows
from .losses import held_out_cells, losses
from .network import MASK, Network, Tensors, cut, new_adapter, new_follow, read_adapter, read_base

LENGTHS = (4, 8, 8, 16, 16, 32, 32, 64)  # drawn per row; every length the page offers must be here
CURRICULUM = ((0.2, 8), (0.5, 16))  # until this share of the steps, blocks no longer than this
WARM_UP = 40
POOL = 32  # batches whose answers are sorted by length together
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument(
        "--base", type=Path, default=Path("assets/weights"), help="Hugging Face folder, or a folder that export wrote"
    )
    cli.add_argument("--data", type=Path, required=True, help="answers: JSONL from training.self_distill")
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--mode", choices=("lora", "full"), default="lora")
    cli.add_argument(
        "--init", type=Path, help="start from this adapter (file or exported folder) or these full weights (file)"
    )
    cli.add_argument(
        "--resume", action="store_true", help="go on from --out's state, with the settings of this command line"
    )
    cli.add_argument("--steps", type=int, default=2_000, help="length of the schedule")
    cli.add_argument(
        "--seconds", type=float, default=math.inf, help="stop (and save) after this long, wherever the schedule is"
    )
    cli.add_argument("--batch", type=int, default=12, help="answers a step")
    cli.add_argument(
        "--rank", type=int, default=16, help="of the adapter; one of a higher rank that --init names is cut down to it"
    )
    cli.add_argument("--lr", type=float, default=1e-3, help="peak; 1e-3 suits lora, 3e-4 full")
    cli.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="block lengths, drawn per answer")
    cli.add_argument("--curriculum", action="store_true", help="short blocks first")
    cli.add_argument("--complementary", action="store_true", help="every block twice, with complementary masks")
    cli.add_argument(
        "--everything",
        type=float,
        default=0.2,
        help="share of blocks that are all masks: what a block's first pass sees",
    )
    cli.add_argument("--gap", type=float, default=0.1, help="share of blocks whose right part is given text")
    cli.add_argument("--ahead", type=float, default=0.0, help="share of answers with masks alone behind every token")
    cli.add_argument("--kl-share", type=float, default=0.5, help="of the loss where nothing to the right is known")
    cli.add_argument("--next-token", type=float, default=0.2, help="weight of the clean stream's own loss (mode full)")
    cli.add_argument(
        "--ema", type=float, default=0.0, help="decay of the average that is saved; 0 saves the weights themselves"
    )
    cli.add_argument("--every", type=int, default=100, help="steps between held-out measures and checkpoints")
    cli.add_argument("--held-out", type=int, default=32, help="answers in the held-out measure")
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument(
        "--dtype", choices=DTYPES, default="bf16", help="what products are computed in; parameters stay float32"
    )
    cli.add_argument("--threads", type=int, default=0)
    cli.add_argument("--seed", type=int, default=0)
    return cli


def build(args: argparse.Namespace) -> Network:
    """Return the network to train, its master copies on the device."""
    config, base = read_base(args.base)
    dtype, adapter = DTYPES[args.dtype], None
    if args.mode == "lora":
        adapter = (
            read_adapter(args.init) if args.init else new_adapter(config, args.rank, base["embedding"][MASK], args.seed)
        )
        adapter = new_follow(config, args.seed) | cut(adapter, args.rank)
        adapter = {name: t.to(args.device).requires_grad_() for name, t in adapter.items()}
        base = {name: t.to(args.device, dtype) for name, t in base.items()}
    else:
        base |= {name: t.float() for name, t in load_file(args.init).items()} if args.init else {}
        base = {name: t.to(args.device).requires_grad_() for name, t in base.items()}
    return Network(config, base, adapter, dtype)


def rate(step: int, args: argparse.Namespace) -> float:
    """Return the learning rate of a step: warm-up, then a cosine down to a tenth."""
    share = min(1.0, step / max(1, args.steps))
    return args.lr * min(1.0, (step + 1) / WARM_UP) * (0.1 + 0.45 * (1 + math.cos(math.pi * share)))


def batch_of(step: int, rows: Sequence[Row], args: argparse.Namespace) -> Batch:
    """Return what a step sees, a function of seed and step: every row once an epoch, among others of about its length:
    a batch is as wide as its longest answer."""
    per_epoch = max(1, len(rows) // args.batch)
    epoch, place = divmod(step, per_epoch)
    rng = random.Random(f"{args.seed} epoch {epoch}")
    order, pool = rng.sample(range(len(rows)), len(rows)), args.batch * POOL
    order = [
        i for at in range(0, len(rows), pool) for i in sorted(order[at : at + pool], key=lambda i: len(rows[i].answer))
    ]
    place = rng.sample(range(per_epoch), per_epoch)[place]
    share = step / max(1, args.steps)
    longest = (
        next((length for until, length in CURRICULUM if share < until), max(args.lengths))
        if args.curriculum
        else max(args.lengths)
    )
    lengths = [length for length in args.lengths if length <= longest] or [min(args.lengths)]
    noise = Noise(everything=args.everything, gap=args.gap, complementary=args.complementary, ahead=args.ahead)
    chosen = [rows[i] for i in order[place * args.batch : (place + 1) * args.batch]]
    return collate(chosen, noise, lengths, random.Random(f"{args.seed} step {step}")).to(args.device)


class Run:
    """The moving parts of a training run, and their files in `args.out`."""

    def __init__(self, args: argparse.Namespace, network: Network):
        self.args, self.network = args, network
        self.step, self.tokens, self.seconds, self.best = 0, 0, 0.0, math.inf
        params = network.trained
        decay = 0.01 if args.mode == "full" else 0.0
        self.optimizer = torch.optim.AdamW(
            params.values(), lr=args.lr, betas=(0.9, 0.98), weight_decay=decay, fused=True
        )
        self.average: Tensors = {name: p.detach().clone() for name, p in params.items()} if args.ema else {}
        args.out.mkdir(parents=True, exist_ok=True)

    def log(self, **entry: object) -> None:
        """Append one object to log.jsonl, and print it."""
        line = json.dumps({"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds, 1), **entry})
        with open(self.args.out / "log.jsonl", "a") as sink:
            sink.write(line + "\n")
        print(line, flush=True)

    def update(self, batch: Batch) -> dict[str, float]:
        """Make one optimizer step; return what the log should say of it."""
        args, params = self.args, list(self.network.trained.values())
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, args)
        loss = losses(self.network, batch, args.kl_share, args.next_token if args.mode == "full" else 0.0)
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step, self.tokens = self.step + 1, self.tokens + int((batch.next_token >= 0).sum())
        if self.average:
            decay = min(args.ema, self.step / (self.step + 10))
            torch._foreach_lerp_(list(self.average.values()), [p.detach() for p in params], 1 - decay)
        return {
            name: round(float(getattr(loss, name).detach()), 4)
            for name in ("total", "masked", "accuracy", "next_token", "following")
        }

    def measure(self, held_out: Sequence[Row]) -> None:
        """Log the held-out cells of the weights that would be saved; keep them as best.safetensors if they are."""
        if not held_out:
            return
        network, args = self.network, self.args
        if self.average:
            tensors = {
                name: t.to(p.dtype) for (name, t), p in zip(self.average.items(), network.trained.values(), strict=True)
            }
            frozen = network.adapter is not None
            network = Network(
                network.config, network.base if frozen else tensors, tensors if frozen else None, network.dtype
            )
        cells = held_out_cells(network, held_out, args.ahead > 0)
        mean = sum(cells.values()) / len(cells)
        self.log(held_out={name: round(value, 4) for name, value in cells.items()})
        if mean < self.best:
            self.best = mean
            self._save("best.safetensors", self._weights())

    def _weights(self) -> Tensors:
        dtype = torch.bfloat16 if self.args.mode == "lora" else torch.float32
        source = self.average or self.network.trained
        return {name: t.detach().to("cpu", dtype).contiguous() for name, t in source.items()}

    def _save(self, name: str, tensors: Tensors, about: dict[str, str] | None = None) -> None:
        save_file(tensors, self.args.out / f"{name}.part", about)
        os.replace(self.args.out / f"{name}.part", self.args.out / name)

    def save(self) -> None:
        """Write the weights and the state, each in one piece or not at all."""
        state = {f"param {name}": p.detach().cpu() for name, p in self.network.trained.items()}
        state |= {f"average {name}": t.cpu() for name, t in self.average.items()}
        for name, p in self.network.trained.items():
            state |= {f"{key} {name}": t.cpu() for key, t in self.optimizer.state[p].items()}
        about = {"step": self.step, "tokens": self.tokens, "seconds": self.seconds, "best": self.best}
        self._save("latest.safetensors", self._weights())
        self._save("state.safetensors", state, {name: repr(value) for name, value in about.items()})

    def resume(self) -> None:
        """Go on from the saved state; raise FileNotFoundError where there is none."""
        path, device = self.args.out / "state.safetensors", self.args.device
        with safe_open(path, "pt", device=str(device)) as stored:
            about, names = stored.metadata(), set(stored.keys())
            with torch.no_grad():
                for name, p in self.network.trained.items():
                    p.copy_(stored.get_tensor(f"param {name}"))
                    if self.average:
                        self.average[name].copy_(
                            stored.get_tensor(f"average {name}" if f"average {name}" in names else f"param {name}")
                        )
                    known = (
                        ("step", "exp_avg", "exp_avg_sq") if f"step {name}" in names else ()
                    )  # none: it never had a gradient
                    self.optimizer.state[p] = {key: stored.get_tensor(f"{key} {name}") for key in known}
        self.step, self.tokens = int(about["step"]), int(about["tokens"])
        self.seconds, self.best = float(about["seconds"]), float(about["best"])


def main(argv: list[str] | None = None) -> Run:
    """Run the command line."""
    args = parser().parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = True
    held_out, rows = read_rows(args.data, Chat(args.base))
    if len(rows) < args.batch:
        raise SystemExit(f"{args.data} holds {len(rows)} usable answers; a batch takes {args.batch}.")
    run = Run(args, build(args))
    held_out = held_out[: args.held_out]
    if args.resume:
        run.resume()
    else:
        run.log(args={name: str(value) for name, value in vars(args).items()}, answers=len(rows))
        run.measure(held_out)
    begin = time.monotonic() - run.seconds
    stop = run.seconds + args.seconds
    while run.step < args.steps and run.seconds < stop:
        entry = run.update(batch_of(run.step, rows, args))
        run.seconds = time.monotonic() - begin
        if run.step % 10 == 0 or run.step == args.steps:
            run.log(**entry)
        if run.step % args.every == 0:
            run.measure(held_out)
            run.save()
    if run.step % args.every:
        run.measure(held_out)
    run.save()
    return run


if __name__ == "__main__":
    main()
