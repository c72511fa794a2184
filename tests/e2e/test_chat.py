"""A conversation on the page: an answer becomes part of it, turns are shown, replayed, asked anew, and left behind."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.test_watch import PLAYER, until

pytestmark = pytest.mark.e2e
OUTPUT = Path(__file__).parents[2] / "test-output" / "chat"


def say(page, text, before):
    page.locator("#prompt textarea").fill(text)
    page.locator("#run").click()
    until(
        page,
        f"p.run && p.run.result && p.run.header.prompt === '{text}' && (p.run.header.before || []).length === {before}",
    )


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
def test_an_answer_becomes_part_of_the_conversation(shared, visit, width, dark):
    page = visit(shared, width=width, height=900, dark=dark)
    expect(page.locator(".ink-next")).to_be_hidden()
    say(page, "One", 0)
    page.get_by_role("button", name="Next prompt").click()
    expect(page.locator("#prompt textarea")).to_have_value("")
    expect(page.locator("#prompt textarea")).to_be_focused()
    expect(page.locator(".ink-turns li")).to_have_count(1)
    say(page, "Two", 2)
    page.get_by_role("button", name="Next prompt").click()
    expect(page.locator(".ink-turns li b")).to_have_text(["One", "Two"])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"chat-{width}.png")
    page.locator(".ink-turns li").first.get_by_role("button", name="Replay").click()
    until(page, "p.run.header.prompt === 'One'")
    page.locator(".ink-turns li").nth(1).get_by_role("button", name="Edit").click()
    expect(page.locator("#prompt textarea")).to_have_value("Two")
    expect(page.locator(".ink-turns li")).to_have_count(1)
    say(page, "Branch", 2)
    assert page.evaluate(f"{PLAYER}.run.header.before[0][1]") == "One"
    page.get_by_role("button", name="Start anew").click()
    expect(page.locator(".ink-turns")).to_be_hidden()
    say(page, "Alone", 0)
