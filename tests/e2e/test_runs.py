"""Runs of this visit in Chromium: kept in the tab, opened, renamed, dropped; what went on from what; the oldest make room."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from model.models.scripted import SCRIPT
from tests.e2e.test_hands import cell, run
from tests.e2e.test_watch import PLAYER, until

pytestmark = pytest.mark.e2e
OUTPUT = Path(__file__).parents[2] / "test-output" / "runs"


def erase_and_go_on(page, at):
    cell(page, at).click()
    page.locator("#player .ib-bar [data-hand=erase]").click()
    old = until(page, "p.run.id")
    page.locator("#player .ib-revise-go").click()
    until(page, f"p.run.id !== {json.dumps(old)} && p.run.result")
    page.evaluate(f"{PLAYER}.go({PLAYER}.length - 1)")


def test_a_run_is_kept_with_what_it_went_on_from(shared, visit):
    page = visit(shared, width=1440, height=1000)
    run(page)
    erase_and_go_on(page, 1)
    page.wait_for_function("inkblotRuns.list().length === 2")
    first, second = page.evaluate("inkblotRuns.list()")
    assert first["parent"] == "" and second["parent"] == first["id"] and second["changed"] == "1 erased"
    assert first["model"] == "Fake (scripted, not a model)" and first["tokens"] > 10
    assert page.evaluate(f"inkblotRuns.document({json.dumps(first['id'])}).result.text") == SCRIPT


def test_after_a_reload_the_run_in_view_goes_on(shared, visit):
    page = visit(shared, width=1440, height=1000)
    run(page)
    page.reload()
    page.locator("#run").wait_for()
    until(page, "p.run && p.run.result")
    erase_and_go_on(page, 1)
    assert (
        until(page, "p.run.text(p.run.frames[p.length - 1])") == SCRIPT
        and page.evaluate("inkblotRuns.list().length") == 2
    )


def test_the_store_drops_the_oldest_for_room_and_hangs_what_went_on_from_it_higher(shared, visit):
    page = visit(shared)
    kept = page.evaluate("""() => {
        const held = new Map(), storage = { getItem: (k) => held.get(k) ?? null, removeItem: (k) => held.delete(k),
            setItem(k, v) { if (v.length > 9000) throw new Error('full'); held.set(k, v); } };
        const header = (n) => ({ prompt: 'p' + n, model: { name: 'm' }, settings: { seed: n }, branch: n > 1 ? 'step 1' : '' });
        const doc = (n) => ({ header: header(n), result: { tokens: n }, x: 'y'.repeat(800) });
        const runs = new InkblotRuns(storage, 'kept', { most: 3, room: 3000 }), at = () => runs.list().map((r) => r.id + '<' + r.parent);
        const seen = [];
        for (const n of [1, 2, 3, 4]) { if (n > 1) runs.branch('r' + (n - 1)); runs.add('r' + n, doc(n)); seen.push(at().join(' ')); }
        runs.drop('r3'); seen.push(at().join(' '));
        runs.rename('r4', '  a name  '); seen.push(runs.find('r4').name, String(runs.document('r3')), runs.last().run);
        runs.add('big', { ...doc(5), x: 'y'.repeat(20000) }); seen.push(at().join(' '));
        return [seen, [...held.keys()].sort()];
    }""")
    assert kept == [
        ["r1<", "r1< r2<r1", "r1< r2<r1 r3<r2", "r2< r3<r2 r4<r3", "r2< r4<r2", "a name", "null", "r4", "r2< r4<r2"],
        ["kept", "kept:r2", "kept:r4"],
    ]


def test_a_browser_that_keeps_nothing_shows_runs_all_the_same(shared, visit):
    page = visit(shared)
    page.evaluate("void (Storage.prototype.setItem = () => { throw new Error('none allowed'); })")
    run(page)
    assert page.evaluate("inkblotRuns.list()") == []
    expect(page.locator("[data-testid=toast-body]")).to_have_count(0)


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (360, True)])
def test_the_tree_opens_renames_compares_and_drops(shared, visit, width, dark):
    page = visit(shared, width=width, height=1000, dark=dark)
    tree = page.locator(".ink-runs")
    expect(tree).to_be_hidden()
    run(page)
    erase_and_go_on(page, 1)
    tree.locator("summary").click()
    expect(tree.locator(".ink-runs-count")).to_have_text("2")
    below = tree.locator("li li .ink-runs-open")
    expect(below).to_have_text("1 erased")
    first = page.evaluate("inkblotRuns.list()[0].id")
    tree.locator(".ink-runs-open").first.click()
    assert until(page, "p.run.id") == first
    expect(tree.locator(".ink-runs-open").first).to_have_attribute("aria-current", "true")
    tree.get_by_role("button", name="Rename: 1 erased").click()
    page.keyboard.type("my branch")
    page.keyboard.press("Enter")
    expect(below).to_have_text("my branch")
    for box in (0, 1):
        tree.locator("input[type=checkbox]").nth(box).check()
    tree.locator(".ink-runs-compare").click()
    expect(page.locator("#runs-compared")).to_contain_text("Both runs wrote the same")
    expect(page.locator("#runs-compared b").nth(1)).to_have_text("my branch")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    tree.scroll_into_view_if_needed()
    page.screenshot(path=OUTPUT / f"tree-{width}.png")
    tree.get_by_role("button", name="Drop: Why is the sky blue?").click()
    expect(tree.locator(".ink-runs-open")).to_have_text(["my branch"])
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_names_of_runs_are_text(shared, visit):
    page = visit(shared, width=1440, height=1000)
    page.locator("#prompt textarea").fill("<img src=x onerror=window.hit=1> <b>x</b>")
    run(page)
    page.locator(".ink-runs summary").click()
    expect(page.locator(".ink-runs-open")).to_have_text("<img src=x onerror=window.hit=1> <b>x</b>")
    assert page.evaluate("window.hit") is None


def test_one_press_forgets_every_run_of_the_visit(shared, visit):
    page = visit(shared, width=1440, height=1000)
    run(page)
    erase_and_go_on(page, 1)
    page.locator("#runs summary").click()
    page.get_by_role("button", name="Drop all").click()
    expect(page.locator("#runs .ink-runs")).to_be_hidden()
    left = "[inkblotRuns.list().length, Object.keys(sessionStorage).filter((key) => key.startsWith('inkblot-runs:')).length]"
    assert page.evaluate(left) == [0, 0]
