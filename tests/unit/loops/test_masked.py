"""The masked loop keeps its promises, whatever the knobs: see design.md, invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import NumericsError, SettingError
from model.settings import ORDERS, REMASKING, SCHEDULES, Settings
from model.trace.frame import COMMITTED, TAKEN_BACK, UNDECIDED
from model.trace.trace import Trace
from tests.tiny import EOS, MASK, Tiny

torch.set_num_threads(1)
ENDLESS, ENDING = Tiny(eos=False), Tiny()

KNOBS = st.fixed_dictionaries(
    {
        "steps": st.integers(6, 40),
        "new_tokens": st.integers(1, 24),
        "block_length": st.sampled_from([1, 4, 5, 8, 24]),
        "schedule": st.sampled_from(SCHEDULES),
        "order": st.sampled_from(ORDERS),
        "seed": st.integers(0, 5),
        "temperature": st.sampled_from([0.0, 0.7, 1.5]),
        "rule": st.sampled_from(["schedule", "threshold", "factor", "entropy"]),
        "threshold": st.sampled_from([0.0, 0.1, 0.9, 1.0]),
        "entropy_bound": st.sampled_from([0.1, 3.0]),
        "top_p": st.sampled_from([0.5, 1.0]),
        "top_k": st.sampled_from([0, 7]),
    }
)
PINS = st.dictionaries(st.integers(0, 23), st.just("x"), max_size=3)
FAST = settings(max_examples=60, deadline=None, derandomize=True)


def run(model: Tiny, knobs: dict, pinned: dict | None = None, **more) -> Trace:
    return model.denoise("ab", Settings(**knobs), pinned=pinned, **more).finish()


def same(a: Trace, b: Trace) -> bool:
    return len(a.frames) == len(b.frames) and all(
        x.same_as(y, times=False) for x, y in zip(a.frames, b.frames, strict=True)
    )


@FAST
@given(KNOBS, PINS)
def test_without_taking_back_masks_only_vanish_and_all_do(knobs, pins):
    pins = {k: v for k, v in pins.items() if k < knobs["new_tokens"]}
    trace = run(ENDLESS, knobs, pins)
    left = [frame.undecided for frame in trace.frames]
    assert left == sorted(left, reverse=True) and left[-1] == 0 and trace.result.stopped == "full"
    for position, words in pins.items():
        assert all(frame.ids[position] == ENDLESS.tokens(words)[0] for frame in trace.frames)
    assert MASK not in trace.frames[-1].ids
    denoising = sum(1 for f in trace.frames if f.committed and f.reasons[0].rule != "causal")
    assert denoising <= knobs["steps"]
    for before, after in zip(trace.frames, trace.frames[1:], strict=False):
        assert len(after.committed) >= 1 and len(after.reasons) == len(after.committed)
        assert before.forwards < after.forwards and before.seconds <= after.seconds


@FAST
@given(KNOBS, st.sampled_from(REMASKING[1:]), st.sampled_from([0.0, 0.2, 1.0]))
def test_rules_that_take_back_end_full_and_spare_the_causal_token(knobs, rule, strength):
    if rule != "verify":
        knobs |= {"rule": "schedule"}
    trace = run(ENDLESS, knobs | {"remasking": rule, "remask_strength": strength})
    assert trace.frames[-1].undecided == 0 and trace.result.stopped == "full"
    causal = {r.position for f in trace.frames for r in f.reasons if r.rule == "causal"}
    for frame in trace.frames:
        assert not set(frame.taken_back) & {r.position for r in frame.reasons if r.rule == "causal"}
    assert causal
    if rule in ("p2", "remdm_cap", "recheck"):
        steps = sum(1 for a in trace.frames if a.reasons and any(r.rule != "causal" for r in a.reasons))
        assert steps <= knobs["steps"]


TAKING = [
    ("verify", 1.0),
    ("remdm_cap", 0.5),
    ("remdm_rescale", 0.5),
    ("remdm_conf", 0.1),
    ("p2", 0.1),
    ("recheck", 0.5),
]


@pytest.mark.parametrize("rule, strength", TAKING)
def test_each_taking_rule_really_takes_back(rule, strength):
    knobs = dict(steps=40, new_tokens=24, block_length=24, remasking=rule, remask_strength=strength, temperature=1.0)
    assert sum(len(frame.taken_back) for seed in range(3) for frame in run(ENDLESS, knobs | {"seed": seed}).frames) > 0


def test_verify_at_full_strength_is_greedy_autoregressive_text():
    for seed in range(6):
        model = Tiny(seed)
        ar = run(model, dict(new_tokens=20), mode="ar")
        verified = run(model, dict(new_tokens=20, steps=60, block_length=8, remasking="verify", remask_strength=1.0))
        assert verified.final_ids == ar.final_ids


AHEAD = dict(new_tokens=20, steps=60, rule="threshold", threshold=0.0, remasking="verify")


@pytest.mark.parametrize("block", [1, 2, 4, 8])
def test_check_and_guess_in_one_pass_at_full_strength_is_greedy_autoregressive_text(block):
    for seed in range(6):
        model = Tiny(seed, rank=4)
        ar = run(model, dict(new_tokens=20), mode="ar")
        ahead = run(model, AHEAD | dict(block_length=block, remask_strength=1.0))
        assert ahead.final_ids == ar.final_ids and ahead.result.stopped == ar.result.stopped
        assert ahead.result.forwards <= len(ar.final_ids) + 1


def test_one_pass_both_checks_and_guesses():
    """At strength 0 nothing is refused: after the prompt's pass, every pass commits a whole block."""
    trace = run(Tiny(2, rank=4, eos=False), AHEAD | dict(block_length=4, remask_strength=0.0))
    assert trace.result.forwards == 5 + 1 and not any(
        frame.taken_back for frame in trace.frames
    )  # five blocks, and a last check
    rules = [{reason.position: reason.rule for reason in frame.reasons} for frame in trace.frames if frame.reasons]
    assert rules == [
        {start: "causal"} | dict.fromkeys(range(start + 1, start + 4), "ahead") for start in range(0, 20, 4)
    ]


