"""Teach the base to write holes with what follows in view: a low-rank change of its causal pass, used for text with holes alone.

    python -m training.fill --data answers.jsonl --out run --seconds 2400        # train, measure
    python -m training.fill --data answers.jsonl --init run/fill.safetensors --measure
    python -m training.fill --data answers.jsonl --init run/fill.safetensors --ship   # into --base, as 8-bit rows

The prompt quotes the whole text, `___` where a hole is (`model.holes.asked_of`), and the answer is the text; the loss is the
cross-entropy of the holes' tokens, of the two behind each hole (where it ends), and of the end behind a hole that ends the text.
Texts are one to five sentences of the base's own answers; a fiftieth of the prompts is held out by a hash. The system turn comes from
the unchanged base, so that its cache is the one every other prompt begins with.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from safetensors.torch import save as encoded

from model.holes import ASK, BLANK
from model.models.chat135m.weights import FILL, load_fill, read_manifest, seal

from .data import SYSTEM, Chat, lines, repetitive
from .export import listing, pack
from .network import EOS, MASK, Cache, Network, Tensors, causal, new_adapter, read_base

FIRST = 10  # layers below stay the base's: a third less to compute backwards
BEHIND = 2  # tokens behind a hole that are learned, too: where it ends
HELD_OUT, LONGEST = 64, 320  # texts measured; characters of a text
_SENTENCE = re.compile(r"\S.*?(?:[.!?](?=\s)|\Z)", re.S)


@dataclass(frozen=True)
class Holed:
    """A text with holes: `given` texts around and between `words`, which are missing; all together in turn are the text."""

    given: tuple[str, ...]
    words: tuple[str, ...]

    def cut(self, number: int) -> Holed:
        """Return the text up to one hole, the holes before it filled: what is known without what follows."""
        before = "".join(g + w for g, w in zip(self.given[:number], self.words[:number], strict=True))
        return Holed((before + self.given[number], ""), (self.words[number],))


def quoted(holed: Holed) -> str:
    """Return the prompt that asks for it."""
    return ASK + BLANK.join(holed.given)


def make(text: str, rng: random.Random, most: int = 6, longest: int = LONGEST) -> Holed | None:
    """Return a few sentences of a text with one to `most` holes of one to five words; None where it is too short."""
    sentences = _SENTENCE.findall(text)
    first, count = rng.randrange(max(1, len(sentences))), rng.randint(1, 5)
    part = text[text.find(sentences[first]) :] if sentences else ""
    part = part[: sum(len(s) + 1 for s in sentences[first : first + count])].strip()
    part = part if len(part) <= longest else part[:longest].rsplit(" ", 1)[0].rstrip()
    words = [match.span() for match in re.finditer(r"[^\s.,;:!?()\"]+", part)]
    if len(words) < 12:
        return None
    spans: list[tuple[int, int]] = []
    for _ in range(rng.randint(1, most)):
        at, size = rng.randrange(len(words)), rng.choice((1, 1, 2, 2, 3, 4, 5))
        at, stop = (len(words) - size, len(words)) if rng.random() < 0.06 else (at, min(at + size, len(words)))
        if all(stop + 2 <= a or b + 2 <= at for a, b in spans):
            spans.append((at, stop))
    given, missing, done = [], [], 0
    for at, stop in sorted(spans):
        begin, end = words[at][0], words[stop - 1][1] if stop < len(words) else len(part)
        given.append(part[done:begin])
        missing.append(part[begin:end])
        done = end
    return Holed((*given, part[done:]), tuple(missing))


def row_of(chat: Chat, holed: Holed) -> tuple[list[int], list[int], list[int]]:
    """Return (ids behind the system turn, targets that are in holes, targets that are learned besides), as indices of ids."""
    newline = chat.tokens("\n")
    ids = [1, *chat.tokens("user\n" + quoted(holed)), EOS, *newline, 1, *chat.tokens("assistant\n")]
    inside: list[int] = []
    besides: list[int] = []
    for number, given in enumerate(holed.given):
        text = given[:-1] if number < len(holed.words) and given.endswith(" ") and given.strip() else given
        start = len(ids)
        ids += chat.tokens(text) if text else []
        if number == len(holed.given) - 1:
            ids.append(EOS)
        if number:
            besides += range(start, min(start + BEHIND, len(ids) - bool(text and number == len(holed.given) - 1)))
        if number < len(holed.words):
            word = (" " if text != given else "") + holed.words[number]
            new = chat.tokens(word)
            inside += range(len(ids), len(ids) + len(new))
            ids += new
    return ids, inside, besides


class Fill:
    """The network with the change that is trained, and the cache of the system turn."""

    def __init__(self, folder: Path, rank: int, init: Path | None = None, seed: int = 0):
        self.chat, (config, base) = Chat(folder), read_base(folder)
        fresh = new_adapter(config, rank, base["embedding"][MASK], seed)
        self.adapter = {n: t.clone() for n, t in fresh.items() if n != "mask" and not n.startswith("follow.")}
        if init:
            shipped = init.is_dir()
            change = load_fill(init, config, torch.float32) if shipped else load_file(init)
            self.adapter |= {name: t.float() for name, t in change.items()}
        for name, tensor in self.adapter.items():
            if int(name.split(".")[0]) >= FIRST:
                tensor.requires_grad_()
        base = {name: t.bfloat16() for name, t in base.items()}
        both: Tensors = self.adapter | {"mask": base["embedding"][MASK]}
        self.network = Network(config, base, both, torch.bfloat16)
        system = [1, *self.chat.tokens(f"system\n{SYSTEM}"), EOS, *self.chat.tokens("\n")]
        self.start = len(system)
        with torch.no_grad():
            found = self.network.run(torch.tensor([system]), torch.arange(self.start), causal(0, self.start))
        self.past: Cache = found[1]

    def loss(
        self, rows: Sequence[tuple[list[int], list[int], list[int]]], changed: bool = True, inside: bool = False
    ) -> torch.Tensor:
        """Return the nats of every target of rows, in order; inside: of the holes' tokens alone."""
        width = max(len(ids) for ids, *_ in rows) - 1
        ids = torch.tensor([row[:-1] + [EOS] * (width - len(row) + 1) for row, *_ in rows])
        hidden, _ = self.network.run(
            ids, torch.arange(self.start, self.start + width), causal(self.start, width), self.past, changed
        )
        where = [(i, t) for i, (_, own, more) in enumerate(rows) for t in (own if inside else sorted({*own, *more}))]
        states = torch.stack([hidden[i, t - 1] for i, t in where])
        return F.cross_entropy(
            self.network.logits(states), torch.tensor([rows[i][0][t] for i, t in where]), reduction="none"
        )


