"""MDLM's network: a bidirectional transformer whose norms are modulated by the noise level, here always 0, so that it is a constant.

Weights by the names of kuleshov-group/mdlm@c112c52 (models/dit.py, under 'backbone.' on the hub). Rotary positions, pre-norm, GELU;
the modulation of each layer is computed once, because the released checkpoint does not condition on time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from model.errors import WeightsError
from model.models.files import weight_files

IGNORED = "rotary_emb.inv_freq"
FREQUENCIES = 256  # inputs of the noise level's embedding


class DiT:
    """config: vocab_size, hidden_dim, cond_dim, n_blocks, n_heads. tensors: the weights by their published names."""

    def __init__(self, tensors: dict[str, torch.Tensor], config: dict[str, Any]):
        self.width, self.heads, self.blocks = config["hidden_dim"], config["n_heads"], config["n_blocks"]
        self.weights = tensors
        # sigma = 0: cosines are 1, sines 0
        level = torch.cat([torch.ones(FREQUENCIES // 2), torch.zeros(FREQUENCIES // 2)]).to(
            tensors["vocab_embed.embedding"]
        )
        condition = F.silu(self._linear("sigma_map.mlp.2", F.silu(self._linear("sigma_map.mlp.0", level))))
        self.modulation = [self._linear(f"blocks.{i}.adaLN_modulation", condition).chunk(6) for i in range(self.blocks)]
        self.last_modulation = self._linear("output_layer.adaLN_modulation", condition).chunk(2)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def _norm(self, name: str, x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        normed = F.layer_norm(x.float(), (self.width,)).to(x.dtype) * self.weights[f"{name}.weight"]
        return normed * (1 + scale) + shift

    def __call__(self, ids: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return logits (k, V) of rows (k,) for ids (n,)."""
        n, size = len(ids), self.width // self.heads
        inverse = 1.0 / 10_000 ** (torch.arange(0, size, 2, device=ids.device).float() / size)
        angles = torch.outer(torch.arange(n, device=ids.device).float(), inverse).repeat(1, 2)
        x = self.weights["vocab_embed.embedding"][ids]
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        for i, (shift1, scale1, gate1, shift2, scale2, gate2) in enumerate(self.modulation):
            at = f"blocks.{i}"
            qkv = self._linear(f"{at}.attn_qkv", self._norm(f"{at}.norm1", x, shift1, scale1)).view(
                n, 3, self.heads, size
            )
            q, k, v = qkv.permute(1, 2, 0, 3)  # each (heads, n, size)
            q, k = (t * cos + torch.cat([-t[..., size // 2 :], t[..., : size // 2]], -1) * sin for t in (q, k))
            seen = F.scaled_dot_product_attention(q[None], k[None], v[None])[0].transpose(0, 1).reshape(n, -1)
            x = x + gate1 * self._linear(f"{at}.attn_out", seen)
            inner = F.gelu(
                self._linear(f"{at}.mlp.0", self._norm(f"{at}.norm2", x, shift2, scale2)), approximate="tanh"
            )
            x = x + gate2 * self._linear(f"{at}.mlp.2", inner)
        return self._linear(
            "output_layer.linear", self._norm("output_layer.norm_final", x[rows], *self.last_modulation)
        )


def expected(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every weight."""
    width, level, vocab = config["hidden_dim"], config["cond_dim"], config["vocab_size"]
    out: dict[str, tuple[int, ...]] = {
        "vocab_embed.embedding": (vocab, width),
        "sigma_map.mlp.0.weight": (level, FREQUENCIES),
        "sigma_map.mlp.0.bias": (level,),
        "sigma_map.mlp.2.weight": (level, level),
        "sigma_map.mlp.2.bias": (level,),
        "output_layer.norm_final.weight": (width,),
        "output_layer.linear.weight": (vocab, width),
        "output_layer.linear.bias": (vocab,),
        "output_layer.adaLN_modulation.weight": (2 * width, level),
        "output_layer.adaLN_modulation.bias": (2 * width,),
    }
    for i in range(config["n_blocks"]):
        at = f"blocks.{i}"
        out |= {
            f"{at}.norm1.weight": (width,),
            f"{at}.norm2.weight": (width,),
            f"{at}.attn_qkv.weight": (3 * width, width),
            f"{at}.attn_out.weight": (width, width),
            f"{at}.mlp.0.weight": (4 * width, width),
            f"{at}.mlp.0.bias": (4 * width,),
            f"{at}.mlp.2.weight": (width, 4 * width),
            f"{at}.mlp.2.bias": (width,),
            f"{at}.adaLN_modulation.weight": (6 * width, level),
            f"{at}.adaLN_modulation.bias": (6 * width,),
        }
    return out


def load(folder: Path, config: dict[str, Any], dtype: torch.dtype, device: torch.device, name: str) -> DiT:
    """Read the weights of a folder's safetensors; raise WeightsError if one is missing, unknown or of another shape."""
    from safetensors.torch import load_file

    stored: dict[str, torch.Tensor] = {}
    for file in weight_files(folder, name):
        stored |= {
            key.removeprefix("backbone."): value
            for key, value in load_file(folder / file).items()
            if not key.endswith(IGNORED)
        }
    shapes = expected(config)
    for key in sorted(shapes.keys() | stored.keys()):
        there = tuple(stored[key].shape) if key in stored else None
        if shapes.get(key) != there:
            what = (
                "is missing"
                if there is None
                else "is not known"
                if key not in shapes
                else f"has the shape {there}, not {shapes[key]}"
            )
            raise WeightsError(f"{name} cannot be loaded: the weight {key} {what}.")
    return DiT({key: value.to(device=device, dtype=dtype) for key, value in stored.items()}, config)
