"""Races and sweeps refuse what is not what it should be in one sentence, and never take it for something else."""

import pytest

from model.engine.parsing import parse_request
from model.errors import ModelUnavailable, SettingError
from model.settings import LOCAL, PUBLIC
from playground.compare.lanes import make_lanes, preset_lanes
from playground.compare.sweep import parse_values
from playground.web.handlers.comparisons import lines, truth, whole

NOT_TEXT = [0, False, [], {}, 1.5, ["x"]]


@pytest.mark.parametrize("value", ["yes", "", 0, 1, 2.0, [], {}, "false"])
def test_a_truth_value_is_one(value):
    with pytest.raises(SettingError, match="New seeds must be true or false"):
        truth(value, "New seeds")
    assert truth(True, "New seeds") is True and truth(None, "New seeds") is False


@pytest.mark.parametrize("value", [None, True, "2", 1.5, float("nan"), float("inf"), [], {}])
def test_a_count_is_a_whole_number(value):
    with pytest.raises(SettingError, match="Repeats must be a whole number"):
        whole(value, "Repeats")


@pytest.mark.parametrize("value", [None, 5, True, {"a": 1}])
def test_prompts_are_lines_or_a_list(value):
    with pytest.raises(SettingError, match="prompts of a sweep must be"):
        lines(value)


@pytest.mark.parametrize("knob", [[1], {}, None, 3, ["steps"]])
def test_a_knob_is_a_name(knob):
    with pytest.raises(SettingError, match="The knob of a sweep must be one of"):
        parse_values(knob, "1", LOCAL)


@pytest.mark.parametrize("knob", ["steps", "temperature", "threshold", "block_length", "order"])
@pytest.mark.parametrize(
    "text",
    ["-1e308..1e308/3", "1e-320..64/3", "-1e308..1e308", "0..inf/3", "nan..1/3", "1..1e309/2", "1..2/1e3", "a..b"],
)
def test_a_range_that_cannot_be_spread_is_refused(knob, text):
    with pytest.raises(SettingError):
        parse_values(knob, text, LOCAL)


def test_a_range_is_spread_as_before():
    assert parse_values("steps", "8..64/4", LOCAL) == (8, 16, 32, 64)
    assert parse_values("temperature", "0..1/3", LOCAL) == (0.0, 0.5, 1.0)


@pytest.mark.parametrize("preset", [[1], {}, 5, None])
def test_a_preset_is_a_name(preset):
    with pytest.raises(SettingError, match="The preset of a race must be one of"):
        preset_lanes(preset)


@pytest.mark.parametrize("value", NOT_TEXT)
def test_text_is_text(value):
    with pytest.raises(SettingError, match="system prompt must be text"):
        parse_request("x", model="fake", system=value)
    with pytest.raises(SettingError, match="label of a lane must be text"):
        make_lanes("x", {"model": "fake"}, [{"label": value}, {}], LOCAL)
    with pytest.raises(SettingError, match="lines like"):
        parse_request("x", model="fake", pinned={3: value})


def test_a_lone_surrogate_gets_no_further():
    label = make_lanes("x", {"model": "fake"}, [{"label": "a\ud800"}], LOCAL)[0].label
    assert label == "a\ufffd" and label.encode()
    for limits in (LOCAL, PUBLIC):
        with pytest.raises((SettingError, ModelUnavailable)) as refused:
            parse_request("x", model="fake\ud800", limits=limits)
        assert str(refused.value).encode()
