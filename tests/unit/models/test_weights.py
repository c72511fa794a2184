"""Weights on disk: what is written comes back, and every kind of damage is refused with a sentence naming the file and the cause."""

import json
import pickle
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from model.errors import WeightsError
from model.models.chat135m.fill import filling
from model.models.chat135m.network import Network
from model.models.chat135m.weights import (
    FILL,
    FOLDER,
    LINEARS,
    Config,
    load_builtin,
    load_fill,
    read_file,
    read_manifest,
    seal,
)
from training.export import adapter_tensors, listing, pack, packed, rows_to_int8, shards, write

CONFIG = Config(layers=2, width=32, heads=4, kv_heads=2, head_dim=8, inner=48, vocab=40)


def base_tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    tensors = {"embedding": torch.randn(CONFIG.vocab, CONFIG.width), "norm": torch.rand(CONFIG.width) + 0.5}
    for i in range(CONFIG.layers):
        tensors |= {f"layers.{i}.{name}": torch.randn(CONFIG.linear(name)) / 6 for name in LINEARS}
        tensors |= {f"layers.{i}.norm{n}": torch.rand(CONFIG.width) + 0.5 for n in (1, 2)}
    return tensors


def adapter(rank: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    out = {"mask": torch.randn(CONFIG.width)}
    for i in range(CONFIG.layers):
        for name in LINEARS:
            rows, columns = CONFIG.linear(name)
            out |= {f"{i}.{name}.A": torch.randn(rank, columns) / 8, f"{i}.{name}.B": torch.randn(rows, rank) / 8}
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, CONFIG, packed(base_tensors(), "base"), adapter(), {"tokenizer.json": b"{}"}, "test", {})
    return tmp_path


