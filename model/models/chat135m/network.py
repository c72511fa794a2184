"""The built-in transformer (a Llama: SmolLM2), in plain torch, written for one sequence on a CPU.

Packed projections (q, k, v in one product, gate and up in one), a static cache written in place, grouped queries that ride along the
length axis so that keys and values are never copied, logits only for the rows that are asked for. One set of weights serves two
networks: the autoregressive model, whose cache holds finished text, and the denoiser, bidirectional inside its block, whose rows get a
low-rank change. `ahead` runs both in one pass: finished text, and behind each of its tokens a few masks, whose rows alone get the
change (gated LoRA and quadratic decoding, arXiv:2507.11851). Equal to transformers' LlamaForCausalLM; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from model.models.chat135m.int8 import Product, Rows, product8, stacked
from model.models.chat135m.weights import LINEARS, Config

LIKELY = 64  # a mask's likeliest tokens, weighed again once the token before them is known
SPARE = 64  # places behind the longest text that masks may stand at, to be forgotten


def product(weight: torch.Tensor | Rows) -> Product:
    """Return x (n, in) -> x @ weight.T for weight (out, in). 8-bit rows stay such. bfloat16 weights are laid out
    once as oneDNN wants them (what torch.compile's freezing does): a third to a half of F.linear's time goes into doing that every call."""
    if isinstance(weight, Rows):
        return product8(weight)
    try:
        if weight.dtype == torch.bfloat16 and weight.device.type == "cpu":
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, 16)
            return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
    except (AttributeError, RuntimeError):  # a build without oneDNN
        pass
    return lambda x: F.linear(x, weight)


class Gated:
    """A linear layer whose rows from `first` on get a low-rank change: x W' + (x A') B'.

    A lies under W in one packed matrix: the first half of the change costs no product of its own.
    """

    def __init__(self, weight: Any, down: Any, up: torch.Tensor | None):
        if down is not None:
            both = stacked(weight, down) if isinstance(weight, Rows) else torch.cat([weight, down])
        self.up = None if up is None else up.float().t().contiguous()
        self.rows = len(weight.scale if isinstance(weight, Rows) else weight)
        self.own = product(weight if down is None else both)

    def __call__(self, x: torch.Tensor, first: int) -> torch.Tensor:
        """Return (n, out) of x (n, in)."""
        both = self.own(x)
        y = both.narrow(1, 0, self.rows)
        if self.up is not None and first < len(x):
            y[first:] += (both[first:, self.rows :].float() @ self.up).to(x.dtype)
        return y


class Network:
    """Weights in a dtype (8-bit rows compute in float32), ready to run. `tensors` as `weights.load_builtin` returns them; they are taken
    out one by one as they are packed, so that memory never holds both forms of all of them."""

    def __init__(self, tensors: dict[str, Any], config: Config, max_tokens: int = 2048):
        self.config, self.dtype = config, tensors["norm"].dtype
        self.embedding, self.norm = tensors["embedding"], tensors["norm"]
        self.norms = [(tensors[f"layers.{i}.norm1"], tensors[f"layers.{i}.norm2"]) for i in range(config.layers)]
        self.linears = [_pack(tensors, i) for i in range(config.layers)]
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

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (..., D) of ids."""
        return self.embedding.take(ids) if isinstance(self.embedding, Rows) else F.embedding(ids, self.embedding)

    @torch.inference_mode()
    def forward(self, ids: torch.Tensor, start: int, cache: torch.Tensor, causal: bool) -> torch.Tensor:
        """Run ids (n,) at positions [start, start + n) over the cache before them; return hidden states (n, D), final-normed.

        Their keys and values are written to the cache at those positions: causal passes leave them there for good, block passes
        are overwritten by the next pass. causal: token-causal, by the base's own weights; else every token of the block sees the
        whole block, by the denoiser's.
        """
        n, mask = len(ids), None
        if causal and n > 1:
            mask = torch.ones(n, start + n, dtype=torch.bool).tril(start)
        x = self.embed(ids)
        return self._run(x, slice(start, start + n), start, cache, mask, n if causal else 0)

    @torch.inference_mode()
    def ahead(self, ids: torch.Tensor, behind: torch.Tensor, start: int, cache: torch.Tensor) -> torch.Tensor:
        """Run ids (n,) at positions [start, start + n) by the base's own weights, and behind each of the last R of them the M tokens
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
        x = self.embed(torch.cat([ids, behind.flatten()]))
        hidden = self._run(x, where, start, cache, seen, n)
        return torch.cat([hidden[n - rows : n, None], hidden[n:].view(rows, masks, -1)], 1)

    def _run(
        self,
        x: torch.Tensor,
        where: slice | torch.Tensor,
        start: int,
        cache: torch.Tensor,
        mask: torch.Tensor | None,
        first: int,
    ) -> torch.Tensor:
        """Run embeddings x (n, D) at positions `where`, those from `first` on by the denoiser's weights; keys and values go to
        [start, start + n) of the cache."""
        c, n = self.config, len(x)
        group, stop = c.heads // c.kv_heads, start + n
        cos, sin = self.cos[where, None], self.sin[where, None]
        if mask is not None:
            mask = mask.repeat(group, 1)
        for (norm1, norm2), (qkv, o, gate_up, down), (keys, values) in zip(
            self.norms, self.linears, cache, strict=True
        ):
            h = qkv(F.rms_norm(x, (c.width,), norm1, c.norm_eps), first).view(n, -1, c.head_dim)
            qk, v = h[:, : c.heads + c.kv_heads], h[:, c.heads + c.kv_heads :]
            qk = qk * cos + qk.roll(c.head_dim // 2, -1) * sin
            keys[:, start:stop], values[:, start:stop] = qk[:, c.heads :].transpose(0, 1), v.transpose(0, 1)
            q = qk[:, : c.heads].transpose(0, 1).reshape(1, c.kv_heads, group * n, c.head_dim)
            y = F.scaled_dot_product_attention(q, keys[None, :, :stop], values[None, :, :stop], attn_mask=mask)
            y = y.view(c.heads, n, c.head_dim).transpose(0, 1).reshape(n, -1)
            x = x + o(y, first)
            gate, up = gate_up(F.rms_norm(x, (c.width,), norm2, c.norm_eps), first).chunk(2, -1)
            x = x + down(F.silu(gate) * up, first)
        return F.rms_norm(x, (c.width,), self.norm, c.norm_eps)

    @torch.inference_mode()
    def follow(self, hidden: torch.Tensor, before: int, told: torch.Tensor | None) -> torch.Tensor:
        """Return a mask's hidden state (D,) once the tokens between its row's and its guess are known: before, the id right before
        the guess, and told (D,), what this returned for the mask before it (None: there is none). Its product with an embedding is
        that token's logit."""
        if not self.follower:
            return hidden
        into, out = self.follower
        carried = torch.zeros_like(hidden) if told is None else self._unit(told)
        return (
            hidden
            + out(F.silu(into(torch.cat([hidden, self._unit(self.embed(torch.tensor(before))), carried])[None])))[0]
        )

    def _unit(self, x: torch.Tensor) -> torch.Tensor:
        """Return F.rms_norm of one row (D,), in fewer operations."""
        wide = x.float()
        return x * (float(wide @ wide) / len(x) + self.config.norm_eps) ** -0.5

    @torch.inference_mode()
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return next-token logits (n, V) of hidden states (n, D)."""
        return self.head(hidden)


def _pack(tensors: dict[str, Any], i: int) -> tuple[Gated, ...]:
    """Return a layer's products in the order of `LINEARS`, its weights taken out of `tensors`."""

    def gated(name: str) -> Gated:
        halves = (tensors.pop(f"decoder.{i}.{name}.{half}", None) for half in "AB")
        return Gated(tensors.pop(f"layers.{i}.{name}"), *halves)

    return tuple(gated(name) for name in LINEARS)


