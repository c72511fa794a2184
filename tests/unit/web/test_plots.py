"""Figures say what the traces say; colours stand out on paper and at night, also for colour-blind eyes."""

from __future__ import annotations

import itertools
import json
from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from model.engine.engine import Engine
from model.engine.quality import Quality, distinct, quality, repetition
from model.models.scripted import Fake
from model.settings import LOCAL, Settings
from model.trace.frame import UNDECIDED
from playground.compare.figures import FIGURES
from playground.compare.sweep import REFERENCE, Point, Sweep, plan
from playground.web.components.chart import chart_value, save_js
from playground.web.views.plots import COLOURS, HEATS, frontier, heat, heatmap, text_over_time, written

go = pytest.importorskip("plotly.graph_objects")


def trace_of(mode="diffusion", settings=None, **more):
    return Fake().denoise("hi", settings or Settings(new_tokens=64, steps=16), mode=mode, **more).finish()


@pytest.fixture(scope="module")
def sweep():
    engine = Engine(LOCAL, loader=lambda model_id, progress=None: Fake(0.001))
    made = Sweep(engine, plan("steps", "8, 16", ["a"], 3, {"model": "fake", "new_tokens": 32}, LOCAL))
    for _ in made:
        pass
    return made


# ---------------------------------------------------------------- races
@pytest.mark.parametrize("clock", ["seconds", "forwards"])
def test_text_over_time_ends_with_the_whole_text_at_the_run_s_own_numbers(clock):
    lanes = [("one", trace_of()), ("two", trace_of("ar"))]
    figure = text_over_time(lanes, clock)
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    for line, (label, trace) in zip(lines, lanes, strict=True):
        assert line.name == label and line.x[-1] == getattr(trace.frames[-1], clock)
        assert line.y[0] == 0 and line.y[-1] == trace.result.tokens == max(line.y)
    assert lines[0].line.dash != lines[1].line.dash and lines[0].line.color != lines[1].line.color
    assert figure.layout.xaxis.title.text == {"seconds": "seconds of computing", "forwards": "forward passes"}[clock]


def test_given_words_are_not_text_that_was_written():
    trace = trace_of(pinned={0: "Every word"})
    assert written(trace.frames[0], 64) == 0
    assert written(trace.frames[-1], trace.result.tokens) == trace.result.tokens - 2


def test_a_label_is_shown_as_it_is():
    name = text_over_time([("<b>%{x}</b> & co", trace_of())]).data[0].name
    assert name == "&lt;b&gt;% {x}&lt;/b&gt; &amp; co"


# ---------------------------------------------------------------- sweeps
def test_the_frontier_shows_medians_intervals_and_every_run(sweep):
    figure = frontier(sweep.points, "steps", "nll")
    dots, line, _, diamond = figure.data
    assert list(line.text) == ["8", "16"] and diamond.name == REFERENCE and [c[0] for c in diamond.customdata] == [2]
    for i, point in enumerate(sweep.points[:2]):
        speed = point.spread("tokens_per_second")
        assert line.x[i] == speed.median and line.error_x.array[i] == speed.high - speed.median
        assert line.error_x.arrayminus[i] == speed.median - speed.low and line.customdata[i] == [i, -1]
    assert len(dots.x) == 6 and [tuple(c) for c in dots.customdata] == [(i, n) for i in (0, 1) for n in range(3)]


def test_where_the_twin_is_missing_the_chart_says_so(sweep):
    for point in sweep.points:
        for run in point.runs:
            run.quality = Quality(None, run.quality.distinct_2)
    figure = frontier(sweep.points, "steps", "nll")
    assert not figure.data and "not computed" in figure.layout.annotations[0].text
    assert frontier(sweep.points, "steps", "distinct_2").data


def test_a_share_of_consistent_texts_is_drawn_between_nothing_and_all(sweep):
    checked = [
        Point(point.value, [replace(run, trace=copy(run.trace)) for run in point.runs]) for point in sweep.points
    ]
    for point in checked:
        for n, run in enumerate(point.runs):
            run.trace.result = replace(run.trace.result, faults=((("x", (0,)),) if point.value == 8 and n else ()))
    line, _ = frontier(checked, "steps", "consistent").data[1:3]
    assert list(line.y) == [pytest.approx(1 / 3), 1.0] and line.error_y.array[0] == pytest.approx(
        0.7923 - 1 / 3, abs=1e-3
    )
    assert frontier(checked, "steps", "consistent").layout.yaxis.tickformat == ".0%"