def texts(path: Path, chat: Chat) -> tuple[list[str], list[str]]:
    """Return (held-out, training) texts: the answers of a JSONL file that do not repeat themselves."""
    found = {entry["p"]: entry["r"] for entry in map(json.loads, lines(path)) if "p" in entry}
    kept = {prompt: chat.decode(ids) for prompt, ids in found.items() if not repetitive(ids)}
    apart = {prompt: zlib.crc32(prompt.encode()) % 50 == 0 for prompt in kept}
    return [kept[p] for p in sorted(kept) if apart[p]], [kept[p] for p in sorted(kept) if not apart[p]]


@torch.no_grad()
def measure(fill: Fill, held_out: Sequence[Holed], changed: bool) -> dict[str, float]:
    """Return the mean nats of a hole's tokens with and without what follows, their number, and the share of texts that gain."""
    sums = {"with": 0.0, "without": 0.0}
    count = better = 0
    for holed in held_out:
        known = fill.loss([row_of(fill.chat, holed)], changed, inside=True)
        cuts = [row_of(fill.chat, holed.cut(number)) for number in range(len(holed.words))]
        blind = fill.loss(cuts, changed, inside=True)
        sums["with"] += float(known.sum())
        sums["without"] += float(blind.sum())
        count += len(known)
        better += float(known.sum()) < float(blind.sum())
    return {name: round(value / count, 4) for name, value in sums.items()} | {
        "tokens": count,
        "texts": len(held_out),
        "better_with": better,
    }


