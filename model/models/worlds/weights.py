"""Weights of the small networks on disk: 8-bit rows with a scale each, in one safetensors file whose metadata says what it is."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.errors import WeightsError

from .network import Network, Shape

BOUNDS = {
    "vocabulary": 65_536,
    "positions": 4_096,
    "width": 2_048,
    "layers": 64,
    "heads": 64,
    "hidden": 8_192,
    "relations": 4_096,
}


def save(path: Path, network: Network, about: Mapping[str, Any]) -> None:
    """Write a network: matrices as int8 rows and their float32 scales, vectors as they are. about: what its metadata says beside."""
    tensors: dict[str, Tensor] = {}
    for name, weight in network.state_dict().items():
        if weight.dim() < 2:
            tensors[name] = weight.float()
            continue
        scale = weight.float().abs().amax(-1, keepdim=True).clamp_min(1e-12) / 127
        tensors[name], tensors[f"{name}.scale"] = (weight.float() / scale).round().to(torch.int8), scale
    path.parent.mkdir(parents=True, exist_ok=True)
    told = json.dumps({"shape": network.shape.as_dict(), **about}, sort_keys=True)
    save_file(tensors, path, {"about": told, "seal": hashlib.sha256(told.encode()).hexdigest()})


def load(path: Path) -> tuple[Network, dict[str, Any]]:
    """Return a network in float32 and what its file says of itself, `sha256` added; raise WeightsError naming the file and the fault."""
    try:
        raw = path.read_bytes()
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
            about = json.loads(said["about"])
            if said.get("seal", whole := hashlib.sha256(said["about"].encode()).hexdigest()) != whole:
                raise ValueError("what it says of itself was edited after it was written")
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file, not a mapping)
    except FileNotFoundError:
        raise WeightsError(
            f"{path} is missing; fetch it with the repository, or make it with 'make worlds' or 'make sudoku'."
        ) from None
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {str(error)[:100]}.") from None
    network = Network(_shape(path, about.get("shape")))
    with torch.no_grad():
        for name, weight in network.state_dict().items():
            value, scale = stored.pop(name, None), stored.pop(f"{name}.scale", None)
            if value is None or value.shape != weight.shape or (weight.dim() > 1) != (scale is not None):
                raise WeightsError(f"{path} does not hold {name} as {tuple(weight.shape)}; fetch the file again.")
            weight.copy_(value.float() if scale is None else value.float() * scale)
            if not bool(torch.isfinite(weight).all()):
                raise WeightsError(f"{path} holds values in {name} that are not numbers; fetch the file again.")
    if stored:
        raise WeightsError(
            f"{path} holds {sorted(stored)[0]}, which no network of its shape has; fetch the file again."
        )
    return network.eval(), about | {"sha256": hashlib.sha256(raw).hexdigest()}


def _shape(path: Path, told: Any) -> Shape:
    if isinstance(told, dict) and told.get("groups") == []:  # files from before boards had a network
        told = {"relations": 0} | {key: value for key, value in told.items() if key != "groups"}
    if not isinstance(told, dict) or told.keys() != Shape(1, 1).as_dict().keys():
        raise WeightsError(f"{path} does not say the shape of its network; fetch the file again.")
    whole = all(
        isinstance(told[name], int) and not isinstance(told[name], bool) and told[name] >= (name != "relations")
        for name in BOUNDS
    )
    if (
        not whole
        or any(told[name] > most for name, most in BOUNDS.items())
        or math.remainder(told["width"], told["heads"])
    ):
        raise WeightsError(f"{path} names a shape that no network has; fetch the file again.")
    return Shape(**(told | {"causal": told["causal"] is True, "conditioned": told["conditioned"] is True}))
