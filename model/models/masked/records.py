"""The masked models people ask for, as records: what their files do not say, and what a visitor should know. Cheap to import.

A record's ids are those of the published tokenizer; a loaded model's spec has what was really found. Where the authors' own published
code or config could not be read, the note says 'format unconfirmed', and loading checks every weight's name and shape all the same.
Nobody's remote code runs: every format here is loaded into a stock class, or into `dit.DiT` (see `layouts`).
"""

from __future__ import annotations

import os
from functools import partial
from typing import NamedTuple

from model.entry import Entry
from model.models.masked.families import (
    A2D_BLOCKS,
    A2D_FULL,
    BERT,
    DIFFUCODER,
    DREAM,
    FAST,
    LLADA,
    LLADA_MOE,
    MDLM,
    OPEN_DCODER,
    SDAR,
    Family,
)
from model.models.placement import SMALL, fetched, free_ram, gpu_seen
from model.spec import ModelSpec

HUB = "https://huggingface.co/"
UNCONFIRMED = "Format unconfirmed: "
WORKING = 1_000_000_000  # logits of a canvas (256 x 126,464 float32 are 130 MB), what is computed from them, activations, a cache


def available(spec: ModelSpec) -> tuple[bool, str]:
    """Whether the model could run here, without loading or fetching anything; the loader weighs it again, exactly."""
    size, free = spec.memory_bytes + WORKING, free_ram()
    if not gpu_seen() and spec.memory_bytes > SMALL:
        needed = f"a GPU with {size / 1e9:.1f} GB of free memory"
        return False, f"it needs {needed}, and this machine has none; the built-in model runs here."
    if not gpu_seen() and free * 0.8 < size:
        return False, f"it needs {size / 0.8e9:.1f} GB of main memory, and {free / 1e9:.1f} GB are free."
    if os.environ.get("HF_HUB_OFFLINE") == "1" and not fetched(spec.url.removeprefix(HUB)):
        return False, "its weights are not on this machine, and HF_HUB_OFFLINE is set."
    return True, ""


class Ids(NamedTuple):
    """Token ids as published: how many there are, which end an answer, which one is the mask."""

    vocab: int
    eos: tuple[int, ...]
    mask: int


def _record(
    id: str,
    name: str,
    hub_id: str,
    family: Family,
    parameters: int,
    ids: Ids,
    *,
    note: str,
    licence: str = "Apache-2.0",
    twin: str = "",
    max_tokens: int = 1_024,
    block: int = 0,
    guidance: bool = False,
) -> Entry:
    """block: the one that suits a model which sees the whole canvas (0: all of it). What is not in REVISIONS is pinned when loaded."""
    spec = ModelSpec(
        id=id,
        name=name,
        family="masked",
        vocab_size=ids.vocab,
        eos_ids=ids.eos,
        mask_id=ids.mask,
        shift=family.shift,
        shares=family.shares,
        causal_prefix=bool(family.block),
        block_lengths=family.widths,
        default_block=family.block or block,
        guidance=guidance,
        twin=twin and f"hf:{twin}",
        max_tokens=max_tokens,
        parameters=parameters,
        memory_bytes=2 * parameters,
        license=licence,
        url=HUB + hub_id,
        note=note,
        revision=REVISIONS.get(hub_id, ""),
    )
    size = 2 * parameters
    needs = f"{'a GPU' if size > SMALL else 'any CPU or GPU'} with {(size + WORKING) / 1e9:.1f} GB free, {size / 1e9:.1f} GB to download"
    return Entry(
        spec,
        "model.models.masked.load:load",
        needs,
        partial(available, spec),
        {"spec": spec, "family": family},
        partial(fetched, hub_id),
        dict(family.settings),
    )


