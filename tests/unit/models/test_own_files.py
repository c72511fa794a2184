"""What a checkpoint's files say is read to the letter: missing, foreign and damaged ones are refused by name, whoever loads them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.errors import ModelUnavailable, WeightsError
from model.models import hub, own
from tests import tiny_checkpoints as tiny
from tests.tiny_gemma import save

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """One folder a loader: DiffusionGemma, a causal model, a masked decoder, an encoder, MDLM."""
    at = tmp_path_factory.mktemp("own")
    folders = {kind: tiny.write(kind, at / kind).folder for kind in ("qwen2", "Dream", "modernbert", "mdlm")}
    folders["gemma"] = save(at / "gemma")
    causal = shutil.copytree(folders["qwen2"], at / "causal")
    change(causal / "tokenizer_config.json", lambda said: said.pop("mask_token"))
    return folders | {"causal": causal}


@pytest.fixture
def copy(sources, tmp_path):
    return lambda kind: shutil.copytree(sources[kind], tmp_path / kind)


def change(file: Path, how) -> None:
    said = json.loads(file.read_text())
    how(said)
    file.write_text(json.dumps(said))


def open_own(folder: Path, query: str = "way=cpu"):
    return own.load(**own.entry(f"hf:{folder}?{query}").options)


def refused(folder: Path, words: str, kind=WeightsError, query: str = "way=cpu") -> str:
    with pytest.raises(kind, match=words) as error:
        open_own(folder, query)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
    return str(error.value)


# ---------------------------------------------------------------- weights
LOADERS = {
    "gemma": "model.decoder.layers.0.self_attn.q_proj.weight", "causal": "model.layers.0.self_attn.q_proj.weight",
    "Dream": "model.layers.0.self_attn.q_proj.weight", "modernbert": "model.layers.0.attn.Wqkv.weight",
    "mdlm": "backbone.blocks.0.attn_qkv.weight",
}  # fmt: skip


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("fault", ["missing", "another shape", "not known"])
def test_every_loader_refuses_by_name_what_it_would_fill_with_random_numbers(copy, kind, fault):
    folder = copy(kind)
    open_own(folder).close()  # whole, it loads
    weights = load_file(folder / "model.safetensors")
    name = next(key for key in weights if key.endswith(LOADERS[kind].split(".", 3)[-1]))
    if fault == "missing":
        del weights[name]
    elif fault == "another shape":
        weights[name] = weights[name][:-1].clone()
    else:
        weights[f"{name}.extra"] = torch.ones(1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tail = name.removeprefix("backbone.").split("layers.", 1)[-1]
    said = {"missing": " is missing", "another shape": " has the shape", "not known": r"\.extra is not"}[fault]
    refused(folder, tail.replace(".", r"\.") + said)


def test_a_renamed_weight_of_a_diffusion_gemma_is_never_drawn_at_random(copy):
    folder = copy("gemma")
    weights = load_file(folder / "model.safetensors")
    name = next(key for key in weights if key.endswith("self_attn.q_proj.weight"))
    weights[name.replace("q_proj", "q_project")] = weights.pop(name)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "q_proj.weight is missing")


def test_the_other_heads_of_a_bert_are_no_fault(tmp_path):
    from transformers import BertConfig, BertForPreTraining

    from model.models.masked.formats import Layout
    from model.models.masked.load import _Recast
    from model.models.placement import Placement

    config = BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertForPreTraining(config).save_pretrained(tmp_path)
    recast = _Recast(Layout("encoder", ""), torch.float32)
    assert hub.load_model(recast, hub.measure(tmp_path, "BERT"), Placement("cpu", "here", {"": "cpu"}), "BERT")


@pytest.mark.parametrize("kind", ["gemma", "causal", "Dream", "modernbert", "mdlm"])
@pytest.mark.parametrize(
    ("method", "said"),
    [("quux", r"quantized by a method that is not known here, 'quux'; take the unquantized checkpoint\."),
     ("compressed-tensors", r"quantized as 'compressed-tensors', which needs the package compressed-tensors; install it, or take the "),
     (None, r"quantized and its config does not say how; take the unquantized checkpoint\.")],
)  # fmt: skip
def test_a_quantization_is_refused_not_skipped(copy, kind, method, said):
    folder = copy(kind)
    change(folder / "config.json", lambda config: config.update(quantization_config={"quant_method": method} if method else {"bits": 4}))
    refused(folder, said, ModelUnavailable)
