"""Measure this machine: `python -m bench [--model ID] [--rounds N] [--no-page]`. The last line of stdout is one JSON object."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from bench import replay
from bench.page import waiting
from bench.speed import both_modes, ms_per_forward
from model import Settings, load

LIBRARIES = ("torch", "transformers", "gradio", "numpy")


def machine(model: Any) -> dict[str, Any]:
    """Return what the numbers depend on: hardware, what it computed in (dtype) and with (instructions), threads, versions, date."""
    from model.models.base import hardware

    torch = sys.modules.get("torch")
    return {
        "model": model.spec.id,
        "revision": model.spec.revision,
        "dtype": getattr(model, "dtype", "none"),
        "hardware": hardware(),
        "instructions": torch.backends.cpu.get_cpu_capability() if torch else None,
        "threads": torch.get_num_threads() if torch else None,
        "versions": {"python": sys.version.split()[0]} | {name: version(name) for name in LIBRARIES},
        "date": date.today().isoformat(),
    }


def preset(name: str, model: str) -> Settings:
    """Return the settings that the page calls `name` on a model, or starts it with."""
    from playground.presets import START, presets_of

    presets = presets_of(model)
    if name and name not in presets:
        raise SystemExit(f"--preset must be one of {', '.join(presets)}; it was {name!r}.")
    return Settings.parse(presets.get(name or START, {}))


def measure(model_id: str, settings: Settings, rounds: int, page: bool) -> dict[str, Any]:
    """Return every measurement; the page first, so that two copies of the model are never in memory together."""
    out: dict[str, Any] = waiting(model_id) if page else {}
    begin = time.perf_counter()
    model = load(model_id)
    out["load_seconds"] = round(time.perf_counter() - begin, 3)
    out["ms_per_forward"] = ms_per_forward(model)
    out |= both_modes(model, settings, rounds)
    if page and replay.browser_path() and find_spec("playwright"):
        out |= replay.measure()
    return out | {"settings": settings.as_dict()} | machine(model)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--model", default="builtin", help="model id (default builtin)")
    parser.add_argument(
        "--rounds", type=int, default=2, help="how often every prompt is written in both modes (default 2)"
    )
    parser.add_argument("--no-page", action="store_true", help="leave the server out: only the model")
    parser.add_argument(
        "--preset",
        default="",
        help="settings to write with, by the page's name for them (default: those it starts with)",
    )
    args = parser.parse_args(arguments)
    result = measure(args.model, preset(args.preset, args.model), args.rounds, not args.no_page)
    for name, value in result.items():
        print(f"{name:32} {value}", file=sys.stderr)
    print(json.dumps(result, allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
