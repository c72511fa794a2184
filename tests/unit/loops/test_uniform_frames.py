"""What the frames of a run from random words say: states, notes, guesses, ends."""
# ruff: noqa: F811 (fixtures of another file are named as arguments)

from __future__ import annotations

import itertools

import numpy as np
import pytest

from model.loops.uniform import Loop
from model.loops.uniform_frames import guess_first
from model.models.gemma.decoder import Decoder
from model.settings import Settings
from model.spec import ModelSpec
from model.trace.frame import COMMITTED, NOISE, SETTLED, TAKEN_BACK, unpack_entropy
from model.trace.trace import Trace
from tests.tiny_gemma import EOS_IDS, PAD
from tests.unit.loops.test_uniform import PROMPT, SETTINGS, frames_of, model, ours, theirs  # noqa: F401 (fixtures)


# ---------------------------------------------------------------- what frames say
@pytest.fixture(scope="module")
def run(model):
    settings = Settings(**(SETTINGS | {"steps": 10, "entropy_bound": 45.0}), seed=2)
    return settings, *frames_of(ours(model, PROMPT, settings))


def test_frames_end_as_generate_does_and_count_every_pass(model, run):
    settings, frames, why = run
    assert why == "full" and [f.step for f in frames] == list(range(len(frames)))
    assert frames[-1].ids.tolist() == theirs(model, PROMPT, settings)[0, 10:].tolist()
    assert frames[0].forwards == 0 and frames[1].forwards == 2 and frames[-1].forwards == 2 * (1 + settings.steps)
    assert len(frames) == 2 * (1 + settings.steps + 1)
    assert [f.span for f in frames] == [(0, 32)] * 12 + [(32, 64)] * 12
    assert all(len(f.ids) == 32 * (f.block + 1) for f in frames)
    assert (frames[12].ids[:32] == frames[11].ids).all() and (frames[12].states[:32] == SETTLED).all()


def test_states_follow_what_is_accepted_and_acceptance_is_not_monotone(run):
    settings, frames, _ = run
    seen_back = False
    for before, now in itertools.pairwise(frames[:11]):
        stood, stands = (np.isin(f.states, (COMMITTED, SETTLED)) for f in (before, now))
        assert ((now.states == TAKEN_BACK) == (stood & ~stands)).all()
        kept = stood & stands & (before.ids == now.ids)
        assert ((now.states == SETTLED) == kept).all()
        assert ((now.states == NOISE) == (~stood & ~stands)).all()
        seen_back |= bool((now.states == TAKEN_BACK).any())
        assert int(stands.sum()) == now.notes["accepted"]
        rules = {r.position: r for r in now.reasons}
        assert set(rules) == set(np.flatnonzero(np.isin(now.states, (COMMITTED, TAKEN_BACK))).tolist())
        for position, reason in rules.items():
            ok = now.states[position] == COMMITTED
            assert reason.rule == ("accepted" if ok else "unaccepted") and (reason.value <= reason.bound) == ok
    assert seen_back


def test_notes_explain_the_budget_and_the_ramp(run):
    settings, frames, _ = run
    for number, frame in enumerate(frames[1:11]):
        notes, entropy = frame.notes, frame.notes["sorted_entropy"]
        left = settings.steps - number
        assert notes["temperature"] == pytest.approx(0.4 + 0.4 * left / settings.steps, abs=1e-4)
        assert entropy == sorted(entropy) and len(entropy) == 32
        spent = np.cumsum(entropy) - entropy
        assert (
            abs(int((spent <= notes["entropy_bound"]).sum()) - notes["accepted"]) <= 1
        )  # the numbers shown are rounded
        assert (
            notes["mean_entropy"] == pytest.approx(np.mean(entropy), abs=1e-3)
            and notes["mean_entropy_to_stop"] == 0.005
        )
        assert np.sort(unpack_entropy(frame.entropy, 512)) == pytest.approx(entropy, abs=0.06)
    assert frames[11].notes["canvas_stopped"] == "step limit" and {r.rule for r in frames[11].reasons} == {"cap"}


def test_noise_carries_its_guess_with_the_raw_probability(model):
    settings, seen = Settings(**SETTINGS, entropy_bound=20.0), []

    def spy(**inputs):
        out = model(**inputs)
        seen.append((inputs["decoder_input_ids"].clone(), out.logits.clone()))
        return out

    frames, _ = frames_of(Loop(Decoder(model, decode=spy), settings, PROMPT, pad_id=PAD))
    for (canvas, logits), before, frame in zip(seen[:6], frames[:6], frames[1:7], strict=True):
        assert canvas[0].tolist() == before.ids.tolist()  # ids are what the decoder sees next
        undecided = np.isin(frame.states, (NOISE, TAKEN_BACK))
        ids, p = frame.candidates
        assert (ids[undecided, 0] == logits[0].argmax(-1).numpy()[undecided]).all() and (ids[~undecided] == -1).all()
        raw = logits[0].softmax(-1).numpy()
        shown = np.where(undecided, ids[:, 0], frame.ids)
        assert frame.confidence == pytest.approx(255 * raw[np.arange(32), shown], abs=0.51)
        assert p[undecided] == pytest.approx(255 * np.sort(raw, -1)[undecided, :-4:-1], abs=0.51)
    assert guess_first(np.array([7, 7]), np.array([[7, 8, 9], [8, 7, 9]])).tolist() == [[7, 8, 9], [7, 8, 9]]


def test_the_word_mask_appears_nowhere(run):
    settings, frames, why = run
    spec = ModelSpec(id="x", name="x", family="uniform", vocab_size=512, eos_ids=EOS_IDS, canvas=32)
    trace = Trace(spec, "diffusion", settings.as_dict(), "p", tuple(PROMPT[0].tolist()), frames=frames)
    trace.finish(why)
    said = [str(r) for f in frames for r in f.reasons] + [str(f.notes) for f in frames]
    assert not any("mask" in words.lower() for words in said)
    assert not any((f.states == 2).any() for f in frames)
    again = Trace.from_json(trace.to_json())
    assert all(a.same_as(b) for a, b in zip(frames, again.frames, strict=True)) and again.result == trace.result
