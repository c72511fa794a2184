"""The loop for random canvases: equal to transformers' own for a seed, and truthful in its frames."""

from __future__ import annotations

import gc
import itertools
import weakref
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.errors import NumericsError, SettingError
from model.loops.stopwatch import Stopwatch
from model.loops.uniform import Loop, accept, defaults
from model.loops.uniform_frames import denoise, thought
from model.models.gemma.decoder import Decoder, fixed_cache
from model.settings import Settings
from model.trace.frame import AFTER_END, PINNED
from tests.tiny_gemma import EOS, EOS_IDS, PAD, Script, network

torch.set_num_threads(1)
PROMPT = torch.tensor([[2, 5, 364, 280, 300, 310, 6, 5, 290, 364]])
SETTINGS = {"steps": 6, "new_tokens": 1, "canvases": 2}


@pytest.fixture(scope="module")
def model():
    return network()


def theirs(model, ids, settings, ends=None, **options):
    """The sequences of transformers' own loop, with the global generator seeded for it alone."""
    from transformers import LogitsProcessorList
    from transformers.models.diffusion_gemma.generation_diffusion_gemma import EntropyBoundSamplerConfig

    script, model.generation_config.eos_token_id = options.pop("script", None), None if ends is None else list(ends)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return model.generate(
            ids,
            max_new_tokens=settings.canvases * model.config.canvas_length,
            max_denoising_steps=settings.steps,
            t_min=settings.t_min,
            t_max=settings.t_max,
            sampler_config=EntropyBoundSamplerConfig(settings.entropy_bound),
            stability_threshold=settings.stability,
            confidence_threshold=settings.confidence_threshold or 1e-30,
            logits_processor=LogitsProcessorList([script] if script else []),
            **options,
        ).sequences


def ours(model, ids, settings, ends=(), script=None, **options):
    decode = script.around(model) if script else None
    passes = Decoder(model, options.pop("extra", None), options.pop("decode", decode), options.pop("cache", None))
    return Loop(passes, settings, ids, eos_ids=tuple(ends or ()), pad_id=PAD, **options)


def frames_of(loop, **options):
    """All frames, and why the loop stopped."""
    run, frames = denoise(loop, Stopwatch(), **options), []
    while True:
        try:
            frames.append(next(run))
        except StopIteration as end:
            return frames, end.value


# ---------------------------------------------------------------- the same ids as generate()
CONFIGS = {
    "plain": {},
    "long canvas": {"canvas": 48},
    "short canvas, past the window": {"canvas": 16, "sliding_window": 8},
    "more layers and experts": {
        "num_hidden_layers": 3,
        "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        "num_experts": 8,
        "top_k_experts": 3,
    },
    "two-way attention to pictures": {"use_bidirectional_attention": "vision"},
}
KNOBS = [
    {"seed": 0},
    {"seed": 3, "entropy_bound": 50.0},
    {"seed": 8, "entropy_bound": 12.0, "steps": 9, "canvases": 3, "t_max": 1.7, "t_min": 0.05},
]


@pytest.mark.parametrize("knobs", KNOBS)
@pytest.mark.parametrize("name", CONFIGS)
def test_equals_generate(name, knobs):
    model, settings = network(seed=len(name), **CONFIGS[name]), Settings(**(SETTINGS | knobs))
    expected = theirs(model, PROMPT, settings)
    assert expected.shape[1] == PROMPT.shape[1] + settings.canvases * model.config.canvas_length
    assert torch.equal(ours(model, PROMPT, settings).finish(), expected)


def test_equals_generate_in_bfloat16():
    model, settings = network().to(torch.bfloat16), Settings(**SETTINGS, entropy_bound=30.0)
    assert torch.equal(ours(model, PROMPT, settings).finish(), theirs(model, PROMPT, settings))


