"""The built-in transformer (a Llama: SmolLM2), in plain torch, written for one sequence on a CPU.

Packed projections (q, k, v in one product, gate and up in one), a static cache written in place, grouped queries that ride along the
length axis so that keys and values are never copied, logits only for the rows that are asked for. Two sets of linears share
everything else: `causal` (the autoregressive model, whose cache holds finished text) and `block` (the denoiser, bidirectional inside
its block). `ahead` runs both in one pass: finished text by the causal weights, and behind each of its tokens a few masks, whose rows
alone get what makes the denoiser of them (gated LoRA and quadratic decoding, arXiv:2507.11851). Equal to transformers'
LlamaForCausalLM; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from .weights import LINEARS, Config

Product = Callable[[torch.Tensor], torch.Tensor]
Halves = tuple[torch.Tensor, torch.Tensor]
LIKELY = 64  # a mask's likeliest tokens, weighed again once the token before them is known
SPARE = 64  # places behind the longest text that masks may stand at, to be forgotten


def product(weight: torch.Tensor) -> Product:
    """Return x (n, in) -> x @ weight.T for weight (out, in). bfloat16 weights are laid out once as oneDNN wants them (what
    torch.compile's freezing does): a third to a half of the time of F.linear goes into doing that again on every call."""
    try:
        if weight.dtype == torch.bfloat16 and weight.device.type == "cpu":
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, 16)
            return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
    except (AttributeError, RuntimeError):  # a build without oneDNN
        pass
    return lambda x: F.linear(x, weight)


