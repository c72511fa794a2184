"""How each masked family decodes, where a checkpoint's own files do not say: shift, blocks, mask, end tokens, chat template, knobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Family:
    """How a checkpoint is decoded, where its own files do not say.

    shift: the output at i - 1 predicts i. block: the block length it was trained with, earlier blocks clean and never changing;
    0: every position sees every other. parts: widths in which a block may be filled, one part after the other. from_answer: blocks are
    counted from the answer's first token, not from the sequence's.
    mask: the mask token's text; mask_is_last: it is the last row of the embedding and has none. ends: texts of tokens that end an answer,
    beside those that tokenizer and configs name. template: a chat template for tokenizers without one; raw: the prompt is continued as
    it is. settings: the knobs its authors decode with. tokenizer: the stock class where there is no tokenizer.json; tokenizer_from:
    whose it is where the checkpoint has none at all. shares: as `ModelSpec` has it.
    """

    shift: bool = False
    block: int = 0
    parts: tuple[int, ...] = ()
    from_answer: bool = False
    mask: str = ""
    mask_is_last: bool = False
    ends: tuple[str, ...] = ()
    template: str = ""
    raw: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: str = ""
    tokenizer_from: str = ""
    shares: str = ""

    @property
    def widths(self) -> tuple[int, ...]:
        """The block lengths that may be asked for, its own first; none where every position sees every other."""
        return (
            (self.block, *(part for part in self.parts if part < self.block and self.block % part == 0))
            if self.block
            else ()
        )


# ZHZisZZ/dllm@ca17675, dllm/utils/models.py: mask and end tokens, and the two templates; dllm/core/samplers: which blocks, which shift
BERT_CHAT = """\
{% if messages[0]['role'] == 'system' %}[SYS]
{{ messages[0]['content'] | trim }}
[/SYS]

{% set loop_messages = messages[1:] %}{% else %}{% set loop_messages = messages %}{% endif -%}
{%- for message in loop_messages %}[Question]
{{ message['content'] | trim }}
[/Question]

{% endfor -%}
{%- if add_generation_prompt %}[Answer]
{% endif %}"""
LLADA_CHAT = """\
{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>

{{ message['content'] | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""
CHATML = ("<|endoftext|>", "<|im_end|>")
# One step a token: what LLaDA's (ML-GSAI/LLaDA@b7e6c35, generate.py) and dLLM's samplers do if nothing else is said, at 128 tokens
ONE_EACH: dict[str, Any] = {"steps": 128, "new_tokens": 128}
LLADA = Family(
    shares="first", mask="<|mdm_mask|>", ends=("<|endoftext|>", "<|eot_id|>"), template=LLADA_CHAT, settings=ONE_EACH
)
LLADA_MOE = Family(shares="first", mask="<|mask|>", ends=("<|endoftext|>", "<|role_end|>"), settings=ONE_EACH)
# DreamLM/Dream@fac0a7f, README
DREAM = Family(
    shares="floor",
    shift=True,
    mask="<|mask|>",
    ends=CHATML,
    tokenizer="Qwen2Tokenizer",
    settings={"steps": 512, "new_tokens": 512, "order": "entropy", "temperature": 0.2, "top_p": 0.95},
)
# streamer-os/ml-diffucoder@5d64b5a, README: one token a step over 256, cut at the first of these ends
DIFFUCODER = replace(
    DREAM,
    ends=(*CHATML, "<|dlm_pad|>"),
    settings={"steps": 256, "new_tokens": 256, "order": "entropy", "temperature": 0.4, "top_p": 0.95},
)
A2D_FULL = Family(mask="<|mask|>", ends=CHATML, tokenizer="Qwen2Tokenizer", settings=ONE_EACH)
A2D_BLOCKS = Family(
    mask="<|mask|>", ends=CHATML, tokenizer="Qwen2Tokenizer", block=32, from_answer=True, settings=ONE_EACH
)
BERT = Family(mask="[MASK]", ends=("[PAD]", "[SEP]"), template=BERT_CHAT, settings=ONE_EACH)
# pengzhangzhi/Open-dLLM@8b38787
OPEN_DCODER = Family(
    shift=True, mask="<M>", ends=CHATML, tokenizer="Qwen2Tokenizer", raw=True, settings=ONE_EACH | {"remasking": "p2"}
)
# JetAstra/SDAR@c2041a8, generate.py: the dynamic threshold
SDAR = Family(
    block=4,
    mask="<|MASK|>",
    ends=CHATML,
    tokenizer="Qwen2Tokenizer",
    settings=ONE_EACH | {"rule": "threshold", "threshold": 0.85, "temperature": 1.0},
)
# HoangMaizzz/failfasttesting@7cc16bb, Fast_dLLM_v2_1.5B/modeling.py: blocks of the sequence, whose first token a clean pass decides
FAST = Family(
    shift=True,
    block=32,
    parts=(8,),
    mask="|<MASK|>",
    ends=CHATML,
    tokenizer="Qwen2Tokenizer",
    settings=ONE_EACH | {"block_length": 8, "rule": "threshold", "threshold": 0.9},
)
# kuleshov-group/mdlm@c112c52, diffusion.py and dataloader.py: GPT-2's tokens, and one more for the mask
MDLM = Family(
    mask_is_last=True,
    ends=("<|endoftext|>",),
    raw=True,
    tokenizer="GPT2Tokenizer",
    tokenizer_from="openai-community/gpt2",
    settings=ONE_EACH | {"order": "random", "temperature": 1.0},
)
DEFAULTS = {
    "llada": LLADA,
    "lladamoe": LLADA_MOE,
    "llada_moe": LLADA_MOE,
    "Dream": DREAM,
    "sdar": SDAR,
    "sdar_moe": SDAR,
    "Fast_dLLM_Qwen": FAST,
    "mdlm": MDLM,
}
