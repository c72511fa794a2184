"""Measure what ships: its text and its parallelism, on prompts held out by topic and by template.

    python -m training.evaluate --weights assets/weights --work /tmp/evaluation            # 64 prompts, the cells a CPU can afford
    python -m training.evaluate --weights assets/weights --work /tmp/evaluation --cells all --prompts 200 --batch 256   # one GPU

Every text is written by the loops and sessions that the playground runs, --batch of them sharing their forward passes
(`training.batched`); seconds would mean nothing then, so none are kept. Results are appended to WORK/samples.jsonl batch by batch, so a
run that is stopped goes on where it was; other weights start afresh. The table, the JSON and the Plotly figure (training/results/) are
made from what there is: cells that are not complete say how many prompts they have.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.engine.quality import distinct, repetition
from model.models.chat135m.weights import read_manifest
from model.settings import Settings
from model.trace.trace import Trace

from .batched import Batched
from .data import DATA, lines
from .metrics import doubled, kendall_tau, mean_and_error
from .train import DTYPES

RESULTS = Path(__file__).parent / "results"
BLOCKS, THRESHOLDS, TEMPERATURES = (4, 8, 16, 32, 64), (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), (0.0, 0.8)
Samples = dict[tuple["Cell", int], dict[str, Any]]  # by cell and number of the prompt: what `measure` said of it


@dataclass(frozen=True)
class Cell:
    """One row of the table. rule 'ar' is the base model writing token by token; verify: the causal pass's bound, 0 is off."""

    temperature: float
    block: int = 1
    rule: str = "ar"
    value: float = 0.0
    verify: float = 0.0

    def settings(self, new_tokens: int, seed: int) -> Settings:
        """Return the settings; the step limit never binds."""
        known: dict[str, Any] = {
            "new_tokens": new_tokens,
            "temperature": self.temperature,
            "seed": seed,
            "steps": new_tokens,
        }
        if self.rule != "ar":
            known |= {"rule": self.rule, "block_length": self.block, self.rule: self.value}
        if self.verify:
            known |= {"remasking": "verify", "remask_strength": self.verify, "steps": 16 * new_tokens}
        return Settings(**known)

    @property
    def mode(self) -> str:
        """Return the mode that `Model.denoise` is asked for."""
        return "ar" if self.rule == "ar" else "diffusion"

    @property
    def name(self) -> str:
        """Return what the table calls it."""
        if self.rule == "ar":
            return "token by token (base)"
        checked = f", verified at {self.verify:g}" if self.verify else ""
        return f"block {self.block}, {self.rule} {self.value:g}{checked}"


def cells(which: str) -> list[Cell]:
    """Return the cells, the most telling first: 'few' for a CPU, 'all' for the whole grid."""
    if which == "all":
        grid = [Cell(t, b, "threshold", v) for t in TEMPERATURES for b in BLOCKS for v in THRESHOLDS]
        checked = [
            Cell(t, b, "threshold", v, s)
            for t in TEMPERATURES
            for b in BLOCKS
            for v in (0.0, 0.3, 0.5)
            for s in (0.3, 1.0)
        ]
        return (
            [Cell(t) for t in TEMPERATURES]
            + grid
            + [Cell(t, b, "factor", 1.0) for t in TEMPERATURES for b in BLOCKS]
            + checked
        )
    guessed = (
        (4, 0.3),
        (4, 1.0),
        (4, 0.1),
        (4, 0.03),
        (4, 0.01),
        (8, 0.3),
        (8, 1.0),
        (16, 0.3),
    )  # one guess a block, then its check
    checked = [Cell(0.0, block, "threshold", 0.0, share) for block, share in guessed]
    plain = [
        Cell(0.0, b, "threshold", v)
        for b, v in ((8, 0.5), (16, 0.5), (16, 0.9), (32, 0.9), (8, 0.9), (32, 0.5), (4, 0.9), (64, 0.9))
    ]
    warm = [
        Cell(0.8),
        Cell(0.8, 4, "threshold", 0.0, 0.3),
        Cell(0.8, 16, "threshold", 0.5),
        Cell(0.8, 16, "threshold", 0.9),
    ]
    return [Cell(0.0), *checked, *plain[:4], Cell(0.0, 16, "threshold", 0.5, 0.3), *warm[:2], *plain[4:], *warm[2:]]


# ---------------------------------------------------------------- some of them
def measure(model: Batched, jobs: Sequence[tuple[str, str, Settings]]) -> list[dict[str, Any]]:
    """Write one text for each (mode, prompt, settings), all at once; return their counts and qualities."""
    traces = model.together([model.denoise(prompt, settings, mode=mode).finish for mode, prompt, settings in jobs])
    nats = model.together([partial(model.score, trace.prompt, trace.final_ids) for trace in traces])
    return [
        _counts(trace) | {"nll": round(float(np.mean(nll or np.nan)), 4)}
        for trace, nll in zip(traces, nats, strict=True)
    ]


