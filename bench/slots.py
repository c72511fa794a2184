"""How far a form's probabilities can be trusted: what was read as p should be right in p of all cases.

`python -m bench.slots --model worlds`: held-out texts of the small worlds, a third of their words open, one of them read among up to twelve
of its kind. `--model builtin`: prompts held out from training, one word open among four. Predicted: the likeliest choice and its
probability. Expected calibration error: over ten bins of probability, the mean distance between probability and how often it was right.
The last line of stdout is one JSON object; `--write` puts it into assets/recorded/slots.json, which the page quotes.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Iterator
from typing import Any

from model import worlds
from model.engine.catalog import load
from model.paths import ASSETS
from model.reading import FormRun
from model.slots import Form, Slot

RECORD = ASSETS / "recorded" / "slots.json"
PROMPTS = ASSETS.parent / "training" / "data" / "held_out_prompts.txt"
CHOICES, BINS = 12, 10
WORD = r"\b[a-z]{4,}\b"
Case = tuple[Form, str, str, str]  # form, prompt, name of the slot that is asked, its true word


def of_worlds(count: int, r: random.Random) -> Iterator[Case]:
    """Yield forms made of held-out texts, every third word that could be another open, one of them asked among words of its kind."""
    while count:
        text = worlds.write(r, held_out=True)
        loose = [p for p in text.structure.parts if p.length == 1 and p.kind not in ("literal", "a")]
        hidden = [part for part in loose if r.random() < 1 / 3]
        if not hidden:
            continue
        asked, slots = r.choice(hidden), {}
        for part in hidden:
            true = text.words[part.start]
            others = sorted(set(text.structure.allowed[part.start]) - {true})
            choices = [true, *r.sample(others, min(CHOICES - 1, len(others)))] if len(others) else []
            r.shuffle(choices)
            slots[part.start] = Slot(f"at {part.start}", tuple(choices)) if choices else None
        if slots[asked.start] is None:
            continue
        parts: list[str | Slot] = []
        for i, word in enumerate(text.words):
            slot = slots.get(i)
            parts.append(slot or f"{word} ")
        count -= 1
        yield Form(tuple(parts)), text.form, f"at {asked.start}", text.words[asked.start]


def of_prompts(count: int, r: random.Random) -> Iterator[Case]:
    """Yield sentences with one word open, asked among four words of other sentences."""
    lines = PROMPTS.read_text(encoding="utf-8").splitlines()
    words = sorted({word for line in lines for word in re.findall(WORD, line)})
    for line in r.sample(lines, min(count, len(lines))):
        found = list(re.finditer(f"(?<= ){WORD}", line))
        if not found:
            continue
        hole = r.choice(found)
        choices = [hole[0], *r.sample([word for word in words if word != hole[0]], 3)]
        r.shuffle(choices)
        parts: list[str | Slot] = [line[: hole.start()], Slot("word", tuple(choices)), line[hole.end() :]]
        yield Form(tuple(filter(None, parts))), "", "word", hole[0]


def calibration(read: list[tuple[float, bool]]) -> dict[str, Any]:
    """Return the figures of (probability of the likeliest choice, whether it was the true one)."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for p, right in read:
        bins[min(BINS - 1, int(p * BINS))].append((p, right))
    rows = [
        {
            "slots": len(b),
            "predicted": round(sum(p for p, _ in b) / len(b), 3),
            "true": round(sum(t for _, t in b) / len(b), 3),
        }
        for b in bins
        if b
    ]
    error = sum(row["slots"] * abs(row["predicted"] - row["true"]) for row in rows) / len(read)
    mean, right = sum(p for p, _ in read) / len(read), sum(t for _, t in read) / len(read)
    return {
        "slots": len(read),
        "ece": round(error, 3),
        "mean_probability": round(mean, 3),
        "accuracy": round(right, 3),
        "bins": rows,
    }


def measure(model_id: str, count: int, seed: int) -> dict[str, Any]:
    """Return the calibration of one model."""
    model: Any = load(model_id)
    r = random.Random(seed)
    read: list[tuple[float, bool]] = []
    cases = of_worlds(count, r) if model.spec.checked else of_prompts(count, r)
    began = time.perf_counter()
    for form, prompt, name, true in cases:
        answer = FormRun(model, form, prompt).finish().answers[name]
        read.append((answer.probability, answer.text == true))
    told = {"model": model_id, "weights_sha256": model.weights_sha256, "dtype": model.dtype, "seed": seed}
    return told | calibration(read) | {"seconds": round(time.perf_counter() - began, 1)}


def main() -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="worlds")
    parser.add_argument("--slots", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    told = measure(args.model, args.slots, args.seed)
    if args.write:
        kept = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
        RECORD.write_text(json.dumps(kept | {args.model: told}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told))


if __name__ == "__main__":
    main()
