"""Full screen, for a room: a prompt and Run at hand on Watch and in a race, and no label smaller than the last row can read."""

from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e
# every text that is seen and smaller than 24 px
SMALL = """() => {
  const out = [], walk = document.createTreeWalker(document.fullscreenElement, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode()); ) {
    const box = node.parentElement.getBoundingClientRect(), size = parseFloat(getComputedStyle(node.parentElement).fontSize);
    const aside = node.parentElement.closest("option, svg, .ib-sr, .ib-tip, .ib-over, [hidden]");
    if (node.data.trim() && box.width && box.height && !aside && size < 24) out.push(`${node.data.trim()}: ${size}`);
  }
  return out;
}"""
INSIDE = """el => {
  const box = el.getBoundingClientRect();
  return box.width > 0 && box.top >= 0 && box.bottom <= innerHeight && box.right <= innerWidth;
}"""


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080)])
def test_watch_runs_from_full_screen(server: Any, visit: Any, width: int, height: int):
    page = visit(server, width=width, height=height)
    page.fill("#prompt textarea", "Tell me something.")
    page.click("#run")
    page.wait_for_function("() => document.querySelector('#player .ib-host').__player.run?.done")
    page.click("#player [data-do=full]")
    room = page.locator("#player .ink-room")
    expect(room).to_be_visible()
    assert page.evaluate(SMALL) == []
    for part in (".ink-room", ".ib-transport", ".ib-slider"):
        assert page.locator(f"#player {part}").evaluate(INSIDE), part
    room.get_by_label("Prompt").fill("Another  prompt with f and a space")
    room.get_by_role("button", name="Run").click()
    expect(page.locator("#player .ib-prompt p")).to_have_text("Another  prompt with f and a space")
    page.wait_for_function("() => document.querySelector('#player .ib-host').__player.run?.done")
    assert page.evaluate("document.fullscreenElement.matches('.ib-player')")


def test_a_race_runs_in_full_screen(server: Any, visit: Any):
    page = visit(server)
    page.get_by_role("tab", name="Race").click()
    page.fill("#race-prompt textarea, #race-prompt input", "Race me.")
    page.click("#race-run")
    stage = page.locator("#race-stage")
    expect(stage.locator(".rs-transport")).to_be_visible()
    stage.get_by_role("button", name="Full screen").click()
    expect(stage.locator(".ink-room")).to_be_visible()
    assert page.evaluate(SMALL) == []
    for part in (".ink-room", ".rs-transport", ".rs-play"):
        assert stage.locator(part).evaluate(INSIDE), part
    before = stage.locator(".rs-stage").evaluate("el => el.__stage.race")
    stage.locator(".ink-room").get_by_label("Prompt").fill("Once more")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "race => { const s = document.querySelector('.rs-stage').__stage; return s.race !== race && s.ready; }",
        arg=before,
    )
    page.keyboard.press("Escape")
