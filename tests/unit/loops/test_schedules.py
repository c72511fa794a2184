"""Schedules sum exactly, never idle and never exceed the steps, whatever divides what."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.loops.schedules import CURVES, counts, share_steps
from model.settings import SCHEDULES

names = st.sampled_from(SCHEDULES)


def test_every_schedule_of_the_settings_has_a_curve():
    assert tuple(CURVES) == SCHEDULES


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_curve_rises_from_nothing_to_everything(name: str):
    points = [CURVES[name](i / 100) for i in range(101)]
    assert points[0] == pytest.approx(0, abs=1e-12) and points[-1] == pytest.approx(1, abs=1e-12)
    assert all(a < b for a, b in zip(points, points[1:], strict=False))


@given(names, st.integers(1, 1024), st.integers(1, 2048))
@example("exp", 1024, 1024)
@example("cosine", 1, 1024)
def test_counts_sum_to_the_masks_with_at_least_one_a_step(name: str, masks: int, steps: int):
    planned = counts(name, masks, steps)
    assert sum(planned) == masks
    assert len(planned) == min(steps, masks)
    assert min(planned) >= 1


@given(names, st.integers(-5, 0), st.integers(1, 64))
def test_nothing_is_planned_where_nothing_is_masked(name: str, masks: int, steps: int):
    assert counts(name, masks, steps) == []


@given(names, st.integers(1, 512))
def test_one_step_commits_everything_and_enough_steps_commit_one_each(name: str, masks: int):
    assert counts(name, masks, 1) == [masks]
    assert counts(name, masks, masks) == [1] * masks


@pytest.mark.parametrize(
    ("name", "planned"),
    [
        ("linear", [8] * 8),
        ("cosine", [1, 4, 6, 8, 9, 12, 12, 12]),
        ("power", [1, 3, 5, 7, 9, 11, 13, 15]),
        ("sigmoid", [1, 2, 9, 20, 20, 9, 2, 1]),
        ("log", [21, 12, 8, 6, 6, 4, 4, 3]),
        ("exp", [2, 2, 3, 5, 7, 9, 15, 21]),
    ],
)
def test_the_shape_of_each_schedule_over_64_masks_and_8_steps(name: str, planned: list[int]):
    assert counts(name, 64, 8) == planned


@given(st.lists(st.integers(0, 64), min_size=1, max_size=32), st.integers(1, 1024))
def test_steps_are_shared_over_blocks_without_exceeding_them(masks: list[int], steps: int):
    shared = share_steps(steps, masks)
    working = sum(1 for here in masks if here)
    assert len(shared) == len(masks)
    assert all((take == 0) == (here == 0) for take, here in zip(shared, masks, strict=True))
    assert all(take <= here for take, here in zip(shared, masks, strict=True))
    if steps >= working:
        assert sum(shared) <= steps
    if steps >= sum(masks):
        assert shared == masks


@given(st.integers(1, 16), st.integers(1, 64), st.integers(1, 4))
def test_equal_blocks_get_equal_steps_where_they_divide(blocks: int, masks: int, each: int):
    each = min(each, masks)
    assert share_steps(blocks * each, [masks] * blocks) == [each] * blocks


def test_steps_follow_the_masks_of_a_block():
    assert share_steps(12, [32, 0, 16]) == [8, 0, 4]
    assert share_steps(3, [32, 1, 1]) == [1, 1, 1]
    assert share_steps(32, []) == []