def _counts(trace: Trace) -> dict[str, Any]:
    """Return what a text says of itself; NLL (nats per token, end token included) is the base model's, at temperature 1."""
    ids, result = trace.final_ids, trace.result
    assert result is not None
    different, again = distinct(ids), repetition(ids)  # None where the text is too short to have any
    steps: dict[int, int] = {}
    for frame in trace.frames:
        steps |= dict.fromkeys(frame.committed, frame.step)
    return {
        "text": result.text,
        "tokens": len(ids),
        "forwards": result.forwards,
        "end": result.stopped == "end",
        "distinct2": 1.0 if different is None else round(different, 4),
        "repetition": round(again or 0.0, 4),
        "doubled": round(doubled(ids), 4),
        "tau": round(kendall_tau([steps[i] for i in range(len(ids)) if i in steps]), 4),
    }


# ---------------------------------------------------------------- all of them
def todo(chosen: list[Cell], prompts: list[str], done: set[tuple[Cell, int]]) -> Iterator[tuple[Cell, int]]:
    """Yield what is still missing, cell by cell."""
    return ((cell, i) for cell in chosen for i in range(len(prompts)) if (cell, i) not in done)


def read_samples(path: Path, weights: str, new_tokens: int) -> Samples:
    """Return what these very weights already wrote."""
    found = {}
    for line in lines(path) if path.exists() else []:
        entry = json.loads(line)
        if entry["weights"] == weights and entry["new_tokens"] == new_tokens:
            found[Cell(**entry["cell"]), entry["prompt"]] = entry["result"]
    return found


def run(args: argparse.Namespace, chosen: list[Cell], prompts: list[str], weights: str) -> Samples:
    """Write what is missing until it is done or the time is up; return every sample."""
    path, begin = args.work / "samples.jsonl", time.monotonic()
    samples = read_samples(path, weights, args.new_tokens)
    missing = list(todo(chosen, prompts, set(samples)))
    if not missing:
        return samples
    model = Batched(args.weights, DTYPES.get(args.dtype), args.device)
    with open(path, "a") as sink:
        for first in range(0, len(missing), args.batch):
            if time.monotonic() - begin > args.seconds:
                break
            group = missing[first : first + args.batch]
            results = measure(
                model, [(cell.mode, prompts[i], cell.settings(args.new_tokens, args.seed + i)) for cell, i in group]
            )
            for (cell, i), result in zip(group, results, strict=True):
                samples[cell, i] = result
                entry = {
                    "weights": weights,
                    "new_tokens": args.new_tokens,
                    "cell": asdict(cell),
                    "prompt": i,
                    "result": result,
                }
                sink.write(json.dumps(entry) + "\n")
            sink.flush()
            print(
                f"{first + len(group)} of {len(missing)}, {time.monotonic() - begin:.0f} s, {group[-1][0].name}",
                flush=True,
            )
    return samples


def summarise(chosen: list[Cell], samples: Samples) -> list[dict[str, Any]]:
    """Return one row a cell: means over its prompts, NLL with its standard error."""
    rows = []
    for cell in chosen:
        found = [result for (key, _), result in samples.items() if key == cell]
        if not found:
            continue
        tokens = [result["tokens"] for result in found]
        nll, error = mean_and_error([result["nll"] for result in found], tokens)
        row = asdict(cell) | {"name": cell.name, "prompts": len(found), "tokens": round(sum(tokens) / len(tokens), 1)}
        row |= {"tokens_per_forward": round(sum(tokens) / sum(result["forwards"] for result in found), 3)}
        row |= {"nll": round(nll, 3), "nll_error": round(error, 3)}
        for name in ("distinct2", "repetition", "doubled", "tau", "end"):
            row[name] = round(mean_and_error([result[name] for result in found])[0], 4)
        rows.append(row)
    return rows


def earlier(path: Path, weights: str, new_tokens: int, made: set[tuple[str, float]]) -> list[dict[str, Any]]:
    """Return the rows of the table there already that these very weights wrote and that are not made anew: other sittings' cells."""
    if not path.is_file():
        return []
    document = json.loads(path.read_text())
    same = document["sha256"] == weights and document["new_tokens"] == new_tokens
    return [row for row in document["rows"] if same and (row["name"], row["temperature"]) not in made]


