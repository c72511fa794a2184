"""Where a large model goes on a machine, and what is said when a checkpoint cannot be had: every refusal one sentence."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch

from model.engine import catalog
from model.engine.engine import Engine
from model.engine.parsing import parse_request
from model.errors import ModelUnavailable, WeightsError
from model.loops.uniform import Loop
from model.models import hub, placement
from model.models.gemma import record as diffusion_gemma
from model.models.gemma.decoder import Decoder
from model.models.gemma.record import open_checkpoint
from model.models.placement import GPU, Hardware, Needs, plan
from model.request import Request
from model.settings import PUBLIC, Settings
from tests.tiny_gemma import save

torch.set_num_threads(1)
H200 = GPU("NVIDIA H200", 140_000_000_000, 150_000_000_000, True)
RTX = GPU("NVIDIA RTX 4090", 23_000_000_000, 25_000_000_000, True)
OLD = GPU("NVIDIA A100", 39_000_000_000, 42_000_000_000, False)
BIG = Needs("DiffusionGemma", 51_647_557_728, 26_600_000_000, 4_000_000_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("tiny"))


# ---------------------------------------------------------------- places
@pytest.mark.parametrize(
    ("gpus", "way", "expected"),
    [
        ((H200,), "auto", "gpu"),
        ((H200,), "fp8", "fp8"),
        ((GPU("L40S", 45_000_000_000, 48_000_000_000, True),), "auto", "fp8"),
        ((OLD, OLD), "auto", "gpus"),
        ((RTX,), "offload", "offload"),
        ((RTX, H200), "auto", "gpu"),
    ],
)
def test_where_a_model_goes(gpus, way, expected):
    place = plan(BIG, Hardware(gpus, 120_000_000_000), way)
    assert place.way == expected
    if expected == "gpus":
        assert place.device_map == "sequential" and set(place.max_memory) == {0, 1}
    if gpus == (RTX, H200):
        assert place.device_map == {"": "cuda:1"}


@pytest.mark.parametrize(
    ("gpus", "ram", "way", "words"),
    [
        (
            (),
            16e9,
            "auto",
            r"needs a GPU with 55\.6 GB or 30\.6 GB in FP8 of free memory; this machine has none\. A smaller model",
        ),
        (
            (RTX,),
            16e9,
            "auto",
            r"needs 55\.6 GB or 30\.6 GB in FP8 of GPU memory; NVIDIA RTX 4090 has 23\.0 GB free of 25\.0 GB\. A smaller",
        ),
        ((RTX,), 90e9, "auto", r"What would fit: 'offload' \(partly on the GPU, .*\), 'cpu' \(on the processor\)\."),
        ((OLD,), 16e9, "fp8", r"NVIDIA A100 has 39\.0 GB free of 42\.0 GB and cannot compute in FP8"),
        ((RTX, RTX), 16e9, "gpus", r"55\.6 GB over all GPUs"),
        ((), 8e9, "cpu", r"64\.6 GB of main memory; 8\.0 GB are free"),
        ((RTX,), 8e9, "offload", r"51\.6 GB of GPU and main memory together; .* and 8\.0 GB of main memory are free"),
        ((), 8e9, "moon", r"one of auto, gpu, fp8, gpus, offload, cpu; it was 'moon'\."),
    ],
)
def test_why_a_model_does_not_fit(gpus, ram, way, words):
    with pytest.raises(ModelUnavailable, match=words) as refused:
        plan(BIG, Hardware(gpus, int(ram)), way)
    assert "\n" not in str(refused.value)


def test_without_a_gpu_a_small_model_runs_and_the_large_one_says_why(monkeypatch):
    small = Needs("Tiny", 800_000, 0, 1_000_000)
    assert plan(small, Hardware((), 10**9)).way == "cpu"
    monkeypatch.setattr(diffusion_gemma, "survey", lambda: Hardware((), 16_000_000_000))
    monkeypatch.setattr(diffusion_gemma, "gpu_seen", lambda: False)
    with pytest.raises(ModelUnavailable, match="this machine has none"):
        diffusion_gemma.load()  # before anything is downloaded
    usable, why = diffusion_gemma.available()
    assert not usable and "55.6 GB" in why and "built-in model runs here" in why
    assert placement.survey().ram > 0


def test_fp8_leaves_the_router_alone_and_lost_weights_are_noticed(folder):
    asked = {}

    class Recorder(torch.nn.Module):
        @classmethod
        def from_pretrained(cls, path, **options):
            asked.update(options)
            out = cls()
            out.lost = torch.nn.Linear(2, 2, device="meta")
            return out, {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()}

        def tie_weights(self):
            asked["tied"] = True

    place = plan(BIG, Hardware((H200,), 0), "fp8")
    with pytest.raises(ModelUnavailable, match=r"2 weights have no memory, lost\.weight among them"):
        hub.load_model(Recorder, hub.measure(folder, "x"), place, "DiffusionGemma", keep=diffusion_gemma.KEEP)
    assert asked["tied"] and asked["device_map"] == {"": "cuda:0"} and asked["use_safetensors"]
    assert "router" in asked["quantization_config"].modules_to_not_convert


def test_weights_that_accelerate_brings_in_are_not_lost(folder, tmp_path):
    from transformers import DiffusionGemmaForBlockDiffusion

    parts = {
        "model.encoder": "cpu",
        "model.decoder.embed_tokens": "cpu",
        "model.decoder.norm": "cpu",
        "model.decoder.rotary_emb": "cpu",
        "model.decoder.self_conditioning": "disk",
        "model.decoder.layers": "cpu",
        "lm_head": "cpu",
    }
    model = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, device_map=parts, offload_folder=tmp_path)
    assert any(p.is_meta for p in model.parameters()) and hub.left_on_meta(model) == []
    settings, prompt = Settings(steps=4, new_tokens=1, canvases=2, entropy_bound=30.0), torch.tensor([[2, 5, 290, 364]])
    whole = DiffusionGemmaForBlockDiffusion.from_pretrained(folder)
    assert torch.equal(Loop(Decoder(model), settings, prompt).finish(), Loop(Decoder(whole), settings, prompt).finish())


# ---------------------------------------------------------------- damaged, missing, out of reach
def test_damaged_and_missing_files_are_named(folder, tmp_path):
    def refused(words, kind=ModelUnavailable):
        with pytest.raises(kind, match=words) as error:
            open_checkpoint(str(tmp_path))
        assert "\n" not in str(error.value) and error.value.__cause__ is None

    refused("config.json is missing")
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:1000])
    refused("a file of its weights is damaged", WeightsError)
    (tmp_path / "model.safetensors").unlink()
    refused("no .safetensors weights", WeightsError)
    (tmp_path / "model.safetensors").write_bytes(weights)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}))
    refused("1 of 2 weight files are missing, model-00002.safetensors", WeightsError)
    index.unlink()
    (tmp_path / "tokenizer.json").write_text("{")
    refused("its tokenizer")
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    refused("of the type 'clip', which is neither")
    (tmp_path / "config.json").write_text("{")
    refused("config.json is damaged", WeightsError)


def test_the_hub_out_of_reach_gated_or_unknown(monkeypatch):
    import huggingface_hub

    for name in ("nowhere", "a/b/c", "https://huggingface.co/a/b"):
        with pytest.raises(ModelUnavailable, match="neither a folder here nor a hub id"):
            hub.find(name)

    class Api:
        error: type[Exception]

        def model_info(self, *_, **__):
            raise self.error("said the hub")

    def named(name, base=OSError):
        return type(name, (base,), {})

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    for error, words in (
        (named("GatedRepoError", named("RepositoryNotFoundError")), "is gated: accept its licence"),
        (named("RepositoryNotFoundError"), "was not found on the hub"),
        (named("SomethingElse"), r"could not be read \(SomethingElse: said the hub\)"),
    ):
        Api.error = error
        with pytest.raises(ModelUnavailable, match=words):
            hub.find("owner/name", name="DiffusionGemma")
    Api.error = named("ConnectError")
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda *_, **__: (_ for _ in ()).throw(named("LocalEntryNotFoundError")("x")),
    )
    with pytest.raises(ModelUnavailable, match="is not on this machine and the hub cannot be reached"):
        hub.find("owner/name", name="DiffusionGemma")


@pytest.mark.parametrize("at", ["", "@" + "b" * 40], ids=["the newest", "the one asked for"])
def test_a_hub_id_is_pinned_and_weighed_before_it_is_downloaded(monkeypatch, folder, at):
    import huggingface_hub

    commit, fetched = at.removeprefix("@") or "a" * 40, {}

    class Api:
        def model_info(self, where, revision, files_metadata):
            assert revision == (at.removeprefix("@") or None)
            files = [
                type("F", (), {"rfilename": "model.safetensors", "size": 99}),
                type("F", (), {"rfilename": "x.bin", "size": 5}),
            ]
            return type("Info", (), {"sha": commit, "siblings": files})

    def download(where, revision, allow_patterns, ignore_patterns, tqdm_class):
        fetched.update(revision=revision, patterns=allow_patterns)
        bar = tqdm_class(total=10)
        bar.update(5)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    weighed, reports = [], []
    found = hub.find(
        f"owner/name{at}", progress=lambda share, words: reports.append((share, words)), fits=weighed.append
    )
    assert (
        found.revision == commit == fetched["revision"]
        and weighed == [99]
        and reports == [(0.5, "Downloading owner/name")]
    )
    assert not any("bin" in pattern or "py" in pattern for pattern in fetched["patterns"])


@pytest.mark.parametrize("wanted", ["main", "v1.0", "a" * 39, "A" * 40, "../../etc", "a" * 41])
def test_a_revision_that_could_come_to_mean_something_else_is_refused(wanted):
    said = "its revision must be 40 hex digits, as in the hub's list of commits; leave it out for the newest; it was"
    for call in (
        lambda: hub.find("owner/name", wanted),
        lambda: hub.find(f"owner/name@{wanted}"),
        lambda: catalog.load(f"hf:owner/name?revision={wanted}"),
    ):
        with pytest.raises(ModelUnavailable, match=re.escape(said)):
            call()


# ---------------------------------------------------------------- the catalog
def test_own_checkpoints_are_found_by_folder_and_never_on_a_public_page(folder):
    found = catalog.entry(str(folder))
    assert found.spec.id == str(folder) and found.spec.family == "uniform" and found.available() == (True, "")
    model = catalog.load(str(folder))
    assert model.spec.id == str(folder) and model.spec.canvas == 32
    model.close()
    assert catalog.entry("hf:owner/name").spec.name == "name"
    assert str(folder) not in [entry.spec.id for entry in catalog.entries()]
    with pytest.raises(ModelUnavailable, match="There is no model called 'nothing'"):
        catalog.entry("nothing")
    for model_id in (str(folder), "hf:owner/name"):
        with pytest.raises(ModelUnavailable, match="There is no model called"):
            Engine(PUBLIC).run(Request("x", model_id))


def test_a_causal_model_forgets_what_it_is_told_to():
    from transformers import LlamaConfig, LlamaForCausalLM

    from model.models.causal import Session

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=64,
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
            )
        ).eval()
    again, fresh = (Session(model, [5, 6, 7], torch.device("cpu")) for _ in range(2))
    again.advance(0, [8, 9, 10], [0, 1, 2])
    again.crop(9)  # beyond the end: nothing to forget
    again.crop(1)
    assert again.cache.get_seq_length() == 4
    fresh.advance(0, [8], [0])
    assert torch.allclose(again.advance(1, [11], [0]), fresh.advance(1, [11], [0]), atol=1e-5)


# ---------------------------------------------------------------- through the engine
def test_the_engine_lets_the_checkpoint_set_its_knobs_and_shows_it_the_image(folder):
    import hashlib
    import io

    from PIL import Image

    picture = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 30, 10)).save(picture, "PNG")
    which = Engine()
    asked = parse_request(
        "the user", {"steps": 3, "new_tokens": 32, "canvases": 1}, model=f"hf:{folder}", image=picture.getvalue()
    )
    with which.run(asked) as run:
        list(run)
    assert (
        run.trace.settings["steps"] == 3
        and run.trace.settings["entropy_bound"] == 0.25
        and run.trace.settings["t_max"] == 0.9
    )
    assert (
        run.trace.spec.vision
        and run.trace.frames[0].notes["image_sha256"] == hashlib.sha256(picture.getvalue()).hexdigest()
    )
    assert picture.getvalue()[:60].hex() not in run.trace.to_json()
    which.close()


def test_a_model_that_cannot_run_here_does_not_cost_the_one_in_memory(monkeypatch):
    monkeypatch.setattr(diffusion_gemma, "gpu_seen", lambda: False)
    which = Engine()
    which.load("fake")
    with pytest.raises(
        ModelUnavailable, match=r"DiffusionGemma 26B-A4B cannot be loaded here: it needs a GPU with 55\.6 GB"
    ):
        list(which.run(parse_request("x", model="diffusiongemma")))
    assert which.loaded.id == "fake"
    with which.run(parse_request("x", model="fake")) as run:
        assert list(run)
    which.close()


def test_weights_still_to_be_fetched_are_not_called_ready(monkeypatch, tmp_path):
    big = catalog.entry("diffusiongemma")
    monkeypatch.setattr(diffusion_gemma, "gpu_seen", lambda: True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert big.standing() == ("download", "can be downloaded (51.6 GB)")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert big.standing()[0] == "unavailable"
    weights = tmp_path / "models--google--diffusiongemma-26B-A4B-it" / "snapshots" / "a" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert big.standing() == ("ready", "ready")
