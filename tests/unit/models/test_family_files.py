"""Checkpoints on disk: damaged and foreign files are refused, the owner's own are opened."""
# ruff: noqa: F811 (fixtures of another file are named as arguments)

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.errors import ModelUnavailable, WeightsError
from model.models import own
from model.models.masked import formats
from model.settings import Settings
from tests import tiny_checkpoints as tiny
from tests.unit.models.test_families import ENTRIES, FACTS, load, written  # noqa: F401 (fixtures)


# ---------------------------------------------------------------- safe loading
def copy(checkpoint: tiny.Tiny, folder: Path, change=None, **config) -> Path:
    folder.mkdir()
    for file in checkpoint.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "config.json").write_text(
        json.dumps({k: v for k, v in (checkpoint.config | config).items() if v != "gone"})
    )
    if change:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")
    return folder


DAMAGE = {
    "missing": (
        "llada-8b",
        lambda w: w.pop("model.transformer.blocks.1.up_proj.weight"),
        "the weight model.layers.1.mlp.up_proj.weight is missing",
    ),
    "unknown": ("dream-7b", lambda w: w.update(extra=torch.ones(1)), "the weight extra is not known"),
    "another shape": (
        "sdar-1.7b",
        lambda w: w.update({"model.norm.weight": torch.ones(3)}),
        r"the weight model.norm.weight has the shape \(3,\), not \(32,\)",
    ),
    "missing in MDLM": ("mdlm-owt", lambda w: w.pop("backbone.blocks.0.mlp.2.bias"), "blocks.0.mlp.2.bias is missing"),
    "shape in MDLM": ("mdlm-owt", lambda w: w.update({"backbone.blocks.0.mlp.2.bias": torch.ones(3)}), "has the shape"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_weights_that_do_not_fit_are_refused_with_a_sentence(written, tmp_path, case):
    model_id, change, said = DAMAGE[case]
    folder = copy(written(FACTS[model_id][0]), tmp_path / "c", change)
    with pytest.raises(ModelUnavailable, match=said):
        load(ENTRIES[model_id], folder)


def test_damaged_or_foreign_files_are_refused_with_a_sentence(written, tmp_path):
    whole = written("Dream")
    cut = copy(whole, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(WeightsError, match="damaged"):
        load(ENTRIES["dream-7b"], cut)
    pickled = copy(whole, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"no \.safetensors"):
        load(ENTRIES["dream-7b"], pickled)
    with pytest.raises(ModelUnavailable, match="config says block_type = sequential"):
        load(ENTRIES["llada-8b"], copy(written("llada"), tmp_path / "other", block_type="sequential"))
    with pytest.raises(ModelUnavailable, match="shared_expert_intermediate_size = 64"):
        load(ENTRIES["llada-moe"], copy(written("llada_moe"), tmp_path / "shared", shared_expert_intermediate_size=64))
    with pytest.raises(ModelUnavailable, match="does not say d_model"):
        load(ENTRIES["llada-8b"], copy(written("llada"), tmp_path / "partial", d_model="gone"))
    with pytest.raises(ModelUnavailable, match="mask token must be below"):
        load(ENTRIES["dream-7b"], copy(whole, tmp_path / "mask", mask_token_id=999))
    with pytest.raises(ModelUnavailable, match="of the type 'gpt_neo'"):
        load(ENTRIES["dream-7b"], copy(whole, tmp_path / "kind", model_type="gpt_neo"))


def test_code_that_comes_with_a_checkpoint_never_runs(written, tmp_path):
    for model_id in ("llada-8b", "dream-7b", "sdar-1.7b", "mdlm-owt"):
        checkpoint = written(FACTS[model_id][0])
        folder = copy(checkpoint, tmp_path / model_id)
        for target in checkpoint.config["auto_map"].values():
            (folder / f"{target.split('.')[0]}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write('it ran')")
        load(ENTRIES[model_id], folder)
    assert not (tmp_path / "ran").exists()


def test_bfloat16_weights_stay_so_and_the_trace_says_it(written):
    model = load(ENTRIES["llada-8b"], written("llada").folder, dtype="bfloat16")
    trace = model.denoise("ab", Settings(new_tokens=8, steps=8)).finish()
    assert (trace.dtype, trace.device, trace.result.stopped) == ("bfloat16", "cpu", "full")
    with pytest.raises(ModelUnavailable, match="must be float32 or bfloat16"):
        load(ENTRIES["llada-8b"], written("llada").folder, dtype="int4")


# ---------------------------------------------------------------- own checkpoints
def open_own(folder: Path, query: str = "way=cpu&dtype=float32"):
    entry = own.entry(f"hf:{folder}?{query}")
    model = own.load(**entry.options)
    assert model.spec.id == entry.spec.id == f"hf:{folder}?{query}"
    return model


@pytest.mark.parametrize(
    "model_id",
    ["llada-8b", "llada-moe", "dream-7b", "sdar-1.7b", "fast-dllm-v2-1.5b", "modernbert-base-chat", "mdlm-owt"],
)
def test_a_known_type_needs_no_questions(written, model_id):
    folder = written(FACTS[model_id][0]).folder
    mine, record = open_own(folder), load(ENTRIES[model_id], folder, endless=False)
    same = ("mask_id", "eos_ids", "shift", "causal_prefix", "block_lengths", "vocab_size")
    assert all(getattr(mine.spec, name) == getattr(record.spec, name) for name in same) and mine.spec.family == "masked"
    knobs = Settings(new_tokens=16, steps=16)
    width = 0 if record.family.block else record.spec.default_block
    ids = mine.denoise("ab", replace(knobs, block_length=width)).finish().final_ids
    assert ids == record.denoise("ab", knobs).finish().final_ids


def test_what_the_files_do_not_say_is_asked_for(written, tmp_path):
    stock, a2d = written("qwen2").folder, written("a2d-qwen3").folder
    with pytest.raises(
        ModelUnavailable, match=r"masked 'qwen2' whose files do not say.*block=0 if.*shift=yes if.*or mode=ar\.$"
    ):
        open_own(stock)
    assert open_own(stock, "mode=ar&way=cpu").spec.modes == ("ar",)
    with pytest.raises(ModelUnavailable, match=r"masked 'a2d-qwen3' .*add behind a '\?': block=0 if[^;]*\.$"):
        open_own(a2d)
    dcoder = open_own(stock, "shift=yes&block=0&way=cpu&dtype=float32")
    assert dcoder.spec.shift and dcoder.spec.mask_id == 259 and not dcoder.spec.causal_prefix
    bd3lm = open_own(a2d, "block=32&way=cpu&dtype=float32")
    record = load(ENTRIES["qwen3-0.6b-bd3lm"], a2d, endless=False)
    knobs = Settings(new_tokens=40, steps=40)
    assert bd3lm.denoise("ab", knobs).finish().final_ids == record.denoise("ab", knobs).finish().final_ids
    bare = copy(written("qwen2"), tmp_path / "bare")
    said = json.loads((bare / "tokenizer_config.json").read_text())
    del said["mask_token"]
    (bare / "tokenizer_config.json").write_text(json.dumps(said))
    with pytest.raises(ModelUnavailable, match="neither its config nor its tokenizer names a mask token; say which"):
        open_own(bare, "shift=yes&block=0&way=cpu")
    assert open_own(bare, "shift=yes&block=0&way=cpu&mask=<M>").spec.mask_id == 259
    assert open_own(bare, "shift=yes&block=0&way=cpu&mask=259").spec.mask_id == 259
    with pytest.raises(ModelUnavailable, match="no token '<X>'"):
        open_own(bare, "shift=yes&block=0&way=cpu&mask=<X>")


def test_a_checkpoint_without_a_mask_token_is_the_autoregressive_model_it_is(written, tmp_path):
    causal = copy(written("qwen2"), tmp_path / "causal")
    said = json.loads((causal / "tokenizer_config.json").read_text())
    del said["mask_token"]
    (causal / "tokenizer_config.json").write_text(json.dumps(said))
    (causal / "generation_config.json").write_text(json.dumps({"eos_token_id": 258}))
    model = open_own(causal, "way=cpu")
    assert model.spec.modes == ("ar",) and model.denoise("ab", Settings(new_tokens=4), mode="ar").finish().result.tokens


@pytest.mark.parametrize(
    ("model_id", "said"),
    [
        ("hf:", "nothing behind 'hf:'"),
        ("hf:a/b?speed=9", "'speed' is not one of"),
        ("hf:nowhere", "neither a folder here nor a hub id"),
        ("hf:{}?shift=perhaps&block=0", "shift must be yes or no"),
        ("hf:{}?shift=yes&block=-1", "block must be a whole number"),
        ("hf:{}?shift=no&block=0&way=teleport", "place must be one of"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(written, model_id, said):
    with pytest.raises(ModelUnavailable, match=said):
        own.load(**own.entry(model_id.format(written("qwen2").folder)).options)


def test_an_encoder_has_no_blocks(written):
    with pytest.raises(ModelUnavailable, match="sees the whole canvas, so block must be 0; it was 8"):
        open_own(written("modernbert").folder, "block=8&way=cpu")


@pytest.mark.parametrize("kind", sorted(formats.REFUSED))
def test_types_that_people_ask_for_and_no_stock_class_computes_are_refused_with_the_reason(written, tmp_path, kind):
    folder = copy(written("Dream"), tmp_path / "asked", model_type=kind)
    with pytest.raises(ModelUnavailable, match=f"is of the type '{kind}', which no stock class computes, for "):
        load(ENTRIES["dream-7b"], folder)
    with pytest.raises(ModelUnavailable, match=f"is of the type '{kind}', which no stock class computes, for "):
        own.load(**own.entry(f"hf:{folder}?way=cpu").options)


def test_an_own_llada_has_what_the_familys_record_has(written):
    entry = own.entry(f"hf:{written('llada').folder}?way=cpu&dtype=float32")
    assert entry.spec.guidance and entry.spec.default_block == 32
    model, record = own.load(**entry.options), load(ENTRIES["llada-8b"], written("llada").folder, endless=False)
    knobs = Settings(new_tokens=48, steps=48, guidance=1.5)
    trace = model.denoise("Hello", knobs).finish()
    assert trace.final_ids == record.denoise("Hello", knobs).finish().final_ids and trace.result.forwards > 48
    assert model.spec.guidance and model.spec.default_block == record.spec.default_block == 32
