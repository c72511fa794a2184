"""Sudoku on the page: examples, typed puzzles, the board, its verdict, four orders in a race; on a tiny untrained network."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from model.engine.engine import Engine
from model.models.sudoku.model import Sudoku
from model.models.worlds.weights import save
from model.settings import LOCAL
from model.sudoku import of_level
from playground.web import server as serving_module
from playground.web.tabs import watch
from tests.e2e.test_watch import until
from tests.patience import patience
from tests.unit.models.test_sudoku_model import network

pytestmark = pytest.mark.e2e
OUTPUT = Path(__file__).parents[2] / "test-output" / "sudoku"


@pytest.fixture(scope="module")
def page_of_sudoku(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sudoku")
    save(folder / "masked", network(False), {})
    save(folder / "twin", network(True), {})
    model = Sudoku(folder / "masked", folder / "twin")
    engine = Engine(LOCAL, loader=lambda model_id, progress: model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "TRACES", Path("/nowhere"))
        blocks, url = serving_module.launch(engine, LOCAL, "sudoku")
    yield type("Server", (), {"url": url.rstrip("/"), "engine": engine, "blocks": blocks})
    blocks.close(verbose=False)
    engine.close()


def test_an_example_fills_a_board_and_its_verdict_is_seen(page_of_sudoku, visit):
    page = visit(page_of_sudoku, width=1440, height=1100)
    assert page.locator("#examples-worlds").is_hidden() and page.locator("#examples-chat").is_hidden()
    page.locator("#examples-sudoku").get_by_text("Hard").click()
    until(page, "p.run && p.run.result && p.run.board")
    page.evaluate("document.querySelector('#player .ib-host').__player.go(999)")
    cells = page.locator("#player .ib-text > .ib-cell")
    assert cells.count() == 81
    given = [i for i in range(81) if cells.nth(i).get_attribute("data-s") == "pinned"]
    assert given == [i for i, digit in enumerate(of_level("hard", 7).puzzle) if digit]
    verdict = page.locator("#player .ib-verdict")
    expect(verdict).to_be_visible()
    expect(verdict).to_contain_text("twice in")  # an untrained network: the first clash is named
    assert page.locator("#player .ib-clash").count() >= 2
    expect(page.locator("#player .ib-bar")).to_be_hidden()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / "board.png")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("why is the sky blue", "Type a Sudoku of 81 cells"),
        ("1" * 81, "clashes with"),
        ("." * 80 + "1", "more than one solution"),
    ],
)
def test_a_puzzle_that_is_none_gets_a_sentence(page_of_sudoku, visit, typed, said):
    page = visit(page_of_sudoku)
    page.locator("#prompt textarea").fill(typed)
    page.locator("#run").click()
    toast = page.locator("[data-testid=toast-body]")
    expect(toast).to_contain_text(said, timeout=patience(8000))
    assert "Traceback" not in toast.inner_text()


def test_four_orders_race_on_one_board(page_of_sudoku, visit):
    page = visit(page_of_sudoku, width=1440, height=1100)
    page.get_by_role("tab", name="Race").click()
    page.get_by_text("Four orders on one Sudoku").click()
    expect(page.locator("#race-prompt textarea")).to_have_value("An extreme Sudoku, number 1")
    page.locator("#race-run").click()
    page.wait_for_selector(".ink-figures", timeout=patience(60_000))
    names = [page.locator(".rs-name").nth(i).inner_text() for i in range(4)]
    assert names == ["Order margin", "Order confidence", "Order random", "Order left to right"]
    tops = {round(page.locator(".rs-lane").nth(i).bounding_box()["y"]) for i in range(4)}
    assert len(tops) == 1  # beside each other
    assert page.locator("#race-stage .ib-board").count() == 4
    page.get_by_text("8, 16 and 64 steps, one seed").click()
    expect(page.locator("#race-prompt textarea")).not_to_have_value("An extreme Sudoku, number 1")
