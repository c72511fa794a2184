"""Published checkpoint formats, each as a stock transformers class, its config, and what the weights are called there.

No code of a checkpoint runs: a format is read from its config.json, and one that asks for what the stock class does not compute is
refused with a sentence. Formats were read from published code, cited by commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from model.errors import ModelUnavailable

Config = Mapping[str, Any]
# what no stock config is given; SDAR's files ask for flex_attention, which takes no mask of ours
NOT_OURS = (
    "model_type",
    "architectures",
    "auto_map",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "_name_or_path",
    "attn_implementation",
    "_attn_implementation",
)


@dataclass(frozen=True)
class Layout:
    """kind: 'decoder' (a causal class run without its causal mask), 'encoder' (a masked-language-model class) or 'dit' (dit.DiT).
    stock: the class's name; config: its keyword arguments; keys: {pattern of a stored name: name in the stock class}."""

    kind: str
    stock: str
    config: Config = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


def _refuse(name: str, config: Config, allowed: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise ModelUnavailable at the first field whose value is not among those the stock class computes."""
    for key, values in allowed.items():
        if key in config and config[key] not in values:
            said = str(config[key])[:40]
            raise ModelUnavailable(
                f"{name} cannot be loaded: its config says {key} = {said}, which the stock class does not compute."
            )


def _same(stock: str) -> Callable[[str, Config], Layout]:
    """A format whose config fields and weight names are the stock class's own."""

    def layout(name: str, config: Config) -> Layout:
        return Layout("decoder", stock, {key: value for key, value in config.items() if key not in NOT_OURS})

    return layout


def _llada(name: str, config: Config) -> Layout:
    """LLaDA-8B and LLaDA-1.5: Llama under OLMo's names (ZHZisZZ/dllm@ca17675, dllm/pipelines/llada/models/modeling_llada.py).

    LLaDA-MoE's files say the same model type (ZHZisZZ/dllm@e88b065, examples/llada/README.md); only experts tell them apart.
    """
    if is_llada_moe(config):
        return _llada_moe(name, config)
    _refuse(
        name,
        config,
        {
            "block_type": ("llama",),
            "layer_norm_type": ("rms",),
            "activation_type": ("silu",),
            "rope": (True,),
            "alibi": (False, None),
            "attention_layer_norm": (False, None),
            "include_bias": (False, None),
            "include_qkv_bias": (False, None),
            "bias_for_layer_norm": (False, None),
            "input_emb_norm": (False, None),
            "scale_logits": (False, None),
            "block_group_size": (1, None),
        },
    )
    width, heads = config["d_model"], config["n_heads"]
    kv_heads = config.get("n_kv_heads") or (1 if config.get("multi_query_attention") else heads)
    names = {
        "attn_norm": "input_layernorm",
        "q_proj": "self_attn.q_proj",
        "k_proj": "self_attn.k_proj",
        "v_proj": "self_attn.v_proj",
        "attn_out": "self_attn.o_proj",
        "ff_norm": "post_attention_layernorm",
        "ff_proj": "mlp.gate_proj",
        "up_proj": "mlp.up_proj",
        "ff_out": "mlp.down_proj",
    }
    keys = {rf"^model\.transformer\.blocks\.(\d+)\.{old}\.": rf"model.layers.\1.{new}." for old, new in names.items()}
    keys |= {
        r"^model\.transformer\.wte\.": "model.embed_tokens.",
        r"^model\.transformer\.ln_f\.": "model.norm.",
        r"^model\.transformer\.ff_out\.": "lm_head.",
    }
    stock = {
        "vocab_size": config.get("embedding_size") or config["vocab_size"],
        "hidden_size": width,
        "num_hidden_layers": config["n_layers"],
        "intermediate_size": config.get("mlp_hidden_size") or config["mlp_ratio"] * width,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": config.get("rms_norm_eps", 1e-5),
        "rope_theta": config.get("rope_theta", 10_000.0),
        "max_position_embeddings": config.get("max_sequence_length", 1024),
        "tie_word_embeddings": config.get("weight_tying", True),
    }
    return Layout("decoder", "Llama", stock, keys)


def is_llada_moe(config: Config) -> bool:
    """Whether a config of the type 'llada' is LLaDA-MoE's."""
    return bool(config.get("num_experts"))


def _llada_moe(name: str, config: Config) -> Layout:
    """LLaDA-MoE: Qwen3-MoE's layer (a norm per head, softmax over all experts before the best are taken, no sharing) under its own
    config names (ZHZisZZ/dllm@ca17675, dllm/pipelines/llada/models/modeling_lladamoe.py). Weight names are Qwen3-MoE's."""
    _refuse(
        name,
        config,
        {
            "qk_layernorm": (True,),
            "clip_qkv": (None,),
            "shared_expert_intermediate_size": (None,),
            "partial_rotary_factor": (None, 1, -1),
            "moe_router_enable_expert_bias": (False, None),
        },
    )
    layers = config["num_hidden_layers"]
    frequency = config.get("moe_layer_freq") or [1] * layers
    same = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "num_experts",
        "hidden_act",
        "num_experts_per_tok",
        "max_position_embeddings",
        "rms_norm_eps",
        "rope_theta",
        "rope_scaling",
        "attention_bias",
    )
    stock = {key: config[key] for key in same if config.get(key) is not None}
    stock |= {
        "intermediate_size": config["dense_intermediate_size"],
        "moe_intermediate_size": config["expert_intermediate_size"],
        "head_dim": config["hidden_size"] // config["num_attention_heads"],
        "norm_topk_prob": False,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [i for i, every in enumerate(frequency) if not every],
        "tie_word_embeddings": config.get("tie_word_embeddings", False),
    }
    return Layout("decoder", "Qwen3Moe", stock)