# commits of the hub that several independent public projects name in their own pins or caches; the rest could not be verified
REVISIONS = {
    "GSAI-ML/LLaDA-8B-Instruct": "08b83a6feb34df1a6011b80c3c00c7563e963b07",
    "GSAI-ML/LLaDA-1.5": "84346fd91ba60252d260022201ad6fc5a3468fb2",
    "inclusionAI/LLaDA-MoE-7B-A1B-Instruct": "783d3467f108d28ac0a78d3e41af16ab05cabd8d",
    "Dream-org/Dream-v0-Instruct-7B": "05334cb9faaf763692dcf9d8737c642be2b2a6ae",
    "Dream-org/Dream-Coder-v0-Instruct-7B": "5d9e88c723af9045f362748b5284bdf43d9c501e",
    "dllm-hub/Qwen3-0.6B-diffusion-mdlm-v0.1": "c8d24a3f4adaeef46881b450e1bf7d1005203bd7",
    "Efficient-Large-Model/Fast_dLLM_v2_1.5B": "25093b6f63300adfd57f72145083c8a528fe4f16",
    "kuleshov-group/mdlm-owt": "d0958fa851335ece6c15260ce0025f030673c0fb",
}
WHOLE = "Sees the whole canvas at every pass, prompt included, so no pass is saved by a cache. "
# where the arithmetic differs from the authors' own
FEWER = "With fewer steps than tokens, each takes an even share; dLLM's follows its noise schedule. "
BLOCKWISE = "Writes block after block; finished blocks are computed once and kept. "
LLADA_IDS = Ids(126_464, (126_081, 126_348), 126_336)
MOE_IDS = Ids(157_184, (156_892, 156_900), 156_895)
DREAM_IDS = Ids(152_064, (151_643, 151_645), 151_666)
QWEN3_IDS = Ids(151_936, (151_643, 151_645), 151_669)
QWEN2_IDS = Ids(151_936, (151_643, 151_645), 151_665)
BERT_IDS = Ids(50_368, (50_283, 50_282), 50_284)
MDLM_IDS = Ids(50_258, (50_256,), 50_257)
LLAMA3, CODER = "meta-llama/Meta-Llama-3-8B-Instruct", "Qwen/Qwen2.5-Coder-0.5B-Instruct"
A2D_CODER = "dllm-hub/Qwen2.5-Coder-0.5B-Instruct-diffusion-{}-v0.1"
CLOSES = WHOLE + "An encoder taught to chat; it closes its answers with the words [/Answer]."
ENTRIES = (
    _record(
        "llada-8b",
        "LLaDA 8B Instruct",
        "GSAI-ML/LLaDA-8B-Instruct",
        LLADA,
        8_015_581_184,
        LLADA_IDS,
        licence="MIT",
        twin=LLAMA3,
        max_tokens=4_096,
        block=32,
        guidance=True,
        note=WHOLE + "Trained from scratch as a masked model; small blocks suit it in chat.",
    ),
    _record(
        "llada-1.5",
        "LLaDA 1.5",
        "GSAI-ML/LLaDA-1.5",
        LLADA,
        8_015_581_184,
        LLADA_IDS,
        licence="MIT",
        twin=LLAMA3,
        max_tokens=4_096,
        block=16,
        guidance=True,
        note=WHOLE + "LLaDA 8B after preference tuning.",
    ),
    _record(
        "llada-moe",
        "LLaDA-MoE 7B-A1B Instruct",
        "inclusionAI/LLaDA-MoE-7B-A1B-Instruct",
        LLADA_MOE,
        7_356_880_896,
        MOE_IDS,
        twin="Qwen/Qwen2.5-3B-Instruct",
        max_tokens=4_096,
        block=32,
        note=WHOLE + "64 experts, 8 a token. " + UNCONFIRMED + "the authors' code was read, their config.json was not.",
    ),
    _record(
        "dream-7b",
        "Dream 7B Instruct",
        "Dream-org/Dream-v0-Instruct-7B",
        DREAM,
        7_615_616_512,
        DREAM_IDS,
        twin="Qwen/Qwen2.5-7B-Instruct",
        max_tokens=2_048,
        note=WHOLE + "Made from Qwen2.5 7B; its authors use order 'entropy'.",
    ),
    _record(
        "dream-coder-7b",
        "Dream-Coder 7B Instruct",
        "Dream-org/Dream-Coder-v0-Instruct-7B",
        DREAM,
        7_615_616_512,
        DREAM_IDS,
        twin="Qwen/Qwen2.5-Coder-7B-Instruct",
        max_tokens=2_048,
        note=WHOLE + UNCONFIRMED + "it is read as Dream 7B, by the same authors.",
    ),
    _record(
        "diffucoder-7b",
        "DiffuCoder 7B cpGRPO",
        "apple/DiffuCoder-7B-cpGRPO",
        DIFFUCODER,
        7_615_616_512,
        DREAM_IDS,
        licence="Apple",
        twin="Qwen/Qwen2.5-Coder-7B-Instruct",
        max_tokens=2_048,
        note=WHOLE + UNCONFIRMED + "it is read as Dream 7B, whose code its authors use; writes code.",
    ),
    _record(
        "qwen3-0.6b-mdlm",
        "Qwen3 0.6B diffusion (MDLM)",
        "dllm-hub/Qwen3-0.6B-diffusion-mdlm-v0.1",
        A2D_FULL,
        751_632_384,
        QWEN3_IDS,
        twin="Qwen/Qwen3-0.6B",
        block=32,
        note=WHOLE + FEWER + "Tiny-A2D: Qwen3, taught to denoise on chat and code.",
    ),
    _record(
        "qwen3-0.6b-bd3lm",
        "Qwen3 0.6B diffusion (BD3-LM)",
        "dllm-hub/Qwen3-0.6B-diffusion-bd3lm-v0.1",
        A2D_BLOCKS,
        751_632_384,
        QWEN3_IDS,
        twin="Qwen/Qwen3-0.6B",
        note=BLOCKWISE + FEWER + "Tiny-A2D: Qwen3, taught to denoise on chat and code.",
    ),
    _record(
        "qwen2.5-coder-0.5b-mdlm",
        "Qwen2.5-Coder 0.5B diffusion (MDLM)",
        A2D_CODER.format("mdlm"),
        A2D_FULL,
        630_167_424,
        QWEN2_IDS,
        twin=CODER,
        block=32,
        note=WHOLE + FEWER + "Tiny-A2D: Qwen2.5-Coder, taught to denoise code.",
    ),
    _record(
        "qwen2.5-coder-0.5b-bd3lm",
        "Qwen2.5-Coder 0.5B diffusion (BD3-LM)",
        A2D_CODER.format("bd3lm"),
        A2D_BLOCKS,
        630_167_424,
        QWEN2_IDS,
        twin=CODER,
        note=BLOCKWISE + FEWER + "Tiny-A2D: Qwen2.5-Coder, taught to denoise code.",
    ),
    _record(
        "modernbert-base-chat",
        "ModernBERT base chat",
        "dllm-hub/ModernBERT-base-chat-v0.1",
        BERT,
        149_655_232,
        BERT_IDS,
        block=32,
        note=CLOSES,
    ),
    _record(
        "modernbert-large-chat",
        "ModernBERT large chat",
        "dllm-hub/ModernBERT-large-chat-v0.1",
        BERT,
        395_881_664,
        BERT_IDS,
        block=32,
        note=CLOSES,
    ),
    _record(
        "open-dcoder-0.5b",
        "Open-dCoder 0.5B",
        "fredzzp/open-dcoder-0.5B",
        OPEN_DCODER,
        494_032_768,
        QWEN2_IDS,
        twin="Qwen/Qwen2.5-Coder-0.5B",
        max_tokens=4_096,
        note=WHOLE
        + "Continues code, does not chat; its authors decode with 'p2'. Its mask token is read from its tokenizer.",
    ),
    _record(
        "sdar-1.7b",
        "SDAR 1.7B Chat",
        "JetLM/SDAR-1.7B-Chat",
        SDAR,
        2_031_739_904,
        QWEN3_IDS,
        licence="MIT",
        twin="Qwen/Qwen3-1.7B",
        max_tokens=4_096,
        note=BLOCKWISE + "Qwen3, taught to denoise blocks of 4.",
    ),
    _record(
        "sdar-4b",
        "SDAR 4B Chat",
        "JetLM/SDAR-4B-Chat",
        SDAR,
        4_411_424_256,
        QWEN3_IDS,
        licence="MIT",
        twin="Qwen/Qwen3-4B",
        max_tokens=4_096,
        note=BLOCKWISE + UNCONFIRMED + "it is read as SDAR 1.7B, by the same authors; blocks of 4.",
    ),
    _record(
        "sdar-8b",
        "SDAR 8B Chat",
        "JetLM/SDAR-8B-Chat",
        SDAR,
        8_190_735_360,
        QWEN3_IDS,
        licence="MIT",
        twin="Qwen/Qwen3-8B",
        max_tokens=4_096,
        note=BLOCKWISE + UNCONFIRMED + "it is read as SDAR 1.7B, by the same authors; blocks of 4.",
    ),
    _record(
        "sdar-30b-a3b",
        "SDAR 30B-A3B Chat",
        "JetLM/SDAR-30B-A3B-Chat",
        SDAR,
        30_532_122_624,
        QWEN3_IDS,
        licence="MIT",
        twin="Qwen/Qwen3-30B-A3B",
        max_tokens=4_096,
        note=BLOCKWISE + UNCONFIRMED + "it is read as Qwen3-MoE under SDAR's blocks of 4.",
    ),
    _record(
        "fast-dllm-v2-1.5b",
        "Fast-dLLM v2 1.5B",
        "Efficient-Large-Model/Fast_dLLM_v2_1.5B",
        FAST,
        1_543_714_304,
        QWEN2_IDS,
        twin="Qwen/Qwen2.5-1.5B-Instruct",
        max_tokens=4_096,
        note=BLOCKWISE + "Qwen2.5 1.5B, taught to denoise blocks of 32, which its authors fill in parts of 8.",
    ),
    _record(
        "mdlm-owt",
        "MDLM (OpenWebText)",
        "kuleshov-group/mdlm-owt",
        MDLM,
        169_627_218,
        MDLM_IDS,
        note=WHOLE + "Continues web text, answers nothing.",
    ),
)
