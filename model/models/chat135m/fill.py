"""Text with holes on the built-in model: its causal pass with a low-rank change, trained to write a hole with what follows in view.

The prompt quotes the whole text (`model.holes.ASK`), and behind it the text is written once more: what follows a hole is read before
the hole is. The change is a file of its own (`weights.FILL`), read when the first such prompt comes; `training/fill.py` made it.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from model.models.chat135m.network import Gated, Network
from model.models.chat135m.weights import FOLDER, LINEARS, load_fill


class Changed(Gated):
    """A layer whose rows before `first`, those of the causal pass, get a low-rank change: x W' + (x A') B'."""

    def __init__(self, own: Gated, down: torch.Tensor, up: torch.Tensor):
        self.layer, self.low, self.high = own, down.t().contiguous(), up.t().contiguous()

    def __call__(self, x: torch.Tensor, first: int) -> torch.Tensor:
        """Return (n, out) of x (n, in)."""
        y = self.layer(x, first)
        if first:
            y[:first] += (x[:first] @ self.low) @ self.high
        return y


def filling(network: Network, folder: Path | str = FOLDER) -> Network:
    """Return the network with the change, sharing all its weights; the network itself where the folder has none."""
    change = load_fill(folder, network.config, network.dtype)
    if not change:
        return network
    out = copy.copy(network)
    out.linears = [
        tuple(
            Changed(own, change[f"{i}.{name}.A"], change[f"{i}.{name}.B"]) if f"{i}.{name}.A" in change else own
            for name, own in zip(LINEARS, layer, strict=True)
        )
        for i, layer in enumerate(network.linears)
    ]
    return out