@pytest.mark.parametrize("stability", [0, 1, 3])
def test_early_stop_equals_generate(model, stability):
    settings = Settings(**(SETTINGS | {"steps": 12, "stability": stability, "confidence_threshold": 0.05}))
    script = Script([[100 + i for i in range(32)]])
    loop = ours(model, PROMPT, settings, script=script)
    assert torch.equal(loop.finish(), theirs(model, PROMPT, settings, script=script))
    frames, why = frames_of(ours(model, PROMPT, settings, script=script))
    passes = [frame.notes["passes"] for frame in frames if "passes" in frame.notes]
    assert passes == [stability + 1] * 2 and why == "converged"


def test_the_end_of_the_text_stops_the_run_and_pads_like_generate(model):
    wanted = [100 + i for i in range(32)]
    wanted[10], wanted[20] = EOS_IDS[1], EOS
    settings, script = Settings(**(SETTINGS | {"canvases": 3, "confidence_threshold": 0.05})), Script([wanted])
    expected = theirs(model, PROMPT, settings, EOS_IDS, script=script)
    assert torch.equal(ours(model, PROMPT, settings, EOS_IDS, script).finish(), expected) and expected.shape[1] == 42
    frames, why = frames_of(ours(model, PROMPT, settings, EOS_IDS, script))
    assert why == "end" and frames[-1].block == 0
    assert (frames[-1].states == AFTER_END).tolist() == [False] * 11 + [True] * 21
    assert frames[-1].ids[:11].tolist() == expected[0, 10:21].tolist()