def test_what_one_pass_refuses_it_guesses_anew():
    trace = run(Tiny(3, rank=4, eos=False), AHEAD | dict(block_length=4, remask_strength=1.0))
    pairs = list(zip(trace.frames, trace.frames[1:], strict=False))
    again = [(a, b) for a, b in pairs if a.taken_back]
    assert again and all(a.forwards == b.forwards and min(b.committed) == min(a.taken_back) for a, b in again)


def test_pinned_words_stand_and_the_guesses_behind_them_know_them():
    model, pins = Tiny(4, rank=4, eos=False), {2: "x", 5: "yz"}
    trace = run(model, AHEAD | dict(block_length=4, remask_strength=0.5), pins)
    for position, token in {2: "x", 5: "y", 6: "z"}.items():
        assert all(frame.ids[position] == model.tokens(token)[0] for frame in trace.frames)
    assert trace.frames[-1].undecided == 0 and trace.result.stopped == "full"


def test_once_the_steps_are_spent_one_token_a_pass_is_written():
    trace = run(Tiny(2, rank=4, eos=False), AHEAD | dict(block_length=4, steps=5, remask_strength=1.0))
    assert trace.frames[-1].undecided == 0 and trace.result.stopped == "full"
    assert sum(any(reason.rule == "ahead" for reason in frame.reasons) for frame in trace.frames) <= 5


@pytest.mark.parametrize("more", [{"block_length": 16}, {"threshold": 0.1}, {"rule": "schedule"}])
def test_only_a_short_block_that_is_one_guess_shares_its_pass(more):
    for known, spec in ((more, {}), ({}, {"ahead": 0})):
        trace = run(Tiny(2, rank=4, eos=False, **spec), AHEAD | dict(block_length=4) | known)
        assert not any(reason.rule == "ahead" for frame in trace.frames for reason in frame.reasons)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(5))