def resign(folder: Path, name: str) -> None:
    """Make the manifest agree with a file that was changed, so that only deeper checks can notice."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] |= listing(folder, [name])
    path.write_text(json.dumps(manifest | {"seal": seal(manifest)}))


def edit(folder: Path, name: str, change) -> None:
    tensors = load_file(folder / name)
    change(tensors)
    save_file(tensors, folder / name)
    resign(folder, name)


def test_rows_come_back_within_half_a_step():
    weight = torch.randn(50, 64) * torch.logspace(-9, 3, 50)[:, None]
    weight[7] = 0
    packed, scale = rows_to_int8(weight)
    assert packed.dtype == torch.int8 and scale.dtype == torch.bfloat16
    error = (packed.float() * scale.float()[:, None] - weight).abs().amax(1)
    assert (error <= scale.float() / 2 * 1.001).all()
    assert (packed.abs().amax(1)[torch.arange(50) != 7] >= 126).all() and not packed[7].any()


def test_a_weight_that_is_not_finite_is_not_written():
    with pytest.raises(ValueError, match="not finite"):
        rows_to_int8(torch.tensor([[1.0, float("nan")]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_everything_comes_back(folder: Path, dtype: torch.dtype):
    got, base, low_rank = load_builtin(folder, dtype), base_tensors(), adapter()
    assert all(t.dtype == dtype for t in got.values())
    names = {f"layers.{i}.{name}" for i in range(2) for name in LINEARS}
    names |= {f"decoder.{i}.{name}.{half}" for i in range(2) for name in LINEARS for half in "AB"}
    assert set(got) == names | {f"layers.{i}.norm{n}" for i in range(2) for n in (1, 2)} | {
        "embedding",
        "norm",
        "mask_row",
    }
    tolerance = 0.02 if dtype == torch.float32 else 0.03
    for i in range(2):
        for name in LINEARS:
            torch.testing.assert_close(
                got[f"layers.{i}.{name}"].float(), base[f"layers.{i}.{name}"], atol=tolerance, rtol=0
            )
            for half in (f"{i}.{name}.A", f"{i}.{name}.B"):
                torch.testing.assert_close(got[f"decoder.{half}"].float(), low_rank[half], atol=tolerance, rtol=0)
    torch.testing.assert_close(got["embedding"][16], got["mask_row"], atol=0, rtol=0)
    torch.testing.assert_close(got["mask_row"].float(), low_rank["mask"].bfloat16().float(), atol=0, rtol=0)


def test_one_set_of_weights_has_no_decoder(tmp_path: Path):
    write(tmp_path, CONFIG, packed(base_tensors(), "base"), None, {}, "full", {})
    got = load_builtin(tmp_path)
    assert read_manifest(tmp_path).rank == 0
    assert not [name for name in got if name.startswith(("decoder.", "follow."))]
    torch.testing.assert_close(got["mask_row"], got["embedding"][16])


def test_files_are_split_below_the_bound_and_lose_nothing():
    tensors = pack(base_tensors())
    files = shards(tensors, "base", max_bytes=8_000)
    assert len(files) > 1 and set().union(*files.values()) == set(tensors)
    assert sum(len(file) for file in files.values()) == len(tensors)
    assert max(sum(t.nbytes for t in file.values()) for file in files.values()) < 8_000 + max(
        t.nbytes for t in tensors.values()
    )


def test_the_fingerprint_follows_the_weights(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("other")
    write(other, CONFIG, packed(base_tensors(seed=5), "base"), adapter(), {"tokenizer.json": b"{}"}, "test", {})
    assert read_manifest(folder).sha256 == read_manifest(folder).sha256 != read_manifest(other).sha256
    assert asdict(read_manifest(other).config) == asdict(CONFIG)


def nan_scale(tensors):
    tensors["layers.1.o.scale"][3] = float("nan")


def infinite_norm(tensors):
    tensors["norm"][0] = float("inf")


def rename(tensors):
    tensors["layers.0.gateup.int8"] = tensors.pop("layers.0.gate_up.int8")


def reshape(tensors):
    tensors["layers.0.down.int8"] = tensors["layers.0.down.int8"].T.contiguous()


def short_scale(tensors):
    tensors["layers.0.qkv.scale"] = tensors["layers.0.qkv.scale"][:-1].clone()


def add(tensors):
    tensors["layers.9.o"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nan_scale, r"layers\.1\.o holds values that are not finite"),
        (infinite_norm, "norm holds values that are not finite"),
        (rename, r"lack the tensor layers\.0\.gate_up"),
        (reshape, r"layers\.0\.down has shape \(48, 32\), not \(32, 48\)"),
        (short_scale, r"layers\.0\.qkv is stored"),
        (add, r"does not belong there: layers\.9\.o"),
    ],
)
def test_wrong_tensors_are_named(folder: Path, change, said: str):
    edit(folder, "base.safetensors", change)
    with pytest.raises(WeightsError, match=said):
        load_builtin(folder)


def test_damaged_files_are_named(folder: Path):
    path = folder / "decoder.safetensors"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    for raw, said in (
        (whole[:-5], "incomplete"),
        (bytes(flipped), "damaged"),
        (pointer, "Git LFS pointer"),
        (b"", "incomplete"),
    ):
        path.write_bytes(raw)
        with pytest.raises(WeightsError, match=f"decoder.safetensors is .*{said}"):
            load_builtin(folder)
    path.unlink()
    with pytest.raises(WeightsError, match="decoder.safetensors cannot be read"):
        load_builtin(folder)


def test_a_pickled_file_is_never_opened(folder: Path):
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("the pickle was opened",)

    (folder / "decoder.safetensors").write_bytes(pickle.dumps(Bomb()))
    resign(folder, "decoder.safetensors")
    with pytest.raises(WeightsError, match="not a valid safetensors file"):
        load_builtin(folder)


@pytest.mark.parametrize("raw", ["", "[]", "{}", '{"format": "other"}', '"x"', "null"])
def test_a_malformed_manifest_is_refused(folder: Path, raw: str):
    (folder / "manifest.json").write_text(raw)
    with pytest.raises(WeightsError, match="manifest.json"):
        load_builtin(folder)


CONTRADICTIONS = [
    *(
        {"head_dim": 4, "heads": 8, "kv_heads": 4},
        {"head_dim": 16, "heads": 2, "kv_heads": 1},
        {"heads": 0},
        {"kv_heads": 3},
    ),
    *({"layers": True}, {"layers": 1}, {"width": 32.0}, {"width": "32"}, {"inner": -1}, {"vocab": 0}, {"vocab": 10**9}),
    *({"rope_theta": 0}, {"rope_theta": 10}, {"rope_theta": float("nan")}, {"norm_eps": "x"}, {"norm_eps": 0.5}),
    *({"head_dim": 7}, {"extra": 1}, {"heads": None}),
]
OUTSIDE = [
    {"rank": 2},
    {"rank": -1},
    {"rank": "4"},
    {"mask_id": 40},
    {"mask_id": 2},
    {"eos_id": -1},
    {"eos_id": 3},
    {"block_lengths": [0]},
    {"block_lengths": ["4"]},
    {"block_lengths": 4},
    {"block_lengths": [4, 8]},
    {"version": "other"},
]


@pytest.mark.parametrize("change", [*({"config": c} for c in CONTRADICTIONS), *OUTSIDE], ids=str)
def test_an_edited_manifest_never_loads(folder: Path, change):
    path = folder / "manifest.json"
    load_builtin(folder)
    manifest = json.loads(path.read_text())
    for name, value in change.items():
        manifest[name] = manifest[name] | value if name == "config" else value
    path.write_text(json.dumps(manifest))
    with pytest.raises(WeightsError) as refused:
        load_builtin(folder)
    assert "manifest.json cannot be read" in str(refused.value) and "\n" not in str(refused.value)


def test_a_seal_does_not_excuse_a_contradiction(folder: Path):
    path = folder / "manifest.json"
    for change in ({"kv_heads": 3}, {"head_dim": 7}, {"layers": True}, {"layers": 3}, {"width": 16}, {"vocab": 16}):
        manifest = json.loads(path.read_text())
        edited = manifest | {"config": manifest["config"] | change}
        path.write_text(json.dumps(edited | {"seal": seal(edited)}))
        with pytest.raises(WeightsError):
            load_builtin(folder)
        path.write_text(json.dumps(manifest))


def test_files_outside_the_folder_and_unlisted_ones_are_refused(folder: Path):
    with pytest.raises(WeightsError, match="not listed"):
        read_file(folder, "secret.txt", read_manifest(folder))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../x.safetensors"] = {"sha256": "0", "bytes": 1}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match="outside its folder"):
        read_manifest(folder)


def test_a_missing_folder_is_said(tmp_path: Path):
    with pytest.raises(WeightsError, match="missing"):
        load_builtin(tmp_path / "nowhere")


def test_adapter_tensors_take_every_matrix():
    rank, tensors = adapter_tensors(adapter(rank=3), CONFIG)
    assert rank == 3 and len(tensors) == 1 + 2 * 2 * len(LINEARS)


@pytest.mark.slow
def test_the_shipped_weights_are_complete_and_small():
    files = list(FOLDER.iterdir())
    assert (
        max(path.stat().st_size for path in files) < 95_000_000
        and sum(path.stat().st_size for path in files) < 200_000_000
    )
    manifest, tensors = read_manifest(), load_builtin()
    assert manifest.mask_id == 16 and manifest.eos_id == 2 and manifest.block_lengths == (4, 8, 16, 32, 64)
    assert tensors["embedding"].shape == (49_152, 576) and {"LICENSE", "NOTICE", "MODEL_CARD.md"} <= {
        path.name for path in files
    }


def test_the_change_for_holes_is_a_file_of_its_own_and_no_part_of_the_fingerprint(folder):
    before, low = read_manifest(folder).sha256, {"1.qkv.A": torch.randn(3, CONFIG.width), "1.qkv.B": torch.randn(64, 3)}
    assert load_fill(folder, CONFIG, torch.float32) == {}
    (folder / FILL).write_bytes(save(pack(low)))
    resign(folder, FILL)
    assert read_manifest(folder).sha256 == before and "1.qkv.A" not in load_builtin(folder)
    read = load_fill(folder, CONFIG, torch.float32)
    assert read.keys() == low.keys() and all((read[name] - low[name]).abs().max() < 0.03 for name in low)
    edit(folder, FILL, lambda tensors: tensors.update(other=torch.zeros(1)))
    with pytest.raises(WeightsError, match="hold a tensor that does not belong there: other"):
        load_fill(folder, CONFIG, torch.float32)
    (folder / FILL).write_bytes(b"x")
    with pytest.raises(WeightsError, match="incomplete"):
        load_fill(folder, CONFIG, torch.float32)


def test_with_the_change_only_the_causal_rows_differ(folder):
    network = Network(load_builtin(folder, torch.float32), CONFIG)
    assert filling(network, folder) is network
    low = {"1.qkv.A": torch.randn(3, CONFIG.width), "1.qkv.B": torch.randn(64, 3)}
    (folder / FILL).write_bytes(save(pack(low)))
    resign(folder, FILL)
    changed, ids = filling(network, folder), torch.tensor([3, 4, 5, 6])

    def run(one, causal):
        return one.forward(ids, 0, one.new_cache(4), causal=causal)

    assert not torch.allclose(run(network, True), run(changed, True), atol=1e-3)
    assert torch.equal(run(network, False), run(changed, False))  # a block of masks has its own change