def test_batch_of_padded_prompts_equals_generate(model):
    batch = torch.randint(13, 370, (3, 10), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(batch)
    mask[0, :4] = 0
    rows = [[100 + i for i in range(32)] for _ in range(3)]
    rows[1][7] = EOS
    for strength, steps in ((40.0, 8), (5.0, 8), (0.0, 5)):  # all sure, some sure, none sure
        settings = Settings(
            **(SETTINGS | {"steps": steps, "entropy_bound": 9.0, "confidence_threshold": 2.0, "seed": 5})
        )
        script = Script(rows, strength)
        expected = theirs(model, batch, settings, EOS_IDS, script=script, attention_mask=mask)
        assert torch.equal(ours(model, batch, settings, EOS_IDS, script, attention=mask).finish(), expected)
    with_one_text_ended = (
        expected if (expected == PAD).any() else theirs(model, batch, settings, range(90), attention_mask=mask)
    )
    assert (with_one_text_ended == PAD).any()


def test_start_canvas_equals_generate(model):
    start, settings = torch.arange(200, 232)[None], Settings(**SETTINGS, entropy_bound=25.0, seed=4)
    loop = ours(model, PROMPT, settings, start=start)
    assert torch.equal(loop.finish(), theirs(model, PROMPT, settings, decoder_input_ids=start.clone()))
    assert not torch.equal(loop.state.sequence, ours(model, PROMPT, settings).finish())
    partly = torch.where(torch.arange(32) < 5, start, -1)
    frames, _ = frames_of(ours(model, PROMPT, settings, start=partly))
    assert frames[0].ids[:5].tolist() == [200, 201, 202, 203, 204] and (frames[0].ids >= 0).all()


@pytest.mark.parametrize("window", [32, 256])
def test_a_cache_of_fixed_size_equals_generate_with_one(window):
    model, settings = network(sliding_window=window), Settings(**SETTINGS, entropy_bound=20.0)
    cache, fixed = fixed_cache(model, 96), {"cache_implementation": "static", "disable_compile": True}
    expected = theirs(model, PROMPT, settings, **fixed)
    for _ in range(2):  # run after run the same cache
        assert torch.equal(ours(model, PROMPT, settings, cache=cache).finish(), expected)
    if window > 74:  # past a sliding window, transformers' own two caches part ways
        assert torch.equal(theirs(model, PROMPT, settings), expected)


def test_the_global_generator_is_left_alone_and_runs_do_not_share(model):
    before = torch.random.get_rng_state()
    settings = [Settings(**SETTINGS, seed=seed, entropy_bound=20.0) for seed in (1, 2)]
    alone = [[f.ids.tolist() for f in frames_of(ours(model, PROMPT, s))[0]] for s in settings]
    runs = [denoise(ours(model, PROMPT, s), Stopwatch()) for s in settings]
    mixed = [[], []]
    for pair in itertools.zip_longest(*runs):
        for out, frame in zip(mixed, pair, strict=True):
            out.append(frame.ids.tolist())
    assert mixed == alone and alone[0] != alone[1]
    assert torch.equal(before, torch.random.get_rng_state())


# ---------------------------------------------------------------- acceptance
@given(st.lists(st.floats(0, 8), min_size=1, max_size=40), st.floats(0.01, 20))
def test_acceptance_is_the_joint_budget(entropies, bound):
    values = torch.tensor([entropies], dtype=torch.float64)
    accepted, spent = accept(values, bound)
    total, naive = 0.0, set()
    for position in sorted(range(len(entropies)), key=lambda i: (entropies[i], i)):
        if total <= bound - 1e-9:
            naive.add(position)
        elif total <= bound + 1e-9:
            return  # a rounding error decides
        assert spent[0, position].item() == pytest.approx(total, abs=1e-6) or entropies.count(entropies[position]) > 1
        total += entropies[position]
    assert accepted.sum().item() == len(naive) >= 1
    assert sorted(values[0][accepted[0]].tolist()) == sorted(entropies[i] for i in naive)


# ---------------------------------------------------------------- steering
def test_pinned_words_stand_in_every_frame_and_in_what_is_written(model):
    pinned, settings = {0: 300, 5: 301, 40: 302}, Settings(**SETTINGS, entropy_bound=5.0)
    loop = ours(model, PROMPT, settings, pinned=pinned)
    frames, _ = frames_of(loop)
    for frame in frames:
        here = {p: t for p, t in pinned.items() if p < len(frame.ids)}
        assert all(frame.ids[p] == t and frame.states[p] == PINNED for p, t in here.items())
        assert (frame.states == PINNED).sum() == len(here) and not any(r.position in here for r in frame.reasons)
    assert all(loop.state.sequence[0, 10 + p] == t for p, t in pinned.items())
    free, _ = frames_of(ours(model, PROMPT, settings))
    assert free[-1].ids.tolist() != frames[-1].ids.tolist()
    assert (
        len(frames[1].notes["sorted_entropy"]) == 30
    )  # they take nothing from the budget, and are not shown as if they did


def test_an_end_token_that_is_pinned_ends_the_text(model):
    frames, why = frames_of(ours(model, PROMPT, Settings(**SETTINGS), (EOS,), pinned={3: EOS}))
    assert why == "end" and frames[-1].states[3] == PINNED and (frames[-1].states[4:] == AFTER_END).all()


@pytest.mark.parametrize("pinned", [{64: 5}, {-1: 5}])
def test_what_no_run_can_do_is_refused(model, pinned):
    with pytest.raises(SettingError, match=r"between 0 and 63; it was (64|-1)\."):
        Loop(Decoder(model), Settings(**SETTINGS), PROMPT, pinned=pinned)
    with pytest.raises(SettingError, match=r"at the end must be at most 0\.3, the one at the start; it was 0\.4\."):
        Loop(Decoder(model), Settings(**SETTINGS, t_max=0.3), PROMPT)


def test_stop_in_the_middle_of_a_canvas(model):
    calls = iter([""] * 4 + ["cancelled"])
    frames, why = frames_of(ours(model, PROMPT, Settings(**SETTINGS)), should_stop=lambda: next(calls))
    assert why == "cancelled" and frames[-1].forwards == 4 and frames[-1].undecided


@pytest.mark.parametrize("at", [0, 1, 4, 7, 8, 11, 14])
def test_a_paused_run_continues_exactly_and_more_than_once(model, at):
    settings = Settings(**SETTINGS, entropy_bound=30.0, seed=6)
    loop = ours(model, PROMPT, settings)
    frames, snapshot = [], None
    for frame in denoise(loop, Stopwatch()):
        frames.append(frame)
        if frame.step == at:
            snapshot = loop.snapshot()
    for _ in range(2):
        branch = ours(model, PROMPT, settings)
        branch.resume(snapshot)
        again, why = frames_of(branch)
        assert why == "full" and len(again) == len(frames) - at
        assert all(a.same_as(b, times=False) for a, b in zip(again, frames[at:], strict=True))
        assert torch.equal(branch.state.sequence, loop.state.sequence)


def test_a_branch_holds_what_was_pinned_in_its_snapshot(model):
    settings = Settings(**SETTINGS, entropy_bound=30.0, seed=6)
    loop = ours(model, PROMPT, settings)
    run = denoise(loop, Stopwatch())
    for _ in range(4):
        last = next(run)
    snapshot, held = loop.snapshot(), ours(model, PROMPT, settings)
    canvas = snapshot.canvas.clone()
    canvas[0, 3] = 333
    held.resume(replace(snapshot, canvas=canvas, pinned={3: 333}))
    assert snapshot.canvas[0, 3] == last.ids[3] != 333
    frames, _ = frames_of(held)
    assert all(f.ids[3] == 333 and f.states[3] == PINNED for f in frames[1:])


def test_a_paused_run_with_a_fixed_cache_continues_exactly(model):
    settings = Settings(**SETTINGS, entropy_bound=30.0)
    loop = ours(model, PROMPT, settings, cache=fixed_cache(model, 96))
    run = denoise(loop, Stopwatch())
    for _ in range(3):
        next(run)
    snapshot, rest = loop.snapshot(), list(run)
    branch = ours(model, PROMPT, settings, cache=fixed_cache(model, 96))
    branch.resume(snapshot)
    again, _ = frames_of(branch)
    assert all(a.same_as(b, times=False) for a, b in zip(again[1:], rest, strict=True))


# ---------------------------------------------------------------- failures, time and memory
def test_numbers_that_are_none_end_the_run_before_anything_is_drawn(model):
    def broken(**inputs):
        out = model(**inputs)
        out.logits[0, 3] = float("nan")
        return out

    with pytest.raises(NumericsError, match="not numbers"):
        frames_of(Loop(Decoder(model, decode=broken), Settings(**SETTINGS), PROMPT))


def test_time_is_measured_without_the_visitor(model):
    now = itertools.count()
    watch, run = Stopwatch(lambda: next(now)), None
    run = denoise(ours(model, PROMPT, Settings(**SETTINGS)), watch)
    frames = []
    for frame in run:
        frames.append(frame)
        for _ in range(1000):
            next(now)  # a slow visitor
    assert frames[-1].seconds < 200 and frames[-1].forward_seconds == frames[-1].forwards


def test_closing_frees_the_tensors(model):
    loop = ours(model, PROMPT, Settings(**SETTINGS))
    run = denoise(loop, Stopwatch())
    for _ in range(3):
        next(run)
    belief = weakref.ref(loop.state.belief)
    run.close()
    del loop, run
    gc.collect()
    assert belief() is None


# ---------------------------------------------------------------- knobs from the checkpoint, and thoughts
def test_defaults_come_from_the_generation_config():
    settings = defaults(network().generation_config, 32)
    assert (settings.steps, settings.t_max, settings.t_min, settings.entropy_bound) == (12, 0.9, 0.3, 0.25)
    assert (settings.stability, settings.confidence_threshold, settings.canvases, settings.new_tokens) == (
        2,
        0.01,
        2,
        64,
    )
    bare = defaults(type("Config", (), {"t_max": 99.0, "sampler_config": {"entropy_bound": 0.5}})(), 256)
    assert (bare.steps, bare.t_max, bare.entropy_bound, bare.canvases, bare.new_tokens) == (48, 2.0, 0.5, 1, 256)


@pytest.mark.parametrize(
    ("ids", "span"),
    [([1, 2], None), ([7, 9, 8, 1], (0, 3)), ([1, 7, 8, 2], (1, 3)), ([7, 9, 9], (0, 3)), ([8, 7, 3, 8], (1, 4))],
)
def test_the_thinking_channel_is_found_by_its_ids(ids, span):
    assert thought(ids, 7, 8) == span
