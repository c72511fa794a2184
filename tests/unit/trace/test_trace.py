"""A trace is data: frames that cannot change, text joined from bytes, and numbers that follow from the frames alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.spec import ModelSpec
from model.trace.frame import (
    AFTER_END,
    COMMITTED,
    MASK,
    NOISE,
    PINNED,
    REASONS,
    SETTLED,
    STATES,
    TAKEN_BACK,
    UNDECIDED,
    Frame,
    Reason,
    answer_ids,
    pack_entropy,
    pack_probability,
    unpack_entropy,
)
from model.trace.trace import STOPPED, Trace

EOS = 9
SPEC = ModelSpec("m", "Masked", "masked", 1000, (EOS,), mask_id=3)
TEXT = "👩‍🔧 naïve 你好"
BYTES = {1000 + i: bytes([b]) for i, b in enumerate(TEXT.encode())}


def frame(cells: list[tuple[int, int]], **values: object) -> Frame:
    """Build a frame from (id, state) pairs."""
    ids, states = np.array([c[0] for c in cells], np.int32), np.array([c[1] for c in cells], np.uint8)
    heat = np.zeros(len(cells), np.uint8)
    given_values = {
        "step": 1,
        "block": 0,
        "span": (0, len(cells)),
        "forwards": 1,
        "seconds": 0.5,
        "forward_seconds": 0.4,
    }
    return Frame(**(given_values | values), ids=ids, states=states, confidence=heat, entropy=heat.copy())


def trace(*frames: Frame, pieces: dict[int, bytes] | None = None) -> Trace:
    return Trace(SPEC, "diffusion", {"seed": 5}, "Why?", (1, 2), pieces=pieces or {}, frames=list(frames))


def test_states_have_names_and_undecided_ones_are_known():
    assert len(STATES) == 8 and STATES[COMMITTED] == "committed" and STATES[AFTER_END] == "after_end"
    assert {STATES[state] for state in UNDECIDED} == {"mask", "noise", "taken_back"}


def test_a_frame_cannot_be_changed():
    one = frame([(7, COMMITTED), (-1, MASK)])
    for array in (one.ids, one.states, one.confidence, one.entropy):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        one.step = 2


def test_a_frame_tells_what_happened_in_its_step():
    one = frame([(7, COMMITTED), (8, SETTLED), (-1, MASK), (5, TAKEN_BACK), (6, NOISE), (4, COMMITTED), (3, PINNED)])
    assert one.committed == (0, 5) and one.taken_back == (3,) and one.undecided == 3


def test_frames_are_compared_by_content_with_or_without_their_times():
    cells = [(7, COMMITTED), (-1, MASK)]
    assert frame(cells).same_as(frame(cells))
    assert not frame(cells).same_as(frame(cells, seconds=9.0)) and frame(cells).same_as(
        frame(cells, seconds=9.0), times=False
    )
    assert not frame(cells).same_as(frame([(7, COMMITTED), (8, COMMITTED)]))
    assert not frame(cells).same_as(frame(cells, reasons=(Reason(0, "threshold", 0.95, 0.9),)))
    top = (np.zeros((2, 3), np.int32), np.zeros((2, 3), np.uint8))
    assert not frame(cells).same_as(frame(cells, candidates=top))
    assert frame(cells, candidates=top).same_as(frame(cells, candidates=(top[0].copy(), top[1].copy())))


@pytest.mark.parametrize("rule", REASONS)
def test_every_rule_says_why_in_words(rule: str):
    said = str(Reason(3, rule, 0.9312, 0.9))
    assert "{" not in said and len(said) > 10
    if "{v}" in REASONS[rule]:
        assert "0.931" in said
    if "{b}" in REASONS[rule]:
        assert "0.9" in said


def test_the_threshold_rule_reads_as_promised():
    assert str(Reason(0, "threshold", 0.93, 0.9)) == "p 0.93 >= 0.9"


def test_text_ends_before_the_end_token_and_leaves_holes_out():
    pieces = {1: b"Once", 2: b" upon", 4: b" a"}
    one = frame([(1, SETTLED), (-1, MASK), (4, COMMITTED), (EOS, SETTLED), (2, AFTER_END)])
    assert trace(one, pieces=pieces).text(one) == "Once a"
    assert trace(one, pieces=pieces).text(one, hole="_") == "Once_ a"
    assert trace(one, pieces=pieces).final_text == "Once a"


def test_an_undecided_position_never_shows_its_random_token_or_what_was_taken_back():
    one = frame([(1, NOISE), (2, TAKEN_BACK), (4, COMMITTED)])
    assert trace(one, pieces={1: b"no", 2: b"no", 4: b"yes"}).text(one) == "yes"


def test_a_token_without_a_known_text_is_left_out():
    one = frame([(1, SETTLED), (99, SETTLED)])
    assert trace(one, pieces={1: b"Once"}).text(one) == "Once"


@given(st.permutations(list(range(len(BYTES)))))
def test_byte_tokens_join_to_characters_whatever_the_order_they_come_in(order: list[int]):
    """Every byte of the text is a token of its own; only the finished text must be exact, none on the way may fail."""
    states = np.full(len(order), MASK, np.uint8)
    ids = np.array(list(BYTES), np.int32)
    for position in order:
        states[position] = SETTLED
        now = frame([(int(i) if s == SETTLED else -1, int(s)) for i, s in zip(ids, states, strict=True)])
        partial = trace(now, pieces=BYTES).text(now)
        assert len(partial) <= len(order)
    assert partial == TEXT


def test_answer_ids_run_up_to_and_including_the_first_end():
    assert answer_ids(frame([(1, SETTLED), (EOS, COMMITTED), (2, AFTER_END), (EOS, AFTER_END)]), (EOS,)) == [1, EOS]
    assert answer_ids(frame([(1, SETTLED), (-1, MASK), (4, COMMITTED)]), (EOS,)) == [1, 4]
    assert answer_ids(frame([(-1, MASK), (EOS, COMMITTED), (4, COMMITTED)]), (EOS,)) == [EOS]
    assert answer_ids(frame([(5, NOISE), (6, TAKEN_BACK)]), (EOS,)) == []
    assert answer_ids(frame([(1, PINNED), (2, SETTLED)]), iter([EOS])) == [1, 2]
    assert answer_ids(frame([(1, SETTLED), (8, COMMITTED), (2, SETTLED)]), (EOS, 8)) == [1, 8]


live = st.sampled_from([PINNED, MASK, NOISE, COMMITTED, SETTLED, TAKEN_BACK])
cells = st.lists(st.tuples(st.integers(0, 20), live), min_size=1, max_size=40)


@given(cells)
def test_text_and_ids_tell_the_same_story(raw: list[tuple[int, int]]):
    one = frame([(-1 if state == MASK else token, state) for token, state in raw])
    pieces = {token: f"<{token}>".encode() for token in range(21)}
    ids = answer_ids(one, (EOS,))
    assert EOS not in ids[:-1]
    assert trace(one, pieces=pieces).text(one) == "".join(f"<{token}>" for token in ids if token != EOS)


def test_a_result_follows_from_the_frames():
    start = frame([(-1, MASK)] * 4, step=0, forwards=0, seconds=0.0)
    first = frame([(1, COMMITTED), (-1, MASK), (-1, MASK), (-1, MASK)], forwards=2, seconds=0.25)
    last = frame([(1, SETTLED), (EOS, COMMITTED), (5, AFTER_END), (-1, AFTER_END)], step=2, forwards=4, seconds=0.5)
    run = trace(start, first, last, pieces={1: b"Once"})
    result = run.finish("end")
    assert (result.text, result.stopped, result.tokens, result.after_end) == ("Once", "end", 2, 1)
    assert (result.forwards, result.seconds, result.first_frame_seconds) == (4, 0.5, 0.25)
    assert (result.tokens_per_forward, result.tokens_per_second) == (0.5, 4.0)
    assert run.result is result and run.final_ids == [1, EOS] and run.seed == 5 and run.length == 4


def test_a_run_without_frames_has_an_empty_result():
    run = trace()
    result = run.finish("cancelled")
    assert (result.text, result.tokens, result.tokens_per_forward, result.tokens_per_second) == ("", 0, 0.0, 0.0)
    assert run.final_text == "" and run.final_ids == [] and run.length == 0


def test_every_way_to_stop_is_a_sentence():
    assert set(STOPPED) == {"end", "full", "converged", "cancelled", "deadline", "error"}


@given(st.floats(0, 1))
def test_probabilities_fit_a_byte_within_half_a_step(p: float):
    assert abs(int(pack_probability(p)) / 255 - p) <= 0.5 / 255 + 1e-9


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_packing_never_fails_or_wraps(value: float):
    assert 0 <= int(pack_probability(value)) <= 255 and 0 <= int(pack_entropy(value, 1000)) <= 255


@given(st.integers(2, 300_000), st.floats(0, 1))
def test_entropies_survive_packing_and_small_ones_stay_apart(vocabulary: int, share: float):
    nats = share * math.log(vocabulary)
    back = float(unpack_entropy(pack_entropy(nats, vocabulary), vocabulary))
    assert abs(math.sqrt(back) - math.sqrt(nats)) <= 0.5 / 255 * math.sqrt(math.log(vocabulary)) + 1e-9


def test_the_range_of_a_byte_is_used():
    assert pack_probability([0, 1]).tolist() == [0, 255]
    assert pack_entropy([0, math.log(1000)], 1000).tolist() == [0, 255]
