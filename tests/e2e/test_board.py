"""The board view: a Sudoku in the same player, drawn from the same trace."""

# ruff: noqa: F811
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model.sudoku import PEERS
from model.trace.frame import PINNED, UNDECIDED
from tests.e2e.player_harness import GIVEN, SOLVED
from tests.e2e.player_page import PLAYER, RUNS, cell, show  # noqa: F401

pytestmark = pytest.mark.e2e
BOARD = RUNS["board"]
CELLS = "[...document.querySelectorAll('.ib-text > .ib-cell')]"


def clashing(frame: Any) -> list[int]:
    decided = {i: int(t) for i, t in enumerate(frame.ids) if frame.states[i] not in UNDECIDED}
    return [i for i in decided if any(decided.get(peer) == decided[i] for peer in PEERS[i])]


@pytest.mark.parametrize("width", [1280, 360])
def test_cells_lie_in_a_square_that_fits(show: Any, width: int):
    page = show("board", width=width)
    places = page.evaluate(f"{CELLS}.map(c => c.getBoundingClientRect()).map(r => [r.x, r.y, r.width])")
    rows = np.array(places).reshape(9, 9, 3)
    assert np.ptp(rows[:, :, 1], axis=1).max() < 1 and np.ptp(rows[:, :, 0], axis=0).max() < 1
    assert (np.diff(rows[0, :, 0]) > 20).all() and (np.diff(rows[:, 0, 1]) > 20).all()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not page.locator(".ib-outline path").count()


def test_given_cells_and_clashes_are_marked_at_every_step(show: Any):
    page = show("board")
    seen = page.evaluate(f"""() => {{ const p = {PLAYER}; return p.run.frames.map((_, k) => (p.seek(k),
        {CELLS}.map(c => [c.dataset.s, c.classList.contains('ib-clash')]))) }}""")
    assert [i for i, (state, _) in enumerate(seen[0]) if state == "pinned"] == [
        i for i, c in enumerate(GIVEN) if c != "."
    ]
    wrong = [[i for i, (_, clash) in enumerate(cells) if clash] for cells in seen]
    assert wrong == [clashing(frame) for frame in BOARD.frames]
    assert wrong[5] == [0, 5, 14] and wrong[-1] == []
    assert (BOARD.frames[0].states == PINNED).sum() == 30


def test_pencil_marks_are_the_candidates_in_their_places(show: Any):
    page = show("board")
    for k in (0, 3, 9):
        page.evaluate(f"{PLAYER}.seek({k})")
        marks = page.evaluate(f"""{CELLS}.map(c => [...c.querySelectorAll('.ib-mark')]
            .filter(m => m.textContent).map(m => {{ const a = m.getBoundingClientRect(), b = c.getBoundingClientRect();
              const third = (at, size, from, of) => Math.floor(3 * (at + size / 2 - from) / of);
              return [m.textContent, third(a.x, a.width, b.x, b.width) + 3 * third(a.y, a.height, b.y, b.height)] }}))""")
        frame = BOARD.frames[k]
        for i, found in enumerate(marks):
            ids, p = frame.candidates[0][i], frame.candidates[1][i]
            expected = {BOARD.pieces[int(t)].decode() for t, share in zip(ids, p, strict=True) if t > 0 and share >= 13}
            assert {digit for digit, _ in found} == (expected if frame.states[i] in UNDECIDED else set())
            assert all(place == int(digit) - 1 for digit, place in found)


def test_the_arrows_move_by_cells_and_the_inspector_names_them(show: Any):
    page = show("board")
    page.evaluate(f"{PLAYER}.seek(9)")
    cell(page, 40).click()
    assert (
        "row 5, column 5" in page.locator(".ib-card").inner_text()
        and "Empty: not decided yet." in page.locator(".ib-card").inner_text()
    )
    for i in (38, 40, 42):  # beside the board: at most a column of it is hidden
        cell(page, i).click()
        card, board = (
            page.evaluate(f"document.querySelector('{name}').getBoundingClientRect()")
            for name in (".ib-card", ".ib-text")
        )
        hidden = min(card["right"], board["right"]) - max(card["left"], board["left"])
        assert hidden < board["width"] / 9
    cell(page, 40).click()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{PLAYER}.canvas.active") == 50
    assert page.locator(".ib-text").get_attribute("aria-activedescendant") == page.locator(
        '.ib-cell[data-i="50"]'
    ).get_attribute("id")
    labels = page.evaluate(
        "[0, 1, 5].map(i => document.querySelector(`.ib-cell[data-i='${i}']`).getAttribute('aria-label'))"
    )
    assert labels[0] == "row 1, column 1: 5, given" and labels[2].startswith("row 1, column 6: ")


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ((), "Solved \u2013 every row"),
        ((("The 5 stands twice in row 1.", (0, 5)),), "1 contradiction \u2013 The 5 stands twice"),
    ],
)
def test_the_exact_check_is_told_at_the_end(show: Any, faults: Any, said: str):
    trace = replace(BOARD, result=replace(BOARD.result, faults=faults))
    page = show(trace)
    page.evaluate(f"{PLAYER}.seek({len(trace.frames) - 1})")
    assert page.locator(".ib-verdict").inner_text().startswith(said)
    assert page.locator(".ib-fault").count() == (2 if faults else 0)
    assert BOARD.final_text == SOLVED


def test_a_text_after_a_board_is_a_text_again(show: Any):
    page = show("board")
    page.evaluate(f"t => {PLAYER}.load(t)", RUNS["full"].to_json())
    assert not page.locator(".ib-board, .ib-mark").count() and page.locator(".ib-text > .ib-cell").count() == 64
