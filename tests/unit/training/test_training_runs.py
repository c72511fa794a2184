"""Training from the command line: both modes, resuming, and the way from prompts to shipped weights."""
# ruff: noqa: F811 (fixtures of another file are named as arguments)

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.models.chat135m.weights import load_builtin, read_manifest
from tests.unit.training.test_training import answers, base_folder, network, row, shipped  # noqa: F401 (fixtures)
from training import evaluate, export, self_distill, train
from training.data import Chat, read_rows
from training.losses import held_out_cells
from training.network import EOS, Network, read_adapter


# ---------------------------------------------------------------- runs
def options(base_folder: Path, answers: Path, out: Path, *more: str) -> list[str]:
    fixed = "--batch 4 --rank 4 --dtype fp32 --threads 1 --every 5 --held-out 4 --device cpu --lr 0.01"
    return ["--base", str(base_folder), "--data", str(answers), "--out", str(out), *fixed.split(), *more]


FULL = ["--mode", "full", "--lr", "0.004"]


@pytest.mark.parametrize("mode", [["--mode", "lora"], [*FULL, "--ema", "0.9", "--complementary", "--curriculum"]])
def test_a_resumed_run_equals_an_uninterrupted_one(base_folder: Path, answers: Path, tmp_path: Path, mode: list[str]):
    whole = train.main(options(base_folder, answers, tmp_path / "a", "--steps", "12", *mode))
    halves = tmp_path / "c"
    args = train.parser().parse_args(options(base_folder, answers, halves, "--steps", "12", *mode))
    run = train.Run(args, train.build(args))
    _, rows = read_rows(answers, Chat(base_folder))
    for step in range(7):
        run.update(train.batch_of(step, rows, args))
    run.save()
    rest = train.main(options(base_folder, answers, halves, "--steps", "12", "--resume", *mode))
    assert (rest.step, rest.tokens) == (whole.step, whole.tokens)
    for name, tensor in load_file(tmp_path / "a" / "latest.safetensors").items():
        torch.testing.assert_close(load_file(halves / "latest.safetensors")[name], tensor, atol=0, rtol=0)


@pytest.mark.parametrize("mode", [["--mode", "lora"], FULL])
def test_training_learns(base_folder: Path, answers: Path, tmp_path: Path, mode: list[str]):
    train.main(options(base_folder, answers, tmp_path, "--steps", "60", "--lengths", "4", "8", *mode))
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    cells = [entry["held_out"] for entry in entries if "held_out" in entry]
    assert sum(cells[-1].values()) < 0.9 * sum(cells[0].values())
    assert entries[-1]["tokens"] > 0 and (tmp_path / "best.safetensors").exists()


def test_every_answer_is_seen_once_an_epoch(base_folder: Path, answers: Path):
    args = train.parser().parse_args(options(base_folder, answers, Path("unused")))
    _, rows = read_rows(answers, Chat(base_folder))
    rows = rows[:40]
    seen = [
        tuple(t for t in ids if t != EOS)
        for step in range(10)
        for ids in train.batch_of(step, rows, args).clean.tolist()
    ]
    assert len(set(seen)) == 40
    torch.testing.assert_close(train.batch_of(3, rows, args).noised, train.batch_of(3, rows, args).noised)


def test_the_curriculum_starts_short(base_folder: Path, answers: Path):
    args = train.parser().parse_args(options(base_folder, answers, Path("unused"), "--curriculum", "--steps", "100"))
    rows = [row(64, ends=False)] * 8

    def longest(step: int) -> int:
        mask = train.batch_of(step, rows, args).mask[:, 0]
        return int(mask[:, :, -64:].sum(-1).max())

    assert longest(0) <= 8 and longest(30) <= 16 and max(longest(step) for step in range(90, 100)) == 64


def test_from_prompts_to_shipped_weights(base_folder: Path, tmp_path: Path):
    """self_distill -> train -> export -> load -> evaluate, each by its command, and on from the exported folder."""
    data, run, out = tmp_path / "a.jsonl", tmp_path / "run", tmp_path / "weights"
    drawn = "--tokens 600 --batch 4 --new-tokens 24 --dtype fp32 --device cpu --top-k 200 --temperature 30"
    generate = ["--base", str(base_folder), "--out", str(data), *drawn.split()]
    self_distill.main(generate)
    first = data.read_text()
    self_distill.main(generate)
    assert data.read_text().startswith(first) and len(set(data.read_text().splitlines())) == len(
        data.read_text().splitlines()
    )
    train.main(options(base_folder, data, run, "--steps", "3"))
    saved = run / "latest.safetensors"
    export.main(
        ["--base", str(base_folder), "--adapter", str(saved), "--out", str(out), "--version", "t1", "--tokens", "7"]
    )
    manifest, tensors = read_manifest(out), load_builtin(out, torch.float32)
    assert (manifest.rank, manifest.version, manifest.about["training_tokens"]) == (4, "t1", 7) and tensors[
        "mask_row"
    ].shape == (32,)
    card = (out / "MODEL_CARD.md").read_text()
    assert "t1" in card and "{" not in card
    back = read_adapter(out)
    assert all((back.pop(n) - t.float()).abs().max() < 0.02 for n, t in load_file(saved).items()) and not back
    again = train.main(options(out, data, tmp_path / "more", "--steps", "2", "--init", str(out)))
    assert again.step == 2
    folders = ["--weights", str(out), "--work", str(tmp_path / "w"), "--out", str(tmp_path / "r")]
    command = [*folders, "--prompts", "2", "--new-tokens", "8"]
    rows = evaluate.main([*command, "--only", "0", "1", "9"])
    assert (
        [r["prompts"] for r in rows] == [2, 2, 2]
        and rows[0]["tokens_per_forward"] <= 1.0
        and all(r["nll"] > 0 for r in rows)
    )
    before = (tmp_path / "w" / "samples.jsonl").read_text()
    evaluate.main([*command, "--only", "0", "1", "9"])
    assert (tmp_path / "w" / "samples.jsonl").read_text() == before, "nothing is measured twice"
    assert json.loads((tmp_path / "r" / "curve_figure.json").read_text())["data"]
    assert "| token by token" in (tmp_path / "r" / "curve.md").read_text()


def test_full_weights_are_exported_as_one_set(base_folder: Path, answers: Path, tmp_path: Path):
    train.main(options(base_folder, answers, tmp_path / "run", "--steps", "2", "--mode", "full"))
    out = tmp_path / "weights"
    export.main(
        [
            "--base",
            str(base_folder),
            "--full",
            str(tmp_path / "run" / "latest.safetensors"),
            "--out",
            str(out),
            "--version",
            "f",
        ]
    )
    tensors = load_builtin(out, torch.float32)
    assert read_manifest(out).rank == 0 and not [name for name in tensors if name.startswith(("decoder.", "follow."))]


def test_the_held_out_measure_is_the_same_twice(network: Network, answers: Path, base_folder: Path):
    held_out, _ = read_rows(answers, Chat(base_folder))
    assert held_out_cells(network, held_out) == held_out_cells(network, held_out)


@pytest.mark.parametrize("module", ["self_distill", "train", "evaluate", "export"])
def test_every_command_explains_itself(
    module: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    monkeypatch.delitem(sys.modules, f"training.{module}", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"training.{module}", run_name="__main__")
    assert ended.value.code == 0 and f"python -m training.{module}" in capsys.readouterr().out