def _dit(name: str, config: Config) -> Layout:
    """MDLM: a diffusion transformer of its own (kuleshov-group/mdlm@c112c52, models/dit.py), which `dit.DiT` computes.

    The hub's file has 131 weights, all behind 'backbone.' (yuntian-group/mdlm@c6a8ee8, scripts/prepare_released_mdlm_owt.py).
    """
    _refuse(name, config, {"time_conditioning": (False, None)})
    return Layout(
        "dit", "", {key: config[key] for key in ("vocab_size", "hidden_dim", "cond_dim", "n_blocks", "n_heads")}
    )


FORMATS: dict[str, Callable[[str, Config], Layout]] = {
    "llada": _llada,
    "lladamoe": _llada_moe,
    "llada_moe": _llada_moe,
    "Dream": _same(
        "Qwen2"
    ),  # DreamLM/Dream@fac0a7f; its model: ZHZisZZ/dllm@ca17675, dllm/pipelines/dream/models/modeling_dream.py
    "a2d-llama": _same("Llama"),  # ZHZisZZ/dllm@ca17675, dllm/pipelines/a2d/models: the stock classes with another mask
    "a2d-qwen2": _same("Qwen2"),
    "a2d-qwen3": _same("Qwen3"),
    "sdar": _same("Qwen3"),  # the hub's files as copied in hxhcreate/DARE@b6aa3ba, models/SDAR-1dot7B-Chat
    "sdar_moe": _same("Qwen3Moe"),  # JetAstra/SDAR@c2041a8, README: Qwen3-30B-A3B, trained on as the dense ones were
    "Fast_dLLM_Qwen": _same(
        "Qwen2"
    ),  # the hub's files as copied in HoangMaizzz/failfasttesting@7cc16bb, Fast_dLLM_v2_1.5B
    "llama": _same("Llama"),
    "qwen2": _same(
        "Qwen2"
    ),  # Open-dCoder: pengzhangzhi/Open-dLLM@8b38787, veomni/models/transformers/qwen2/modeling_qwen2.py
    "qwen3": _same("Qwen3"),
    "mdlm": _dit,
}


REFUSED = {  # types that people ask for, and what of them no stock class computes
    "llada2_moe": "its experts are routed in groups, beside a shared one, and its words are edited under way (LLaDA2.x)",
    "wedlm": "it reorders its positions so that a causal cache serves it (WeDLM)",
    "llava_llada": "it sees through a tower and a projector of its own (LLaDA-V)",
    "bd3lm": "its network attends over two copies of the text at once (BD3-LM)",
    "nemotron_labs_diffusion": "its files could not be read here, so that its format is not known (Nemotron-Labs-Diffusion)",
    "stable_diffcoder": "its files could not be read here, so that its format is not known (Stable-DiffCoder)",
}


def is_encoder(kind: str) -> bool:
    """Whether transformers has a masked-language-model class for this model type."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def layout(name: str, config: Config) -> Layout:
    """Return how a checkpoint's weights are loaded; raise ModelUnavailable where no stock class computes what its config says."""
    kind = str(config.get("model_type", ""))
    if kind in FORMATS:
        try:
            return FORMATS[kind](name, config)
        except KeyError as missing:
            raise ModelUnavailable(
                f"{name} cannot be loaded: its config.json does not say {missing.args[0]}."
            ) from None
    if is_encoder(kind):
        return Layout("encoder", "")
    if why := REFUSED.get(kind):
        raise ModelUnavailable(
            f"{name} cannot be loaded: it is of the type '{kind}', which no stock class computes, for {why}."
        )
    known = ", ".join(sorted(FORMATS))
    raise ModelUnavailable(
        f"{name} is of the type '{kind[:40] or 'unknown'}'; masked models are read from {known} or any BERT-like type."
    )
