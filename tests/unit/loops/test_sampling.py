"""Sampling draws from the distribution it says, and confidence is read before temperature and truncation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from model.errors import NumericsError
from model.loops.plan import Plan
from model.loops.readout import FORBIDDEN, choose, glance, read, shares, weigh
from model.settings import Settings
from tests.tiny import Tiny

SPEC = Tiny().spec


def plan(seed: int = 0, **knobs) -> Plan:
    generator = torch.Generator().manual_seed(seed)
    return Plan(Settings(**knobs), SPEC, 8, generator, (5,), lambda: "")


def draws(logits: torch.Tensor, n: int = 20_000, **knobs) -> torch.Tensor:
    seen = read(logits.expand(n, -1).clone(), plan(**knobs))
    return torch.bincount(torch.from_numpy(seen.token), minlength=logits.shape[-1]) / n


@pytest.mark.parametrize("vocab", [61, 1024])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_the_tempered_distribution(vocab, temperature):
    logits = torch.randn(vocab, generator=torch.Generator().manual_seed(1)) * 3
    wanted = (logits.index_fill(0, torch.tensor([5]), -1e4) / temperature).softmax(-1)
    assert (draws(logits, temperature=temperature) - wanted).abs().max() < 0.012


def test_top_k_and_top_p_keep_the_head_only():
    logits = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.06, 0.04]))
    logits = torch.cat([logits, torch.full((56,), -50.0)])
    assert (draws(logits, temperature=1.0, top_k=2)[:3] - torch.tensor([4 / 7, 3 / 7, 0])).abs().max() < 0.02
    assert draws(logits, temperature=1.0, top_p=0.5).nonzero().flatten().tolist() == [
        0,
        1,
    ]  # 0.4, and the one that crosses
    assert draws(logits, temperature=1.0, top_p=0.01).nonzero().flatten().tolist() == [0]


def test_top_p_looks_past_its_first_thousand_where_it_must():
    flat = torch.zeros(4096)
    assert (draws(flat, 4096, temperature=1.0, top_p=0.9) > 0).sum() > 1500


def test_zero_and_tiny_temperature_are_greedy():
    logits = torch.randn(50, 61)
    assert (
        read(logits.clone(), plan(temperature=0.0)).token == read(logits.clone(), plan(temperature=1e-7)).token
    ).all()


def test_confidence_ignores_temperature_and_truncation():
    logits = torch.randn(4, 61)
    cold, hot = read(logits.clone(), plan()), read(logits.clone(), plan(temperature=2.0, top_k=3))
    assert (cold.top_p == hot.top_p).all() and (cold.entropy == hot.entropy).all()
    clean = logits.index_fill(1, torch.tensor([5]), -torch.inf).softmax(-1)
    assert torch.allclose(torch.from_numpy(hot.p).float(), clean[range(4), torch.from_numpy(hot.token)], atol=1e-6)


def test_entropy_and_top_candidates_equal_the_plain_formulas():
    logits = torch.randn(7, 1024) * 4
    seen = read(logits.clone(), plan())
    p = logits.index_fill(1, torch.tensor([5]), -torch.inf).softmax(-1)
    assert torch.allclose(torch.from_numpy(seen.entropy).float(), torch.special.entr(p).sum(-1), atol=1e-4)
    assert (torch.from_numpy(seen.top_ids).long() == p.topk(3).indices).all()


def test_a_forbidden_id_is_never_drawn():
    logits = torch.zeros(61)
    logits[5] = 100.0
    assert draws(logits, temperature=1.0)[5] == 0


def test_what_is_said_of_a_few_tokens_is_what_is_said_of_many():
    logits = torch.randn(64, generator=torch.Generator().manual_seed(3)) * 4
    logits[7] = FORBIDDEN
    seen = weigh(logits[None].clone(), plan())
    p, entropy, best, top_p = glance(logits.numpy(), 20)
    assert best == seen.top_ids[0].tolist() and top_p == pytest.approx(seen.top_p[0].tolist(), abs=1e-6)
    assert entropy == pytest.approx(seen.entropy[0], abs=1e-5) and p == pytest.approx(
        seen.probability_of(0, 20), rel=1e-5
    )
    token, likely, same = choose(logits[None].clone(), plan())
    assert (token, likely, same) == (best[0], pytest.approx(top_p[0], abs=1e-6), pytest.approx(entropy, abs=1e-5))
    for read_one in (
        lambda: glance(np.array([np.nan, FORBIDDEN, 2.0]), 0),
        lambda: choose(torch.tensor([[1.0, torch.nan, 2.0]]), plan()),
    ):
        with pytest.raises(NumericsError, match="not numbers"):
            read_one()


def test_a_tokens_share_is_beside_the_rows_favourite():
    logits = torch.tensor([[0.0, 1.0, 3.0], [2.0, 2.0, -1.0]])
    assert shares(logits, [1, 0]) == [pytest.approx(math.exp(-2)), 1.0]
