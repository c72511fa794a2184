"""What a person sees of the player: no word covers another in any frame, nothing is cut, the docked card covers no word and no button."""

# ruff: noqa: F811
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model.trace.trace import Trace
from playground.web.wire import Recorder
from tests.e2e.player_page import PLAYER, RUNS, cell, show  # noqa: F401

pytestmark = pytest.mark.e2e
TRACES = Path(__file__).parents[2] / "assets" / "traces"
SHIPPED = {path.stem: path for path in sorted(TRACES.glob("*.json")) if "sudoku" not in path.stem}
# every pair of words whose boxes share more than a pixel, and every word that is wider than the place it is drawn in
SEEN = r"""() => {
  const out = [], cells = [...document.querySelectorAll('.ib-text > .ib-cell')], boxes = [];
  for (const el of cells) {
    const ink = el.querySelector('.ib-ink'), r = ink.getBoundingClientRect();
    if (getComputedStyle(ink).visibility === 'hidden' || !r.width) continue;
    for (const [b, i] of boxes) {
      const w = Math.min(r.right, b.right) - Math.max(r.left, b.left), h = Math.min(r.bottom, b.bottom) - Math.max(r.top, b.top);
      if (w > 1 && h > 1) out.push(`${i} and ${el.dataset.i} overlap by ${w.toFixed(1)}`);
    }
    boxes.push([r, el.dataset.i]);
    const over = el.querySelector('.ib-over');
    if (ink.dataset.o && ink.dataset.o !== 'hid' && ink.dataset.o !== 'end' && /[\p{L}\p{N}]/u.test(over.textContent)) {
      const range = document.createRange();
      range.selectNodeContents(over);
      const wide = range.getBoundingClientRect().width;
      if (wide > r.width + 1) out.push(`'${over.textContent}' at ${el.dataset.i} is ${wide.toFixed(1)} wide in ${r.width.toFixed(1)}`);
    }
  }
  return out;
}"""


def faults(page: Any, frames: int) -> list[str]:
    """Return what is wrong with the words of any frame of the run on the page."""
    found = []
    for k in range(frames):
        page.evaluate(f"{PLAYER}.seek({k})")
        found += [f"step {k}: {fault}" for fault in page.evaluate(SEEN)]
    return found


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", [*(shape for shape in RUNS if shape not in ("board", "hostile")), *SHIPPED])
def test_no_word_covers_another_and_none_is_cut(show: Any, name: str, width: int):
    trace = RUNS[name] if name in RUNS else Trace.from_json(SHIPPED[name].read_text())
    page = show(trace, width=width)
    assert faults(page, len(trace.frames)) == []


def test_a_live_run_lays_out_anew_and_no_word_ever_covers_another(show: Any):
    trace = Trace.from_json(SHIPPED["1-notice"].read_text())
    page, recorder, found = show("full"), Recorder(trace, interval=0), []
    for frame in trace.frames:
        page.evaluate(f"message => {PLAYER}.receive(JSON.parse(message))", recorder.add(frame))
        for wait in (0, 40, 90):
            page.wait_for_timeout(wait)
            found += page.evaluate(SEEN)
    assert page.evaluate(f"{PLAYER}.length") == len(trace.frames) and found == []


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1920, 1080), (360, 1600)])
def test_the_card_is_docked_where_it_covers_no_word_and_no_button(show: Any, width: int, height: int):
    page, last = show("full", width=width, height=height), len(RUNS["full"].frames) - 1
    for k in (0, last // 2, last):
        page.evaluate(f"{PLAYER}.seek({k})")
        for i in (0, 17, 40):
            page.evaluate(f"i => {PLAYER}.ask(i, true)", i)
            card = page.locator(".ib-card").bounding_box()
            for what in (".ib-paper", ".ib-transport", ".ib-slider"):
                box = page.locator(what).bounding_box()
                assert card["y"] >= box["y"] + box["height"] - 1, (what, k, i)
            assert card["y"] + card["height"] <= height and card["x"] >= 0 and card["x"] + card["width"] <= width


def test_where_the_view_is_too_low_the_card_keeps_clear_of_the_word_that_was_asked(show: Any):
    page = show("full", width=360, height=560)
    for i in (2, 20, 50):
        cell(page, i).scroll_into_view_if_needed()
        page.evaluate(f"i => {PLAYER}.ask(i, true)", i)
        card, word = page.locator(".ib-card").bounding_box(), cell(page, i).bounding_box()
        assert card["y"] >= word["y"] + word["height"]