class Network:
    """Weights in a dtype, ready to run. `tensors` as `weights.load_builtin` returns them; they are taken out one by one as they are
    packed, so that memory never holds both forms of all of them."""

    def __init__(self, tensors: dict[str, torch.Tensor], config: Config, max_tokens: int = 2048):
        self.config, self.dtype = config, tensors["norm"].dtype
        self.embedding, self.norm = tensors["embedding"], tensors["norm"]
        self.norms = [(tensors[f"layers.{i}.norm1"], tensors[f"layers.{i}.norm2"]) for i in range(config.layers)]
        self.gated = [tuple(_low_rank(tensors, f"decoder.{i}.{name}") for name in LINEARS) for i in range(config.layers)]
        self.causal, self.block = _pack(tensors, config)
        self.head = product(self.embedding)
        self.follower = [product(tensors[f"follow.{half}"]) for half in "AB" if f"follow.{half}" in tensors]
        inverse = 1.0 / config.rope_theta ** (torch.arange(0, config.head_dim, 2).float() / config.head_dim)
        angles = torch.outer(torch.arange(max_tokens + SPARE).float(), inverse)
        angles = torch.cat([angles, angles], -1)
        sign = torch.cat([-torch.ones(config.head_dim // 2), torch.ones(config.head_dim // 2)])
        self.cos, self.sin = angles.cos().to(self.dtype), (angles.sin() * sign).to(self.dtype)

    def new_cache(self, length: int) -> torch.Tensor:
        """Return an empty cache (layers, 2, KV heads, length, head_dim)."""
        c = self.config
        return torch.empty(c.layers, 2, c.kv_heads, length, c.head_dim, dtype=self.dtype)

    @torch.inference_mode()
    def forward(self, ids: torch.Tensor, start: int, cache: torch.Tensor, causal: bool) -> torch.Tensor:
        """Run ids (n,) at positions [start, start + n) over the cache before them; return hidden states (n, D), final-normed.

        Their keys and values are written to the cache at those positions: causal passes leave them there for good, block passes
        are overwritten by the next pass. causal: token-causal with the causal weights; else every token of the block sees the whole
        block, with the block weights.
        """
        n, mask = len(ids), None
        if causal and n > 1:
            mask = torch.ones(n, start + n, dtype=torch.bool).tril(start)
        x = F.embedding(ids, self.embedding)
        return self._run(x, slice(start, start + n), start, cache, mask, self.causal if causal else self.block)

    @torch.inference_mode()
    def ahead(self, ids: torch.Tensor, behind: torch.Tensor, start: int, cache: torch.Tensor) -> torch.Tensor:
        """Run ids (n,) at positions [start, start + n) by the causal weights, and behind each of the last R of them the M tokens
        behind (R, M) by the denoiser's; return hidden states (R, 1 + M, D) of those R and of what stands behind each.

        Keys and values of ids stay in the cache; those of the others lie after them, where the next pass overwrites them.
        """
        n, (rows, masks) = len(ids), behind.shape
        shown = torch.arange(n - rows, n)[:, None]  # index of the token that each group stands behind
        where = torch.cat([torch.arange(n), (shown + torch.arange(1, masks + 1)).flatten()]) + start
        seen = torch.ones(n + rows * masks, start + n + rows * masks, dtype=torch.bool)
        seen[:n, start:] = False
        seen[:n, start : start + n] = torch.ones(n, n, dtype=torch.bool).tril()
        seen[n:, start : start + n] = (torch.arange(n) <= shown).repeat_interleave(masks, 0)
        seen[n:, start + n :] = torch.block_diag(*[torch.ones(masks, masks)] * rows).bool()
        products = [
            tuple(partial(_gated, own, low, n) for own, low in zip(*layer, strict=True))
            for layer in zip(self.causal, self.gated, strict=True)
        ]
        x = F.embedding(torch.cat([ids, behind.flatten()]), self.embedding)
        hidden = self._run(x, where, start, cache, seen, products)
        return torch.cat([hidden[n - rows : n, None], hidden[n:].view(rows, masks, -1)], 1)

    def _run(self, x: torch.Tensor, where: slice | torch.Tensor, start: int, cache: torch.Tensor, mask: torch.Tensor | None,
             products: Sequence[Sequence[Product]]) -> torch.Tensor:  # fmt: skip
        """Run embeddings x (n, D) at positions `where`, their keys and values at [start, start + n) of the cache."""
        c, n = self.config, len(x)
        group, stop = c.heads // c.kv_heads, start + n
        cos, sin = self.cos[where, None], self.sin[where, None]
        if mask is not None:
            mask = mask.repeat(group, 1)
        for (norm1, norm2), (qkv, o, gate_up, down), (keys, values) in zip(self.norms, products, cache, strict=True):
            h = qkv(F.rms_norm(x, (c.width,), norm1, c.norm_eps)).view(n, -1, c.head_dim)
            qk, v = h[:, : c.heads + c.kv_heads], h[:, c.heads + c.kv_heads :]
            qk = qk * cos + qk.roll(c.head_dim // 2, -1) * sin
            keys[:, start:stop], values[:, start:stop] = qk[:, c.heads :].transpose(0, 1), v.transpose(0, 1)
            q = qk[:, : c.heads].transpose(0, 1).reshape(1, c.kv_heads, group * n, c.head_dim)
            y = F.scaled_dot_product_attention(q, keys[None, :, :stop], values[None, :, :stop], attn_mask=mask)
            y = y.view(c.heads, n, c.head_dim).transpose(0, 1).reshape(n, -1)
            x = x + o(y)
            gate, up = gate_up(F.rms_norm(x, (c.width,), norm2, c.norm_eps)).chunk(2, -1)
            x = x + down(F.silu(gate) * up)
        return F.rms_norm(x, (c.width,), self.norm, c.norm_eps)

    @torch.inference_mode()
    def follow(self, hidden: torch.Tensor, before: int, likely: torch.Tensor) -> torch.Tensor:
        """Return the logits (n,) of a mask's likely tokens (n,) once the token right before its guess is known; hidden (D,)."""
        if self.follower:
            into, out = self.follower
            spoken = F.rms_norm(self.embedding[before], (self.config.width,), None, self.config.norm_eps)
            hidden = hidden + out(F.silu(into(torch.cat([hidden, spoken])[None])))[0]
        return self.embedding[likely] @ hidden

    @torch.inference_mode()
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return next-token logits (n, V) of hidden states (n, D)."""
        return self.head(hidden)


def _low_rank(tensors: dict[str, torch.Tensor], name: str) -> Halves | None:
    """Return a matrix's low-rank change as (in, rank) and (rank, out) in float32, taken out of `tensors`; None where there is none.

    float32, because of products this small a bfloat16 one costs several times as much: oneDNN takes 15 us to begin.
    """
    if f"{name}.A" not in tensors:
        return None
    down, up = (tensors.pop(f"{name}.{half}").float().t().contiguous() for half in "AB")
    return down, up


def _gated(own: Product, low: Halves | None, first: int, x: torch.Tensor) -> torch.Tensor:
    """Return own(x), with the low-rank change in the rows from `first` on."""
    y = own(x)
    if low is not None:
        y[first:].add_((x[first:].float() @ low[0]) @ low[1])
    return y


def _pack(tensors: dict[str, torch.Tensor], config: Config) -> tuple[list[tuple[Product, ...]], list[tuple[Product, ...]]]:
    """Return the causal and the block products, layer by layer; the same ones where both modes share their weights."""
    causal, block = [], []
    for i in range(config.layers):
        pairs = [(tensors.pop(f"layers.{i}.{name}"), tensors.pop(f"decoder.{i}.{name}")) for name in LINEARS]
        causal.append(tuple(product(ours) for ours, _ in pairs))
        block.append(tuple(mine if own is ours else product(own) for (ours, own), mine in zip(pairs, causal[-1], strict=True)))
    return causal, block


class Session:
    """One run over the network: a `masked.Predictor` with an exact cache. `prefix` is a cache of tokens the prompt begins with."""

    passes = 1

    def __init__(self, network: Network, prompt_ids: list[int], length: int, mask_id: int,
                 prefix: tuple[list[int], torch.Tensor] | None = None):  # fmt: skip
        self.network, self.prompt, self.mask_id = network, prompt_ids, mask_id
        self.cache = network.new_cache(len(prompt_ids) + length + SPARE)
        self.hidden = self.logits = torch.empty(0)  # of the last pass ahead
        self.ready = 0  # prompt tokens in the cache
        if prefix and prompt_ids[: len(prefix[0])] == prefix[0] and len(prefix[0]) < len(prompt_ids):
            self.ready = len(prefix[0])
            self.cache[:, :, :, : self.ready] = prefix[1]

    @torch.inference_mode()
    def advance(self, start: int, ids: list[int], rows: list[int]) -> torch.Tensor:
        """See `masked.Predictor.advance`."""
        first, new = self._new(start, ids)
        hidden = self.network.forward(torch.tensor(new), first, self.cache, causal=True)
        shift = len(new) - len(ids)
        return self.network.logits(hidden[torch.tensor([shift + row for row in rows])])

    def _new(self, start: int, ids: list[int]) -> tuple[int, list[int]]:
        """Return where the cache goes on, and the tokens to append: the prompt before the first."""
        if self.ready == len(self.prompt):
            return len(self.prompt) + start, ids
        first, self.ready = self.ready, len(self.prompt)
        return first, self.prompt[first:] + ids

    @torch.inference_mode()
    def ahead(self, start: int, ids: list[int], behind: list[list[int]]) -> torch.Tensor:
        """See `masked.Ahead.ahead`."""
        first, new = self._new(start, ids)
        shown = torch.tensor([[token if token >= 0 else self.mask_id for token in row] for row in behind])
        self.hidden = self.network.ahead(torch.tensor(new), shown, first, self.cache)
        self.logits = self.network.logits(self.hidden.flatten(0, 1)).unflatten(0, self.hidden.shape[:2])
        return self.logits[:, 0]

    @torch.inference_mode()
    def follow(self, row: int, mask: int, before: int) -> tuple[np.ndarray, torch.Tensor]:
        """See `masked.Ahead.follow`."""
        logits = self.logits[row, 1 + mask]
        likely = logits.topk(min(LIKELY, len(logits))).indices
        return likely.numpy(), self.network.follow(self.hidden[row, 1 + mask], before, likely)

    @torch.inference_mode()
    def predict(self, canvas: list[int], span: tuple[int, int], positions: list[int]) -> torch.Tensor:
        """See `masked.Predictor.predict`. The output at position i - 1 predicts position i (shift)."""
        start, stop = span
        ids = torch.tensor([token if token >= 0 else self.mask_id for token in canvas[start:stop]])
        hidden = self.network.forward(ids, len(self.prompt) + start, self.cache, causal=False)
        return self.network.logits(hidden[torch.tensor([p - 1 - start for p in positions])])

    def crop(self, length: int) -> None:
        """Nothing to do: the next pass overwrites what lies behind."""
