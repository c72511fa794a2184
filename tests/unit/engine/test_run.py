"""Requests are refused in one sentence before anything runs; time is counted exactly; a run ends once and for good."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.engine.catalog import entries, entry
from model.engine.parsing import parse_request
from model.errors import SettingError
from model.loops.stopwatch import Stopwatch
from model.request import Request, parse_pinned
from model.run import Run
from model.settings import LOCAL, PUBLIC, Settings
from model.spec import ModelSpec
from model.trace.frame import COMMITTED, MASK, Frame
from model.trace.trace import Trace
from tests.tiny_gemma import drawn

MASKED = ModelSpec(
    "m",
    "Masked",
    "masked",
    100,
    (2,),
    mask_id=3,
    causal_prefix=True,
    block_lengths=(1, 4, 8, 16),
    default_block=8,
    modes=("diffusion", "ar"),
    max_tokens=512,
)
FULL = ModelSpec("f", "Full", "masked", 100, (2,), mask_id=3, guidance=True, verify=True)
RANDOM = ModelSpec("r", "Random", "uniform", 100, (2,), canvas=256, max_tokens=0)


def request(**values: object) -> Request:
    return Request(prompt="Why?", mode=values.pop("mode", "diffusion"), settings=Settings.parse(values))


# ---------------------------------------------------------------- parsing
def test_a_request_is_parsed_with_its_text_normalised():
    asked = parse_request("Why\x00 so?\r\n", {"steps": 8}, mode="ar", system="Be\u0007 kind", pinned="3: upon")
    assert (asked.prompt, asked.system, asked.mode, asked.model) == ("Why so?\n", "Be kind", "ar", "builtin")
    assert asked.settings == Settings(steps=8) and asked.pinned == {3: " upon"}


@pytest.mark.parametrize(
    ("values", "said", "knob"),
    [
        ({"prompt": ""}, "at least 1 character", "prompt"),
        ({"prompt": " \n\t"}, "at least 1 character", "prompt"),
        ({"prompt": "\x00\x1b"}, "at least 1 character", "prompt"),
        ({"prompt": None}, "must be text", "prompt"),
        ({"prompt": 7}, "must be text", "prompt"),
        ({"prompt": ["a"]}, "must be text", "prompt"),
        ({"prompt": b"a"}, "must be text", "prompt"),
        ({"prompt": "a" * 2001}, "at most 2,000 characters; it has 2,001", "prompt"),
        ({"prompt": "a" * 50_000_000}, "at most 2,000 characters", "prompt"),
        ({"system": "a" * 2001}, "The system prompt may have at most 2,000", "prompt"),
        ({"system": ["be kind"]}, "The system prompt must be text", "prompt"),
        ({"mode": "magic"}, "Mode must be one of diffusion, ar; it was 'magic'", "mode"),
        ({"mode": None}, "Mode must be one of", "mode"),
        ({"mode": ["ar"]}, "Mode must be one of", "mode"),
        ({"mode": "x" * 9999}, "Mode must be one of", "mode"),
        ({"model": 3}, "Model must be a name", "model"),
        ({"model": "m" * 301}, "at most 300 characters", "model"),
        ({"settings": {"steps": 257}}, "Steps must be between 1 and 256; it was 257", "steps"),
        ({"pinned": "somewhere: upon"}, "lines like '5: upon'", "pinned"),
    ],
)
def test_a_bad_request_is_refused_in_one_sentence(values: dict, said: str, knob: str):
    with pytest.raises(SettingError, match=said) as refused:
        parse_request(**({"prompt": "Why?"} | values), limits=PUBLIC)
    assert refused.value.knob == knob and len(str(refused.value)) <= 160


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", {}),
        (None, {}),
        ("\n  \n", {}),
        ("5: upon", {5: " upon"}),
        ("5:upon", {5: "upon"}),
        (" 0 :  Once \n\n63: end.", {0: "  Once ", 63: " end."}),
        ("2: a: b", {2: " a: b"}),
        ({5: "upon"}, {5: " upon"}),
        ({"5": "upon"}, {5: " upon"}),
        (["1: a", "2: b"], {1: " a", 2: " b"}),
        ("4: \ud800x\x00", {4: " \ufffdx"}),
    ],
)
def test_pinned_words_are_read_from_lines(typed: object, meant: dict):
    assert parse_pinned(typed) == meant


@pytest.mark.parametrize("typed", ["5: upon\n5: time", "5: a\n05: b", {5: "a", "5": "b"}])
def test_a_position_is_pinned_once(typed):
    with pytest.raises(SettingError, match="Position 5 is pinned twice"):
        parse_pinned(typed)


@pytest.mark.parametrize(
    "typed",
    [
        "upon",
        "5 upon",
        ": upon",
        "5:",
        "5:   ",
        "-1: a",
        "1.5: a",
        "x: a",
        "64: a",
        "9" * 5000 + ": a",
        "1: " + "a" * 201,
        "\n".join(f"{i}: a" for i in range(64)) + "\n0: b",
        7,
        True,
        {-1: "a"},
        {64: "a"},
        [None],
        "²: a",
    ],
)
def test_other_pinned_words_are_refused(typed: object):
    with pytest.raises(SettingError, match=r"[Pp]inned") as refused:
        parse_request("Why?", {"new_tokens": 64}, pinned=typed)
    assert refused.value.knob == "pinned" and len(str(refused.value)) <= 160


@given(st.one_of(st.text(), st.dictionaries(st.integers(), st.text()), st.lists(st.text())))
def test_pinned_words_are_understood_or_refused_never_more(typed: object):
    try:
        pinned = parse_request("Why?", pinned=typed).pinned
    except SettingError as refused:
        assert len(str(refused)) <= 160
    else:
        assert all(0 <= position < 64 for position in pinned)


# ---------------------------------------------------------------- what a model can run
@pytest.mark.parametrize(
    ("spec", "values", "prompt_tokens", "said", "knob"),
    [
        (FULL, {"mode": "ar"}, 10, "Full runs in mode diffusion; the mode was ar", "mode"),
        (MASKED, {}, 8193, "The prompt may have at most 8192 tokens; it has 8193", "prompt"),
        (MASKED, {"new_tokens": 256}, 257, "at most 512 tokens on Masked; they have 513", "new_tokens"),
        (
            MASKED,
            {"block_length": 5},
            10,
            "Block length must be one of 1, 4, 8, 16 on Masked; it was 5",
            "block_length",
        ),
        (MASKED, {"guidance": 1.5}, 10, "Guidance must be 0 on Masked, where it is untested; it was 1.5", "guidance"),
        (MASKED, {"remasking": "verify"}, 10, "Taking back cannot be 'verify' on Masked", "remasking"),
        (MASKED, {"steps": 7}, 10, "Steps must be at least 8, one for each block of 8 in 64 tokens; it was 7", "steps"),
        (FULL, {"steps": 1024, "new_tokens": 1000}, 10, "at most 524,288 positions; they ask for", "steps"),
        (RANDOM, {"steps": 1024, "canvases": 16, "new_tokens": 1024}, 2000, "at most 524,288 positions", "steps"),
    ],
)
def test_what_a_model_cannot_run_is_refused(spec: ModelSpec, values: dict, prompt_tokens: int, said: str, knob: str):
    with pytest.raises(SettingError, match=said) as refused:
        request(**values).check(spec, prompt_tokens, LOCAL)
    assert refused.value.knob == knob and len(str(refused.value)) <= 200


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        (MASKED, {}),
        (MASKED, {"mode": "ar", "block_length": 5, "guidance": 2.0, "steps": 1}),  # knobs that the mode does not read
        (MASKED, {"steps": 8}),
        (MASKED, {"block_length": 1, "steps": 1}),  # token by token: no denoising pass at all
        (MASKED, {"block_length": 16, "steps": 4}),
        (FULL, {"guidance": 2.0, "remasking": "verify", "block_length": 5}),
        (FULL, {"steps": 1}),
        (RANDOM, {"steps": 48, "new_tokens": 256}),
    ],
)
def test_what_a_model_can_run_passes(spec: ModelSpec, values: dict):
    request(**values).check(spec, 20, LOCAL)


def test_block_length_is_the_asked_one_or_the_models_own_and_never_longer_than_the_canvas():
    assert request().block_length(MASKED) == 8
    assert request(block_length=16).block_length(MASKED) == 16
    assert request(new_tokens=4).block_length(MASKED) == 4
    assert request(new_tokens=40).block_length(FULL) == 40


UP_TO_256 = st.integers(1, 256)


@given(
    UP_TO_256,
    UP_TO_256,
    st.integers(1, 512),
    st.sampled_from([MASKED, FULL]),
    st.booleans(),
    st.sampled_from([LOCAL, PUBLIC]),
)
def test_a_request_that_passes_stays_within_its_bounds(
    steps: int, new_tokens: int, prompt_tokens: int, spec, guided: bool, limits
):
    asked = request(steps=steps, new_tokens=new_tokens, guidance=2.0 * (guided and spec.guidance))
    block = asked.block_length(spec)
    cost = asked.cost(spec, prompt_tokens)
    try:
        asked.check(spec, prompt_tokens, limits)
    except SettingError:
        assert cost > limits.cost or prompt_tokens + new_tokens > spec.max_tokens or steps < -(-new_tokens // block)
    else:
        assert cost <= limits.cost and prompt_tokens <= limits.prompt_tokens


# ---------------------------------------------------------------- time
def scripted(*moments: float) -> Iterator[float]:
    return iter(moments).__next__


def test_the_stopwatch_leaves_out_what_happens_while_paused():
    watch = Stopwatch(scripted(10.0, 12.5, 100.0, 100.25))
    watch.resume()
    assert watch.pause() == 2.5
    watch.resume()
    assert watch.pause() == 2.75
    assert watch.pause() == 2.75  # pausing twice reads no clock and adds nothing


def test_forward_passes_are_counted_and_timed_by_themselves():
    watch = Stopwatch(scripted(0.0, 1.0, 3.0, 4.0, 4.5, 7.0))
    watch.resume()
    assert watch.forward(lambda a, b: a + b, 1, 2) == 3
    assert watch.forward(lambda: "x", passes=2) == "x"  # two passes in one call: guidance
    assert (watch.forwards, watch.forward_seconds) == (3, 2.5)
    assert watch.pause() == 7.0


def test_a_pass_that_fails_is_counted_too_and_its_error_is_not_hidden():
    watch = Stopwatch(scripted(1.0, 4.0))
    with pytest.raises(ZeroDivisionError):
        watch.forward(lambda: 1 / 0)
    assert (watch.forwards, watch.forward_seconds) == (1, 3.0)


# ---------------------------------------------------------------- a run
def frames(closed: list, cancelled: threading.Event | None = None) -> Iterator[Frame]:
    try:
        for step in range(4):
            if cancelled is not None and cancelled.is_set():
                return
            ids = np.where(np.arange(4) < step, 7, -1).astype(np.int32)
            states = np.where(np.arange(4) < step, COMMITTED, MASK).astype(np.uint8)
            heat = np.zeros(4, np.uint8)
            yield Frame(step, 0, (0, 4), step, step * 0.5, step * 0.25, ids, states, heat, heat)
    finally:
        closed.append(True)


def empty_trace() -> Trace:
    return Trace(MASKED, "diffusion", Settings().as_dict(), "Why?", (1,))


def piece(token: int) -> bytes:
    return {7: b"a"}[token]


def test_a_run_keeps_every_frame_it_yields():
    run = Run(empty_trace(), frames([]), piece)
    seen = list(run)
    assert run.trace.frames == seen and [frame.step for frame in seen] == [0, 1, 2, 3]
    assert run.trace.pieces == {7: b"a"}  # the text of every token that occurs, and of no other
    assert Run(empty_trace(), frames([]), piece).finish().final_text == "aaa"


def test_nothing_is_computed_before_the_first_frame_is_asked_for():
    closed: list = []
    run = Run(empty_trace(), frames(closed), piece)
    assert run.trace.frames == [] and not run.cancelled.is_set()
    run.close()
    assert run.trace.result is None  # there is nothing to report


def test_closing_ends_the_run_frees_it_and_says_so():
    closed: list = []
    run = Run(empty_trace(), frames(closed), piece)
    next(run), next(run)
    run.close()
    assert closed == [True] and list(run) == []
    result = run.trace.result
    assert (result.stopped, result.text, result.tokens, result.forwards, result.seconds) == (
        "cancelled",
        "a",
        1,
        1,
        0.5,
    )
    run.close()
    assert run.trace.result is result


def test_stop_is_seen_by_the_loop_before_its_next_step():
    event = threading.Event()
    run = Run(empty_trace(), frames([], event), piece, event)
    next(run)
    thread = threading.Thread(target=run.stop)
    thread.start()
    thread.join()
    assert list(run) == [] and len(run.trace.frames) == 1


def test_closing_after_the_end_keeps_the_loops_own_result():
    run = Run(empty_trace(), frames([]), piece)
    list(run)
    result = run.trace.finish("full")
    run.close()
    assert run.trace.result is result and result.stopped == "full"


# ---------------------------------------------------------------- what the model sets
def test_knobs_that_are_not_given_are_the_models_own():
    asked = parse_request("x", {"steps": 8}, model="diffusiongemma")
    known = entry("diffusiongemma")
    start = Settings(**known.start())
    assert asked.settings == replace(start, steps=8) and start.new_tokens == 256 and start.steps == 48
    assert parse_request("x", {"steps": 8}).settings == Settings(steps=8)
    for known in entries():
        asked = parse_request("x", model=known.spec.id, mode=known.spec.modes[0], limits=PUBLIC)
        assert asked.settings == Settings(**known.start(PUBLIC))
        asked.check(known.spec, 6, PUBLIC)  # the noisy worlds' prompt has six


def test_a_loaded_checkpoint_sets_what_nobody_asked_for_within_the_limits():
    own = Settings(steps=500, new_tokens=1024, entropy_bound=0.25, order="entropy")
    asked = parse_request("x", {"seed": 4, "entropy_bound": 0.5}, model="diffusiongemma", limits=PUBLIC)
    assert asked.on(own, PUBLIC).settings == replace(own, steps=256, new_tokens=256, seed=4, entropy_bound=0.5)
    assert asked.on(None, PUBLIC) is asked
    whole = Request("x", settings=Settings(steps=3))
    assert whole.on(own, PUBLIC) is whole


def test_pinned_words_go_as_far_as_the_models_canvas():
    far = parse_request("x", {"new_tokens": 64}, model="diffusiongemma", pinned="255: end")
    assert far.pinned == {255: " end"}
    for settings, last in (({"new_tokens": 64}, 255), ({"new_tokens": 257}, 511), ({"canvases": 3}, 767)):
        with pytest.raises(SettingError, match=f"between 0 and {last}; it was {last + 1}"):
            parse_request("x", settings, model="diffusiongemma", pinned={last + 1: "x"})
    unread = parse_request("x", model="hf:owner/name", pinned="300: far")  # its canvas is not known before it is loaded
    with pytest.raises(SettingError, match="between 0 and 63; it was 300"):
        unread.check(replace(entry("diffusiongemma").spec, canvas=32), 4, LOCAL)


def test_an_image_is_for_models_that_see_and_playgrounds_of_your_own():
    asked = parse_request("x", model="diffusiongemma", image=drawn())
    assert asked.images == (drawn(),) and "PNG" not in repr(asked)
    for model, limits, size, said in (
        ("builtin", LOCAL, 4, "takes no image: it has no vision tower"),
        ("diffusiongemma", PUBLIC, 4, "only by a playground of your own"),
        ("diffusiongemma", LOCAL, 8_100_000, r"at most 8 MB; it has 8\.1 MB"),
    ):
        with pytest.raises(SettingError, match=said) as refused:
            parse_request("x", model=model, image=bytes(size), limits=limits)
        assert refused.value.knob == "image"
