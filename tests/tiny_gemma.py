"""DiffusionGemma in miniature: random weights in the real classes, saved as the real files. For tests.

`network` gives a model of some 200 thousand parameters; `save` writes a checkpoint folder as the hub has it, with a small byte-fallback
tokenizer that knows the control tokens and a chat template of the released one's form; `Script` makes a network confident.
"""

from __future__ import annotations

import io
import json
import string
from pathlib import Path
from typing import Any

import torch

from bench.diffusiongemma import config

CONTROL = (
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<mask>",
    "<|turn>",
    "<turn|>",
    "<|channel>",
    "<channel|>",
    "<|think|>",
    "<|image|>",
    "<|image>",
    "<image|>",
)
PAD, EOS, BOS, TURN, TURN_END, THINK, THINK_END, IMAGE = 0, 1, 2, 5, 6, 7, 8, 10
EOS_IDS = (EOS, TURN_END)
SEEN = {  # what a released tokenizer calls its control tokens for pictures and sound; only the former are used
    "image_token": "<|image|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "audio_token": "<|audio|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
}
PROCESSOR = {  # as the released checkpoint's own file says it, with fewer places a picture
    "processor_class": "Gemma4Processor",
    "image_processor": {"image_processor_type": "Gemma4ImageProcessor", "max_soft_tokens": 70},
    "video_processor": {"video_processor_type": "Gemma4VideoProcessor", "max_soft_tokens": 70, "num_frames": 32},
    "feature_extractor": {"feature_extractor_type": "Gemma4AudioFeatureExtractor"},
}
TEMPLATE = """{{ bos_token }}{% if enable_thinking or tools or messages[0]['role'] == 'system' %}<|turn>system
{% if enable_thinking %}<|think|>
{% endif %}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] | trim }}{% endif %}\
{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}<turn|>
{% endif %}{% for message in messages if message['role'] != 'system' %}<|turn>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}{% for item in message['content'] %}{% if item['type'] == \
'image' %}<|image|>{% else %}{{ item['text'] | trim }}{% endif %}{% endfor %}{% endif %}<turn|>
{% endfor %}{% if add_generation_prompt %}<|turn>model
{% endif %}"""


def tokenizer(template: str = TEMPLATE, whole: bool = True) -> Any:
    """Return a Gemma tokenizer: control tokens, 256 bytes, printable characters, a few merged words; whole: and unused ones, up to 512."""
    from transformers import GemmaTokenizer

    pieces = [
        *CONTROL,
        *(f"<0x{b:02X}>" for b in range(256)),
        "\u2581",
        *string.ascii_letters,
        *string.digits,
        *string.punctuation,
        "\n",
    ]
    merges = [
        ("t", "h"),
        ("th", "e"),
        ("i", "n"),
        ("a", "n"),
        ("an", "d"),
        ("e", "r"),
        ("\u2581", "the"),
        ("u", "s"),
        ("us", "er"),
    ]
    pieces += [a + b for a, b in merges] + ["<|audio|>", "<|audio>", "<audio|>", "<|video|>"]
    pieces += [f"<unused{i}>" for i in range(512 - len(pieces) if whole else 0)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    out = GemmaTokenizer(
        vocabulary, merges, extra_special_tokens=[*CONTROL[5:], "<|video|>"], model_specific_special_tokens=SEEN
    )
    out.chat_template = template
    return out


def network(seed: int = 0, canvas: int = 0, ends: tuple[int, ...] | None = EOS_IDS, **text: Any) -> Any:
    """Return a network with random weights drawn from `seed`, which leaves the global generator as it was."""
    from transformers import DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma.generation_diffusion_gemma import (
        DiffusionGemmaGenerationConfig,
        EntropyBoundSamplerConfig,
    )

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = DiffusionGemmaForBlockDiffusion(config("tiny", canvas, **text)).eval()
    model.generation_config = DiffusionGemmaGenerationConfig(
        pad_token_id=PAD,
        eos_token_id=None if ends is None else list(ends),
        max_denoising_steps=12,
        t_max=0.9,
        t_min=0.3,
        sampler_config=EntropyBoundSamplerConfig(0.25),
        stability_threshold=2,
        confidence_threshold=0.01,
        max_new_tokens=64,
    )
    return model


def save(
    folder: Path, model: Any | None = None, template: str = TEMPLATE, images: bool = True, whole: bool = True
) -> Path:
    """Write a checkpoint folder and return it."""
    (model or network()).save_pretrained(folder)
    tokenizer(template, whole).save_pretrained(folder)
    if images:
        (folder / "processor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def drawn(width: int = 64, height: int = 48, kind: str = "PNG", seed: int = 0, **options: Any) -> bytes:
    """Return a picture file of random dots in three colours."""
    import numpy as np
    from PIL import Image

    dots = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(dots).save(out, kind, **options)
    return out.getvalue()


class Script:
    """A logits processor, and a wrapper for our loop's forward pass: the network writes `ids` with confidence.

    ids: one list a canvas, or a row of lists for a batch; noise: how much of the network's own opinion is left.
    """

    def __init__(self, rows: list[list[int]], strength: float = 40.0):
        self.rows, self.strength = torch.tensor(rows), strength

    def __call__(self, input_ids: Any, scores: torch.Tensor, cur_step: Any = None) -> torch.Tensor:
        wanted = torch.nn.functional.one_hot(self.rows, scores.shape[-1]).to(scores.dtype)
        return scores + self.strength * wanted

    def around(self, model: Any) -> Any:
        """Return a forward pass whose logits are scripted."""

        def forward(**inputs: Any) -> Any:
            out = model(**inputs)
            out.logits = self(None, out.logits)
            return out

        return forward