def test_block_length_one_is_autoregressive_decoding_id_for_id(dtype, seed):
    model = Tiny(seed, dtype)
    ar, block = run(model, dict(new_tokens=32), mode="ar"), run(model, dict(new_tokens=32, block_length=1))
    assert ar.final_ids == block.final_ids and ar.result.forwards == block.result.forwards
    assert all(reason.rule == "causal" for frame in block.frames for reason in frame.reasons)


def naive(model: Tiny, prompt: list[int], length: int, block: int) -> list[int]:
    """The ten-line reference: one token a step, the surest first, everything computed from nothing each time."""
    ids = list(prompt)
    while len(ids) < len(prompt) + length:
        here = [int(logits_after(model, ids)[-1].argmax())] + [-1] * (min(block, len(prompt) + length - len(ids)) - 1)
        while -1 in here:
            session = model.predictor("", "", ids, len(here), None, "diffusion")
            session.advance(0, [], [-1])
            open_ = [i for i, t in enumerate(here) if t < 0]
            logits = session.predict(here, (0, len(here)), open_).clone()
            logits[:, MASK] = -torch.inf
            p, token = logits.softmax(-1).max(-1)
            here[open_[int(p.argmax())]] = int(token[p.argmax()])
        ids += here
    return ids[len(prompt) :]


def logits_after(model: Tiny, ids: list[int]) -> torch.Tensor:
    logits = model.predictor("", "", ids, 1, None, "ar").advance(0, [], [-1]).clone()
    logits[:, MASK] = -torch.inf
    return logits


@pytest.mark.parametrize("block", [2, 5, 8, 20])
@pytest.mark.parametrize("seed", range(3))
def test_one_token_a_step_equals_the_naive_reference(block, seed):
    model = Tiny(seed, eos=False)
    trace = run(model, dict(new_tokens=20, block_length=block, steps=40))
    assert trace.final_ids == naive(model, list(trace.prompt_ids), 20, block)


@FAST
@given(KNOBS, st.sampled_from(["none", "verify", "p2", "remdm_cap"]))
def test_same_seed_same_trace_also_when_interleaved(knobs, remasking):
    knobs |= {"remasking": remasking} | ({"rule": "schedule"} if remasking in ("p2", "remdm_cap") else {})
    alone = run(ENDING, knobs)
    one, two = (ENDING.denoise("ab", Settings(**knobs)) for _ in range(2))
    runs = [one, two]
    while runs:
        for each in list(runs):
            if next(each, None) is None:
                runs.remove(each)
    assert same(one.trace, alone) and same(two.trace, alone)


@FAST
@given(KNOBS)
def test_text_ends_at_the_end_token_and_nothing_counts_behind_it(knobs):
    trace = run(ENDING, knobs)
    last = trace.frames[-1]
    if trace.result.stopped == "end":
        end = last.ids.tolist().index(EOS)
        assert trace.result.tokens == end + 1 and EOS not in trace.final_ids[:-1]
        assert trace.result.after_end == int((last.ids[end + 1 :] >= 0).sum())
    else:
        assert not last.undecided and EOS not in last.ids.tolist()
    assert trace.result.text == "".join(chr(40 + t) for t in trace.final_ids if t != EOS)


def test_the_text_cannot_end_before_a_pinned_word():
    for seed in range(20):
        trace = run(ENDING, dict(new_tokens=16, steps=16, seed=seed, temperature=2.0), {12: "z"})
        assert EOS not in trace.frames[-1].ids.tolist()[:12]
        assert trace.frames[-1].ids[12] == ENDING.tokens("z")[0]


def test_steps_are_a_cap_for_threshold_rules_and_say_so():
    trace = run(ENDLESS, dict(new_tokens=24, block_length=8, steps=6, rule="threshold", threshold=1.0))
    rules = {r.rule for f in trace.frames for r in f.reasons}
    assert "cap" in rules and sum(1 for f in trace.frames if any(r.rule in ("cap", "surest") for r in f.reasons)) <= 6


