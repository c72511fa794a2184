"""How often each way of decoding writes a consistent text: `python -m training.worlds.evaluate --texts 512`.

The loops are the product's own, on the weights that ship; their passes are made together, a batch of texts at a time, the twin's text
after text. Prompts are what the writer's texts would be asked for; the same in every cell. A cell that is in the file already, with as
many texts and the same weights, is not measured again.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model import worlds
from model.intervals import wilson
from model.models.worlds.model import Worlds, load, load_noisy
from model.models.worlds.record import DEFAULTS, NOISY_DEFAULTS
from model.models.worlds.together import together
from model.settings import Settings
from model.trace.frame import UNDECIDED
from model.trace.trace import Trace

SEED = "evaluation"
AT_ONCE = 64
NOISY = "the noisy network, by its own loop"
OTHERS = ("twin", NOISY)  # cells of networks that stay when the masked one changes
PLANNED = {"rule": "schedule", "remasking": "none", "order": "confidence"}
SELF = {"remasking": "recheck", "steps": 72}
CAREFUL = {"rule": "threshold", "threshold": 0.9, "remask_strength": 0.1, "top_p": 1.0, "steps": 72}
CELLS: dict[str, dict[str, Any]] = {
    "one word a pass": PLANNED | {"steps": 72},
    **{f"fixed counts, {n} passes": PLANNED | {"steps": n} for n in (4, 6, 8, 12, 16, 24, 36)},
    **{
        f"12 passes, {order}": PLANNED | {"steps": 12, "order": order}
        for order in ("margin", "entropy", "random", "left_to_right")
    },
    "12 passes and recheck 0.1": PLANNED | {"steps": 12, "remasking": "recheck", "remask_strength": 0.1},
    "12 passes of P2": PLANNED | {"steps": 12, "remasking": "p2"},
    "24 passes of P2": PLANNED | {"steps": 24, "remasking": "p2"},
    "threshold 0.9": SELF | {"remasking": "none", "rule": "threshold", "threshold": 0.9},
    **{f"entropy {b}": SELF | {"remasking": "none", "rule": "entropy", "entropy_bound": b} for b in (0.05, 0.3, 1.0)},
    **{
        f"independent {b}": SELF | {"remasking": "none", "rule": "independent", "entropy_bound": b}
        for b in (0.05, 0.1, 0.3)
    },
    **{
        f"independent {b}, recheck {s}": SELF | {"rule": "independent", "entropy_bound": b, "remask_strength": s}
        for b in (0.05, 0.1, 0.3)
        for s in (0.1, 0.3)
    },
    "as the page begins (temperature 0.8)": DEFAULTS,
    "careful on the page (temperature 0.8)": DEFAULTS | CAREFUL,
}


def others_sha(model: Worlds) -> list[str]:
    """Return the fingerprints of the networks beside the masked one."""
    return [model.twin_sha256, load_noisy().weights_sha256]


def prompts(count: int, held_out: bool | None = None, seed: str = SEED) -> Iterator[tuple[str, worlds.Text]]:
    """Yield prompts, each a form and up to four topics as one would type them, and a text that answers it."""
    r = random.Random(f"{seed} {held_out}")
    made = 0
    while made < count:
        text = worlds.write(r, held_out=held_out)
        topics = r.sample(text.topics, min(r.choice((0, 1, 1, 2, 3, 4)), len(text.topics)))
        prompt = " ".join([text.form, *topics])
        asked = worlds.read_prompt(prompt)
        if asked.form == text.form and asked.topics == tuple(topics):
            made += 1
            yield prompt, text


def pins(text: worlds.Text, r: random.Random) -> dict[int, str]:
    """Return one to four words of a text at their positions."""
    return {i: text.words[i] for i in r.sample(range(len(text.words)), r.randint(1, 4))}


def order_of(trace: Trace) -> tuple[float, bool]:
    """Return Kendall's tau between when a word was last decided and where it stands, and whether the first quarter of the passes decided a
    quarter of the words and some in every third of the text."""
    tokens = trace.result.tokens if trace.result else 0
    when = np.zeros(tokens)
    for frame in trace.frames:
        for position in frame.committed:
            if position < tokens:
                when[position] = frame.step
    ahead = np.sign(when[None, :] - when[:, None])[np.triu_indices(tokens, 1)]
    pairs = math.sqrt(max(1, int(np.count_nonzero(ahead))) * ahead.size)
    early = trace.frames[math.ceil((len(trace.frames) - 1) / 4)]
    decided = ~np.isin(early.states[:tokens], UNDECIDED)
    thirds = all(part.any() for part in np.array_split(decided, 3))
    return float(ahead.sum() / pairs), bool(decided.mean() >= 0.25 and thirds)


def _written(prompt: str, asked: Settings, mode: str, pinned: dict[int, str] | None, model: Worlds) -> Trace:
    return model.denoise(prompt, asked, mode=mode, pinned=pinned).finish()


def written(model: Worlds, jobs: list[Callable[[Worlds], Trace]], mode: str) -> Iterator[Trace]:
    """Yield what the jobs write, AT_ONCE of them together; each of the twin's has a cache of its own and runs alone."""
    for start in range(0, len(jobs), AT_ONCE):
        some = jobs[start : start + AT_ONCE]
        yield from (job(model) for job in some) if mode == "ar" else together(model, some)


