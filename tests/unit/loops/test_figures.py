"""What a run's figures count: tokens that were written, seconds of the model, and reasons that say what happened."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.loops import uniform_frames
from model.loops.orders import Guess, admit
from model.models.masked import records as families
from model.models.scripted import Fake
from model.settings import FIELD, REMASKING, Settings, applies
from model.trace.frame import REASONS
from model.trace.trace import Trace
from tests import tiny_checkpoints as tiny
from tests.tiny_gemma import save
from tests.unit.models.test_families import load

torch.set_num_threads(1)
ENTRIES = {entry.spec.id: entry for entry in families.ENTRIES}


@pytest.fixture(scope="module")
def llada(tmp_path_factory):
    return load(ENTRIES["llada-8b"], tiny.write("llada", tmp_path_factory.mktemp("c") / "llada").folder)


# ---------------------------------------------------------------- tokens
def test_pinned_tokens_do_not_count_as_written(llada):
    trace = llada.denoise("ab", Settings(new_tokens=16, steps=3, block_length=16), pinned={0: "ten letter"}).finish()
    result = trace.result
    assert (result.tokens, result.given, result.forwards) == (16, 10, 3)
    assert result.tokens_per_forward == 2.0 and result.tokens_per_second == pytest.approx(6 / result.seconds)
    again = Trace.from_json(trace.to_json())
    assert again.result == result and '"given":10' in trace.to_json()


def test_a_run_without_given_tokens_is_told_as_before(llada):
    trace = llada.denoise("ab", Settings(new_tokens=16, steps=4)).finish()
    assert trace.result.given == 0 and '"given"' not in trace.to_json() and trace.result.tokens_per_forward == 4.0


def test_left_to_right_keeps_what_is_on_the_canvas_and_counts_only_the_rest(tmp_path):
    from model.loops.autoregressive import decode
    from model.loops.canvas import Canvas
    from model.loops.plan import Plan
    from model.loops.stopwatch import Stopwatch
    from model.models import own

    model = own.load(**own.entry(f"hf:{tiny.write('qwen2', tmp_path / 'c').folder}?mode=ar&way=cpu").options)
    start = [-1, 70, -1, 71, 72, -1]
    canvas = Canvas(6, model.spec.vocab_size, (), start=start)
    plan = Plan(Settings(new_tokens=6), model.spec, 1, torch.Generator(), (), lambda: "")
    trace = Trace(model.spec, "ar", {}, "", ())
    trace.frames = list(decode(model.predictor("", "", [65], 6, Settings(), "ar"), canvas, plan, Stopwatch()))
    trace.finish("full")
    assert [token for token, asked in zip(trace.final_ids, start, strict=True) if asked >= 0] == [70, 71, 72]
    assert (trace.result.tokens, trace.result.given) == (6, 3)


# ---------------------------------------------------------------- reasons
@pytest.mark.parametrize("rule", ["threshold", "factor"])
def test_only_the_surest_is_called_the_surest(rule):
    guess = Guess(np.array([0.2, 0.5, 0.3]), np.zeros(3), np.zeros(3), np.ones)
    bound = 0.9 if rule == "threshold" else 0.1
    for order, position, said in (("confidence", 1, "surest"), ("left_to_right", 0, "first")):
        ((got, why, value, _),) = admit(rule, guess, order, 0, bound, last=False)
        assert (got, why, value) == (position, said, guess.probability[position])
    assert "surest" not in REASONS["first"]


# ---------------------------------------------------------------- knobs
def test_the_strength_is_shown_only_where_a_rule_reads_it():
    from model.loops.remasking import SIGMAS

    p = np.array([0.2, 0.9])
    for back in REMASKING:
        drawn = [SIGMAS[back](p, 0.5, 0.9, eta).tolist() for eta in (0.0, 1.0)] if back in SIGMAS else [0, 0]
        reads = back in ("verify", "recheck") or drawn[0] != drawn[1]
        assert applies(FIELD["remask_strength"], Settings(remasking=back, rule="schedule")) == reads, back


def test_the_ramp_ends_where_its_help_says(tmp_path):
    from model.models.gemma.record import open_checkpoint

    model = open_checkpoint(str(save(tmp_path)))
    trace = model.denoise(
        "x", Settings(steps=4, new_tokens=32, t_max=0.8, t_min=0.4, confidence_threshold=0.0)
    ).finish()
    ramp = [frame.notes["temperature"] for frame in trace.frames if "temperature" in frame.notes]
    assert (
        ramp == pytest.approx([0.8, 0.7, 0.6, 0.5])
        and "reached" not in FIELD["t_min"].help
        and "share" in FIELD["t_min"].help
    )


# ---------------------------------------------------------------- seconds
class Scripted:
    """A clock that moves only when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_building_frames_costs_a_diffusion_gemma_no_time(tmp_path, monkeypatch):
    from model.models.gemma.record import open_checkpoint

    clock = Scripted()
    for name in ("_fresh", "_stepped", "_written"):
        whole = getattr(uniform_frames, name)

        def slow(*args, whole=whole):
            clock.now += 1.0
            return whole(*args)

        monkeypatch.setattr(uniform_frames, name, slow)
    model = open_checkpoint(str(save(tmp_path)))
    trace = model.denoise("x", Settings(steps=6, new_tokens=32, confidence_threshold=0.0), clock=clock).finish()
    assert clock.now >= 8 and trace.result.seconds == 0.0


def test_the_stand_in_counts_as_the_models_do():
    trace = Fake().denoise("hello", Settings(new_tokens=64, steps=16), pinned={3: " upon"}).finish()
    assert 0 < trace.result.given < trace.result.tokens
