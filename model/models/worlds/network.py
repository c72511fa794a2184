"""A small transformer for small worlds: it reads a whole canvas at once or, as the autoregressive twin, only what stands to the left.

RMS norm, normalised queries and keys, rotary positions (for boards, what two cells share instead), SwiGLU, embedding tied to the
output. No time input: how much is undecided is there to see. Trained by `training/worlds` and `training/sudoku`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6


@dataclass(frozen=True)
class Shape:
    """Sizes of a network.

    vocabulary: rows of the embedding; positions: prompt and canvas together; causal: sees only what stands to the left;
    conditioned: reads its own last guess too (self-conditioning); relations: kinds of pairs of positions that each head weighs (a board:
    which of row, column and box two cells share); 0: none, and positions are rotary.
    """

    vocabulary: int
    positions: int
    width: int = 192
    layers: int = 6
    heads: int = 6
    hidden: int = 512
    causal: bool = False
    conditioned: bool = False
    relations: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return asdict(self)


def rms(x: Tensor, gain: Tensor | None = None) -> Tensor:
    """Return `x` at unit mean square over its last dimension, times `gain`; computed in float32."""
    y = x.float()
    y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + EPS)
    return (y if gain is None else y * gain).to(x.dtype)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return queries or keys (..., positions, d), normalised and rotated by their positions (cos, sin: (positions, d), float32)."""
    y, half = rms(x.float()), x.shape[-1] // 2
    return (y * cos + torch.cat((-y[..., half:], y[..., :half]), -1) * sin).to(x.dtype)


class Block(nn.Module):
    """Attention, then a gated layer, each behind a norm and added to what came in."""

    def __init__(self, shape: Shape):
        super().__init__()
        d, h = shape.width, shape.hidden
        self.heads = shape.heads
        self.norm1, self.norm2 = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))
        self.qkv, self.out = nn.Parameter(torch.empty(3 * d, d)), nn.Parameter(torch.empty(d, d))
        self.up, self.down = nn.Parameter(torch.empty(2 * h, d)), nn.Parameter(torch.empty(d, h))
        for weight, std in ((self.qkv, 0.02), (self.up, 0.02), (self.out, 0.0), (self.down, 0.0)):
            nn.init.normal_(weight, std=std) if std else nn.init.zeros_(weight)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor | None) -> Tensor:
        """Return (batch, positions, width). bias: added to scores, (positions, positions) or a head each; minus infinity: may not look."""
        b, t, d = x.shape
        q, k, v = (
            F.linear(rms(x, self.norm1), self.qkv.to(x.dtype)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        )
        q, k = turned(q, cos, sin), turned(k, cos, sin)
        scores = (q @ k.transpose(-1, -2)).float() / math.sqrt(q.shape[-1])
        weights = (scores if bias is None else scores + bias).softmax(-1).to(x.dtype)
        x = x + F.linear((weights @ v).transpose(1, 2).reshape(b, t, d), self.out.to(x.dtype))
        gate, up = F.linear(rms(x, self.norm2), self.up.to(x.dtype)).chunk(2, -1)
        return x + F.linear(F.silu(gate) * up, self.down.to(x.dtype))


class Network(nn.Module):
    """From ids (batch, positions) to features (batch, positions, width); `logits` turns features into scores of every word.

    Weights are kept in float32; passes compute in `dtype`.
    """

    cos: Tensor
    sin: Tensor
    hidden: Tensor | None

    def __init__(self, shape: Shape, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.shape, self.dtype = shape, dtype
        self.embed = nn.Parameter(torch.randn(shape.vocabulary, shape.width) * 0.02)
        self.guess = nn.Parameter(torch.zeros(shape.width, shape.width)) if shape.conditioned else None
        related = torch.zeros(shape.layers, shape.heads, shape.relations)
        self.weighed = nn.Parameter(related) if shape.relations else None
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.width))
        d = shape.width // shape.heads
        far = torch.zeros(shape.positions) if shape.relations else torch.arange(shape.positions).float()
        angle = torch.outer(far, 1e4 ** (-torch.arange(0, d, 2).float() / d))
        angle = torch.cat((angle, angle), -1)
        above = torch.full((shape.positions, shape.positions), -torch.inf).triu(1) if shape.causal else None
        for name, table in (("cos", angle.cos()), ("sin", angle.sin()), ("hidden", above)):
            self.register_buffer(name, table, persistent=False)

    def forward(self, ids: Tensor, guess: Tensor | None = None, pairs: Tensor | None = None) -> Tensor:
        """Return features. guess: probabilities of the step before (batch, positions, words), where the network reads them; zeros: none.

        pairs: (positions, positions), the kind of each pair, where the network weighs them.
        """
        t, embed = ids.shape[1], self.embed.to(self.dtype)
        x = F.embedding(ids, embed)
        if self.guess is not None and guess is not None:
            x = x + F.linear(rms(guess.to(self.dtype) @ embed[: guess.shape[-1]]), self.guess.to(self.dtype))
        hidden = None if self.hidden is None else self.hidden[:t, :t]
        for i, block in enumerate(self.blocks):
            bias = hidden
            if self.weighed is not None and pairs is not None:
                bias = self.weighed[i][:, pairs[:t, :t]] + (0.0 if hidden is None else hidden)
            x = block(x, self.cos[:t], self.sin[:t], bias)
        return rms(x, self.norm)

    def logits(self, features: Tensor) -> Tensor:
        """Return float32 scores (..., vocabulary)."""
        return F.linear(features, self.embed.to(features.dtype)).float()
