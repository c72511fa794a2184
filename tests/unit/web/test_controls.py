"""The page's knobs come from the one table, and what the page's script shows is what `applies` says."""

import json
import re

import gradio as gr
import pytest

from model.engine.catalog import entries, entry
from model.engine.parsing import parse_request
from model.loops.schedules import CURVES
from model.settings import FIELD, FIELDS, LOCAL, PUBLIC, REMASKING, RULES, Settings, applies, bounds, parse_value
from playground.presets import PRESETS, PURPOSES, start_values
from playground.web.app import head
from playground.web.controls import knobs, page_data, schedule_curves
from playground.web.theme import style


@pytest.fixture(scope="module", params=[LOCAL, PUBLIC], ids=lambda limits: limits.name)
def built(request):
    with gr.Blocks():
        return request.param, knobs(request.param)


def test_every_knob_has_a_control_with_its_label_help_and_bounds(built):
    limits, controls = built
    assert list(controls) == [field.name for field in FIELDS]
    for field in FIELDS:
        control = controls[field.name]
        assert control.label.startswith(field.label) and control.info == field.help
        if field.kind == "choice":
            assert [value for _, value in control.choices] == list(field.choices)
        else:
            low, high = bounds(field, limits)
            assert control.maximum == high and low <= control.minimum <= low + (field.step or 0)
            assert parse_value(field, control.minimum, limits) == control.minimum
            assert parse_value(field, control.maximum, limits) == control.maximum


def test_every_knob_starts_with_a_value_that_is_allowed(built):
    limits, controls = built
    assert Settings.parse({name: control.value for name, control in controls.items()}, limits) == Settings.parse(
        start_values(limits)
    )


@pytest.mark.parametrize(("model", "name"), [(model, name) for model, presets in PRESETS.items() for name in presets])
def test_a_preset_can_run_everywhere_and_sets_the_same_knobs(model, name):
    preset, spec = PRESETS[model][name], entry(model).spec
    for limits in (LOCAL, PUBLIC):
        parse_request("x", preset, model=model, limits=limits).check(spec, 5, limits)
    assert len({frozenset(preset) for preset in PRESETS[model].values()}) == 1


def test_the_page_is_told_what_applies_as_settings_says_it():
    told = page_data(entries(), LOCAL)["fields"]
    assert json.loads(json.dumps(told)).keys() == FIELD.keys()
    for rule in RULES:
        for remasking in REMASKING:
            settings = Settings(rule=rule, remasking=remasking, temperature=0.5)
            for field in FIELDS:
                if "masked" in field.families:
                    shown = rule in told[field.name]["rules"] and remasking in told[field.name]["remasking"]
                    assert shown == applies(field, settings), (field.name, rule, remasking)


def test_the_page_is_told_which_knobs_only_sampling_reads():
    told = page_data(entries(), LOCAL)["fields"]
    assert {name for name, field in told.items() if field["sampling"]} == {"top_p", "top_k"}


def test_the_curves_are_those_of_the_schedules():
    drawn = dict(re.findall(r'data-schedule="(\w+)" points="([^"]+)"', schedule_curves()))
    assert drawn.keys() == CURVES.keys()
    for name, points in drawn.items():
        x, y = zip(*((float(a), float(b)) for a, b in (point.split(",") for point in points.split())), strict=True)
        assert (x[0], y[0], x[-1], y[-1]) == (0, 40, 100, 0)
        assert y[20] == pytest.approx(40 - 40 * CURVES[name](0.5), abs=0.01)


def test_head_and_style_name_no_other_address():
    for text in (head(LOCAL), style()):
        assert not re.search(r"(?:src|href|url|import)\s*[=(]?\s*[\"']?(?:https?:)?//", text)
    assert head(LOCAL).count("</script>") == 2  # the player, and ours


def test_every_preset_says_what_it_is_for():
    assert {model: set(told) for model, told in PURPOSES.items()} == {model: set(own) for model, own in PRESETS.items()}
