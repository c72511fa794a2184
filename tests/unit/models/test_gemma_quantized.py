"""An FP8 checkpoint as people have it: read here, and widened where the machine does not compute in FP8."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.models.gemma.record import KEEP, open_checkpoint
from model.models.placement import survey
from model.settings import Settings
from tests.tiny_gemma import network, save

torch.set_num_threads(1)
SHORT = Settings(steps=4, new_tokens=1, entropy_bound=30.0, seed=3)


@pytest.mark.skipif(any(gpu.fp8 for gpu in survey().gpus), reason="this machine computes in FP8")
def test_eight_bit_weights_are_read_and_write_what_their_widened_values_write(tmp_path):
    stored, widened = (save(tmp_path / name, network().bfloat16()) for name in ("fp8", "bf16"))
    weights, wide, narrow = load_file(widened / "model.safetensors"), {}, {}
    for name, tensor in weights.items():
        wide[name] = narrow[name] = tensor
        if tensor.dim() == 2 and name.endswith("proj.weight") and not any(kept in name for kept in KEEP):
            scale = 2.0**-8
            narrow[name] = (tensor.float() / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
            blocks = [-(-size // 128) for size in tensor.shape]
            narrow[name.replace(".weight", ".weight_scale_inv")] = torch.full(blocks, scale)
            wide[name] = (narrow[name].float() * scale).bfloat16()
    save_file(narrow, stored / "model.safetensors", metadata={"format": "pt"})
    save_file(wide, widened / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((stored / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    config["quantization_config"]["modules_to_not_convert"] = [*KEEP, "experts"]
    (stored / "config.json").write_text(json.dumps(config))
    assert sum(tensor.dtype == torch.float8_e4m3fn for tensor in narrow.values()) > 10
    model, plain = (open_checkpoint(str(folder), way="cpu") for folder in (stored, widened))
    assert "widened to bfloat16" in model.spec.note and not plain.spec.note and model.dtype == "bfloat16"
    texts = [each.denoise("the user", SHORT).finish().final_ids for each in (model, plain)]
    assert texts[0] == texts[1]
