"""Training on the network's own runs: what the grammar says a half-written canvas should become, and the rows made from runs."""

import random

import pytest
import torch

from model import worlds
from model.models.worlds.model import Worlds
from model.models.worlds.network import Network
from training.worlds import noise, practice, train
from training.worlds.expert import meant


def canvas_of(words):
    ids = worlds.encode(words)
    return ids + [worlds.END] * (worlds.CANVAS - len(ids))


@pytest.mark.parametrize("seed", range(8))
def test_a_consistent_text_is_what_it_should_be_and_its_holes_are_filled_consistently(seed):
    r = random.Random(seed)
    text = worlds.write(r)
    ids, topics = canvas_of(text.words), r.sample(text.topics, 1)
    assert meant(ids, text.form, topics, r) == ids
    half = [-1 if r.random() < 0.5 else token for token in ids]
    full = meant(half, text.form, topics, r)
    assert all(token in (-1, now) for token, now in zip(half, full, strict=True))
    assert worlds.check(worlds.decode(token for token in full if token != worlds.END), text.form, topics) == []


def test_of_two_words_that_contradict_each_other_the_later_goes_unless_it_is_pinned():
    r = random.Random(1)
    text = next(t for t in iter(lambda: worlds.write(r, "postcard"), None) if t.words[0] == "Dear")
    name = next(part for part in text.structure.parts if part.kind == "again")
    wrong = canvas_of(text.words)
    source = next(part for part in text.structure.parts if part.name == name.of)
    other = next(w for w in ("Hugo", "Mira", "lion", "goat", "three", "five") if w in source_words(source))
    wrong[name.start] = worlds.encode([other])[0]
    assert meant(wrong, "postcard", (), r)[source.start] == wrong[source.start]
    kept = meant(wrong, "postcard", (), r, pinned=[name.start])
    assert kept[name.start] == kept[source.start] == wrong[name.start]


def source_words(part):
    from model.worlds.grammar import KINDS

    return {option[0] for option in KINDS[part.kind]}


def test_rows_come_from_runs_and_what_they_should_become_is_consistent(monkeypatch):
    monkeypatch.setattr(practice, "AT_ONCE", 3)
    seen, wanted = practice.rows(Worlds(), random.Random(3))
    assert len(seen) == len(wanted) > 3 and seen.shape[1] == practice.WIDE
    assert torch.equal(seen[:, : worlds.PROMPT], wanted[:, : worlds.PROMPT])
    assert bool((seen == worlds.MASK).any()) and not bool((wanted == worlds.MASK).any())
    for row in wanted.tolist():
        words = worlds.decode(token for token in row[worlds.PROMPT :] if token != worlds.END)
        assert worlds.check(words, None) == []


def test_a_batch_is_half_runs_and_half_noise_and_asks_for_what_should_stand(monkeypatch):
    monkeypatch.setattr(practice, "AT_ONCE", 3)
    network = Network(train.shape("masked", smoke=True))
    rng = torch.Generator().manual_seed(1)
    batch = next(practice.batches(network, random.Random(1), rng, 8))
    assert batch["seen"].shape == (8, practice.WIDE) and int(batch["rows"].max()) < batch["seen"].numel()
    own = batch["rows"] < 4 * practice.WIDE
    assert int(own.sum()) == 4 * worlds.CANVAS
    stays = batch["seen"].flatten()[batch["rows"][own]] == batch["wanted"][own]
    assert torch.equal(batch["weight"][own], torch.where(stays, noise.STAYS, 1.0))
    assert noise.loss(network, batch).isfinite()
