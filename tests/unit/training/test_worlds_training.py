"""The training of the small worlds: what each kind is shown and asked, and every stage of `make worlds` on tiny networks."""

import math
import random

import pytest
import torch

from model import worlds
from model.models.worlds.model import load, load_noisy
from model.settings import Settings
from training import gpu
from training.small import load_average
from training.worlds import noise, train
from training.worlds.__main__ import main
from training.worlds.drill import BARRED, Asked, asked, drill, loss
from training.worlds.evaluate import CELLS, measure, order_of, prompts
from training.worlds.train import texts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds")
    main(["--runs", str(folder / "runs"), "--weights", str(folder), "--smoke"])
    return folder


def test_every_stage_runs_and_what_it_makes_writes(made):
    model = load(masked=made / "worlds.safetensors", twin=made / "worlds-twin.safetensors")
    noisy = load_noisy(noisy=made / "worlds-noisy.safetensors", twin=made / "worlds-twin.safetensors")
    for one in (model, noisy):
        assert one.denoise("a diary", Settings(steps=3)).finish().result.forwards == 3
    assert (
        load_average(made / "runs" / "noisy")[0].shape.conditioned
        and load_average(made / "runs" / "causal")[0].shape.causal
    )


def test_a_second_call_goes_on(made):
    before = load_average(made / "runs" / "masked")[1]["step"]
    main(["--runs", str(made / "runs"), "--weights", str(made), "--smoke"])
    assert load_average(made / "runs" / "masked")[1]["step"] == before + 3


@pytest.fixture(scope="module")
def batch():
    return texts(random.Random(5), 64)


@pytest.mark.parametrize("kind", ["masked", "noisy", "causal"])
def test_a_drill_asks_for_one_word_that_is_hard_to_learn_and_knows_what_may_not_stand_there(kind):
    rows = asked(random.Random(2), kind, 24)
    assert bool((rows.barred >= 0).any()) and bool((rows.barred < 0).any())
    for row, place, word, other in zip(
        *(x.tolist() for x in (rows.ids, rows.at, rows.wanted, rows.barred)), strict=True
    ):
        at = place + (kind == "causal")
        assert (
            row[at] >= worlds.FIRST_WORD if kind == "noisy" else row[at] == {"masked": noise.MASK, "causal": word}[kind]
        )
        if other < 0:  # all the rest is in view: with that word in its place the text is consistent
            whole = [*row[:at], word, *row[at + 1 :]]
            assert worlds.check(worlds.decode(token for token in whole[worlds.PROMPT :] if token != worlds.END)) == []
            asked_for = row[at] in row[: worlds.PROMPT] or word in row[: worlds.PROMPT]
            assert asked_for or worlds.VOCABULARY[word].endswith("day")
        else:
            assert other in row and other != word


def test_a_drill_moves_the_weights_towards_that_word_and_away_from_what_may_not_stand_there(made, tmp_path):
    out = tmp_path / "drilled.safetensors"
    named = drill(made / "runs" / "masked", out, "masked", 2.0, float32=True)
    before, after = load_average(made / "runs" / "masked"), load_average(out)
    assert 0 <= named <= 1 and after[1]["rows"] > before[1]["rows"]
    rows = asked(random.Random(3), "masked", 16)
    with torch.no_grad():
        nats = [float(loss(n.logits(n(rows.ids)[torch.arange(16), rows.at]), rows)[0]) for n in (before[0], after[0])]
    assert nats[1] < nats[0]


def test_a_barred_word_costs_what_it_is_named_with():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    rows = Asked(
        torch.zeros(2, 1, dtype=torch.long),
        torch.zeros(2, dtype=torch.long),
        torch.tensor([1, 1]),
        torch.tensor([2, -1]),
    )
    value, named = loss(logits, rows)
    assert float(value) == pytest.approx(math.log(4) - BARRED * math.log(0.75) / 2) and named.tolist() == pytest.approx(
        [0.25]
    )


