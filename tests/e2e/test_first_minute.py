"""The first minute on the page: Enter runs, Escape closes before it stops, presets say when they were edited."""

import json

import pytest
from playwright.sync_api import expect

from tests.e2e.test_watch import choose, one_a_step, until

pytestmark = pytest.mark.e2e


def started(page, before):
    return until(page, f"p.run && p.run.id !== {json.dumps(before)} && p.run.id")


def test_enter_runs_and_shift_enter_breaks_the_line(shared, visit):
    page = visit(shared)
    field = page.locator("#prompt textarea")
    field.fill("one")
    field.press("Shift+Enter")
    field.press_sequentially("two")
    assert field.input_value() == "one\ntwo"
    field.press("Enter")
    until(page, "p.run && p.run.result && p.run.header.prompt === 'one\\ntwo'")
    assert field.input_value() == "one\ntwo"


def test_enter_that_chooses_a_character_does_not_run(shared, visit):
    page = visit(shared)
    page.locator("#prompt textarea").fill("kana")
    for options in ("{isComposing: true}", "{keyCode: 229}"):
        page.evaluate(f"""() => document.querySelector('#prompt textarea').dispatchEvent(
            new KeyboardEvent('keydown', {{ key: 'Enter', bubbles: true, cancelable: true, ...{options} }}))""")
    page.wait_for_timeout(600)
    assert not page.evaluate("document.querySelector('#player .ib-host').__player.run")


def test_escape_closes_a_list_and_a_card_before_it_stops(serve, visit):
    page = visit(serve(delay=0.15))
    one_a_step(page)
    page.locator("#run").click()
    until(page, "p.live && p.index >= 1")
    page.locator("#knob-order input").click()
    expect(page.get_by_role("option", name="margin")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("option", name="margin")).to_be_hidden()
    assert until(page, "p.live && !p.run.result")
    page.locator("#player .ib-text .ib-cell[data-i='2'] .ib-ink").click()
    expect(page.locator("#player .ib-card")).to_be_visible()
    page.keyboard.press("Escape")
    assert until(page, "p.live && !p.run.result && !p.inspector.pinned")
    page.locator("#prompt textarea").focus()
    page.keyboard.press("Escape")
    until(page, "p.run.result && p.run.result.stopped === 'cancelled'")


def test_an_edited_preset_becomes_custom_and_back(shared, visit):
    page = visit(shared, width=1440, height=1200)
    custom = page.locator("#preset label", has_text="Custom")
    expect(custom).to_be_hidden()
    choose(page, "rule", "schedule")
    expect(custom).to_be_visible()
    assert page.locator("#preset input:checked").get_attribute("value") == "custom"
    page.locator("#preset").get_by_text("Careful").click()
    expect(custom).to_be_hidden()
    choose(page, "rule", "schedule")
    choose(page, "rule", "threshold")
    expect(page.locator("#preset label", has_text="Careful").locator("input")).to_be_checked()


@pytest.mark.parametrize(("width", "least", "most"), [(1440, 1100, 1280), (1920, 1600, 1850)])
def test_the_page_takes_the_room_of_a_projector_and_no_more_of_a_desk(shared, visit, width, least, most):
    page = visit(shared, width=width, height=1000)
    page.locator("#run").click()
    until(page, "p.run && p.run.result")
    assert least <= page.locator(".ink-columns").first.bounding_box()["width"] <= most
    size = float(page.locator("#player .ib-text").evaluate("e => parseFloat(getComputedStyle(e).fontSize)"))
    assert size >= (24 if width > 1700 else 18)


def test_light_and_dark_are_one_press_apart_and_stay_after_a_reload(shared, visit):
    page = visit(shared, width=1440, height=900)
    paper = "getComputedStyle(document.querySelector('#player .ib-paper')).backgroundColor"
    switch = page.get_by_role("button", name="Dark page")
    page.locator("#player .ib-player").wait_for()
    light = page.evaluate(paper)
    expect(switch).to_be_in_viewport()
    expect(switch).to_have_attribute("aria-pressed", "false")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "true")
    page.wait_for_function(f"() => {paper} !== '{light}'")
    page.reload()
    page.locator("#player .ib-player").wait_for()
    expect(switch).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(paper) != light
    switch.click()
    page.wait_for_function(f"() => {paper} === '{light}'")


def test_a_preset_says_what_it_is_for(server, visit):
    page = visit(server)
    said = page.locator("#preset-line p:visible")
    expect(said).to_have_count(1)
    expect(said).to_contain_text("guesses the next")
    page.locator("#preset").get_by_text("All over").click()
    expect(said).to_have_text(
        "Words appear all over the canvas, as in the big models. Rougher: so small a model loses the thread."
    )


def test_a_prompt_that_is_too_long_is_not_cut_but_refused(server, visit):
    page, words = visit(server), "many words " * 2_000
    page.fill("#prompt textarea", words)
    page.locator("#run").click()
    expect(page.locator("[data-testid=toast-body]").first).to_contain_text(
        "may have at most 16,000 characters; it has 22,0"
    )
    assert page.locator("#prompt textarea").input_value() == words
    page.goto("about:blank")
