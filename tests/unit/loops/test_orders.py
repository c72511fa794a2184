"""Orders and rules, on numbers one can check by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from model.loops.orders import ORDERS, Guess, admit, by_entropy, by_factor, by_threshold
from model.loops.remasking import SIGMAS, ranked_out, remdm_cap, remdm_conf, remdm_rescale


def guess(p, entropy=None, margin=None, seed=0) -> Guess:
    p = np.asarray(p, float)
    rng = np.random.default_rng(seed)
    margin, entropy = p if margin is None else margin, 1 - p if entropy is None else entropy
    return Guess(p, np.asarray(margin, float), np.asarray(entropy, float), rng.random)


P = npst.arrays(float, st.integers(1, 40), elements=st.floats(0, 1))


def picked(admitted) -> list[int]:
    return [row for row, *_ in admitted]


def test_orders_rank_as_their_names_say():
    g = guess([0.2, 0.9, 0.5], entropy=[3.0, 2.0, 0.1], margin=[0.3, 0.2, 0.1])
    best = {name: int(np.argmax(ORDERS[name](g))) for name in ("confidence", "margin", "entropy", "left_to_right")}
    assert best == {"confidence": 1, "margin": 0, "entropy": 2, "left_to_right": 0}


def test_proportional_draws_in_proportion():
    hits = sum(int(np.argmax(ORDERS["proportional"](guess([0.8, 0.2], seed=s)))) == 0 for s in range(2000))
    assert 0.77 < hits / 2000 < 0.83


def test_random_ignores_the_probabilities():
    hits = sum(int(np.argmax(ORDERS["random"](guess([0.99, 0.01], seed=s)))) == 0 for s in range(2000))
    assert 0.46 < hits / 2000 < 0.54


def test_threshold_commits_all_above_it_or_the_surest():
    assert picked(by_threshold(guess([0.95, 0.3, 0.9]), np.zeros(3), 0.9)) == [0, 2]
    assert by_threshold(guess([0.5, 0.3]), np.array([0.5, 0.3]), 0.9) == [(0, "surest", 0.5, 0.9)]


def test_factor_takes_the_largest_n_within_its_bound():
    g = guess([0.99, 0.98, 0.6])  # (n + 1)(1 - p): 0.02, 0.06, 1.6
    assert picked(by_factor(g, g.probability, 1.0)) == [0, 1]
    assert picked(by_factor(g, g.probability, 2.0)) == [0, 1, 2]
    assert [r for _, r, *_ in by_factor(g, g.probability, 0.001)] == ["surest"]


def test_entropy_budget_is_joint_not_per_token():
    g = guess([0.9] * 4, entropy=[0.05, 0.06, 0.07, 2.0])  # spent before each: 0, 0.05, 0.11, 0.18
    assert picked(by_entropy(g, g.probability, 0.1)) == [0, 1]
    assert picked(by_entropy(g, g.probability, 0.2)) == [0, 1, 2, 3]


RULES = st.sampled_from(["schedule", "threshold", "factor", "entropy"])


@given(P, RULES, st.sampled_from(sorted(ORDERS)), st.booleans(), st.integers(1, 50))
def test_every_rule_admits_at_least_one_and_none_twice(p, rule, order, last, count):
    rows = picked(admit(rule, guess(p), order, count, 0.5, last))
    assert len(rows) == len(set(rows)) >= 1 and set(rows) <= set(range(len(p)))
    if last:
        assert len(rows) == len(p)
    elif rule == "schedule":
        assert len(rows) == min(count, len(p))


def test_sigma_is_as_in_the_paper():
    psi = np.array([0.9, 0.1])
    assert remdm_cap(psi, 0.5, 0.6, 0.3).tolist() == [0.3, 0.3]  # room (1 - 0.6) / 0.5 = 0.8
    assert remdm_cap(psi, 0.5, 0.95, 0.3) == pytest.approx([0.1, 0.1])
    assert remdm_rescale(psi, 0.5, 0.6, 0.5) == pytest.approx([0.4, 0.4])
    conf = remdm_conf(psi, 0.5, 0.6, 0.0)
    assert conf.sum() == pytest.approx(0.8) and conf[1] > conf[0]


@given(P, st.floats(0.01, 1), st.floats(0, 1))
def test_sigmas_are_chances_and_nothing_is_taken_back_at_the_end(p, decided, eta):
    for sigma in SIGMAS.values():
        assert ((sigma(p, decided, 0.5, eta) >= 0) & (sigma(p, decided, 0.5, eta) <= 1)).all()
        assert (sigma(p, decided, 1.0, eta) == 0).all()


def test_ranked_out_names_the_worst():
    assert sorted(ranked_out(np.array([0.9, 0.1, 0.5, 0.2]), 2).tolist()) == [1, 3]
