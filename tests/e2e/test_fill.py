"""Text with holes on the page: what the model can use is said before, only holes are written, the choice of lengths is shown."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.test_watch import PLAYER, until

pytestmark = pytest.mark.e2e
OUTPUT = Path(__file__).parents[2] / "test-output" / "fill"


def opened(page):
    page.locator("#fill .label-wrap").click()
    page.locator("#fill-text textarea").wait_for()
    return page


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (360, True)])
def test_only_the_holes_are_written_and_the_choice_is_shown(shared, visit, width, dark):
    page = opened(visit(shared, width=width, height=900, dark=dark))
    expect(page.locator("#fill-reach p[data-model=fake]")).to_be_visible()
    expect(page.locator("#fill-reach p[data-model=fake]")).to_contain_text("blocks from left to right")
    expect(page.locator("#fill-reach p[data-model=worlds]")).to_be_hidden()
    page.locator("#fill-text textarea").fill("Dear  Anna,\n\n___ and [2] stand here.")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"asked-{width}.png", full_page=True)
    page.locator("#fill-go").click()
    until(page, "p.run && p.run.result")
    expect(page.locator("#player .ib-notice")).to_contain_text("Hole 1 takes")
    page.evaluate(f"{PLAYER}.go(0)")
    text = page.evaluate(f"{PLAYER}.run.result.text")
    assert text.startswith("Dear  Anna,\n\n") and text.endswith(" stand here.")
    given = page.evaluate(f"[...{PLAYER}.run.frames[0].states].filter((s) => s === 0).length")
    assert given > 10 and page.evaluate(f"{PLAYER}.run.frames.length") > 1
    page.evaluate(f"{PLAYER}.go({PLAYER}.length - 1)")
    page.screenshot(path=OUTPUT / f"filled-{width}.png")
    expect(page.locator("#player .ib-paper")).to_be_in_viewport()


def test_an_example_and_a_refusal(shared, visit):
    page = opened(visit(shared, width=1440, height=900))
    page.locator("#fill-example").click()
    expect(page.locator("#fill-text textarea")).to_have_value(re.compile("Dear Anna"))
    page.locator("#fill-text textarea").fill("no hole")
    page.locator("#fill-go").click()
    expect(page.locator("[data-testid=toast-body]")).to_contain_text("The text has no hole yet")