def test_forwards_count_the_clean_passes_too():
    trace = run(ENDLESS, dict(new_tokens=16, block_length=8, steps=4))
    assert (
        trace.result.forwards == 2 + 4
    )  # two clean passes (the prompt's, the first block's), two denoising passes a block


def test_time_comes_from_the_injected_clock_and_drawing_is_not_in_it():
    ticks = iter(range(10_000))
    run_ = ENDLESS.denoise("ab", Settings(new_tokens=8, steps=4), clock=lambda: next(ticks))
    for _ in run_:
        [next(ticks) for _ in range(100)]  # a slow consumer
    last = run_.trace.frames[-1]
    assert last.forward_seconds == last.forwards and last.seconds < 100


def test_stop_ends_before_the_next_step_and_keeps_what_there_is():
    run_ = ENDLESS.denoise("ab", Settings(new_tokens=24, steps=20))
    next(run_), next(run_)
    run_.stop()
    assert list(run_) == [] and run_.trace.result.stopped == "cancelled" and len(run_.trace.frames) == 2


def test_deadline_ends_a_run():
    trace = ENDLESS.denoise("ab", Settings(new_tokens=24, steps=20), deadline=-1.0).finish()
    assert trace.result.stopped == "deadline"


def test_not_a_number_is_an_error_that_names_itself():
    model = Tiny()
    model.network.norm = model.network.norm * float("nan")
    run_ = model.denoise("ab", Settings(new_tokens=8))
    with pytest.raises(NumericsError):
        run_.finish()
    assert run_.trace.result.stopped == "error"


def test_frames_do_not_require_grad_and_are_read_only():
    frame = run(ENDLESS, dict(new_tokens=8)).frames[-1]
    with pytest.raises(ValueError):
        frame.ids[0] = 1


@pytest.mark.parametrize(
    "knobs, word",
    [
        (dict(new_tokens=64, steps=3), "Steps"),
        (dict(guidance=1.0), "Guidance"),
        (dict(remasking="p2", rule="threshold"), "Taking back"),
        (dict(new_tokens=600), "Prompt and length"),
    ],
)
def test_what_this_model_cannot_run_is_refused_before_anything_is_computed(knobs, word):
    with pytest.raises(SettingError, match=word):
        ENDLESS.denoise("ab", Settings(**knobs))


def test_pinned_words_off_the_canvas_or_overlapping_are_refused():
    for pins in ({7: "xy"}, {1: "abc", 2: "d"}):
        with pytest.raises(SettingError, match="Pinned"):
            ENDLESS.denoise("ab", Settings(new_tokens=8), pinned=pins)


def test_states_follow_the_ids():
    for frame in run(ENDING, dict(new_tokens=24, steps=24, remasking="remdm_cap", remask_strength=0.5)).frames:
        shown = np.isin(frame.states, (COMMITTED, TAKEN_BACK))
        assert (frame.ids[shown] >= 0).all()
        assert (frame.candidates[0][~np.isin(frame.states, UNDECIDED)] == -1).all()


@pytest.mark.parametrize("remasking", ["none", "p2", "verify"])
def test_a_run_can_start_from_any_partly_filled_canvas(remasking):
    whole = run(ENDLESS, dict(new_tokens=20, steps=20))
    holes = {3, 4, 11, 18}
    start = [-1 if i in holes else t for i, t in enumerate(whole.final_ids)]
    trace = run(ENDLESS, dict(new_tokens=20, steps=20, remasking=remasking), start=start)
    assert trace.frames[0].undecided == len(holes) and trace.frames[-1].undecided == 0 and trace.branch
    if remasking == "none":
        assert all(trace.final_ids[i] == start[i] for i in range(20) if i not in holes)


@pytest.mark.parametrize("start", [[-2], [61], [MASK], [7] * 9])
def test_a_canvas_that_cannot_be_is_refused(start):
    with pytest.raises(SettingError, match="canvas to start from"):
        ENDLESS.denoise("ab", Settings(new_tokens=8), start=start)
