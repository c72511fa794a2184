"""Hands on the canvas in Chromium: select by mouse, touch and keys; erase, pin, type, choose; undo; go on, and what is fixed stays."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from model.models.scripted import SCRIPT
from tests.e2e.test_watch import PLAYER, choose, one_a_step, until
from tests.patience import patience

pytestmark = pytest.mark.e2e
OUTPUT = Path(__file__).parents[2] / "test-output" / "hands"
HANDS = f"{PLAYER}.hands"


def cell(page, i):
    return page.locator(f"#player .ib-text .ib-cell[data-i='{i}'] .ib-ink")


def run(page):
    before = until(page, "p.run ? [p.run.id] : [null]")[0]
    page.locator("#run").click()
    until(page, f"p.run && p.run.result && p.run.id !== {json.dumps(before)}")
    page.evaluate(f"{PLAYER}.go({PLAYER}.length - 1)")


def edits(page):
    return page.evaluate(f"{HANDS}.edits.map(({{ at, do: d, text, id }}) => [...at, d, text || id || ''])")


def picture(page, name):
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"{name}.png")


def seen(page, locator):
    """Whether the middle of an element is inside the window and nothing lies over it."""
    return locator.evaluate("""e => { const r = e.getBoundingClientRect(), x = (r.left + r.right) / 2, y = (r.top + r.bottom) / 2;
        const top = document.elementFromPoint(x, y); return r.width > 0 && r.left >= 0 && r.right <= innerWidth && r.top >= 0
        && r.bottom <= innerHeight && Boolean(top) && (e.contains(top) || top.contains(e)); }""")


def test_a_click_selects_a_word_and_the_bar_is_seen(shared, visit):
    page = visit(shared, width=1440, height=1000)
    run(page)
    expect(page.locator("#player .ib-bar")).to_be_hidden()
    cell(page, 3).click()
    bar = page.locator("#player .ib-bar")
    expect(bar).to_be_visible()
    for name in ("Erase", "Pin", "Type…"):
        assert seen(page, bar.get_by_role("button", name=name, exact=True)), name
    picture(page, "bar")


def test_erase_pin_type_and_choose_then_undo_and_redo(shared, visit):
    page = visit(shared, width=1440, height=1000)
    run(page)
    cell(page, 2).click()
    page.locator("#player .ib-bar [data-hand=erase]").click()
    cell(page, 5).click()
    page.locator("#player .ib-bar [data-hand=pin]").click()
    cell(page, 7).click()
    page.locator("#player .ib-bar [data-hand=type]").click()
    page.locator("#player .ib-bar input").fill("upon a time")
    page.keyboard.press("Enter")
    cell(page, 9).click()
    page.locator("#player .ib-bar [data-hand=others]").click()
    chosen = page.locator("#player .ib-bar-others button").nth(1)
    put = int(chosen.get_attribute("data-put"))
    chosen.click()
    wanted = [[2, 3, "erase", ""], [5, 6, "pin", ""], [7, 8, "type", "upon a time"]]
    assert edits(page)[:3] == wanted and edits(page)[3][:3] == [9, 10, "put"]
    expect(page.locator("#player .ib-revise-words")).to_have_text("1 erased, 1 pinned, 1 typed, 1 chosen")
    expect(page.locator("#player .ib-typed").first).to_have_text("upon a time")
    picture(page, "edits")
    page.locator("#player [data-hand=undo]").click()
    assert edits(page) == wanted
    page.locator("#player [data-hand=redo]").click()
    assert page.evaluate(f"{HANDS}.edits[3].id") == put
    page.locator("#player [data-hand=drop]").click()
    assert edits(page) == [] and not page.locator("#player [data-h]").count()
    expect(page.locator("#player .ib-revise")).to_be_hidden()


def test_keys_alone(shared, visit):
    page = visit(shared, width=1440, height=1000)
    run(page)
    page.locator("#player .ib-text").focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    start, stop = page.evaluate(f"[{HANDS}.start, {HANDS}.stop]")
    assert stop - start == 3 and page.locator("#player .ib-selected").count() == 3
    page.keyboard.press("e")
    assert edits(page) == [[start, stop, "erase", ""]]
    page.keyboard.press("Control+z")
    assert edits(page) == []
    page.keyboard.press("Control+Shift+z")
    assert edits(page) == [[start, stop, "erase", ""]]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("t")
    page.keyboard.type("upon")
    page.keyboard.press("Enter")
    assert edits(page) == [[start, stop, "erase", ""], [stop, stop + 1, "type", "upon"]]


def test_dragging_over_text_selects_whole_words(shared, visit):
    page = visit(shared, width=1440, height=1000)
    run(page)
    a, b = cell(page, 3).bounding_box(), cell(page, 6).bounding_box()
    page.mouse.move(a["x"] + 2, a["y"] + a["height"] / 2)
    page.mouse.down()
    page.mouse.move(b["x"] + b["width"] - 2, b["y"] + b["height"] / 2, steps=6)
    page.mouse.up()
    page.wait_for_function(f"() => {HANDS}.stop - {HANDS}.start >= 3")
    assert page.locator("#player .ib-selected").count() >= 3


def test_a_thumb_can_do_it(shared, visit):
    page = visit(shared, width=360, height=740, has_touch=True, is_mobile=True)
    run(page)
    cell(page, 3).scroll_into_view_if_needed()
    cell(page, 3).tap()
    bar = page.locator("#player .ib-bar")
    expect(bar).to_be_visible()
    page.locator("#player .ib-bar [data-hand=wider]").tap()
    assert page.evaluate(f"{HANDS}.stop - {HANDS}.start") == 2
    boxes = [bar.locator("button:visible").nth(i).bounding_box() for i in range(bar.locator("button:visible").count())]
    assert all(box["height"] >= 28 and box["x"] >= 0 and box["x"] + box["width"] <= 360 for box in boxes)
    picture(page, "phone")
    page.locator("#player .ib-bar [data-hand=erase]").tap()
    assert edits(page) == [[3, 5, "erase", ""]]


def test_going_on_writes_what_was_erased_and_keeps_what_was_pinned_and_typed(shared, visit):
    page = visit(shared, width=1440, height=1000)
    run(page)
    before = until(page, "p.run.text(p.frame)")
    assert before == SCRIPT
    words = page.evaluate(f"{PLAYER}.canvas.cells.map(c => c.base.textContent)")
    for hand, at in (("erase", 1), ("pin", 4)):
        cell(page, at).click()
        page.locator(f"#player .ib-bar [data-hand={hand}]").click()
    cell(page, 6).click()
    page.locator("#player .ib-bar [data-hand=type]").click()
    page.locator("#player .ib-bar input").fill("once upon")
    page.keyboard.press("Enter")
    page.locator("#player .ib-revise-keep").check()
    old = until(page, "p.run.id")
    page.locator("#player .ib-revise-go").click()
    until(page, f"p.run.id !== {json.dumps(old)} && p.run.result")
    page.evaluate(f"{PLAYER}.go(0)")
    first = page.evaluate(f"[...{PLAYER}.run.frames[0].states]")
    assert first[1] == 2 and first[4] == 1 and first[0] == 0  # a mask, a pinned word, a given one
    page.evaluate(f"{PLAYER}.go({PLAYER}.length - 1)")
    after = page.evaluate(f"{PLAYER}.canvas.cells.map(c => c.base.textContent)")
    assert after[:6] == words[:6] and "once upon" in until(page, "p.run.text(p.frame)")
    expect(page.locator("#player .ib-badge-branch")).to_contain_text("continued from step")
    assert edits(page) == []  # a new run has no edits yet


def test_words_that_cannot_stand_are_refused_and_nothing_is_lost(shared, visit):
    page = visit(shared, width=1440, height=1000)
    run(page)
    page.evaluate(f"{HANDS}.select(2, 3); {HANDS}.change('put', {{ id: 99999999, text: 'x' }})")
    page.locator("#player .ib-revise-go").click()
    expect(page.locator("[data-testid=toast-body]")).to_contain_text(
        "has no word with the id 99999999", timeout=patience(8000)
    )
    assert until(page, "p.run.text(p.frame)") == SCRIPT and len(edits(page)) == 1


def test_a_live_run_is_not_for_hands(serve, visit):
    page = visit(serve(delay=0.1))
    one_a_step(page)
    page.locator("#run").click()
    until(page, "p.live && p.index >= 2")
    cell(page, 3).click()
    expect(page.locator("#player .ib-bar")).to_be_hidden()
    page.locator("#stop").click()
    until(page, "p.run.result")
    page.locator("#player .ib-text").focus()
    page.evaluate(f"{PLAYER}.unask()")
    cell(page, 3).click()
    expect(page.locator("#player .ib-bar")).to_be_visible()


def test_a_live_run_is_paused_at_a_step_and_goes_on_exactly(serve, visit):
    page = visit(serve(delay=0.05), width=1440, height=1000)
    one_a_step(page)
    run(page)
    whole = page.evaluate(f"{PLAYER}.run.frames.map((f) => [...f.ids].join())")
    old = until(page, "p.run.id")
    page.locator("#run").click()
    until(page, f"p.run.id !== {json.dumps(old)} && p.live && p.index >= 3")
    pause = page.locator("#player .ib-revise-pause")
    expect(pause).to_be_hidden()
    page.locator("#player [data-do=play]").click()
    expect(pause).to_be_visible()
    at = until(page, "p.index")
    assert seen(page, pause)
    picture(page, "paused")
    pause.click()
    until(page, "p.run.result && p.document && !p.live")
    assert until(page, "p.run.result.stopped === 'cancelled' && [p.index]") == [at] and until(page, "p.length") < len(
        whole
    )
    expect(page.locator("#player .ib-revise-words")).to_have_text("Stopped: change words, or go on as it is.")
    go, stopped = page.locator("#player .ib-revise-go"), until(page, "p.run.id")
    expect(go).to_have_text(f"Go on from step {at}")
    picture(page, "stopped")
    page.locator("#player .ib-text").focus()
    page.keyboard.press("g")
    until(page, f"p.run.id !== {json.dumps(stopped)} && p.run.result && p.run.result.stopped === 'end'")
    assert page.evaluate(f"{PLAYER}.run.frames.map((f) => [...f.ids].join())") == whole
    expect(go).to_be_hidden()


def test_a_paused_run_goes_on_with_a_word_changed(serve, visit):
    page = visit(serve(delay=0.05), width=1440, height=1000)
    one_a_step(page)
    page.locator("#run").click()
    until(page, "p.run && p.live && p.index >= 8")
    page.locator("#player [data-do=play]").click()
    page.locator("#player .ib-revise-pause").click()
    until(page, "p.run.result && p.document && !p.live")
    page.evaluate(f"{HANDS}.select(2, 3)")
    page.locator("#player .ib-bar [data-hand=type]").click()
    page.locator("#player .ib-bar input").fill("upon")
    page.keyboard.press("Enter")
    old = until(page, "p.run.id")
    page.locator("#player .ib-revise-go").click()
    until(page, f"p.run.id !== {json.dumps(old)} && p.run.result && p.run.result.stopped === 'end'")
    assert "upon" in until(page, "p.run.text(p.run.frames[p.length - 1])")
    expect(page.locator("#player .ib-badge-branch")).to_contain_text("continued from step")


def test_a_knob_moved_while_a_run_is_written_changes_it_and_says_when(serve, visit):
    page = visit(serve(delay=0.1), width=1440, height=1000)
    choose(page, "rule", "threshold")
    page.locator("#knob-threshold input[type=number]").first.fill("0.99")
    page.locator("#knob-threshold input[type=number]").first.blur()
    page.locator("#run").click()
    until(page, "p.run && p.live && p.index >= 2")
    page.locator("#knob-threshold input[type=number]").first.fill("0")
    until(page, "p.run.result")
    at = page.evaluate(f"{PLAYER}.run.frames.findIndex((f) => f.notes.set_threshold === 0)")
    assert 2 < at < page.evaluate(f"{PLAYER}.length")
    page.evaluate(f"{PLAYER}.go({PLAYER}.length - 1)")
    badge = page.locator("#player .ib-badge-steered")
    expect(badge).to_have_text(f"threshold 0 from step {at}")
    picture(page, "steered")
    page.evaluate(f"{PLAYER}.go(1)")
    expect(badge).to_have_count(0)
    expect(page.locator("[data-testid=toast-body]")).to_have_count(0)


def test_a_run_goes_on_from_the_step_in_view_with_knobs_that_were_changed(shared, visit):
    page = visit(shared, width=1440, height=1000)
    run(page)
    go, old = page.locator("#player .ib-revise-go"), until(page, "p.run.id")
    page.evaluate(f"{PLAYER}.seek(2)")
    expect(go).to_be_hidden()  # nothing is different
    choose(page, "rule", "schedule")
    expect(go).to_have_text("Go on from step 2")
    expect(page.locator("#player .ib-revise-words")).to_have_text("Knobs changed.")
    picture(page, "knobs")
    page.evaluate(f"{PLAYER}.go({PLAYER}.length - 1)")
    expect(go).to_be_hidden()  # behind the last step there is nothing to write
    page.evaluate(f"{PLAYER}.seek(2)")
    go.click()
    until(page, f"p.run.id !== {json.dumps(old)} && p.run.result")
    assert page.evaluate(f"{PLAYER}.run.header.settings.rule") == "schedule"
    expect(page.locator("#player .ib-badge-branch")).to_contain_text("continued from step 2")


def test_an_edit_that_is_undone_leaves_the_exact_frames(serve, visit):
    page = visit(serve(delay=0.05), width=1440, height=1000)
    one_a_step(page)
    run(page)
    whole = page.evaluate(f"{PLAYER}.run.frames.map((f) => [...f.ids].join())")
    old = until(page, "p.run.id")
    page.locator("#run").click()
    until(page, f"p.run.id !== {json.dumps(old)} && p.live && p.index >= 4")
    page.evaluate("document.getElementById('stop').click()")
    stopped = until(page, "p.run.result && p.document && !p.live && p.run.id")
    page.evaluate(f"{HANDS}.select(1, 2); {HANDS}.act('erase'); {HANDS}.act('undo')")
    page.locator("#player .ib-revise-go").click()
    until(page, f"p.run.id !== {json.dumps(stopped)} && p.run.result && p.run.result.stopped === 'end'")
    assert page.evaluate(f"{PLAYER}.run.frames.map((f) => [...f.ids].join())") == whole
