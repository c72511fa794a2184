"""The Form tab: a form is read at a press, every slot's probabilities are bars whose lengths say what stands beside them."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e
OUTPUT = Path(__file__).parents[2] / "test-output" / "form"
LENGTHS = """() => [...document.querySelectorAll('.ink-form-slots li')].map((row) => [
  row.querySelector('i').getBoundingClientRect().width / row.getBoundingClientRect().width, row.querySelector('small').textContent])"""


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
def test_every_slot_has_its_bars(shared, visit, width, dark):
    page = visit(shared, width=width, height=900, dark=dark)
    page.get_by_role("tab", name="Form").click()
    page.locator("#form-text textarea").fill("It is {mood: good | bad}, <b>in</b> {where: town | the country}.")
    page.locator("#form-read").click()
    expect(page.locator(".ink-form-slots section")).to_have_count(2)
    expect(page.locator(".ink-form-text mark")).to_have_count(2)
    expect(page.locator(".ink-form-text")).to_contain_text("<b>in</b>")
    expect(page.locator("#form-result")).to_contain_text("How well these probabilities fit was not measured")
    for length, shown in page.evaluate(LENGTHS):
        expected = {"< 0.1 %": 0.0, "> 99.9 %": 1.0}.get(shown) or float(shown.strip("<> %")) / 100
        assert length == pytest.approx(expected, abs=0.03)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.locator(".ink-form-text")).to_be_in_viewport()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"form-{width}.png", full_page=True)


def test_an_example_and_a_refusal(shared, visit):
    page = visit(shared)
    page.get_by_role("tab", name="Form").click()
    page.locator("#form-example-1").click()
    expect(page.locator("#form-prompt textarea")).to_have_value(
        "The soup was cold and the waiter was rude. We will not come back."
    )
    expect(page.locator("#form-text textarea")).to_have_value(re.compile("^This is a review"))
    page.locator("#form-text textarea").fill("It is {mood: good | good}.")
    page.locator("#form-read").click()
    expect(page.locator("[data-testid=toast-body]")).to_contain_text("The slot 'mood' has the choice 'good' twice")
