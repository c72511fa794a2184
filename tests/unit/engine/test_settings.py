"""Every knob, every kind of bad value, one sentence each; the same sentence whichever way the value came in."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.engine.parsing import parse_request
from model.errors import PlaygroundError, SettingError
from model.settings import FIELDS, LOCAL, PUBLIC, Field, Settings, applies, bounds, parse_value

NUMBERS = [field for field in FIELDS if field.kind != "choice"]
WHOLE = [field for field in FIELDS if field.kind == "int"]
CHOICES = [field for field in FIELDS if field.kind == "choice"]
NOT_NUMBERS = [True, False, "32", "", None, [], [8], {}, b"8", object]


def cases(items: list[Field], values: list) -> list:
    return [pytest.param(field, value, id=f"{field.name}-{str(value)[:12]}") for field in items for value in values]


def refusal(values: dict, limits=LOCAL) -> SettingError:
    """Return the refusal of `values`, after checking that a request refuses them in the same words."""
    with pytest.raises(SettingError) as first:
        Settings.parse(values, limits)
    with pytest.raises(SettingError) as second:
        parse_request("A prompt", values, limits=limits)
    assert str(first.value) == str(second.value)
    assert isinstance(first.value, PlaygroundError)
    return first.value


def check_sentence(error: SettingError, field: Field, value: object) -> None:
    text = str(error)
    assert len(text) <= 160
    assert text.startswith(field.label + " must be") and text.endswith(".")
    assert "\n" not in text and error.knob == field.name
    if isinstance(value, int) and value.bit_length() > 128:
        assert "digits." in text
    else:
        assert f"it was {value!r}." in text


@pytest.mark.parametrize(("field", "value"), cases(NUMBERS, [math.nan, math.inf, -math.inf]))
def test_a_number_that_is_not_finite_is_refused(field: Field, value: float):
    error = refusal({field.name: value})
    check_sentence(error, field, value)
    assert "finite" in str(error)


@pytest.mark.parametrize(("field", "value"), cases(NUMBERS, NOT_NUMBERS))
def test_what_is_not_a_number_is_refused(field: Field, value: object):
    error = refusal({field.name: value})
    check_sentence(error, field, value)
    assert "must be a number" in str(error)


@pytest.mark.parametrize(("field", "value"), cases(WHOLE, [1.5, 10.000001, -0.5]))
def test_a_fraction_is_refused_where_a_whole_number_is_asked(field: Field, value: float):
    check_sentence(refusal({field.name: value}), field, value)


@pytest.mark.parametrize("limits", [LOCAL, PUBLIC], ids=["local", "public"])
@pytest.mark.parametrize("field", NUMBERS, ids=lambda f: f.name)
def test_a_number_out_of_bounds_is_refused_with_the_bounds(field: Field, limits):
    low, high = bounds(field, limits)
    for value in (low - 1, high + 1, -(10**9), 10**12, -1e300, 1e300):
        if low <= value <= high:
            continue
        error = refusal({field.name: value}, limits)
        check_sentence(error, field, value)
        assert f"{low:g}" in str(error) and f"{high:.10g}" in str(error)


@pytest.mark.parametrize("field", [f for f in NUMBERS if f.open_low], ids=lambda f: f.name)
def test_an_open_bound_itself_is_refused(field: Field):
    error = refusal({field.name: field.low})
    check_sentence(error, field, field.low)
    assert f"above {field.low:g}" in str(error)
    assert Settings.parse({field.name: field.low + 1e-6})


@pytest.mark.parametrize("limits", [LOCAL, PUBLIC], ids=["local", "public"])
@pytest.mark.parametrize("field", NUMBERS, ids=lambda f: f.name)
def test_the_bounds_themselves_are_accepted_exactly(field: Field, limits):
    low, high = bounds(field, limits)
    for value in (high,) if field.open_low else (low, high):
        parsed = getattr(Settings.parse({field.name: value}, limits), field.name)
        assert parsed == value and type(parsed) is (int if field.kind == "int" else float)


@pytest.mark.parametrize(
    ("field", "value"), cases(CHOICES, ["", "nonsense", "Linear ", None, 3, True, ["linear"], {}, math.nan])
)
def test_a_choice_must_be_one_of_its_names(field: Field, value: object):
    error = refusal({field.name: value})
    check_sentence(error, field, value)
    assert all(choice in str(error) for choice in field.choices)


@pytest.mark.parametrize(
    ("field", "value"), [pytest.param(f, c, id=f"{f.name}-{c}") for f in CHOICES for c in f.choices]
)
def test_every_choice_is_accepted(field: Field, value: str):
    assert getattr(Settings.parse({field.name: value}), field.name) == value


@pytest.mark.parametrize("name", ["", "step", "Steps", "__class__", "prompt", "steps ", "x" * 10_000, 3])
def test_an_unknown_setting_is_refused_by_name(name: object):
    error = refusal({name: 1})
    assert len(str(error)) <= 160 and str(name)[:40] in str(error)


@pytest.mark.parametrize("values", [[], [1], "steps", 3])
def test_settings_that_are_not_a_mapping_are_refused(values: object):
    with pytest.raises(SettingError, match="must map names to values"):
        Settings.parse(values)


@pytest.mark.parametrize(
    "value", ["9" * 5000, 10**5000, [0] * 5000, {"a": "b" * 5000}], ids=["text", "integer", "list", "mapping"]
)
def test_a_huge_value_is_shown_shortened(value: object):
    assert len(str(refusal({"steps": value}))) <= 160
    assert len(str(refusal({"temperature": value}))) <= 160


def test_a_whole_float_counts_as_whole_and_an_integer_as_a_float():
    parsed = Settings.parse({"steps": 8.0, "temperature": 1})
    assert parsed.steps == 8 and type(parsed.steps) is int
    assert parsed.temperature == 1.0 and type(parsed.temperature) is float


@pytest.mark.parametrize("values", [{"steps": 0}, {"order": "x"}, {"temperature": math.nan}])
def test_settings_made_in_code_are_checked_too(values: dict):
    with pytest.raises(SettingError):
        Settings(**values)


def test_the_public_profile_is_never_wider_than_the_local_one():
    for field in NUMBERS:
        (low, high), (public_low, public_high) = bounds(field, LOCAL), bounds(field, PUBLIC)
        assert low <= public_low <= public_high <= high
    assert PUBLIC.cost <= LOCAL.cost and PUBLIC.seconds <= LOCAL.seconds and PUBLIC.prompt_chars <= LOCAL.prompt_chars


def test_the_table_and_the_record_agree():
    assert Settings().as_dict() == {field.name: field.default for field in FIELDS}
    assert Settings.parse({}) == Settings() == Settings.parse(Settings().as_dict())
    assert json.loads(json.dumps(Settings().as_dict())) == Settings().as_dict()


@pytest.mark.parametrize("field", FIELDS, ids=lambda f: f.name)
def test_every_knob_explains_itself_and_its_default_is_allowed_everywhere(field: Field):
    assert field.label and len(field.help) > 20 and field.help.endswith(".")
    assert set(field.families) <= {"masked", "uniform", "autoregressive"}
    for limits in (LOCAL, PUBLIC):
        assert parse_value(field, field.default, limits) == field.default


@given(st.sampled_from(NUMBERS), st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=9)))
def test_any_value_is_either_within_bounds_or_refused_in_one_sentence(field: Field, value: object):
    low, high = bounds(field, PUBLIC)
    try:
        parsed = parse_value(field, value, PUBLIC)
    except SettingError as error:
        assert len(str(error)) <= 160 and str(error).startswith(field.label)
    else:
        assert low <= parsed <= high and parsed == value and not isinstance(value, bool)
        assert not (field.open_low and parsed == low)


@pytest.mark.parametrize(
    ("values", "read", "not_read"),
    [
        ({"rule": "schedule"}, ["schedule", "steps"], ["threshold", "factor"]),
        ({"rule": "threshold"}, ["threshold"], ["schedule", "factor"]),
        ({"rule": "factor"}, ["factor"], ["threshold", "entropy_bound"]),
        ({"rule": "entropy"}, ["entropy_bound"], ["threshold", "schedule"]),
        ({"remasking": "none"}, ["order"], ["remask_strength"]),
        ({"remasking": "remdm_cap"}, ["remask_strength"], ["threshold"]),
        ({"temperature": 0.0}, ["seed"], ["top_p", "top_k"]),
        ({"temperature": 0.5}, ["top_p", "top_k"], []),
    ],
)
def test_only_knobs_that_the_rule_reads_apply(values: dict, read: list, not_read: list):
    settings = Settings(**values)
    named = {field.name: field for field in FIELDS}
    assert all(applies(named[name], settings) for name in read)
    assert not any(applies(named[name], settings) for name in not_read)
