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
    "gemma": "model.decoder.layers.0.self_attn.q_proj.weight",
    "causal": "model.layers.0.self_attn.q_proj.weight",
    "Dream": "model.layers.0.self_attn.q_proj.weight",
    "modernbert": "model.layers.0.attn.Wqkv.weight",
    "mdlm": "backbone.blocks.0.attn_qkv.weight",
}


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
    [
        ("quux", r"quantized by a method that is not known here, 'quux'; take the unquantized checkpoint\."),
        (
            "compressed-tensors",
            r"quantized as 'compressed-tensors', which needs the package compressed-tensors; install it, or take the ",
        ),
        (None, r"quantized and its config does not say how; take the unquantized checkpoint\."),
        (
            "nvfp4",
            r"as 'nvfp4', which transformers makes from bfloat16 weights on a Blackwell GPU but does not read yet; ",
        ),
        (
            "modelopt",
            r"as 'modelopt', which vLLM and TensorRT-LLM read but transformers does not; take the unquantized",
        ),
        ("bitsandbytes", r"which (needs the package bitsandbytes|shrinks 1\.7 of its 25\.8 billion parameters)"),
    ],
)
def test_a_quantization_is_refused_not_skipped(copy, kind, method, said):
    folder = copy(kind)
    change(
        folder / "config.json",
        lambda config: config.update(quantization_config={"quant_method": method} if method else {"bits": 4}),
    )
    refused(folder, said, ModelUnavailable)


# ---------------------------------------------------------------- other files
DAMAGED = {
    "config.json": ["{", "[1]", '{"model_type": "Dream", "vocab_size": "many"}', "[" * 20_000, "\udcff"],
    "model.safetensors.index.json": [
        "{",
        "[]",
        '{"weight_map": 5}',
        '{"weight_map": {"a": "../../x.safetensors"}}',
        '{"metadata": {}}',
    ],
    "generation_config.json": ["{", "[]"],
    "tokenizer_config.json": ["{"],
    "tokenizer.json": ["{", "{}"],
}


@pytest.mark.parametrize("kind", ["gemma", "causal", "Dream", "modernbert", "mdlm"])
@pytest.mark.parametrize("file", DAMAGED)
def test_damaged_json_is_told_in_a_sentence_that_names_the_model(copy, kind, file):
    folder = copy(kind)
    for text in DAMAGED[file]:
        (folder / file).write_text(text, errors="surrogateescape")
        query = (
            "way=cpu" if kind != "Dream" else "way=cpu&shift=yes&block=0"
        )  # a masked one, whatever its config still says
        assert refused(folder, " cannot be ", ModelUnavailable, query).startswith(f"{kind} ")


@pytest.mark.parametrize("kind", ["sdar", "Fast_dLLM_Qwen", "llada", "Dream"])
@pytest.mark.parametrize(
    "edit",
    [
        {"block_size": "x", "bd_size": "x"},
        {"eos_token_id": "x"},
        {"mask_token_id": "x"},
        {"mlp_ratio": None, "mlp_hidden_size": None, "d_model": "x"},
        {"max_position_embeddings": "x"},
    ],
)
def test_values_of_another_kind_are_told_too(tmp_path, kind, edit):
    folder = tiny.write(kind, tmp_path / "c").folder
    known = set(json.loads((folder / "config.json").read_text())) | {"eos_token_id", "mask_token_id"}
    edit = {key: value for key, value in edit.items() if key in known}
    if not edit:
        pytest.skip("this family's config has no such field")
    change(folder / "config.json", lambda config: config.update(edit))
    assert refused(folder, " cannot be ", ModelUnavailable).startswith("c ")


def test_only_the_weights_that_the_index_names_are_counted(copy):
    for kind in ("Dream", "mdlm"):
        folder = copy(kind)
        size = hub.measure(folder, "x").weights
        shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
        assert hub.measure(folder, "x").weights == size
        open_own(folder).close()
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        names = dict.fromkeys(load_file(folder / "model-1.safetensors"), "model-1.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
        assert hub.measure(folder, "x").weights == size
        open_own(folder).close()


def served(monkeypatch, folder: Path, names: list[str]) -> dict:
    """Put a hub in place that holds these files, of which the small ones are in the folder; return what is asked of it."""
    import huggingface_hub

    asked: dict = {"first": []}

    class Api:
        def model_info(self, where, revision, files_metadata):
            listed = [type("F", (), {"rfilename": name, "size": 100}) for name in names]
            return type("Info", (), {"sha": "a" * 40, "siblings": listed})

    def one(where, file, revision):
        asked["first"].append(file)
        return str(folder / file)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", one)
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda where, **options: asked.update(options) or str(folder)
    )
    return asked


