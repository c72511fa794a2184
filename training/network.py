"""The trainable twin of `model.models.chat135m.network`: the same tensors and names, with gradients, batches and any attention mask.

One set of weights (`adapter` None) serves both modes, or the frozen base writes token by token and a low-rank product per matrix
(LoRA, arXiv:2106.09685) turns it into the denoising decoder. Shapes: B batch, L new tokens, Lp cached ones, D width, V vocabulary.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from model.models.chat135m.weights import LINEARS, Config, load_builtin, read_manifest

MASK, EOS = 16, 2
Tensors = dict[str, torch.Tensor]
Cache = list[tuple[torch.Tensor, torch.Tensor]]  # per layer: keys, values, each (1 or B, KV, Lp, head_dim)


class Kept(NamedTuple):
    """A cache written in place. store (layers, 2, B, KV, places, head_dim): keys and values; where (B, L): a pass's tokens' places."""

    store: torch.Tensor
    where: torch.Tensor

    def write(self, layer: int, k: torch.Tensor, v: torch.Tensor, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Put new keys and values (B, KV, L, head_dim) in their places; return what the first `stop` places hold."""
        keys, values = self.store[layer]
        rows = torch.arange(len(self.where), device=self.where.device)[:, None]
        keys[rows, :, self.where], values[rows, :, self.where] = k.transpose(1, 2), v.transpose(1, 2)
        return keys[:, :, :stop], values[:, :, :stop]