class Session:
    """One run over the network: a `masked.Predictor` with an exact cache. `prefix` is a cache of tokens the prompt begins with."""

    passes = 1

    def __init__(
        self,
        network: Network,
        prompt_ids: list[int],
        length: int,
        mask_id: int,
        prefix: tuple[list[int], torch.Tensor] | None = None,
    ):
        self.network, self.prompt, self.mask_id = network, prompt_ids, mask_id
        self.cache = network.new_cache(len(prompt_ids) + length + SPARE)
        self.hidden = self.logits = torch.empty(0)  # of the last pass ahead
        self.told: torch.Tensor | None = None  # hidden state of the last mask followed
        self.likely = np.empty((0, 0), int)  # what the masks of the row that is followed find likely
        self.rows = torch.empty(0)  # their embeddings
        self.ready = 0  # prompt tokens in the cache
        if prefix and prompt_ids[: len(prefix[0])] == prefix[0] and len(prefix[0]) < len(prompt_ids):
            self.ready = len(prefix[0])
            self.cache[:, :, :, : self.ready] = prefix[1]
        self.turns: list[int] = []  # where earlier turns of a conversation end that are not in the cache yet
        self.keep: Callable[[list[int], torch.Tensor], None] | None = None  # is given the cache of the earlier turns

    @torch.inference_mode()
    def advance(self, start: int, ids: list[int], rows: list[int]) -> torch.Tensor:
        """See `masked.Predictor.advance`."""
        first, new = self._new(start, ids)
        hidden = self.network.forward(torch.tensor(new), first, self.cache, causal=True)
        shift = len(new) - len(ids)
        return self.network.logits(hidden[torch.tensor([shift + row for row in rows])])

    def _new(self, start: int, ids: list[int]) -> tuple[int, list[int]]:
        """Return where the cache goes on, and the tokens to append: the prompt before the first."""
        self.passes = 1
        if self.ready == len(self.prompt):
            return len(self.prompt) + start, ids
        self._read_turns()
        first, self.ready = self.ready, len(self.prompt)
        return first, self.prompt[first:] + ids

    def _read_turns(self) -> None:
        """Read the earlier turns of a conversation, each in a pass of its own, so that what is kept equals what is read anew."""
        for end in self.turns:
            self.network.forward(torch.tensor(self.prompt[self.ready : end]), self.ready, self.cache, causal=True)
            self.ready, self.passes = end, self.passes + 1
        if self.keep is not None:
            self.keep(self.prompt[: self.ready], self.cache[:, :, :, : self.ready].clone())
        self.turns, self.keep = [], None

    @torch.inference_mode()
    def ahead(self, start: int, ids: list[int], behind: list[list[int]]) -> torch.Tensor:
        """See `masked.Ahead.ahead`."""
        first, new = self._new(start, ids)
        shown = torch.tensor([[token if token >= 0 else self.mask_id for token in row] for row in behind])
        self.hidden = self.network.ahead(torch.tensor(new), shown, first, self.cache)
        self.logits = self.network.logits(self.hidden.flatten(0, 1)).unflatten(0, self.hidden.shape[:2])
        return self.logits[:, 0]

    @torch.inference_mode()
    def follow(self, row: int, mask: int, before: int) -> tuple[np.ndarray, np.ndarray]:
        """See `masked.Ahead.follow`."""
        if not mask:
            logits = self.logits[row, 1:]
            likely = logits.topk(min(LIKELY, logits.shape[-1])).indices
            self.told, self.likely, self.rows = None, likely.numpy(), self.network.embed(likely).float()
        self.told = self.network.follow(self.hidden[row, 1 + mask], before, self.told)
        return self.likely[mask], (self.rows[mask] @ self.told.float()).numpy()

    @torch.inference_mode()
    def predict(self, canvas: list[int], span: tuple[int, int], positions: list[int]) -> torch.Tensor:
        """See `masked.Predictor.predict`. The output at position i - 1 predicts position i (shift)."""
        start, stop = span
        ids = torch.tensor([token if token >= 0 else self.mask_id for token in canvas[start:stop]])
        hidden = self.network.forward(ids, len(self.prompt) + start, self.cache, causal=False)
        return self.network.logits(hidden[torch.tensor([p - 1 - start for p in positions])])

    def crop(self, length: int) -> None:
        """Nothing to do: the next pass overwrites what lies behind."""