# ---------------------------------------------------------------- one run
@pytest.mark.parametrize("of", HEATS)
def test_the_heatmap_is_position_by_step_and_marks_the_step_in_view(of):
    trace = trace_of()
    figure = heatmap(trace, of, step=5)
    assert figure.data[0].z.shape == (64, len(trace.frames))
    (line,) = figure.layout.shapes
    assert line.name == "in view" and line.x0 == line.x1 == 5
    assert heatmap(trace, of).layout.shapes[0].x0 == len(trace.frames) - 1
    assert json.loads(chart_value(figure))["data"][0]["type"] == "heatmap"


def test_heat_is_the_frames_own_numbers_and_nothing_where_there_is_nothing():
    trace = trace_of()
    values = heat(trace, "confidence")
    k = 7
    assert np.isnan(values[:, 0]).all(), "before any pass nothing is known"
    known = ~np.isnan(values[:, k])
    assert np.allclose(values[known, k], trace.frames[k].confidence[known] / 255)
    assert np.isnan(values[trace.result.tokens + 1 :, -1]).all(), "behind the end there is nothing"
    steps = heat(trace, "commit step")
    for position in trace.frames[k].committed:
        assert np.isnan(steps[position, k - 1]) and (steps[position, k : k + 3] == trace.frames[k].step).all()


def test_a_token_taken_back_loses_its_commit_step():
    trace = trace_of(settings=Settings(new_tokens=32, steps=16, remasking="p2", seed=3))
    values = heat(trace, "commit step")
    taken = [(k, p) for k, frame in enumerate(trace.frames) for p in frame.taken_back]
    assert taken
    for k, position in taken:
        assert np.isnan(values[position, k]) and int(trace.frames[k].states[position]) in UNDECIDED


# ---------------------------------------------------------------- colours
def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    a, b = sorted((luminance(one), luminance(other)), reverse=True)
    return (a + 0.05) / (b + 0.05)


def test_lines_stand_out_on_paper_and_at_night():
    assert (
        min(contrast(colour, ground) for colour in COLOURS for ground in ("#f4f1e9", "#0f0e13", "#fdfbf5", "#17161c"))
        >= 3
    )


def test_the_first_three_lanes_can_be_told_apart_by_colour_blind_eyes():
    # Vienot, Brettel and Mollon 1999, in linear RGB: protanopia and deuteranopia
    matrices = (
        [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    )
    linear = [np.array([(int(c[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5)]) for c in COLOURS[:3]]
    for matrix in matrices:
        seen = [np.clip(np.array(matrix) @ colour, 0, 1) ** (1 / 2.2) for colour in linear]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.12


# ---------------------------------------------------------------- quality
def test_distinct_and_repetition():
    assert distinct([1, 2, 1, 2, 1]) == 0.5 and distinct([1]) is None
    assert repetition([1, 2, 3, 4, 1, 2, 3, 4]) == pytest.approx(0.2) and repetition([1, 2, 3]) is None


def test_quality_is_the_twin_s_mean_surprise_or_not_computed():
    trace, engine = trace_of(), Engine(LOCAL, loader=lambda model_id, progress=None: Fake())
    assert quality(trace).nll is None and quality(trace, engine).nll is None, "nothing is in memory"
    engine.load("fake")
    assert quality(trace, engine).nll == 0.5
    assert quality(trace, engine).distinct_2 == distinct(trace.final_ids[:-1]), (
        "the end token is no part of the text's pairs"
    )
    engine._model.score = lambda prompt, ids, system="": [float("inf")] * len(ids)
    assert quality(trace, engine).nll is None
    assert not engine.busy


def test_the_score_of_a_greedy_text_is_what_writing_it_saw():
    from tests.tiny import Tiny

    model = Tiny(eos=False)
    trace = model.denoise("abc", Settings(new_tokens=40), mode="ar").finish()
    seen = [reason.value for frame in trace.frames for reason in frame.reasons]
    assert np.allclose(
        np.exp(-np.array(model.score("abc", trace.final_ids))), seen, atol=2e-3
    )  # confidence forbids the mask token


def test_a_long_text_is_scored_in_pieces_that_change_nothing(monkeypatch):
    from model.models import base
    from tests.tiny import Tiny

    model = Tiny()
    ids = [7, 9, 30, 12, 8, 8, 41, 5, 6, 20, 33]
    whole = model.score("abc", ids)
    for size in (1, 2, 3, 10, 11):
        monkeypatch.setattr(base, "SCORED_AT_ONCE", size)
        assert np.allclose(model.score("abc", ids), whole, atol=1e-4)
    assert Tiny(modes=("diffusion",)).score("abc", ids) is None


def test_saving_happens_in_the_browser():
    assert "createObjectURL" in save_js("a.csv", "text/csv") and "a.csv" in save_js("a.csv", "text/csv")


def test_a_figures_unit_is_said_once():
    words = {"s": "seconds", "ms": "milliseconds", "nats a token": "nats"}
    assert [f.name for f in FIGURES if f.unit and words[f.unit] in f.label.lower()] == []