class Network:
    """Weights and how to run them. base, adapter: master copies, in whatever dtype they are kept; dtype: what is computed in."""

    def __init__(
        self, config: Config, base: Tensors, adapter: Tensors | None = None, dtype: torch.dtype = torch.float32
    ):
        self.config, self.base, self.adapter, self.dtype = config, base, adapter, dtype
        self.device = base["norm"].device
        self._inverse = 1.0 / config.rope_theta ** (
            torch.arange(0, config.head_dim, 2, device=self.device).float() / config.head_dim
        )

    @property
    def trained(self) -> Tensors:
        """The tensors that training changes."""
        return self.adapter if self.adapter is not None else self.base

    def new_store(self, batch: int, places: int) -> torch.Tensor:
        """Return a store of zeros for `Kept`: what nobody wrote is masked, but must be numbers."""
        c = self.config
        return torch.zeros(c.layers, 2, batch, c.kv_heads, places, c.head_dim, dtype=self.dtype, device=self.device)

    def run(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor,
        past: Cache | Kept | None = None,
        decoder: bool | torch.Tensor = False,
    ) -> tuple[torch.Tensor, Cache]:
        """Run ids (B, L) at positions (L,) or (B, L) over `past`; mask bool (1 or B, 1, L, Lp + L), True where a token may look.

        Return final-normed hidden states (B, L, D) and the keys and values of the new tokens alone. decoder: the denoising weights,
        or by token (B, L) whether it gets them. Over a `Kept` cache the mask's columns are its first places.
        """
        c, (batch, length) = self.config, ids.shape
        group, adapted = c.heads // c.kv_heads, decoder if self.adapter is not None else False
        x = F.embedding(ids, self.base["embedding"]).to(self.dtype)
        if adapted is not False:
            x = torch.where((ids == MASK)[..., None], self.adapter["mask"].to(self.dtype), x)  # type: ignore[index]
        angles = positions.float()[..., None] * self._inverse
        angles = torch.cat([angles, angles], -1).unsqueeze(-3)
        cos, sin = angles.cos().to(self.dtype), angles.sin().to(self.dtype)
        grouped = mask.repeat(
            1, 1, group, 1
        )  # the query heads of a group ride along the length axis: keys are never copied
        cache: Cache = []
        for i in range(c.layers):
            h = self._linear(i, "qkv", self._norm(x, f"layers.{i}.norm1"), adapted)
            q, k, v = h.split([c.heads * c.head_dim, c.kv_heads * c.head_dim, c.kv_heads * c.head_dim], -1)
            q, k, v = (t.view(batch, length, -1, c.head_dim).transpose(1, 2) for t in (q, k, v))
            q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
            cache.append((k, v))
            if isinstance(past, Kept):
                k, v = past.write(i, k, v, mask.shape[-1])
            elif past is not None:
                k, v = (
                    torch.cat([old.expand(batch, -1, -1, -1), new], 2) for old, new in zip(past[i], (k, v), strict=True)
                )
            y = F.scaled_dot_product_attention(
                q.reshape(batch, c.kv_heads, group * length, c.head_dim), k, v, attn_mask=grouped
            )
            y = y.reshape(batch, c.heads, length, c.head_dim).transpose(1, 2).reshape(batch, length, -1)
            x = x + self._linear(i, "o", y, adapted)
            gate, up = self._linear(i, "gate_up", self._norm(x, f"layers.{i}.norm2"), adapted).chunk(2, -1)
            x = x + self._linear(i, "down", F.silu(gate) * up, adapted)
        return self._norm(x, "norm"), cache

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return float32 next-token logits (..., V); the mask token's is so low that it never counts."""
        logits = F.linear(hidden, self.base["embedding"].to(hidden.dtype)).float()
        logits[..., MASK] = -1e4
        return logits

    def follow(self, hidden: torch.Tensor, before: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """Return the hidden states (n, D) of masks once the tokens between their row's and their guess are known: before (n,), the ids
        right before the guesses, and told (n, D), what this returned for the masks before them (zeros where there are none)."""
        into, out = (self.adapter[f"follow.{half}"].to(hidden.dtype) for half in "AB")  # type: ignore[index]
        spoken = F.embedding(before, self.base["embedding"]).to(hidden.dtype)
        width, eps = (self.config.width,), self.config.norm_eps
        known = torch.cat([hidden, F.rms_norm(spoken, width, None, eps), F.rms_norm(told, width, None, eps)], -1)
        return hidden + F.linear(F.silu(F.linear(known, into)), out)

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.rms_norm(x, (self.config.width,), self.base[name].to(x.dtype), self.config.norm_eps)

    def _linear(self, i: int, name: str, x: torch.Tensor, adapted: bool | torch.Tensor) -> torch.Tensor:
        y = F.linear(x, self.base[f"layers.{i}.{name}"].to(x.dtype))
        if adapted is False:
            return y
        down, up = (self.adapter[f"{i}.{name}.{half}"].to(x.dtype) for half in "AB")  # type: ignore[index]
        low = F.linear(x, down)
        return y + F.linear(low if adapted is True else low * adapted[..., None], up)


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def causal(past: int, new: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return the mask (1, 1, new, past + new) under which a token sees everything cached and what precedes it."""
    return torch.ones(new, past + new, dtype=torch.bool, device=device).tril(past)[None, None]


def new_adapter(config: Config, rank: int, mask_row: torch.Tensor, seed: int = 0) -> Tensors:
    """Return fresh low-rank matrices (B = 0: the decoder starts as the base) and a trainable mask row, float32."""
    generator = torch.Generator().manual_seed(seed)
    params = {"mask": mask_row.float().clone()}
    for i in range(config.layers):
        for name in LINEARS:
            rows, columns = config.linear(name)
            params[f"{i}.{name}.A"] = torch.randn(rank, columns, generator=generator) / math.sqrt(columns)
            params[f"{i}.{name}.B"] = torch.zeros(rows, rank)
    return params | new_follow(config, seed)


def new_follow(config: Config, seed: int = 0) -> Tensors:
    """Return fresh matrices of `Network.follow`, which then changes nothing."""
    generator = torch.Generator().manual_seed(seed)
    into = torch.randn(2 * config.width, 3 * config.width, generator=generator) / math.sqrt(3 * config.width)
    return {"follow.A": into, "follow.B": torch.zeros(config.width, 2 * config.width)}


def cut(adapter: Tensors, rank: int) -> Tensors:
    """Return the adapter with every product B A of a higher rank replaced by its best approximation of `rank` (singular values)."""
    out = dict(adapter)
    for name, low in adapter.items():
        matrix = name.removesuffix(".A")
        if matrix != name and f"{matrix}.B" in adapter and not name.startswith("follow.") and len(low) > rank:
            (left, up), (right, down) = torch.linalg.qr(adapter[f"{matrix}.B"]), torch.linalg.qr(low.T)
            u, values, v = torch.linalg.svd(up @ down.T)
            scale = values[:rank].sqrt()
            out[f"{matrix}.B"], out[name] = (left @ u[:, :rank]) * scale, scale[:, None] * (v[:rank] @ right.T)
    return out


def read_base(folder: Path) -> tuple[Config, Tensors]:
    """Return sizes and float32 tensors of the base model, from a Hugging Face Llama folder or a folder that `export` wrote.

    Row `MASK` of the embedding becomes the mean row: a far better start for a mask token than the untrained row.
    """
    if (folder / "manifest.json").is_file():
        config, stored = read_manifest(folder).config, load_builtin(folder, torch.float32)
        tensors = {name: t for name, t in stored.items() if not name.startswith(("decoder.", "follow.", "mask_row"))}
    else:
        config, tensors = _read_hugging_face(folder)
    others = torch.arange(config.vocab) != MASK
    tensors["embedding"][MASK] = tensors["embedding"][others].mean(0)
    return config, tensors


def _read_hugging_face(folder: Path) -> tuple[Config, Tensors]:
    told = json.loads((folder / "config.json").read_text())
    theta = (told.get("rope_parameters") or {}).get("rope_theta") or told["rope_theta"]
    heads = told["num_attention_heads"]
    config = Config(
        told["num_hidden_layers"],
        told["hidden_size"],
        heads,
        told["num_key_value_heads"],
        told.get("head_dim") or told["hidden_size"] // heads,
        told["intermediate_size"],
        told["vocab_size"],
        float(theta),
        float(f"{told['rms_norm_eps']:.6g}"),
    )
    state: Tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        state |= load_file(path)
    tensors = {"embedding": state["model.embed_tokens.weight"].float(), "norm": state["model.norm.weight"].float()}
    for i in range(config.layers):
        layer = f"model.layers.{i}."
        parts = {
            "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            "o": ("self_attn.o_proj",),
            "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
            "down": ("mlp.down_proj",),
        }
        for name, sources in parts.items():
            tensors[f"layers.{i}.{name}"] = torch.cat([state[f"{layer}{source}.weight"].float() for source in sources])
        tensors[f"layers.{i}.norm1"] = state[f"{layer}input_layernorm.weight"].float()
        tensors[f"layers.{i}.norm2"] = state[f"{layer}post_attention_layernorm.weight"].float()
    return config, tensors


def read_adapter(path: Path) -> Tensors:
    """Return an adapter's float32 tensors (`mask`, `{i}.{linear}.A`, `.B`) from its file, or from a folder that `export` wrote."""
    if path.is_file():
        return {name: t.float() for name, t in load_file(path).items()}
    stored = load_file(path / "decoder.safetensors")
    adapter = {"mask": stored["mask_row"].float()}
    for name, values in stored.items():
        if name.endswith(".int8"):
            key = name.removesuffix(".int8")
            adapter[key.removeprefix("decoder.")] = values.float() * stored[f"{key}.scale"].float()[:, None]
    return adapter
