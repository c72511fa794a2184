"""The masked models' records: what a visitor is told, what is refused, and what is published of them."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from model.errors import ModelUnavailable
from model.models.masked import dit
from model.models.masked import load as hf_masked
from model.models.masked import records as families
from model.models.placement import GPU, Hardware
from model.settings import Settings
from model.trace.trace import Trace
from tests import tiny_checkpoints as tiny
from tests.patience import patience
from tests.unit.models.test_families import ENTRIES, FACTS

ROOT = Path(__file__).resolve().parents[3]
UNCONFIRMED = {"llada-moe", "dream-coder-7b", "diffucoder-7b", "sdar-4b", "sdar-8b", "sdar-30b-a3b"}


def test_a_record_is_loaded_at_its_revision_or_the_one_asked_for_and_the_trace_names_it(tmp_path, monkeypatch):
    import huggingface_hub

    class Api:
        def model_info(self, where, revision, files_metadata):
            return type("Info", (), {"sha": revision or "e" * 40, "siblings": []})

    folder, fetched = tiny.write("Dream", tmp_path / "dream").folder, []
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda where, revision, **_: fetched.append((where, revision)) or str(folder),
    )
    pinned, open_ = ENTRIES["dream-7b"], ENTRIES["open-dcoder-0.5b"]
    assert re.fullmatch("[0-9a-f]{40}", pinned.spec.revision) and not open_.spec.revision
    for entry, asked, expected in (
        (pinned, {}, pinned.spec.revision),
        (pinned, {"revision": "d" * 40}, "d" * 40),
        (pinned, {"where": "somebody/else"}, "e" * 40),
        (open_, {}, "e" * 40),
    ):
        small = {"spec": replace(entry.spec, parameters=1000), "family": families.DREAM}
        trace = (
            hf_masked.load(**small, way="cpu", dtype="float32", **asked)
            .denoise("x", Settings(new_tokens=2, steps=2))
            .finish()
        )
        assert fetched[-1] == (asked.get("where") or entry.spec.url.removeprefix(families.HUB), expected)
        assert (
            json.loads(trace.to_json())["header"]["model"]["revision"]
            == expected
            == Trace.from_json(trace.to_json()).spec.revision
        )


def test_pinned_revisions_are_whole_commits_of_records():
    hub_ids = {entry.spec.url.removeprefix(families.HUB) for entry in ENTRIES.values()}
    assert families.REVISIONS.keys() <= hub_ids and all(
        re.fullmatch("[0-9a-f]{40}", commit) for commit in families.REVISIONS.values()
    )


def test_the_network_of_mdlm_has_the_weights_of_the_published_file():
    shapes = dit.expected({"vocab_size": 50_258, "hidden_dim": 768, "cond_dim": 128, "n_blocks": 12, "n_heads": 12})
    rotary = 768 // 12 // 2
    assert len(shapes) + 1 == 131  # and the rotary frequencies, which are computed
    stored = 4 * (sum(math.prod(shape) for shape in shapes.values()) + rotary)
    assert (
        ENTRIES["mdlm-owt"].spec.parameters == stored // 4 - rotary and 0 < 678_522_728 - stored < 20_000
    )  # the file's header


def test_every_record_says_what_a_visitor_needs_to_know():
    assert list(ENTRIES) == list(FACTS) and len(ENTRIES) == len(families.ENTRIES)
    for model_id, entry in ENTRIES.items():
        spec, (_, shift, block, _) = entry.spec, FACTS[model_id]
        assert (
            spec.license
            and spec.url.startswith("https://huggingface.co/")
            and spec.note
            and spec.parameters
            and "GB" in entry.needs
        )
        assert (spec.shift, spec.causal_prefix, spec.block_lengths[:1]) == (
            shift,
            bool(block),
            (block,) if block else (),
        )
        assert spec.block_lengths[1:] == ((8,) if model_id == "fast-dllm-v2-1.5b" else ())
        assert (
            spec.mask_id is not None
            and spec.mask_id < spec.vocab_size
            and spec.eos_ids
            and spec.mask_id not in spec.eos_ids
        )
        assert ("Format unconfirmed" in spec.note) == (model_id in UNCONFIRMED)
        assert spec.modes == ("diffusion",) and spec.memory_bytes == 2 * spec.parameters


def test_what_does_not_fit_is_refused_at_once_with_the_numbers(monkeypatch):
    monkeypatch.setattr(hf_masked, "survey", lambda: Hardware((), 200_000_000_000))
    with pytest.raises(ModelUnavailable, match=r"LLaDA 8B Instruct needs a GPU with \d+\.\d GB.*this machine has none"):
        hf_masked.load(**ENTRIES["llada-8b"].options)
    monkeypatch.setattr(
        hf_masked, "survey", lambda: Hardware((GPU("Small", 8_000_000_000, 8_000_000_000, True),), 16_000_000_000)
    )
    with pytest.raises(ModelUnavailable, match=r"17\.0 GB.*Small has 8\.0 GB free of 8\.0 GB"):
        hf_masked.load(**ENTRIES["llada-8b"].options)


def test_availability_is_told_without_loading_anything(monkeypatch, tmp_path):
    large, small = ENTRIES["llada-8b"], ENTRIES["qwen3-0.6b-bd3lm"]
    monkeypatch.setattr(families, "gpu_seen", lambda: False)
    monkeypatch.setattr(families, "free_ram", lambda: 4_000_000_000)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert large.available()[0] is False
    assert "needs a GPU with 17.0 GB of free memory, and this machine has none" in large.available()[1]
    assert small.available() == (True, "") and small.standing() == ("download", "can be downloaded (1.5 GB)")
    assert large.standing()[0] == "unavailable" and large.standing()[1] == "not available here: " + large.available()[1]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert small.available() == (False, "its weights are not on this machine, and HF_HUB_OFFLINE is set.")
    snapshot = tmp_path / "models--dllm-hub--Qwen3-0.6B-diffusion-bd3lm-v0.1" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    assert not small.available()[0]  # a config alone is not a model
    (snapshot / "model.safetensors").touch()
    assert small.available() == (True, "") and small.standing() == ("ready", "ready")
    monkeypatch.setattr(families, "free_ram", lambda: 1_000_000_000)
    assert "main memory" in small.available()[1]


def test_listing_the_records_loads_nothing_heavy():
    heavy = "[name for name in ('torch', 'transformers') if name in sys.modules]"
    code = f"import sys, model.models.masked.records, model.models.own; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=patience(60))
    assert done.stdout.strip() == "[]", done.stderr