def test_masked_rows_hide_canvas_words_only_and_ask_for_what_stood_there(batch):
    ids, linked = batch
    seen = noise.masked(ids, linked, torch.Generator().manual_seed(0))
    assert torch.equal(seen["seen"][:, : worlds.PROMPT], ids[:, : worlds.PROMPT])
    assert torch.equal(seen["wanted"], ids.flatten()[seen["rows"]]) and bool(
        (seen["rows"] % ids.shape[1] >= worlds.PROMPT).all()
    )
    gone = seen["seen"] == noise.MASK
    asked = torch.zeros_like(gone).flatten().index_fill(0, seen["rows"], True).view_as(gone)
    weight = torch.zeros(gone.numel()).index_put((seen["rows"],), seen["weight"]).view_as(gone)
    for kind, counts in ((1, noise.LINKED), (2, noise.WORKED_OUT)):
        there = gone & (linked == kind) & asked
        assert bool(there.any()) and bool((weight[there] == counts).all())
    kept = asked & (seen["seen"] == ids) & (linked == 0)
    assert (weight[kept] == noise.KEPT).float().mean() > 0.95  # but for words that were replaced by themselves


def test_random_words_are_words_and_half_the_batches_see_their_own_guess(batch):
    ids, linked = batch
    words, rng = torch.arange(worlds.FIRST_WORD, len(worlds.VOCABULARY)), torch.Generator().manual_seed(0)
    made = [noise.random_words(ids, linked, rng, words) for _ in range(40)]
    changed = made[0]["seen"] != ids
    assert bool(changed.any()) and not bool(changed[:, : worlds.PROMPT].any())
    assert bool((made[0]["seen"][changed] >= worlds.FIRST_WORD).all())
    kept = (made[0]["seen"] == ids).flatten()[
        made[0]["rows"]
    ]  # every word of the canvas is asked for, those that kept their place too
    assert len(kept) == len(ids) * worlds.CANVAS and bool(kept.any()) and made[0]["weight"][kept].min() == 1
    assert 8 < sum("conditioned" in one for one in made) < 32


def test_the_twin_is_asked_for_what_comes_next_up_to_the_end(batch):
    ids, linked = batch
    made = noise.next_words(ids, linked, worlds.END, torch.Generator().manual_seed(0))
    row, position = made["rows"] // made["seen"].shape[1], made["rows"] % made["seen"].shape[1]
    assert torch.equal(made["wanted"], ids[row, position + 1])


def test_evaluation_counts_what_the_checker_says(made):
    model = load(masked=made / "worlds.safetensors", twin=made / "worlds-twin.safetensors")
    cell = measure(model, CELLS["fixed counts, 4 passes"], 3)
    assert (
        cell["texts"] == 3
        and cell["consistent"] == 0
        and cell["passes"] == 4
        and cell["faults"]
        and cell["low"] == 0 < cell["high"]
    )
    for prompt, text in prompts(20):
        asked = worlds.read_prompt(prompt)
        assert asked.form == text.form and set(asked.topics) <= set(text.topics)


def test_order_is_read_from_the_frames(made):
    model = load(masked=made / "worlds.safetensors", twin=made / "worlds-twin.safetensors")
    ltr = Settings(steps=72, rule="schedule", order="left_to_right", remasking="none")
    assert order_of(model.denoise("a diary", ltr).finish())[0] == pytest.approx(1.0)
    mixed = Settings(steps=72, rule="schedule", order="random", remasking="none")
    tau, early = order_of(model.denoise("a diary", mixed).finish())
    assert abs(tau) < 0.4 and early


def test_all_networks_train_side_by_side_and_what_they_began_with_counts(tmp_path):
    gpu.main(
        [
            "--smoke",
            "--runs",
            str(tmp_path / "runs"),
            "--out",
            str(tmp_path),
            "--only",
            "causal",
            "--batch",
            "4",
            "--seconds",
            "60",
        ]
    )
    twin, about = load_average(tmp_path / "worlds-twin.safetensors")
    assert twin.shape.causal and about["rows"] == 12 and '"rows": 12' in (tmp_path / "causal.log").read_text()
    again = [
        "--kind",
        "causal",
        "--out",
        str(tmp_path / "on"),
        "--init",
        str(tmp_path / "worlds-twin.safetensors"),
        "--rows",
        "20",
        "--batch",
        "4",
        "--smoke",
        "--no-compile",
        "--float32",
    ]
    train.main(again)
    assert load_average(tmp_path / "on")[1]["rows"] == 20  # 12 before, two batches more, then as many as were asked for