COLUMNS = {
    "decoding": lambda row: row["name"],
    "tokens per forward": lambda row: f"{row['tokens_per_forward']:.2f}",
    "NLL under the base": lambda row: f"{row['nll']:.2f} ± {row['nll_error']:.2f}",
    "distinct-2": lambda row: f"{row['distinct2']:.3f}",
    "repeated 4-grams": lambda row: f"{row['repetition']:.3f}",
    "doubled tokens": lambda row: f"{row['doubled']:.3f}",
    "ended": lambda row: f"{row['end']:.0%}",
    "Kendall tau": lambda row: f"{row['tau']:.2f}",
    "prompts": lambda row: str(row["prompts"]),
}


def table(rows: list[dict[str, Any]], new_tokens: int) -> str:
    """Return the Markdown tables of the model card, one a temperature."""
    intro = f"""Prompts held out by topic and template, at most {new_tokens} new tokens, every text written by the loops that ship.
NLL in nats per token at temperature 1, with its standard error over prompts; tau: commit order, 1 is strictly left to right."""
    out = [intro]
    for temperature in sorted({row["temperature"] for row in rows}):
        out += ["", f"Temperature {temperature:g}:", "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
        out += [
            f"| {' | '.join(show(row) for show in COLUMNS.values())} |"
            for row in rows
            if row["temperature"] == temperature
        ]
    return "\n".join(out) + "\n"


def figure(rows: list[dict[str, Any]]) -> str:
    """Return a Plotly figure as JSON: tokens per forward against NLL, a line per temperature, block length and check."""
    import plotly.graph_objects as go

    groups: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["tokens_per_forward"]):
        kind = (
            "token by token" if row["rule"] == "ar" else f"block {row['block']}{', verified' if row['verify'] else ''}"
        )
        groups.setdefault(f"T {row['temperature']:g}, {kind}", []).append(row)
    plot = go.Figure()
    for name, group in groups.items():
        plot.add_scatter(
            x=[row["tokens_per_forward"] for row in group],
            y=[row["nll"] for row in group],
            text=[row["name"] for row in group],
            error_y={"array": [row["nll_error"] for row in group]},
            name=name,
            mode="lines+markers",
        )
    plot.update_layout(
        template=None, xaxis_title="tokens per forward pass", yaxis_title="NLL under the base (nats per token)"
    )
    return plot.to_json()


def main(argv: list[str] | None = None) -> list[dict[str, Any]]:
    """Run the command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--weights", type=Path, default=Path("assets/weights"))
    cli.add_argument("--work", type=Path, required=True, help="where samples.jsonl is kept between runs")
    cli.add_argument("--out", type=Path, default=RESULTS, help="where curve.json, curve.md and curve_figure.json go")
    cli.add_argument("--cells", choices=("few", "all"), default="few")
    cli.add_argument("--only", nargs="+", type=int, help="indices into the cells, to spread a run over sittings")
    cli.add_argument("--prompts", type=int, default=64)
    cli.add_argument("--new-tokens", type=int, default=48)
    cli.add_argument("--batch", type=int, default=32, help="texts written at once; a GPU takes hundreds")
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument(
        "--dtype", choices=DTYPES, help="what products are computed in; as the CPU suggests, bf16 on a GPU"
    )
    cli.add_argument("--threads", type=int, default=0)
    cli.add_argument("--seconds", type=float, default=float("inf"), help="stop after this long; run again to go on")
    cli.add_argument("--seed", type=int, default=0)
    args = cli.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    chosen = cells(args.cells)
    chosen = [chosen[i] for i in args.only] if args.only else chosen
    prompts = lines(DATA / "held_out_prompts.txt")[: args.prompts]
    manifest = read_manifest(args.weights)
    args.work.mkdir(parents=True, exist_ok=True)
    samples = run(args, chosen, prompts, manifest.sha256)
    rows = summarise(chosen, {key: value for key, value in samples.items() if key[1] < len(prompts)})
    made = {(row["name"], row["temperature"]) for row in rows}
    rows += earlier(args.out / "curve.json", manifest.sha256, args.new_tokens, made)
    rows.sort(
        key=lambda row: (
            row["temperature"],
            row["rule"] != "ar",
            not row["verify"],
            row["block"],
            row["value"],
            row["verify"],
        )
    )
    args.out.mkdir(parents=True, exist_ok=True)
    document = {"weights": manifest.version, "sha256": manifest.sha256, "new_tokens": args.new_tokens, "rows": rows}
    (args.out / "curve.json").write_text(json.dumps(document, indent=1) + "\n")
    (args.out / "curve.md").write_text(table(rows, args.new_tokens))
    (args.out / "curve_figure.json").write_text(figure(rows) + "\n")
    print(table(rows, args.new_tokens))
    return rows


if __name__ == "__main__":
    main()
