"""Steps that do not divide the tokens: LLaDA and Dream share them as their authors' samplers do, written here from nothing."""

from __future__ import annotations

import pytest
import torch

from model.loops.schedules import own_counts
from model.settings import Settings
from tests.unit.models.test_families import ENTRIES, FACTS, load, written  # noqa: F401 (fixtures)

# ruff: noqa: F811 (fixtures of another file are named as arguments)
torch.set_num_threads(1)


def llada_counts(masks: int, steps: int) -> list[int]:
    """ML-GSAI/LLaDA@b7e6c35, generate.py, get_num_transfer_tokens."""
    counts = torch.full((steps,), masks // steps)
    counts[: masks % steps] += 1
    return counts.tolist()


def dream_counts(masks: int, steps: int) -> list[int]:
    """DreamLM/Dream@fac0a7f, generation_utils.py: number_transfer_tokens."""
    times, out = torch.linspace(1, 1e-3, steps + 1), []
    for i in range(steps):
        t, s, left = times[i], times[i + 1], masks - sum(out)
        out.append(int(left * (1 - s / t)) if i < steps - 1 else left)
    return out


@pytest.mark.parametrize(("model_id", "counts"), [("llada-8b", llada_counts), ("dream-7b", dream_counts)])
def test_ids_are_those_of_the_authors_sampler(written, model_id, counts):
    checkpoint = written(FACTS[model_id][0])
    model, shift = load(ENTRIES[model_id], checkpoint.folder), int(FACTS[model_id][1])
    known = 256 + len(checkpoint.ids)
    for steps in (3, 5, 7):
        trace = model.denoise("ab", Settings(new_tokens=16, steps=steps, block_length=16)).finish()
        prompt, mask = list(trace.prompt_ids), model.spec.mask_id
        x = prompt + [mask] * 16
        for count in counts(16, steps):
            logits = checkpoint.logits(x).clone()
            logits[:, mask] = logits[:, known:] = -torch.inf
            open_ = [i for i in range(len(prompt), len(x)) if x[i] == mask]
            p, token = logits[[i - shift for i in open_]].softmax(-1).max(-1)
            for row in p.topk(count).indices.tolist():
                x[open_[row]] = int(token[row])
        assert trace.final_ids == x[len(prompt) :]


def test_shares_sum_to_the_tokens_whatever_the_steps():
    for how in ("first", "floor"):
        for masks in range(1, 40):
            for steps in range(1, 50):
                shares = own_counts(how, masks, steps)
                assert sum(shares) == masks and min(shares) >= 0 and len(shares) == min(steps, masks)