def test_duplicates_of_the_weights_are_not_downloaded(copy, monkeypatch):
    folder = copy("Dream")
    (folder / "model.safetensors").rename(folder / "model-1-of-1.safetensors")
    names = dict.fromkeys(load_file(folder / "model-1-of-1.safetensors"), "model-1-of-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    there = [
        "config.json",
        "model.safetensors.index.json",
        "model-1-of-1.safetensors",
        "consolidated.safetensors",
        "vocab.json",
        "original/consolidated.safetensors",
        "metal/model.safetensors",
        "original/params.json",
        "run.py",
    ]
    asked, weighed = served(monkeypatch, folder, there), []
    hub.find("owner/name", fits=weighed.append)
    assert weighed == [100] and asked["first"] == ["config.json", "model.safetensors.index.json"]
    assert sorted(asked["allow_patterns"]) == [
        "config.json",
        "model-1-of-1.safetensors",
        "model.safetensors.index.json",
        "vocab.json",
    ]
    assert asked["ignore_patterns"] == ["*/*"]


@pytest.mark.parametrize(
    ("names", "config", "said"),
    [
        (
            ["config.json", "model-q4.gguf"],
            {},
            r"no \.safetensors weights in owner/name; it holds GGUF weights, which are not read here",
        ),
        (["weights.npz", "config.json"], {}, "it holds MLX weights"),
        (["pytorch_model.bin"], {}, "it holds pickled PyTorch weights"),
        (
            ["config.json", "model.safetensors"],
            {"quantization": {"group_size": 64, "bits": 4}},
            "quantized for MLX, which is not read here",
        ),
        (
            ["config.json", "model.safetensors"],
            {"quantization_config": {"quant_method": "quux"}},
            "a method that is not known here, 'quux'",
        ),
    ],
)
def test_other_formats_are_named_before_anything_large_is_downloaded(copy, monkeypatch, names, config, said):
    folder = copy("Dream")
    change(folder / "config.json", lambda whole: whole.update(config))
    asked = served(monkeypatch, folder, names)
    with pytest.raises(ModelUnavailable, match=said):
        hub.find("owner/name")
    assert "allow_patterns" not in asked


def test_a_folder_in_another_format_or_without_a_tokenizer_says_so(copy):
    folder = copy("causal")
    (folder / "tokenizer.json").unlink()
    refused(
        folder,
        "its tokenizer is missing: there is no tokenizer.json in causal, nor another vocabulary",
        ModelUnavailable,
    )
    (folder / "model.safetensors").rename(folder / "model.gguf")
    refused(folder, "it holds GGUF weights, which are not read here: take the original in safetensors")


def test_a_mask_against_the_configs_own_is_said(copy):
    folder = copy("Dream")
    assert "mask token" not in open_own(folder).spec.note
    said = "Its mask token is 258, as asked for, against 259, which its files name."
    assert open_own(folder, "way=cpu&mask=<|im_end|>").spec.note.endswith(said)


@pytest.mark.parametrize(("name", "most"), [("Roberta", 18), ("Bert", 20), ("XLMRoberta", 18)])
def test_positions_that_encoders_keep_for_the_padding_are_not_offered(name, most):
    import transformers

    from model.models.masked.load import most_positions

    config = getattr(transformers, f"{name}Config")(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=20,
        pad_token_id=1,
    )
    network = getattr(transformers, f"{name}ForMaskedLM")(config).eval()
    assert most_positions(network) == most
    with torch.no_grad():
        assert network(input_ids=torch.full((1, most), 5)).logits.shape[1] == most
        with pytest.raises(Exception):  # noqa: B017
            network(input_ids=torch.full((1, most + 1), 5))
