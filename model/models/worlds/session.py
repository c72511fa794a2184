"""The small networks at work: passes written for speed on a CPU, and what the loops ask of them in one run.

Float32 on every CPU: at this size a pass is bound by the number of operations, not by their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from .network import EPS, Block, Network

RULED_OUT = -1e4  # far enough for a probability of exactly 0


class Passes:
    """A trained network, laid out for passes over whole canvases, or token by token over a cache.

    pairs: the kind of each pair of positions, for a network that weighs them. dtype: of the blocks; scores are float32.
    """

    def __init__(self, network: Network, pairs: Tensor | None = None, dtype: torch.dtype = torch.float32):
        self.shape = shape = network.shape
        self.dtype, self.embed, self.norm = dtype, network.embed.detach(), network.norm.detach()
        self.guess = None if network.guess is None else network.guess.detach()
        self.layers = [
            tuple(w.detach().to(dtype) for w in (b.norm1, b.norm2, b.qkv, b.out, b.up, b.down))
            for b in cast("list[Block]", list(network.blocks))
        ]
        self.head = shape.width // shape.heads
        self.cos, self.sin = network.cos[:, None, None], network.sin[:, None, None]
        self.bias: Tensor | None = None
        if network.weighed is not None and pairs is not None:
            above = torch.full(pairs.shape, -torch.inf).triu(1) if shape.causal else torch.zeros(pairs.shape)
            self.bias = (network.weighed.detach()[:, :, pairs] + above).to(
                dtype
            )  # (layers, heads, positions, positions)

    def new_cache(self, rows: int) -> Tensor:
        """Return an empty cache (layers, 2, rows, heads, positions, width of a head)."""
        s = self.shape
        return torch.zeros(s.layers, 2, rows, s.heads, s.positions, self.head, dtype=self.dtype)

    @torch.inference_mode()
    def run(self, ids: Tensor, start: int = 0, cache: Tensor | None = None, guess: Tensor | None = None) -> Tensor:
        """Return features (B, T, width) of ids (B, T) at positions [start, start + T); see `Network.forward` for guess.

        cache: keys and values before `start`, written at these positions too; a causal network needs it, others never have one.
        """
        x, (b, t), d = F.embedding(ids, self.embed).to(self.dtype), ids.shape, self.shape.width
        if self.guess is not None and guess is not None:
            x = x + F.linear(F.rms_norm(guess @ self.embed[: guess.shape[-1]], (d,), None, EPS), self.guess).to(
                self.dtype
            )
        cos, sin, half = self.cos[start : start + t], self.sin[start : start + t], self.head // 2
        for i, (norm1, norm2, qkv, out, up, down) in enumerate(self.layers):
            z = F.linear(F.rms_norm(x, (d,), norm1, EPS), qkv).view(b, t, 3, self.shape.heads, self.head)
            qk = F.rms_norm(z[:, :, :2], (self.head,), None, EPS)
            if self.bias is None:
                qk = (qk * cos + torch.cat((-qk[..., half:], qk[..., :half]), -1) * sin).to(self.dtype)
            q, k, v = qk[:, :, 0].transpose(1, 2), qk[:, :, 1].transpose(1, 2), z[:, :, 2].transpose(1, 2)
            if cache is not None:
                cache[i, 0, :, :, start : start + t], cache[i, 1, :, :, start : start + t] = k, v
                k, v = cache[i, 0, :, :, : start + t], cache[i, 1, :, :, : start + t]
            if self.bias is not None:
                mask: Tensor | None = self.bias[i, None, :, start : start + t, : start + t]
            else:
                mask = torch.ones(t, start + t, dtype=torch.bool).tril(start) if self.shape.causal and t > 1 else None
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            x = x + F.linear(y.transpose(1, 2).reshape(b, t, d), out)
            gate, value = F.linear(F.rms_norm(x, (d,), norm2, EPS), up).chunk(2, -1)
            x = x + F.linear(F.silu(gate).mul_(value), down)
        return F.rms_norm(x.float(), (d,), self.norm, EPS)

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """Return scores (..., vocabulary) of features (..., width)."""
        return F.linear(features, self.embed)


@dataclass(frozen=True)
class Task:
    """What the sessions of one kind of small model share: a prompt's ids, the mask, and which ids are words.

    words: ids that a canvas may hold, [first, last); end: one more below them.
    """

    mask_id: int
    words: tuple[int, int]
    end: int | None = None

    def shown(self, logits: Tensor) -> Tensor:
        """Return logits (n, words) over the vocabulary that is there, prompt words and spare rows ruled out in place."""
        logits = logits[:, : self.words[1]]
        end = self.words[0] if self.end is None else self.end
        logits[:, :end] = RULED_OUT
        logits[:, end + 1 : self.words[0]] = RULED_OUT
        return logits


class Whole:
    """One run of a network that sees the whole canvas at every pass. What `loops.masked` asks."""

    passes = 1

    def __init__(self, passes: Passes, prompt: Sequence[int], task: Task):
        self.network, self.prompt, self.task = passes, list(prompt), task

    @torch.inference_mode()
    def predict(self, canvas: list[int], span: tuple[int, int], positions: list[int]) -> Tensor:
        """Return logits (len(positions), V) of canvas ids, -1 where undecided."""
        ids = torch.tensor([self.prompt + [self.task.mask_id if token < 0 else token for token in canvas]])
        features = self.network.run(ids)[0]
        return self.task.shown(self.network.logits(features[torch.tensor(positions) + len(self.prompt)]))

    def advance(self, start: int, ids: list[int], rows: list[int]) -> Tensor | None:
        """Nothing: a network that sees everything has no exact prefix cache, so the loop never asks."""
        raise NotImplementedError

    def crop(self, length: int) -> None:
        """Nothing is cached."""


class Reader:
    """One run of the autoregressive twin over its cache. What `loops.autoregressive` asks."""

    passes = 1

    def __init__(self, passes: Passes, prompt: Sequence[int], task: Task):
        self.network, self.prompt, self.task = passes, list(prompt), task
        self.cache, self.begun = passes.new_cache(1), False

    @torch.inference_mode()
    def advance(self, start: int, ids: list[int], rows: list[int]) -> Tensor:
        """Append finished ids at [start, start + len(ids)); the prompt goes before the first. Return next-token logits of `rows`."""
        first, new = (len(self.prompt) + start, ids) if self.begun else (0, self.prompt + ids)
        self.begun, shift = True, len(new) - len(ids)
        features = self.network.run(torch.tensor([new]), first, self.cache)[0]
        return self.task.shown(self.network.logits(features[torch.tensor([shift + row for row in rows])]))

    def predict(self, canvas: list[int], span: tuple[int, int], positions: list[int]) -> Tensor:
        """Nothing: this network only reads on."""
        raise NotImplementedError

    def crop(self, length: int) -> None:
        """Nothing to do: what lies behind is overwritten."""
