"""A trace survives JSON and back unchanged, stays small, fits its schema, and a damaged one is refused with one sentence."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import TraceError
from model.spec import ModelSpec
from model.trace.decode import loads
from model.trace.encode import CANDIDATE_BYTES, dumps, encode_frame, encode_header, encode_vocab
from model.trace.frame import AFTER_END, COMMITTED, MASK, NOISE, REASONS, SETTLED, TAKEN_BACK, TOP, Frame, Reason
from model.trace.trace import STOPPED, Result, Trace
from model.trace.untrusted import MAX_FRAMES

SCHEMA = json.loads((Path(__file__).parents[3] / "assets" / "trace.schema.json").read_text())
CHECK = jsonschema.Draft202012Validator(SCHEMA)
WAVE = "\U0001f44b".encode()
PIECES = {
    0: b"",
    1: b"Once",
    2: b" upon",
    3: WAVE[:2],
    4: WAVE[2:],
    5: b"\n",
    6: b"</script>",
    7: " \u00e9".encode(),
    8: b"\x00",
}
HEADER = (
    "spec",
    "mode",
    "settings",
    "prompt",
    "prompt_ids",
    "system",
    "dtype",
    "device",
    "hardware",
    "weights_sha256",
    "versions",
    "recorded",
    "branch",
    "result",
)


def some_frames(seed: int, lengths: list[int], family: str, candidates: bool) -> list[Frame]:
    """Frames whose every field is drawn at random; nothing about them is plausible, everything is allowed."""
    rng, frames = np.random.default_rng(seed), []
    seconds, empty = 0.0, NOISE if family == "uniform" else MASK
    for k, n in enumerate(lengths):
        calm = frames and len(frames[-1].ids) == n and rng.random() < 0.3
        drawn = rng.choice([empty, empty, COMMITTED, SETTLED, TAKEN_BACK, AFTER_END, 0, 1], n).astype(np.uint8)
        states = frames[-1].states.copy() if calm else drawn
        ids = np.where((states == MASK), -1, rng.integers(-1, 9, n)).astype(np.int32)
        heat = rng.integers(0, 256, (2, n)).astype(np.uint8)
        if calm:
            heat = np.stack([frames[-1].confidence, frames[-1].entropy])
        there = rng.random(n) < 0.6
        guess = (
            np.where(there[:, None], rng.integers(0, 9, (n, TOP)), -1).astype(np.int32),
            np.where(there[:, None], rng.integers(0, 256, (n, TOP)), 0).astype(np.uint8),
        )
        if calm and frames[-1].candidates is not None:
            guess = frames[-1].candidates
        rules = list(REASONS)
        why = [
            Reason(int(i), rules[rng.integers(len(rules))], float(rng.integers(100)) / 8, float(rng.integers(3)))
            for i in np.flatnonzero(rng.random(n) < 0.3)
        ]
        seconds += float(rng.random())
        jump = int(rng.integers(1, 3))
        frames.append(
            Frame(
                k * jump,
                int(rng.integers(3)),
                (0, int(rng.integers(1, n + 1))),
                k * int(rng.integers(1, 3)),
                seconds,
                seconds / 2,
                ids,
                states,
                *(row.copy() for row in heat),
                guess if candidates else None,
                tuple(why),
                {"t": 0.5} if k % 3 else {},
            )
        )
    return frames


def some_trace(
    seed: int = 1, lengths: tuple[int, ...] = (9, 9, 9, 12, 12), family: str = "masked", candidates: bool = True
) -> Trace:
    spec = ModelSpec("m", "Model \u201cM\u201d", family, 1000, (0,), mask_id=None if family == "uniform" else 999)
    trace = Trace(
        spec,
        "diffusion",
        {"seed": seed, "steps": 4},
        "Why </script> \u2028 \U0001f44b?",
        (1, 2, 3),
        versions={"numpy": "2"},
        recorded="2026-11-22",
        pieces=dict(PIECES),
        frames=some_frames(seed, list(lengths), family, candidates),
    )
    trace.result = Result("Once", "full", 4, 1, 5, 1.25, 0.1)
    return trace


def assert_equal(a: Trace, b: Trace) -> None:
    assert len(a.frames) == len(b.frames)
    assert all(x.same_as(y) for x, y in zip(a.frames, b.frames, strict=True))
    for name in HEADER:
        assert getattr(a, name) == getattr(b, name), name
    used = {
        int(t)
        for frame in a.frames
        for t in [*frame.ids, *(frame.candidates[0].ravel() if frame.candidates else ())]
        if t >= 0
    }
    assert {t: a.pieces[t] for t in used} == b.pieces


FAMILIES = ("masked", "uniform", "autoregressive")


@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 24), max_size=6).map(sorted),
    st.sampled_from(FAMILIES),
    st.booleans(),
)
def test_a_trace_survives_json_unchanged(seed: int, lengths: list[int], family: str, candidates: bool):
    trace = some_trace(seed, tuple(lengths), family, candidates)
    text = dumps(trace)
    assert_equal(trace, loads(text))
    assert dumps(loads(text)) == text
    CHECK.validate(json.loads(text))


@given(st.dictionaries(st.integers(0, 40), st.binary(max_size=6)))
def test_pieces_survive_whatever_their_bytes(pieces: dict[int, bytes]):
    trace = Trace(ModelSpec("m", "M", "masked", 50, (0,)), "diffusion", {}, "p", (), pieces=pieces)
    back = {
        int(k): v.encode() if isinstance(v, str) else bytes(v)
        for k, v in json.loads(json.dumps(encode_vocab(trace, pieces))).items()
    }
    assert back == pieces


def test_a_fresh_trace_without_frames_or_result_survives():
    trace = some_trace(lengths=())
    trace.result = None
    assert_equal(trace, loads(dumps(trace)))


@pytest.mark.parametrize("family", ["masked", "uniform"])
def test_ageing_is_never_spelt_out(family: str):
    """A committed token that settles, and a token taken back that is gone, cost nothing on the wire."""
    empty, n = (NOISE if family == "uniform" else MASK), 4
    first = some_frames(0, [n], family, False)[0]
    ids, states = np.array([1, 2, 3, 4], np.int32), np.array([COMMITTED, TAKEN_BACK, SETTLED, COMMITTED], np.uint8)
    one = Frame(1, 0, (0, n), 1, 0.1, 0.1, ids, states, first.confidence.copy(), first.entropy.copy())
    aged = np.array([SETTLED, empty, SETTLED, SETTLED], np.uint8)
    kept = np.where(aged == MASK, -1, ids).astype(np.int32)
    two = Frame(2, 0, (0, n), 2, 0.2, 0.2, kept, aged, first.confidence.copy(), first.entropy.copy())
    assert set(encode_frame(one, two, ModelSpec("m", "M", family, 10, (0,)))) == {"t", "u"}


def big(n: int = 256, steps: int = 128, block: int = 64, candidates: bool = False) -> Trace:
    """As long as it gets: all bytes of the block under work are random at every step, and two positions are decided in each."""
    rng, trace = np.random.default_rng(0), some_trace(lengths=())
    trace.pieces = {i: b" word" + str(i).encode() for i in range(1000)}
    ids, states = np.full(n, -1, np.int32), np.full(n, MASK, np.uint8)
    order = np.concatenate([start + rng.permutation(block) for start in range(0, n, block)])
    confidence, entropy = rng.integers(0, 256, n).astype(np.uint8), rng.integers(0, 256, n).astype(np.uint8)
    for k in range(steps + 1):
        states[states == COMMITTED] = SETTLED
        here = order[(k - 1) * n // steps : k * n // steps] if k else order[:0]
        start = min(k * n // steps, n - 1) // block * block
        seen = np.flatnonzero((states == MASK) & (np.arange(n) // block * block == start))
        confidence[seen], entropy[seen] = rng.integers(0, 256, (2, len(seen)))
        ids[here], states[here] = rng.integers(0, 1000, len(here)), COMMITTED
        guess = np.where((states == MASK)[:, None], rng.integers(0, 1000, (n, TOP)), -1).astype(np.int32)
        trace.frames.append(
            Frame(
                k,
                start // block,
                (start, start + block),
                k,
                round(k * 0.0517, 5),
                round(k * 0.0498, 5),
                ids.copy(),
                states.copy(),
                confidence.copy(),
                entropy.copy(),
                (guess, rng.integers(0, 256, (n, TOP)).astype(np.uint8)) if candidates else None,
                tuple(Reason(int(i), "schedule", round(float(rng.random()), 4), float(len(here))) for i in here),
            )
        )
    return trace


def test_256_tokens_by_128_steps_stay_under_64_kb():
    trace = big()
    text = dumps(trace)
    assert len(text) < 64_000
    assert_equal(trace, loads(text))
    assert len(dumps(big(block=256))) < 70_000  # one block of 256, of which not a single byte stays as it was


def test_candidates_are_kept_within_their_share_and_dropped_first():
    small, large = big(64, 32, 32, candidates=True), big(512, 160, 512, candidates=True)
    assert json.loads(dumps(small))["candidates"] is not None
    assert loads(dumps(small)).frames[3].candidates is not None
    text = dumps(small)
    without = dumps(small, max_bytes=len(text) - 1)
    assert (
        json.loads(without)["candidates"] is None
        and json.loads(without)["extra_vocab"] == {}
        and len(without) < len(text) - 1
    )
    assert [f.ids.tolist() for f in loads(without).frames] == [f.ids.tolist() for f in small.frames]
    document = json.loads(dumps(large))
    assert document["candidates"] is None  # three random guesses for each of 512 positions are too long
    assert CANDIDATE_BYTES == 524_288


def test_a_result_carries_its_rates_and_says_why():
    result = json.loads(dumps(some_trace()))["result"]
    assert (
        result["tokens_per_forward"] == 0.8 and result["tokens_per_second"] == 3.2 and result["why"] == STOPPED["full"]
    )


def test_the_document_is_ascii_and_its_header_is_complete():
    trace = some_trace()
    assert dumps(trace).isascii()
    assert json.loads(dumps(trace))["header"] == json.loads(json.dumps(encode_header(trace)))


def put(*path: Any, value: Any) -> Any:
    """A corruption: set what stands at `path`."""

    def corrupt(document: dict[str, Any]) -> None:
        where: Any = document
        for key in path[:-1]:
            where = where[key]
        where[path[-1]] = value

    return corrupt


def drop(*path: Any) -> Any:
    def corrupt(document: dict[str, Any]) -> None:
        where: Any = document
        for key in path[:-1]:
            where = where[key]
        del where[path[-1]]

    return corrupt


DAMAGE = {
    "another format": (put("format", value="images"), "'format' must be"),
    "no format": (drop("format"), "'format' must be"),
    "another version": (put("version", value=2), "has version 2; this page reads version 1"),
    "a version as text": (put("version", value="1" * 200), "has version 1"),
    "no header": (drop("header"), "damaged"),
    "no model": (drop("header", "model"), "damaged"),
    "a model without a name": (drop("header", "model", "name"), "damaged"),
    "an unknown family": (put("header", "model", "family", value="magic"), "family is not known"),
    "an empty vocabulary": (put("header", "model", "vocab_size", value=1), "vocabulary size is out of range"),
    "a vocabulary size as text": (
        put("header", "model", "vocab_size", value="1000"),
        "vocabulary size is out of range",
    ),
    "a prompt that is no text": (put("header", "prompt", value=["x"]), "'prompt' is not text"),
    "prompt ids that are no numbers": (put("header", "prompt_ids", value=["x"]), "damaged"),
    "settings that are a list": (put("header", "settings", value=[]), "not a mapping"),
    "a piece that is a number": (put("vocab", "1", value=5.5), "damaged"),
    "a byte above 255": (put("vocab", "1", value=[256]), "damaged"),
    "a vocabulary with a name for a number": (put("vocab", "x", value="y"), "damaged"),
    "frames that are text": (put("frames", value="abc"), "at most 20,000 frames"),
    "too many frames": (put("frames", value=[{}] * (MAX_FRAMES + 1)), "at most 20,000 frames"),
    "a frame without its time": (drop("frames", 1, "t"), "damaged"),
    "a negative time": (put("frames", 1, "t", value=-1), "time is out of range"),
    "a time as text": (put("frames", 1, "t", value="1"), "time is out of range"),
    "a first frame without a length": (drop("frames", 0, "l"), "1 to 65,536 positions"),
    "an endless canvas": (put("frames", 0, "l", value=10**9), "1 to 65,536 positions"),
    "a fractional canvas": (put("frames", 0, "l", value=9.5), "1 to 65,536 positions"),
    "a position off the canvas": (put("frames", 0, "at", 0, value=9), "positions on the canvas is out of range"),
    "a negative position": (put("frames", 0, "at", 0, value=-1), "positions on the canvas is out of range"),
    "fewer states than positions": (put("frames", 0, "st", value=""), "off the canvas"),
    "an unknown state": (put("frames", 0, "st", value="z" * 9), "damaged"),
    "an id that does not fit": (put("frames", 0, "id", 0, value=2**40), "damaged"),
    "a bitmap that is no base64": (put("frames", 0, "hp", value="%%%"), "damaged"),
    "a bitmap that is too short": (put("frames", 0, "hp", value="AA=="), "wrong length"),
    "too few confidences": (put("frames", 0, "hv", value="AAAA"), "wrong length"),
    "an unknown reason": (put("frames", 0, "why", value=[["magic", 1, [0], [1]]]), "reason is not known"),
    "a reason for a place that is not there": (
        put("frames", 0, "why", value=[["next", 1, [99], [1]]]),
        "a reason is out of range",
    ),
    "reasons without their values": (put("frames", 0, "why", value=[["next", 1, [0], []]]), "damaged"),
    "a step that runs away": (put("frames", 0, "n", value=10**9), "counter is out of range"),
    "a block of one number": (put("frames", 0, "w", value=[1]), "counter is out of range"),
    "candidates for fewer frames": (put("candidates", value=[None]), "do not match its frames"),
    "candidates that miss ids": (put("candidates", 0, "ids", value=[1]), "damaged"),
    "an unknown end": (put("result", "stopped", value="bored"), "result is not known"),
    "a result without its text": (drop("result", "text"), "damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_trace_is_refused_with_one_sentence(name: str):
    corrupt, said = DAMAGE[name]
    document = json.loads(dumps(some_trace()))
    corrupt(document)
    with pytest.raises(TraceError, match=".") as error:
        loads(json.dumps(document))
    message = str(error.value)
    assert said in message and "\n" not in message and len(message) < 300


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a readable trace"),
        ("[]", "not a trace"),
        ("nothing", "not a readable trace"),
        ("[" * 100_000, "not a readable trace"),
        ('{"format":"text-diffusion-trace","version":NaN}', "NaN is not allowed"),
        ('{"format":"text-diffusion-trace","format":"x"}', "a field stands twice"),
        ("\ud800", "not a"),
        ('"' + "x" * 8_000_001 + '"', "at most 8,000,000 bytes; this one has 8,000,003"),
    ],
)
def test_what_is_no_trace_is_refused(text: str, said: str):
    with pytest.raises(TraceError, match=said):
        loads(text)


@given(st.data())
def test_no_small_damage_escapes_as_another_error(data: st.DataObject):
    """Replace one random leaf of a document by something else: it loads, or it is refused as a TraceError."""
    document = json.loads(dumps(some_trace(lengths=(5, 5, 6))))
    where: Any = document
    while True:
        keys = list(where) if isinstance(where, dict) else list(range(len(where)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(where[key], dict | list) or not where[key]:
            break
        where = where[key]
    where[key] = data.draw(st.sampled_from([None, -1, 2**70, 1.5, "", "x", "AAAA", [], {}, [1], True, [[1]], {"a": 1}]))
    try:
        trace = loads(json.dumps(document))
    except TraceError:
        return
    assert all(len(f.ids) == len(f.states) == len(f.confidence) == len(f.entropy) for f in trace.frames)


SCHEMA_REFUSES = (
    "another format",
    "another version",
    "no header",
    "an unknown family",
    "an empty vocabulary",
    "a byte above 255",
    "a negative time",
    "an endless canvas",
    "a negative position",
    "an unknown state",
    "a bitmap that is no base64",
    "a block of one number",
    "an unknown end",
)


@pytest.mark.parametrize("name", SCHEMA_REFUSES)
def test_the_schema_refuses_it_too(name: str):
    document = json.loads(dumps(some_trace()))
    CHECK.validate(document)
    damaged = copy.deepcopy(document)
    DAMAGE[name][0](damaged)
    assert not CHECK.is_valid(damaged)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["required"]) == set(json.loads(dumps(some_trace())))
