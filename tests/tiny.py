"""A two-layer random network behind the built-in model's own code: every loop test runs on it in milliseconds."""

from __future__ import annotations

import torch

from model.models.base import TorchModel
from model.models.chat135m.network import Network, Session
from model.models.chat135m.weights import LINEARS, Config
from model.spec import ModelSpec

CONFIG = Config(layers=2, width=32, heads=4, kv_heads=2, head_dim=8, inner=48, vocab=61)
MASK, EOS = 5, 2


def tensors(
    seed: int = 0, dtype: torch.dtype = torch.float32, same: bool = False, rank: int = 0
) -> dict[str, torch.Tensor]:
    """Random weights by the names of `weights.load_builtin`; same: one set for both modes; rank: with `follow`, and of that rank."""
    rng = torch.Generator().manual_seed(seed)
    out = {"embedding": torch.randn(CONFIG.vocab, CONFIG.width, generator=rng), "norm": torch.ones(CONFIG.width)}
    for i in range(CONFIG.layers):
        out |= {f"layers.{i}.norm{k}": 1 + 0.1 * torch.randn(CONFIG.width, generator=rng) for k in (1, 2)}
        out |= {
            f"layers.{i}.{n}": torch.randn(*CONFIG.linear(n), generator=rng) / CONFIG.linear(n)[1] ** 0.5
            for n in LINEARS
        }
        for n in () if same else LINEARS:
            (rows, columns), key = CONFIG.linear(n), f"decoder.{i}.{n}"
            out[f"{key}.A"] = torch.randn(rank or 8, columns, generator=rng) / columns**0.5
            out[f"{key}.B"] = torch.randn(rows, rank or 8, generator=rng)
    if rank:
        width = CONFIG.width
        out["follow.A"] = torch.randn(2 * width, 3 * width, generator=rng) / width
        out["follow.B"] = torch.randn(width, 2 * width, generator=rng) / width
    return {name: tensor.to(dtype) for name, tensor in out.items()}


class Tiny(TorchModel):
    """Ids are letters: token i is chr(40 + i). `eos` off makes runs fill the canvas."""

    def __init__(
        self,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        eos: bool = True,
        same: bool = False,
        rank: int = 0,
        **spec,
    ):
        self.network = Network(tensors(seed, dtype, same, rank), CONFIG, 512)
        known = dict(
            id="tiny",
            name="Tiny",
            family="masked",
            vocab_size=CONFIG.vocab,
            eos_ids=(EOS,) if eos else (),
            mask_id=MASK,
            shift=True,
            causal_prefix=True,
            default_block=8,
            verify=True,
            recheck=True,
            ahead=8,
            modes=("diffusion", "ar"),
            max_tokens=512,
        )
        self.spec = ModelSpec(**(known | spec))

    def encode(self, prompt: str, system: str = "") -> list[int]:
        return [1, *self.tokens(prompt), 3]

    def tokens(self, text: str) -> list[int]:
        return [6 + ord(c) % (CONFIG.vocab - 6) for c in text]

    def piece(self, token: int) -> bytes:
        return bytes([40 + token])

    def predictor(self, prompt, system, ids, length, settings, mode):
        return Session(self.network, ids, length, MASK)
