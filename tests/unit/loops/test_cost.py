"""The bound on what a run computes, against networks that count the positions of every pass."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from model.engine.catalog import entry
from model.errors import SettingError
from model.loops.uniform import Loop
from model.models.gemma.decoder import Decoder
from model.models.gemma.record import ENTRIES as GEMMAS
from model.models.masked.predictors import Full, Guided
from model.request import Request
from model.settings import LOCAL, ORDERS, REMASKING, RULES, SCHEDULES, Settings
from playground.compare.lanes import make_lanes
from playground.compare.series import COMBINED, check_total
from playground.presets import start_of
from tests import tiny_checkpoints as tiny
from tests import tiny_gemma
from tests.tiny import CONFIG, MASK, Tiny
from tests.unit.models.test_families import ENTRIES, load
from tests.unit.models.test_worlds import model, noisy  # noqa: F401 (fixtures)

PROMPT, GEMMA = "a prompt", GEMMAS[0].spec


class Cached(Tiny):
    """Blocks over a cache; `positions` counts every row that the network computes."""

    def __init__(self, **options):
        super().__init__(**options)
        self.positions, run = 0, self.network._run

        def counted(x, *rest):
            self.positions += len(x)
            return run(x, *rest)

        self.network._run = counted


class Uncached(Tiny):
    """Prompt and canvas at every pass, with random answers; `positions` counts as in `Cached`."""

    def __init__(self, **options):
        super().__init__(shift=False, causal_prefix=False, verify=False, ahead=0, guidance=True, **options)
        self.positions, self.rng = 0, torch.Generator().manual_seed(1)

    def predictor(self, prompt, system, ids, length, settings, mode):
        def logits(ids, rows):
            self.positions += len(ids)
            return 3 * torch.randn(len(rows), CONFIG.vocab, generator=self.rng)

        full = Full(logits, ids, MASK, False, torch.device("cpu"))
        return Guided(full, Full(logits, [], MASK, False, torch.device("cpu")), 1.0) if settings.guidance else full


def asked(which, rng, **knobs) -> Settings:
    """Settings of all kinds that the model takes; `knobs` are given."""
    block = rng.choice([1, 2, 3, 4, 8, 8])
    drawn = {
        "new_tokens": rng.randint(1, 40),
        "block_length": block,
        "order": rng.choice(ORDERS),
        "schedule": rng.choice(SCHEDULES),
        "temperature": rng.choice([0.0, 0.0, 1.0]),
        "threshold": rng.choice([0.0, 0.0, 0.1, 0.5]),
        "entropy_bound": rng.choice([0.1, 4.0]),
        "remask_strength": rng.choice([0.0, 0.1, 0.5, 1.0]),
        "seed": rng.randint(0, 99),
    } | knobs
    least = -(-drawn["new_tokens"] // min(drawn["block_length"], drawn["new_tokens"]))
    return Settings(**{"steps": rng.randint(least, least + 30)} | drawn)


def bound_and_count(which, settings, mode="diffusion", start=()) -> tuple[int, int]:
    which.positions = 0
    trace = which.denoise(PROMPT, settings, mode=mode, start=start).finish()
    assert trace.result.stopped in ("end", "full", "converged")
    return Request(PROMPT, "x", mode, settings).cost(which.spec, len(trace.prompt_ids)), which.positions


ALONE = [remasking for remasking in REMASKING if remasking not in ("none", "verify", "recheck")]  # by the schedule only
ASKED = [
    (kind, remasking, rule)
    for kind in (Cached, Uncached)
    for remasking in REMASKING
    for rule in (RULES if remasking not in ALONE else ["schedule"])
    if (kind, remasking) != (Uncached, "verify")
]


@pytest.mark.parametrize(("kind", "remasking", "rule"), ASKED)
def test_no_masked_run_computes_more_than_its_bound(kind, remasking, rule):
    rng, which = random.Random(f"{rule}{remasking}"), kind(eos=False)
    closest = 0.0
    for _ in range(12):
        guidance = rng.choice([0.0, 1.0]) if kind is Uncached else 0.0
        bound, count = bound_and_count(which, asked(which, rng, rule=rule, remasking=remasking, guidance=guidance))
        assert 0 < count <= bound
        closest = max(closest, count / bound)
    assert closest > 0.2, "a bound far above what is ever computed would refuse what could be had"


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("eos", [False, True])
def test_nor_does_one_that_guesses_ahead(strength, eos):
    rng, which = random.Random(strength), Cached(eos=eos, rank=4)
    ahead = dict(rule="threshold", threshold=0.0, remasking="verify", remask_strength=strength)
    for block in (2, 4, 8):
        for steps in (10, 20, 64, 256):
            bound, count = bound_and_count(
                which, asked(which, rng, **ahead, block_length=block, steps=steps, new_tokens=20)
            )
            assert 0 < count <= bound


def test_nor_one_that_doubts_a_whole_text_first():
    which, rng = Uncached(eos=False), random.Random(0)
    for steps in (1, 2, 7):
        start = [rng.randrange(6, CONFIG.vocab) for _ in range(12)]
        settings = Settings(steps=steps, new_tokens=12, block_length=12, remasking="recheck", remask_strength=0.5)
        bound, count = bound_and_count(which, settings, start=start)
        assert 0 < count <= bound


def test_left_to_right_the_bound_is_the_text_and_the_prompt():
    which = Cached(eos=False)
    bound, count = bound_and_count(which, Settings(new_tokens=20), mode="ar")
    assert count == bound - 1, "the last token is read by no pass"


@pytest.mark.parametrize("model_id", ["sdar-1.7b", "fast-dllm-v2-1.5b", "qwen3-0.6b-bd3lm"])
def test_blocks_that_were_trained_whole_are_counted_whole(model_id, tmp_path):
    kind = {"sdar-1.7b": "sdar", "fast-dllm-v2-1.5b": "Fast_dLLM_Qwen", "qwen3-0.6b-bd3lm": "a2d-qwen3"}[model_id]
    which = load(ENTRIES[model_id], tiny.write(kind, tmp_path / "c").folder)

    def count(module, args, inputs):
        which.positions += inputs["input_ids"].shape[1]

    which.network.register_forward_pre_hook(count, with_kwargs=True)
    rng = random.Random(model_id)
    for block in which.spec.block_lengths:
        for threshold in (0.1, 1.0):
            settings = Settings(
                new_tokens=44, block_length=block, steps=rng.randint(12, 60), rule="threshold", threshold=threshold
            )
            bound, count = bound_and_count(which, settings)
            assert 0 < count <= bound


def test_nor_one_from_random_words(noisy, monkeypatch):  # noqa: F811
    counted, run = [0], noisy.networks["diffusion"].run
    count = lambda ids, **rest: (counted.append(ids.shape[1]), run(ids, **rest))[1]  # noqa: E731
    monkeypatch.setattr(noisy.networks["diffusion"], "run", count)
    settings = Settings(steps=6, confidence_threshold=0.0)
    trace = noisy.denoise("a notice", settings).finish()
    assert 0 < sum(counted) <= Request("x", "x", settings=settings).cost(noisy.spec, len(trace.prompt_ids))
    with pytest.raises(SettingError, match="together may have at most 78 tokens"):
        noisy.denoise("a notice", Settings(canvases=2))


def test_nor_does_one_of_diffusion_gemma():
    """The prompt once, every pass its canvas, every canvas but the last once more to be read."""
    network = tiny_gemma.network()
    counted, encoder, forward = [], network.model.encoder.forward, network.forward
    network.model.encoder.forward = lambda input_ids, **rest: (
        counted.append(input_ids.shape[1]),
        encoder(input_ids=input_ids, **rest),
    )[1]
    network.forward = lambda **rest: (counted.append(rest["decoder_input_ids"].shape[1]), forward(**rest))[1]
    settings = Settings(steps=4, new_tokens=1, canvases=2, confidence_threshold=0.0)
    Loop(Decoder(network), settings, torch.tensor([[2, 5, 364, 280]])).finish()
    length = network.config.canvas_length
    spec = replace(GEMMA, canvas=length, default_block=length, block_lengths=(length,))
    assert sum(counted) == Request("x", "x", settings=settings).cost(spec, 4) - length


def test_a_race_asks_for_what_its_lanes_ask_for(monkeypatch):
    lanes = make_lanes(
        "Why?", start_of("builtin") | {"model": "builtin"}, [{"mode": "diffusion"}, {"mode": "ar"}], LOCAL
    )
    requests = [lane.request for lane in lanes]
    total = sum(request.cost(entry("builtin").spec, len("Why?") // 3) for request in requests)
    limits = replace(LOCAL, cost=-(-total // COMBINED))
    check_total(requests, limits)
    with pytest.raises(SettingError, match="it asks for"):
        check_total(requests, replace(limits, cost=limits.cost - 1))