def measure(
    model: Worlds,
    settings: dict[str, Any],
    count: int,
    mode: str = "diffusion",
    held_out: bool | None = None,
    pinned: bool = False,
) -> dict[str, Any]:
    """Write `count` texts; return the share of consistent ones with its interval, passes, order, and some of the faults."""
    r, right, passes, early = random.Random(SEED), 0, 0, 0
    tau: list[float] = []
    faults: list[str] = []
    jobs: list[Callable[[Worlds], Trace]] = []
    for number, (prompt, text) in enumerate(prompts(count, held_out)):
        asked = Settings(**{"new_tokens": worlds.CANVAS, "temperature": 1.0, "block_length": 0} | settings, seed=number)
        jobs.append(partial(_written, prompt, asked, mode, pins(text, r) if pinned else None))
    for trace in written(model, jobs, mode):
        assert trace.result is not None
        right += trace.result.faults == ()
        if trace.result.faults and len(faults) < 8:
            faults.append(trace.result.faults[0][0])
        passes += trace.result.forwards
        if mode == "diffusion":
            value, fine = order_of(trace)
            tau, early = [*tau, value], early + fine
    low, high = wilson(right, count)
    out = {
        "texts": count,
        "consistent": right / count,
        "low": low,
        "high": high,
        "passes": passes / count,
    }
    if tau:
        out |= {"tau": float(np.mean(tau)), "early": early / count}
    return {name: round(float(value), 4) for name, value in out.items()} | {"faults": faults}


def main(argv: list[str] | None = None) -> None:
    """Measure every cell that is asked for and write the table after each."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--texts", type=int, default=512)
    cli.add_argument("--only", nargs="+", default=[""], help="cells whose name begins with one of these")
    cli.add_argument("--out", type=Path, default=Path("training/results/worlds.json"))
    cli.add_argument("--masked", type=Path, help="weights to measure, instead of those that ship")
    cli.add_argument("--twin", type=Path)
    cli.add_argument("--threads", type=int, default=1)
    args = cli.parse_args(argv)
    torch.set_num_threads(args.threads)
    model = load(**{name: path for name in ("masked", "twin") if (path := getattr(args, name))})
    best = CELLS["independent 0.3, recheck 0.3"]
    jobs: dict[str, dict[str, Any]] = {name: {"settings": cell} for name, cell in CELLS.items()}
    twin: dict[str, Any] = {"settings": {}, "mode": "ar"}
    jobs |= {
        "twin, left to right": twin,
        "twin, held-out pairs": twin | {"held_out": True},
        "held-out pairs": {"settings": best, "held_out": True},
        "one to four pins": {"settings": best, "pinned": True},
    }
    jobs[NOISY] = {"settings": NOISY_DEFAULTS}
    table: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {}
    if table.get("weights") != model.weights_sha256:
        others = {name: cell for name, cell in table.get("cells", {}).items() if name.startswith(OTHERS)}
        table = {"weights": model.weights_sha256, "others": others_sha(model), "cells": {}} | (
            {"cells": others} if table.get("others") == others_sha(model) else {}
        )
    for name, job in jobs.items():
        if not name.startswith(tuple(args.only)) or table["cells"].get(name, {}).get("texts", 0) >= args.texts:
            continue
        began = time.time()
        table["cells"][name] = measure(load_noisy() if name == NOISY else model, count=args.texts, **job)
        print(json.dumps({"cell": name, "took": round(time.time() - began)} | table["cells"][name]), flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