def train(fill: Fill, source: Sequence[str], args: argparse.Namespace) -> None:
    """Train until the time is over; write fill.safetensors and log.jsonl to args.out."""
    rng, parameters = random.Random(args.seed), [t for t in fill.adapter.values() if t.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    begin, step, seen, mean = time.monotonic(), 0, 0, 0.0
    pool: list[Holed] = []
    while (share := (time.monotonic() - begin) / args.seconds) < 1 and step < args.steps:
        while len(pool) < args.batch * 8:
            made = make(rng.choice(source), rng, longest=args.longest)
            pool += [made] if made else []
        if step % 8 == 0:
            pool.sort(key=lambda holed: sum(map(len, holed.given)))
        at = rng.randrange(len(pool) // args.batch) * args.batch
        rows = [row_of(fill.chat, holed) for holed in pool[at : at + args.batch]]
        del pool[at : at + args.batch]
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1.0, (step + 1) / 20) * (0.05 + 0.475 * (1 + math.cos(math.pi * share)))
        nats = fill.loss(rows)
        loss = nats.mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + len(nats)
        mean = float(loss.detach()) if step == 1 else 0.95 * mean + 0.05 * float(loss.detach())
        if step % 10 == 0:
            log(args, step=step, targets=seen, seconds=round(time.monotonic() - begin), loss=round(mean, 4))
        if step % args.every == 0:
            save(fill, args)
    save(fill, args)


def log(args: argparse.Namespace, **entry: object) -> None:
    """Append one object to log.jsonl, and print it."""
    line = json.dumps(entry)
    if args.out:
        with open(args.out / "log.jsonl", "a") as sink:
            sink.write(line + "\n")
    print(line, flush=True)


def save(fill: Fill, args: argparse.Namespace) -> None:
    """Write the change."""
    save_file(
        {name: t.detach().bfloat16() for name, t in fill.adapter.items() if t.requires_grad},
        args.out / "fill.safetensors",
    )


def ship(folder: Path, change: Path) -> None:
    """Write the change beside the base as 8-bit rows, and name it in the manifest; read it back."""
    (folder / FILL).write_bytes(encoded(pack({name: t.float() for name, t in load_file(change).items()})))
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] |= listing(folder, [FILL])
    manifest.pop("seal", None)
    path.write_text(json.dumps(manifest | {"seal": seal(manifest)}, indent=1) + "\n")
    load_fill(folder, read_manifest(folder).config, torch.float32)


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--base", type=Path, default=Path("assets/weights"))
    cli.add_argument("--data", type=Path, required=True, help="answers: JSONL from training.self_distill")
    cli.add_argument("--out", type=Path)
    cli.add_argument("--init", type=Path, help="a file this wrote, or a folder that holds the shipped one")
    cli.add_argument("--measure", action="store_true", help="measure alone")
    cli.add_argument("--ship", action="store_true", help="write --init into --base alone")
    cli.add_argument("--seconds", type=float, default=2400)
    cli.add_argument("--steps", type=int, default=1 << 30)
    cli.add_argument("--batch", type=int, default=4)
    cli.add_argument("--longest", type=int, default=LONGEST, help="characters of a text to learn from")
    cli.add_argument("--rank", type=int, default=8)
    cli.add_argument("--lr", type=float, default=1e-3)
    cli.add_argument("--every", type=int, default=100)
    cli.add_argument("--threads", type=int, default=1)
    cli.add_argument("--seed", type=int, default=0)
    args = cli.parse_args(argv)
    torch.set_num_threads(args.threads)
    if args.ship:
        ship(args.base, args.init)
    else:
        work(Fill(args.base, args.rank, args.init, args.seed), args)


def work(fill: Fill, args: argparse.Namespace) -> None:
    """Train and measure, or measure alone."""
    apart, source = texts(args.data, fill.chat)
    rng = random.Random(1)
    tries = (make(text, rng) for _ in range(2) for text in apart)
    held_out = [holed for holed in tries if holed and holed.given[-1].strip()][:HELD_OUT]
    if not args.measure:
        args.out.mkdir(parents=True, exist_ok=True)
        train(fill, source, args)
    log(args, held_out=measure(fill, held_out, bool(args.init) or not args.measure))


if __name__ == "__main__":
    main()
