"""Sweeps on the scripted fake with a scripted clock; and two runs laid beside each other."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from model.engine.catalog import entry
from model.engine.engine import Engine
from model.errors import ModelUnavailable, SettingError
from model.models.scripted import Fake
from model.settings import LOCAL, PUBLIC, Settings
from playground.compare.diff import compare, comparison_html
from playground.compare.sweep import KNOBS, REFERENCE, Spread, Sweep, csv_text, offered, parse_values, plan, rows

BASE = {"model": "fake", "new_tokens": 64, "steps": 16}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def sweep_of(knob="steps", values="8, 16", prompts=("a", "b"), seeds=2, make=None, **more):
    clock = Clock()
    make = make or (lambda: Fake(0.1, sleep=clock.sleep))
    engine = Engine(LOCAL, loader=lambda model_id, progress=None: make(), clock=clock)
    return Sweep(engine, plan(knob, values, list(prompts), seeds, BASE | more, LOCAL)), engine, clock


def finish(sweep):
    for _ in sweep:
        pass
    return sweep


# ---------------------------------------------------------------- values
@pytest.mark.parametrize(
    ("knob", "text", "values"),
    [
        ("steps", "8, 16,32", (8, 16, 32)),
        ("steps", "8..64/4", (8, 16, 32, 64)),
        ("block_length", "0..8/3", (0, 4, 8)),
        ("threshold", "0.5..0.9/3", (0.5, 0.7, 0.9)),
        ("temperature", "0..1", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("temperature", [0, 0.5], (0.0, 0.5)),
        ("order", "confidence, left to right", ("confidence", "left_to_right")),
        ("steps", "8, 8, 16", (8, 16)),
    ],
)
def test_values_are_lists_or_ranges(knob, text, values):
    assert parse_values(knob, text, LOCAL) == values


@pytest.mark.parametrize(
    ("knob", "text", "words"),
    [
        (
            "speed",
            "1",
            "The knob of a sweep must be one of steps, threshold, temperature, block_length, order, schedule; it was 'speed'.",
        ),
        ("steps", "", "between 1 and 16 values; it has 0"),
        ("steps", ",".join(map(str, range(1, 18))), "between 1 and 16 values; it has 17"),
        ("steps", "8.5", "Steps must be a whole number; it was 8.5."),
        ("steps", "eight", "Steps must be a number; it was 'eight'."),
        ("steps", "nan", "Steps must be a finite number"),
        ("threshold", "1.5", "Confidence threshold must be between 0 and 1; it was 1.5."),
        ("order", "sideways", "Order must be one of"),
        ("steps", "9..8", "A range of values must be like '8..64/4'"),
        ("steps", "1..inf/3", "A range of values must be like"),
        ("steps", "1..8/1", "A range of values must be like"),
        ("order", "a..b", "A range of values must be like"),
        ("steps", 7, "must be text of at most 400 characters"),
        ("steps", "1" * 401, "must be text of at most 400 characters"),
    ],
)
def test_bad_values_are_refused_in_one_sentence(knob, text, words):
    with pytest.raises(SettingError) as caught:
        parse_values(knob, text, LOCAL)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"prompts": []}, "between 1 and 16 prompts; it has 0"),
        ({"prompts": ["x"] * 17}, "between 1 and 16 prompts; it has 17"),
        ({"prompts": "x"}, "between 1 and 16 prompts; it has 1"),
        ({"seeds": 0}, "Seeds must be between 1 and 64; it was 0."),
        ({"seeds": 1.5}, "Seeds must be between 1 and 64; it was 1.5."),
        ({"seeds": float("nan")}, "Seeds must be between 1 and 64; it was nan."),
        ({"base": {"model": "fake", "seed": "x"}}, "Seed must be a number"),
        ({"prompts": [" "]}, "Write a prompt first"),
    ],
)
def test_a_plan_that_may_not_run_is_refused(changed, words):
    given = {"knob": "steps", "values": "8", "prompts": ["x"], "seeds": 1, "base": BASE, "limits": LOCAL} | changed
    with pytest.raises(SettingError) as caught:
        plan(**given)
    assert words in str(caught.value)


def test_unknown_models_and_too_many_runs_are_refused():
    with pytest.raises(ModelUnavailable):
        plan("steps", "8", ["x"], 1, BASE | {"model": "nope"}, LOCAL)
    engine = Engine(PUBLIC, loader=lambda model_id, progress=None: Fake())
    with pytest.raises(SettingError, match="at most 24 runs; it has 30"):
        Sweep(engine, plan("steps", "8, 16", ["x"] * 5, 3, BASE, PUBLIC, reference=False))


def test_sweeping_a_knob_makes_its_rule_the_one_that_reads_it():
    for knob, (values, implied) in KNOBS.items():
        requests = plan(knob, values, ["x"], 1, BASE | {"rule": "entropy"}, LOCAL, reference=False).requests
        for value, (request,) in requests.items():
            assert getattr(request.settings, knob) == value
            assert request.settings.rule == implied.get("rule", "entropy")


# ---------------------------------------------------------------- running
def test_every_value_is_written_for_every_prompt_and_seed_and_times_are_the_script_s():
    sweep, _, _ = sweep_of()
    finish(sweep)
    assert [point.value for point in sweep.points] == [8, 16, REFERENCE]
    for point in sweep.points:
        assert sorted((r.trace.prompt, r.trace.seed) for r in point.runs) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert [p.spread("seconds") for p in sweep.points] == [
        Spread(0.8, 0.8, 0.8, 4),
        Spread(1.6, 1.6, 1.6, 4),
        Spread(5.2, 5.2, 5.2, 4),
    ]
    assert sweep.points[0].shown.finished and sweep.points[0].spread("nll").median == 0.5


def test_values_take_turns_so_that_a_drifting_machine_spreads():
    sweep, _, _ = sweep_of()
    assert [job.group for job in sweep.series.jobs[:6]] == [8, 16, REFERENCE] * 2


def test_a_stop_keeps_partial_results():
    sweep, engine, _ = sweep_of()
    for progress in sweep:
        if progress.job == 4:
            sweep.stop()
    record = sweep.record()
    assert record["stopped"] == "cancelled" and [p["finished"] for p in record["points"]] == [2, 1, 1]
    assert len(record["runs"]) == 4 and not engine.busy


def test_a_failed_value_is_named_and_the_others_go_on():
    sweep, _, _ = sweep_of("steps", "8, 16", make=lambda: Fake(fail_at=12))
    record = finish(sweep).record()
    eight, sixteen, _ = record["points"]
    assert eight["finished"] == 4 and not eight["error"]
    assert sixteen["finished"] == 0 and sixteen["error"].startswith("An unexpected error ended it (RuntimeError)")
    json.dumps(record, allow_nan=False)


def test_csv_and_json_hold_one_row_a_finished_run_and_no_formula():
    sweep, _, _ = sweep_of(prompts=("=HYPERLINK(1)", "b"))
    finish(sweep)
    read = list(csv.DictReader(io.StringIO(csv_text(sweep))))
    assert len(read) == len(rows(sweep)) == 12
    assert read[0]["knob"] == "steps" and read[0]["value"] == "8" and float(read[0]["seconds"]) == 0.8
    assert {row["prompt"] for row in read} == {"'=HYPERLINK(1)", "b"} and "ids" not in read[0]
    assert rows(sweep)[0]["ids"] and rows(sweep)[0]["text"].startswith("This text is scripted")
    sweep, _, _ = sweep_of()
    assert csv_text(sweep) == "knob,value\n"


def test_a_spread_is_the_median_and_the_middle_half():
    assert Spread.of([4, 1, 3, 2, 5]) == Spread(3, 2, 4, 5)
    assert Spread.of([7]) == Spread(7, 7, 7, 1) and Spread.of([]) is None


def test_a_share_is_a_mean_with_wilson_s_interval():
    half = Spread.share([1.0] * 5 + [0.0] * 5)
    assert (half.median, half.runs) == (0.5, 10)
    assert (half.low, half.high) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    sure = Spread.share([1.0] * 20)
    assert sure.median == sure.high == 1 and sure.low == pytest.approx(0.8389, abs=1e-4)
    assert Spread.share([0.0]).low == 0 and Spread.share([]) is None


def test_texts_that_a_checker_reads_make_a_share_of_each_point():
    sweep, _, _ = sweep_of()
    finish(sweep)
    assert [point.spread("consistent") for point in sweep.points] == [
        None
    ] * 3  # the stand-in's texts are nobody's to check
    for point in sweep.points:
        for run in point.runs:
            wrong = run.trace.seed == 1 and point.value == 8
            run.trace.result = replace(
                run.trace.result, faults=((("'his' does not fit Mira.", (3,)),) if wrong else ())
            )
    eight, sixteen, _ = sweep.points
    assert eight.spread("consistent").median == 0.5 and sixteen.spread("consistent").median == 1
    assert sweep.record()["points"][0]["spread"]["consistent"]["median"] == 0.5


# ---------------------------------------------------------------- two runs
def trace_of(**fake):
    return Fake(**fake).denoise("hi", Settings(new_tokens=16, steps=4)).finish()


def test_equal_runs_do_not_part():
    found = compare(trace_of(), trace_of())
    assert found.sentence == "Both runs wrote the same 16 tokens." and [s.same for s in found.stretches] == [True]


def test_runs_part_where_their_tokens_first_differ():
    words = ["one", " two", " three", " four", " five", " six"]
    first, second = trace_of(emit=words), trace_of(emit=[*words[:2], " drei", *words[3:]])
    found = compare(first, replace(second, spec=replace(second.spec, id="other")))
    again = " four five sixone two"
    assert found.parting == 2
    assert [(s.first, s.second) for s in found.stretches[:3]] == [
        ("one two", "one two"),
        (" three", " drei"),
        (again, again),
    ]
    assert found.shared == 13 and "part at position 2 (decided in step" in found.sentence
    assert "13 of 16 tokens stand in both" in found.sentence


def test_a_stretch_too_short_to_be_telling_is_shown_as_different():
    first, second = trace_of(emit=["a", "b", "c", "d"]), trace_of(emit=["a", "x", "c", "y"])
    found = compare(first, replace(second, spec=replace(second.spec, id="other")))
    assert [s.same for s in found.stretches] == [True, False] and found.shared == 8


def test_one_text_may_be_the_beginning_of_the_other():
    short, long = trace_of(eos_at=5), trace_of()
    assert compare(short, long).parting == 5
    assert compare(trace_of(eos_at=0), long).sentence.startswith("They part at the very first token")


def test_what_a_model_or_visitor_wrote_is_escaped():
    hostile = "<img src=x onerror=alert(1)>"
    made = comparison_html(compare(trace_of(emit=[hostile]), trace_of(emit=["fine"])), (hostile, "b"))
    assert "<img" not in made and made.count("&lt;img") >= 2


@pytest.mark.parametrize(("model", "fewest"), [("worlds", 4), ("worlds-noisy", 4), ("sudoku", 4), ("builtin", 8)])
def test_where_texts_are_checked_a_sweep_of_steps_begins_with_very_few(model, fewest):
    spec = entry(model).spec
    assert parse_values("steps", offered("steps", spec), LOCAL)[0] == fewest
    assert offered("temperature", spec) == KNOBS["temperature"][0]
