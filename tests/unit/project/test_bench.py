"""The benchmark measures what it names and ends with one JSON object."""

import json
import subprocess
import sys

import pytest

from bench.page import computed, rss_bytes
from bench.speed import WIDTHS, both_modes, milliseconds, ms_per_forward
from model.models.scripted import Fake
from model.settings import Settings
from scripts.budgets import ROOT
from tests.patience import patience


class Scripted:
    """A model whose predictor only notes what it is asked for."""

    def __init__(self):
        self.asked: set[tuple[int, int]] = set()

    def encode(self, prompt: str) -> list[int]:
        return [1, 2, 3]

    def predictor(self, *_):
        return self

    def advance(self, start: int, ids: list[int], rows: list[int]) -> None:
        if ids:
            self.asked.add((len(ids), len(rows)))

    def predict(self, canvas: list[int], span: tuple[int, int], positions: list[int]) -> None:
        assert all(canvas[p] == -1 for p in positions)
        self.asked.add((span[1] - span[0], len(positions)))


def test_a_forward_pass_is_timed_at_every_width(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bench.speed.milliseconds", lambda call: (call(), 1.5)[1])
    model = Scripted()
    assert (
        ms_per_forward(model)
        == {str(width): 1.5 for width in WIDTHS}
        == dict.fromkeys(("1", "8", "16", "32", "64", "128"), 1.5)
    )
    assert model.asked == {(1, 1), *((width, width - 1) for width in WIDTHS if width > 1)}


def test_the_median_ignores_one_slow_call(monkeypatch: pytest.MonkeyPatch):
    moments = iter([0, 1, 10, 12, 20, 23, 30, 34, 40, 90])  # five calls: 1, 2, 3, 4 and 50 seconds
    monkeypatch.setattr("bench.speed.time.perf_counter", lambda: next(moments))
    assert milliseconds(lambda: None, seconds=0) == 3000


def test_rates_come_from_the_models_own_clock():
    """Each pass of the fake takes exactly 0.1 s of its clock here, the drawing none: the loop adds nothing."""
    now = [0.0]

    class Clocked(Fake):
        def begin(self, request, **options):
            return super().begin(request, clock=lambda: now[0], **options)

    model = Clocked(delay=0.1, sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    rates = both_modes(model, Settings(steps=16, new_tokens=32), rounds=1, prompts=("Why?",))
    assert rates["loop_overhead"] == rates["ar_loop_overhead"] == 1
    assert rates["ar_tokens_per_second"] == 10
    assert rates["diffusion_tokens_per_second"] == pytest.approx(10 * rates["diffusion_tokens_per_forward"], abs=0.01)
    assert rates["diffusion_over_ar"] == pytest.approx(rates["diffusion_tokens_per_forward"], abs=0.01)


def test_the_empty_canvas_is_not_a_first_frame():
    assert not computed('{"run":"a","from":0,"frames":[{}],"done":false}')
    assert computed('{"run":"a","from":0,"frames":[{},{}],"done":false}')
    assert computed('{"run":"a","from":1,"frames":[{}],"done":false}')
    assert computed('{"run":"a","trace":{},"done":true}')
    assert not computed("you are next")


def test_memory_is_read_where_the_system_tells():
    own = rss_bytes(1)
    assert own is None or own > 0
    assert rss_bytes(2**22 + 1) is None


def test_the_command_ends_with_one_json_object():
    command = [sys.executable, "-m", "bench", "--model", "fake", "--no-page", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience(120))
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    named = {
        "load_seconds",
        "loop_overhead",
        "ms_per_forward",
        "diffusion_tokens_per_second",
        "ar_tokens_per_second",
        "diffusion_over_ar",
        "hardware",
        "dtype",
        "threads",
        "versions",
        "settings",
        "date",
    }
    assert named <= set(result)
