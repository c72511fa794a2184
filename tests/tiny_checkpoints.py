"""Checkpoints of a few thousand random numbers, written as each masked family publishes its own: names, config, tokenizer files.

`write(kind, folder)` returns what was written; `Tiny.logits` is its network once more, in plain torch from the published names, with
any attention pattern. It shares no code with the loader.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from tests.tiny_formats import (
    CONFIGS,
    EXPERTS,
    HEADS,
    INNER,
    KV,
    LAYERS,
    OLMO,
    SIZE,
    STOCK,
    TEMPLATES,
    TOKENS,
    TOP,
    VOCAB,
    WIDTH,
)


@dataclass
class Tiny:
    """One checkpoint: its folder, what is in it, and the ids of its control tokens."""

    kind: str
    folder: Path
    config: dict[str, Any]
    weights: dict[str, torch.Tensor]
    ids: dict[str, int]

    def logits(self, ids: list[int], sees: torch.Tensor | None = None) -> torch.Tensor:
        """Return logits (n, V) of the whole sequence; sees (n, n): which positions each one may look at (None: all)."""
        if self.kind == "mdlm":
            return _dit(self.weights, ids)
        return _llama(self, ids, torch.ones(len(ids), len(ids), dtype=torch.bool) if sees is None else sees)


def write(kind: str, folder: Path, seed: int = 0) -> Tiny:
    """Write a checkpoint folder; the same for the same seed."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights, config = _weights(kind, torch.Generator().manual_seed(seed)), CONFIGS[kind]
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {name: tensor.contiguous() for name, tensor in weights.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    _tokenizer(kind, folder)
    return Tiny(kind, folder, config, weights, {text: 256 + i for i, text in enumerate(TOKENS[kind][0])})


def _tokenizer(kind: str, folder: Path) -> None:
    """Write a byte-level tokenizer of 256 bytes and the control tokens: as vocab and merges where the family does, else tokenizer.json."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = {char: i for i, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    special, mask = TOKENS[kind]
    said: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": special[0],
        "pad_token": special[0],
    }
    if kind == "llada":
        said["bos_token"] = "<|startoftext|>"
    if kind == "modernbert":
        said = {"tokenizer_class": "PreTrainedTokenizerFast"} | {
            f"{n.lower()}_token": f"[{n}]" for n in ("PAD", "UNK", "CLS", "SEP")
        }
    if mask:
        said["mask_token"] = mask
    if kind in TEMPLATES:
        said["chat_template"] = TEMPLATES[kind]
    if kind in ("Dream", "mdlm"):
        (folder / "vocab.json").write_text(json.dumps(alphabet | ({special[0]: 256} if kind == "mdlm" else {})))
        (folder / "merges.txt").write_text("#version: 0.2\n")
        added = {str(256 + i): {"content": text, "special": True} for i, text in enumerate(special)}
        said["tokenizer_class"] = "GPT2Tokenizer"
        if kind == "Dream":
            said |= {
                "tokenizer_class": "DreamTokenizer",
                "added_tokens_decoder": added,
                "auto_map": {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]},
            }
    else:
        tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
        tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


# ---------------------------------------------------------------- weights by their published names
def _weights(kind: str, rng: torch.Generator) -> dict[str, torch.Tensor]:
    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng) / shape[-1] ** 0.5

    if kind == "modernbert":
        return _bert(kind, rng)
    if kind == "mdlm":
        return _dit_weights(draw)
    names, kv = (OLMO if kind == "llada" else STOCK), (HEADS if kind == "llada_moe" else KV) * SIZE
    out = {
        names["embed"]: draw(VOCAB, WIDTH) * 4,
        names["norm"]: torch.ones(WIDTH),
        names["head"]: draw(VOCAB, WIDTH) * 6,
    }
    if CONFIGS[kind].get("tie_word_embeddings"):
        del out[names["head"]]
    for i in range(LAYERS):
        roles = {
            "ln1": (WIDTH,),
            "ln2": (WIDTH,),
            "q": (WIDTH, WIDTH),
            "k": (kv, WIDTH),
            "v": (kv, WIDTH),
            "o": (WIDTH, WIDTH),
        }
        if "head_dim" in CONFIGS[kind] or kind == "llada_moe":
            roles |= {"qnorm": (SIZE,), "knorm": (SIZE,)}
        if "num_experts" in CONFIGS[kind]:
            roles["router"] = (EXPERTS, WIDTH)
        else:
            roles |= {"gate": (INNER, WIDTH), "up": (INNER, WIDTH), "down": (WIDTH, INNER)}
        out |= {
            names[role].format(i): 1 + 0.2 * draw(*shape) if len(shape) == 1 else draw(*shape)
            for role, shape in roles.items()
        }
        if "num_experts" in CONFIGS[kind]:
            for e in range(EXPERTS):
                at = f"model.layers.{i}.mlp.experts.{e}"
                out |= {
                    f"{at}.gate_proj": draw(INNER, WIDTH),
                    f"{at}.up_proj": draw(INNER, WIDTH),
                    f"{at}.down_proj": draw(WIDTH, INNER),
                }
    out = {f"{name}.weight": tensor for name, tensor in out.items()}
    if kind in ("Dream", "a2d-qwen2", "qwen2", "Fast_dLLM_Qwen"):  # Qwen2's biases
        for i in range(LAYERS):
            biases = {"q": WIDTH, "k": kv, "v": kv}
            out |= {
                f"{STOCK[role].format(i)}.bias": 0.3 * torch.randn(size, generator=rng) for role, size in biases.items()
            }
    return out


def _bert(kind: str, rng: torch.Generator) -> dict[str, torch.Tensor]:
    """ModernBERT is transformers' own class: its names are those it saves."""
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    config = ModernBertConfig(
        **{k: v for k, v in CONFIGS[kind].items() if k not in ("model_type", "architectures", "torch_dtype")}
    )
    state = ModernBertForMaskedLM(config).state_dict()
    drawn = {name: 0.3 * torch.randn(t.shape, generator=rng) for name, t in state.items() if name != "decoder.weight"}
    return {name: 1 + tensor if "norm" in name and tensor.dim() == 1 else tensor for name, tensor in drawn.items()}


def _dit_weights(draw: Any) -> dict[str, torch.Tensor]:
    """kuleshov-group/mdlm@c112c52, models/dit.py: the module tree of class DIT, under 'backbone.' as in the hub's class."""
    vocab, level = 258, 16
    out = {
        "vocab_embed.embedding": draw(vocab, WIDTH) * 4,
        "sigma_map.mlp.0.weight": draw(level, 256),
        "sigma_map.mlp.0.bias": draw(level),
        "sigma_map.mlp.2.weight": draw(level, level),
        "sigma_map.mlp.2.bias": draw(level),
        "rotary_emb.inv_freq": torch.ones(SIZE // 2),
        "output_layer.norm_final.weight": 1 + 0.2 * draw(WIDTH),
        "output_layer.linear.weight": draw(vocab, WIDTH) * 6,
        "output_layer.linear.bias": draw(vocab),
        "output_layer.adaLN_modulation.weight": draw(2 * WIDTH, level),
        "output_layer.adaLN_modulation.bias": draw(2 * WIDTH),
    }
    for i in range(LAYERS):
        at = f"blocks.{i}"
        out |= {
            f"{at}.norm1.weight": 1 + 0.2 * draw(WIDTH),
            f"{at}.norm2.weight": 1 + 0.2 * draw(WIDTH),
            f"{at}.attn_qkv.weight": draw(3 * WIDTH, WIDTH),
            f"{at}.attn_out.weight": draw(WIDTH, WIDTH),
            f"{at}.mlp.0.weight": draw(4 * WIDTH, WIDTH),
            f"{at}.mlp.0.bias": draw(4 * WIDTH),
            f"{at}.mlp.2.weight": draw(WIDTH, 4 * WIDTH),
            f"{at}.mlp.2.bias": draw(WIDTH),
            f"{at}.adaLN_modulation.weight": draw(6 * WIDTH, level),
            f"{at}.adaLN_modulation.bias": draw(6 * WIDTH),
        }
    return {f"backbone.{name}": tensor for name, tensor in out.items()}


# ---------------------------------------------------------------- the same networks, naively
def _rotate(x: torch.Tensor, theta: float) -> torch.Tensor:
    """Rotary positions of x (heads, n, size)."""
    n, size = x.shape[1:]
    angles = torch.outer(torch.arange(n).float(), theta ** -(torch.arange(0, size, 2).float() / size)).repeat(1, 2)
    a, b = x.chunk(2, -1)
    return x * angles.cos() + torch.cat([-b, a], -1) * angles.sin()


def _attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, sees: torch.Tensor) -> torch.Tensor:
    k, v = (t.repeat_interleave(len(q) // len(t), 0) for t in (k, v))
    scores = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).masked_fill(~sees, -torch.inf)
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


def _llama(tiny: Tiny, ids: list[int], sees: torch.Tensor) -> torch.Tensor:
    names, w, config = (OLMO if tiny.kind == "llada" else STOCK), tiny.weights, tiny.config
    theta, eps = config["rope_theta"], config["rms_norm_eps"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * w[f"{name}.weight"]

    x = w[f"{names['embed']}.weight"][ids]
    for i in range(LAYERS):
        at = {role: name.format(i) for role, name in names.items()}
        h = norm(x, at["ln1"])
        q, k, v = (
            F.linear(h, w[f"{at[r]}.weight"], w.get(f"{at[r]}.bias")).unflatten(-1, (-1, SIZE)).transpose(0, 1)
            for r in "qkv"
        )
        if f"{at.get('qnorm')}.weight" in w:
            q, k = norm(q, at["qnorm"]), norm(k, at["knorm"])
        x = x + F.linear(_attend(_rotate(q, theta), _rotate(k, theta), v, sees), w[f"{at['o']}.weight"])
        h = norm(x, at["ln2"])
        if "num_experts" in config:
            p, chosen = F.linear(h, w[f"{at['router']}.weight"]).softmax(-1).topk(TOP)
            p = p / p.sum(-1, keepdim=True) if config["norm_topk_prob"] else p
            x = x + torch.stack(
                [
                    sum(
                        p[n, j] * _mlp(w, h[n], f"model.layers.{i}.mlp.experts.{int(chosen[n, j])}") for j in range(TOP)
                    )
                    for n in range(len(h))
                ]
            )
        else:
            gate, up, down = (w[f"{at[role]}.weight"] for role in ("gate", "up", "down"))
            x = x + F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)
    head = names["embed" if config.get("tie_word_embeddings") else "head"]
    return F.linear(norm(x, names["norm"]), w[f"{head}.weight"])


def _mlp(w: dict[str, torch.Tensor], h: torch.Tensor, at: str) -> torch.Tensor:
    gate, up = F.linear(h, w[f"{at}.gate_proj.weight"]), F.linear(h, w[f"{at}.up_proj.weight"])
    return F.linear(F.silu(gate) * up, w[f"{at}.down_proj.weight"])


def _dit(weights: dict[str, torch.Tensor], ids: list[int]) -> torch.Tensor:
    w = {name.removeprefix("backbone."): tensor for name, tensor in weights.items()}

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def norm(name: str, x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:]) * w[f"{name}.weight"] * (1 + scale) + shift

    frequencies = torch.exp(-torch.log(torch.tensor(10000.0)) * torch.arange(128) / 128)
    sigma = torch.zeros(1) * frequencies
    c = F.silu(linear("sigma_map.mlp.2", F.silu(linear("sigma_map.mlp.0", torch.cat([sigma.cos(), sigma.sin()])))))
    x, sees = w["vocab_embed.embedding"][ids], torch.ones(len(ids), len(ids), dtype=torch.bool)
    for i in range(LAYERS):
        at = f"blocks.{i}"
        shift1, scale1, gate1, shift2, scale2, gate2 = linear(f"{at}.adaLN_modulation", c).chunk(6)
        q, k, v = (
            linear(f"{at}.attn_qkv", norm(f"{at}.norm1", x, shift1, scale1))
            .unflatten(-1, (3, HEADS, SIZE))
            .permute(1, 2, 0, 3)
        )
        x = x + gate1 * linear(f"{at}.attn_out", _attend(_rotate(q, 10000.0), _rotate(k, 10000.0), v, sees))
        h = F.gelu(linear(f"{at}.mlp.0", norm(f"{at}.norm2", x, shift2, scale2)), approximate="tanh")
        x = x + gate2 * linear(f"{at}.mlp.2", h)
    return linear(
        "output_layer.linear", norm("output_layer.norm_final", x, *linear("output_layer.adaLN_modulation", c).chunk(2))
    )
