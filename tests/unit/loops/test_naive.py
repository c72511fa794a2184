"""Every order, rule and way of taking back equals its ten-line reference, pass by pass (`naive.py`), on networks of random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.loops.schedules import counts, targets
from model.settings import SCHEDULES, Settings
from model.trace.frame import TAKEN_BACK
from model.trace.trace import Trace
from tests.tiny import Tiny
from tests.unit.loops import naive

torch.set_num_threads(1)
LENGTH = 16
MODELS = [Tiny(seed, eos=False) for seed in range(4)]
every_model = pytest.mark.parametrize("model", MODELS, ids=range(4))


def run(model: Tiny, pinned: dict | None = None, mode: str = "diffusion", **knobs) -> Trace:
    settings = {"new_tokens": LENGTH, "block_length": LENGTH, "steps": 200} | knobs
    return model.denoise("ab", Settings(**settings), mode=mode, pinned=pinned).finish()


def canvases(trace: Trace) -> list[list[int]]:
    """The ids after every denoising pass, -1 where undecided."""
    shown = [frame for frame in trace.frames[1:] if not any(reason.rule == "causal" for reason in frame.reasons)]
    return [np.where(frame.states == TAKEN_BACK, -1, frame.ids).tolist() for frame in shown]


@every_model
@pytest.mark.parametrize("order", naive.SCORES)
def test_the_order_decides_which_position_goes_first(model, order):
    one_best = lambda p: [int(naive.SCORES[order](p).argmax())]  # noqa: E731
    assert canvases(run(model, order=order)) == list(naive.fill(naive.Asked(model), LENGTH, one_best))


def test_the_orders_are_different_ones():
    texts = {order: canvases(run(MODELS[0], order=order)) for order in naive.SCORES}
    assert len({str(text) for text in texts.values()}) == len(texts)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_schedule_decides_how_many_go_with_each_pass(schedule):
    trace = run(MODELS[0], schedule=schedule, steps=6)
    sizes = [len(frame.committed) for frame in trace.frames[2:]]
    assert sizes == counts(schedule, LENGTH - 1, 6)  # whose shapes test_schedules.py knows
    assert (sizes == counts("linear", LENGTH - 1, 6)) == (schedule == "linear")


RULES = (
    [("threshold", b) for b in (0.05, 0.1, 0.2)]
    + [("factor", b) for b in (1.5, 2.5, 4.0, 9.0)]
    + [(rule, b) for rule in ("entropy", "independent") for b in (0.1, 3.0, 8.0)]
)


@every_model
@pytest.mark.parametrize("rule, bound", RULES)
def test_a_rule_admits_what_its_paper_says(model, rule, bound):
    name = {"threshold": "threshold", "factor": "factor"}.get(rule, "entropy_bound")
    reference = naive.fill(naive.Asked(model), LENGTH, getattr(naive, rule)(bound))
    assert canvases(run(model, rule=rule, **{name: bound})) == list(reference)


@every_model
@pytest.mark.parametrize("steps", [5, 15, 24])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "log"])
def test_p2_keeps_the_best_of_today(model, schedule, steps):
    reference = list(naive.p2(naive.Asked(model), LENGTH, targets(schedule, LENGTH - 1, steps)))
    trace = canvases(run(model, remasking="p2", steps=steps, schedule=schedule))
    assert trace == reference[: len(trace)] and -1 not in trace[-1]  # it stops once all stand


def eta(strength: float, rule: str) -> naive.Chance:
    """sigma_t of section 4.1: cap, rescale, and confidence-based."""
    if rule == "remdm_cap":
        return lambda psi, now, then: np.full(len(psi), min(strength, naive.room(now, then)))
    if rule == "remdm_rescale":
        return lambda psi, now, then: np.full(len(psi), strength * naive.room(now, then))
    return lambda psi, now, then: np.exp(-psi) / np.exp(-psi).sum() * naive.room(now, then)


@every_model
@pytest.mark.parametrize("rule", ["remdm_cap", "remdm_rescale", "remdm_conf"])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_remdm_masks_again_at_random_and_keeps_to_the_schedule(model, rule, strength):
    generator, steps = torch.Generator().manual_seed(5), 20
    draw = lambda n: torch.rand(n, generator=generator, dtype=torch.float64).numpy()  # noqa: E731
    plan = targets("linear", LENGTH - 1, steps)
    reference = list(naive.remdm(naive.Asked(model), LENGTH, plan, eta(strength, rule), draw))
    trace = run(model, remasking=rule, remask_strength=strength, steps=steps, seed=5)
    assert any(frame.taken_back for frame in trace.frames)
    assert canvases(trace) == reference[: len(canvases(trace))] and -1 not in canvases(trace)[-1]


@every_model
@pytest.mark.parametrize("least", [0.05, 0.3])
def test_recheck_takes_back_what_the_rest_makes_unlikely(model, least):
    plan = [sum(counts("linear", LENGTH - 1, 15)[: i + 1]) for i in range(15)]
    reference = list(naive.recheck(naive.Asked(model), LENGTH, plan, least))
    assert canvases(run(model, remasking="recheck", remask_strength=least, steps=15)) == reference


@every_model
@pytest.mark.parametrize("block", [2, 4, 7])
@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("words", [{}, {1: "x", 6: "yz", 9: "w"}])
def test_verify_refuses_from_the_first_free_token_that_is_too_unlikely(model, block, strength, words):
    pinned = {at + i: token for at, text in words.items() for i, token in enumerate(model.tokens(text))}
    knobs = dict(rule="threshold", threshold=0.0, block_length=block, remasking="verify", remask_strength=strength)
    apart = Tiny(MODELS.index(model), eos=False, ahead=0)  # guess and check in passes of their own
    trace = run(apart, words, **knobs)
    refused = [min(frame.taken_back) for frame in trace.frames if frame.taken_back]
    assert (trace.final_ids, refused) == naive.verify(naive.Asked(model), LENGTH, block, strength, pinned)


@every_model
def test_token_by_token_takes_the_likeliest_and_leaves_what_is_pinned(model):
    trace, asked, text = run(model, {5: "x"}, "ar"), naive.Asked(model), []
    for position in range(LENGTH):
        text.append(model.tokens("x")[0] if position == 5 else int(asked.after(text).argmax()))
    assert trace.final_ids == text


WAYS = {
    "ar": {"mode": "ar"},
    "denoising": {"block_length": 8},
    "causal": {"block_length": 1},
    "ahead": {"rule": "threshold", "threshold": 0.0, "remasking": "verify", "remask_strength": 0.0, "block_length": 4},
}


@pytest.mark.parametrize("way", WAYS)
def test_no_text_ends_before_a_pinned_word_however_it_is_written(way):
    model, last = Tiny(2, rank=4, eos_ids=tuple(range(30, 50))), LENGTH - 2
    ends = lambda ids: any(token in model.spec.eos_ids for token in ids[:last])  # noqa: E731
    free, held = (
        [run(model, pinned, temperature=2.0, seed=seed, **WAYS[way]).frames[-1].ids.tolist() for seed in range(10)]
        for pinned in (None, {last: "z"})
    )
    assert sum(map(ends, free)) >= 3  # else this would show nothing
    assert not any(map(ends, held)) and all(ids[last] == model.tokens("z")[0] for ids in held)
