"""The lanes of a race: what each writes with, and the presets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.engine.catalog import entries, entry
from model.engine.parsing import parse_request
from model.errors import SettingError
from model.models.worlds.record import NOISY_DEFAULTS
from model.request import Request, visible_text
from model.settings import FIELD, FIELDS, Limits, applies
from model.sudoku import CELLS


@dataclass(frozen=True)
class Lane:
    """One competitor: a name for it and what it is asked."""

    label: str
    request: Request


@dataclass(frozen=True)
class Preset:
    """Lanes that make a telling race: what each changes in the base request ('mode', 'model' or a setting).

    prompt: one that suits its models, where not every prompt does.
    """

    label: str
    lanes: tuple[Mapping[str, Any], ...]
    prompt: str = ""


# Where text is compared over steps or orders, the plan decides how many tokens a step commits, or the knob would not be read.
_PLANNED = {"mode": "diffusion", "rule": "schedule", "remasking": "none", "block_length": 0}
PRESETS = {
    "modes": Preset("Diffusion against left to right", ({"mode": "diffusion"}, {"mode": "ar"})),
    "steps": Preset("8, 16 and 64 steps, one seed", tuple(_PLANNED | {"steps": n} for n in (8, 16, 64))),
    "orders": Preset(
        "Four orders, one seed",
        tuple(
            _PLANNED | {"steps": 32, "order": order} for order in ("margin", "confidence", "random", "left_to_right")
        ),
    ),
    "sudoku": Preset(
        "Four orders on one Sudoku",
        tuple(
            _PLANNED | {"model": "sudoku", "new_tokens": CELLS, "steps": CELLS, "temperature": 0.0, "order": order}
            for order in ("margin", "confidence", "random", "left_to_right")
        ),
        "An extreme Sudoku, number 1",
    ),
    "solvers": Preset(
        "A Sudoku, by margin against left to right",
        (
            _PLANNED | {"model": "sudoku", "new_tokens": CELLS, "steps": CELLS, "temperature": 0.0, "order": "margin"},
            {"model": "sudoku", "mode": "ar", "new_tokens": CELLS, "temperature": 0.0},
        ),
        "A hard Sudoku, number 7",
    ),
    "noise": Preset(
        "From masks against from random words", ({"model": "worlds"}, {"model": "worlds-noisy", **NOISY_DEFAULTS})
    ),
    "models": Preset("Two models", ({}, {"model": "another"})),
}


def preset_lanes(name: str, base: str = "builtin") -> list[dict[str, Any]]:
    """Return the changes of a preset's lanes; 'another' model becomes the base's twin, or another one that can run here.

    Raise SettingError for an unknown preset, ModelUnavailable for an unknown model.
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise SettingError(
            f"The preset of a race must be one of {', '.join(PRESETS)}; it was {str(name)[:40]!r}.", "preset"
        )
    lanes = [dict(lane) for lane in PRESETS[name].lanes]
    canvas = entry(base).spec.canvas if entry(base).spec.family == "masked" else 0
    for lane in lanes:
        if lane.get("model") == "another":
            lane["model"] = _another(base)
        if name == "orders" and canvas:
            lane["steps"] = canvas  # one position a pass: what differs is the order alone
    return lanes


def _another(base: str) -> str:
    twin = entry(base).spec.twin
    others = [
        known for known in entries() if known.spec.id != base and known.spec.parameters
    ]  # a scripted stand-in has none
    usable = [known.spec.id for known in others if known.available()[0]]
    # Where nothing else can run here, its lane says what it would need.
    return twin if twin in usable else usable[0] if usable else others[0].spec.id if others else base


def make_lanes(
    prompt: Any, base: Mapping[str, Any], lanes: Sequence[Mapping[str, Any]], limits: Limits, system: Any = ""
) -> list[Lane]:
    """Return named lanes from untrusted values; raise SettingError with one sentence.

    base: settings all lanes share (and 'model', 'mode'); lanes: what each changes, with an optional 'label'.
    """
    if not isinstance(lanes, Sequence) or isinstance(lanes, str) or not 1 <= len(lanes) <= limits.lanes:
        count = len(lanes) if isinstance(lanes, Sequence) else 0
        raise SettingError(f"A race must have between 1 and {limits.lanes} lanes; it has {count}.", "lanes")
    requests, names = [], []
    for lane in lanes:
        if not isinstance(lane, Mapping):
            raise SettingError("A lane must map names to values, like {'mode': 'ar'}.", "lanes")
        values = {**base, **lane}
        label = values.pop("label", None)
        names.append("" if label is None else visible_text("The label of a lane", label, limits.prompt_chars)[:60])
        model, mode = values.pop("model", "builtin"), values.pop("mode", "diffusion")
        requests.append(parse_request(prompt, values, model=model, mode=mode, system=system, limits=limits))
    return [
        Lane(name or label, request) for name, label, request in zip(names, labels(requests), requests, strict=True)
    ]


def labels(requests: Sequence[Request]) -> list[str]:
    """Name each request by what tells it from the others: 'Autoregressive', 'Diffusion, 16 steps', ..."""
    several_models = len({request.model for request in requests}) > 1
    several_modes = len({request.mode for request in requests}) > 1
    denoisers = [request for request in requests if request.mode != "ar"]
    differing = [f for f in FIELDS if f.name != "seed" and len({getattr(r.settings, f.name) for r in denoisers}) > 1]
    out = []
    for request in requests:
        parts = [entry(request.model).spec.name] if several_models else []
        if several_modes or not (several_models or differing):
            parts.append("autoregressive" if request.mode == "ar" else "diffusion")
        if request.mode != "ar":
            family = entry(request.model).spec.family
            parts += [
                _knob(f.name, getattr(request.settings, f.name))
                for f in differing
                if family in f.families and applies(f, request.settings)
            ]
        name = ", ".join(parts) or "diffusion"
        out.append(name[0].upper() + name[1:])
    return [f"{name} ({i + 1})" if out.count(name) > 1 else name for i, name in enumerate(out)]


def _knob(name: str, value: Any) -> str:
    field_ = FIELD[name]
    if field_.kind == "choice":
        return f"{field_.label.lower()} {str(value).replace('_', ' ')}"
    return f"{value} steps" if name == "steps" else f"{field_.label.lower()} {value:g}"
