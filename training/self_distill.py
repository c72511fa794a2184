"""Let the base model answer templated prompts: the text its diffusion mode learns from.

    python -m training.self_distill --base assets/weights --out answers.jsonl --tokens 1000000

Appends one object a line: {"p": prompt, "r": answer ids}, or {"t": beginning, "r": ids} for text without the chat template (a share of
--plain). Prompts of equal length are answered together, so nothing is padded. The seed depends on what the file already holds: going
on never repeats. Answers that repeat themselves are left out.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from .data import DATA, DOCUMENT, Chat, lines, prompts, repetitive
from .network import EOS, Kept, Network, causal, read_base

BEGINNINGS = (
    "The history of {a}",
    "Once upon a time, {a}",
    "In this article, we will look at {a}",
    "{a} is",
    "How to choose {a}:",
)
Job = tuple[str, str, list[int]]  # kind ('p' chat, 't' plain text), prompt, ids before the answer


def jobs(args: argparse.Namespace, chat: Chat, rng: random.Random) -> Iterator[Job]:
    """Yield what is to be continued, for ever."""
    topics = [lines(path) for path in args.topics]
    chats, plain = prompts(lines(args.templates), topics, rng), prompts(BEGINNINGS, topics, rng, endings=("",))
    while True:
        if rng.random() < args.plain:
            text = next(plain)
            yield "t", text, [DOCUMENT, *chat.tokens(text)]
        else:
            text = next(chats)
            yield "p", text, chat.encode(text)


def equal_lengths(source: Iterator[Job], size: int) -> Iterator[list[Job]]:
    """Yield groups of `size` jobs whose ids are equally long."""
    buckets: dict[int, list[Job]] = {}
    for job in source:
        bucket = buckets.setdefault(len(job[2]), [])
        bucket.append(job)
        if len(bucket) == size:
            yield buckets.pop(len(job[2]))


@torch.inference_mode()
def answer(
    network: Network, ids: torch.Tensor, new_tokens: int, temperature: float, top_k: int, generator: torch.Generator
) -> torch.Tensor:
    """Return sampled answers (B, <= new_tokens) to ids (B, L) of equal length; rows are EOS after their first EOS."""
    batch, length = ids.shape
    store, start = network.new_store(batch, length + new_tokens), 0
    token, done, out = ids, torch.zeros(batch, dtype=torch.bool, device=ids.device), []
    for _ in range(new_tokens):
        n = token.shape[1]
        where = torch.arange(start, start + n, device=ids.device)
        hidden, _ = network.run(token, where, causal(start, n, ids.device), Kept(store, where.expand(batch, n)))
        start += n
        values, choices = (network.logits(hidden[:, -1]) / temperature).topk(min(top_k, network.config.vocab))
        noise = torch.rand(values.shape, generator=generator, device=ids.device).clamp_min(1e-9).log_().neg_().log_()
        token = choices.gather(1, (values - noise).argmax(-1, keepdim=True))
        token[done] = EOS
        out.append(token)
        done |= token[:, 0] == EOS
        if done.all():
            break
    return torch.cat(out, 1)


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument(
        "--base", type=Path, default=Path("assets/weights"), help="Hugging Face folder, or a folder that export wrote"
    )
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--tokens", type=int, default=1_000_000, help="answer tokens to add")
    cli.add_argument("--seconds", type=float, default=float("inf"))
    cli.add_argument("--batch", type=int, default=128)
    cli.add_argument("--new-tokens", type=int, default=112)
    cli.add_argument("--temperature", type=float, default=0.8)
    cli.add_argument("--top-k", type=int, default=40)
    cli.add_argument("--plain", type=float, default=0.1, help="share of text without the chat template")
    cli.add_argument("--templates", type=Path, default=DATA / "templates.txt")
    cli.add_argument("--topics", type=Path, nargs="+", default=[DATA / "topics.txt", DATA / "topics_phrases.txt"])
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument("--dtype", choices=("bf16", "fp32"), default="bf16")
    cli.add_argument("--threads", type=int, default=0)
    cli.add_argument("--seed", type=int, default=0)
    args = cli.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    config, base = read_base(args.base)
    dtype = torch.bfloat16 if args.dtype == "bf16" else torch.float32
    network = Network(config, {name: t.to(args.device, dtype) for name, t in base.items()}, dtype=dtype)
    begin, made, kept = time.monotonic(), 0, 0
    with open(args.out, "a") as sink:
        seed = args.seed + sink.tell()
        rng, generator = random.Random(seed), torch.Generator(args.device).manual_seed(seed)
        for group in equal_lengths(jobs(args, Chat(args.base), rng), args.batch):
            ids = torch.tensor([ids for _, _, ids in group], device=args.device)
            rows = answer(network, ids, args.new_tokens, args.temperature, args.top_k, generator).tolist()
            for (kind, prompt, _), row in zip(group, rows, strict=True):
                row = row[: row.index(EOS) + 1] if EOS in row else row
                made += len(row)
                if not repetitive(row):
                    sink.write(json.dumps({kind: prompt, "r": row}) + "\n")
                    kept += len(row)
            sink.flush()
            spent = time.monotonic() - begin
            print(f"{kept:,} tokens kept of {made:,}, {made / spent:,.0f} a second", flush=True)
            if kept >= args.tokens or spent > args.seconds:
                return


if __name__ == "__main__":
    main()
