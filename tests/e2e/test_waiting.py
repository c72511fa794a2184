"""Several visitors in Chromium: a full queue says so, a visitor has at most two runs waiting, and a place given up is free."""

import re

from playwright.sync_api import expect

from tests.e2e.test_app import run, slow, toast, until
from tests.e2e.test_watch import one_a_step
from tests.patience import patience


def refusals(page, status: int) -> None:
    """Leave out of the console what the browser itself notes of a refusal."""
    page.watched.problems = [problem for problem in page.watched.problems if f"status of {status}" not in problem]


def test_a_full_queue_is_a_sentence_and_the_page_stays_usable(serve, visit):
    server = serve(queue=1, delay=0.4)
    first, second, third = (visit(server) for _ in range(3))
    one_a_step(first)
    run(first)
    until(first, "p.live && p.length > 2")
    run(second)
    expect(second.locator("#status")).to_contain_text(re.compile(r"queue: 1/1"), timeout=patience(5000))
    run(third)
    expect(toast(third).first).to_contain_text(
        "This application is currently busy. Please try again.", timeout=patience(5000)
    )
    second.locator("#stop").click()  # gives its place up
    expect(second.locator("#status")).not_to_contain_text("queue", timeout=patience(5000))
    first.locator("#stop").click()
    slow(server, 0.0)
    assert server.idle()
    run(third)
    assert until(third, "p.run && p.run.result && p.run.result.stopped") in ("end", "full")
    refusals(third, 503)


def test_a_third_waiting_run_of_one_visitor_is_refused(serve, visit):
    server = serve("public", delay=0.4)
    other, page = visit(server), visit(server)
    one_a_step(other)
    run(other)
    until(other, "p.live && p.length > 2")
    run(page)
    expect(page.locator("#status")).to_contain_text(re.compile(r"queue: 1/1"), timeout=patience(5000))
    page.get_by_role("tab", name="Form").click()
    page.locator("#form-read").click()
    expect(page.locator("#form-status")).to_contain_text(re.compile("queue: "), timeout=patience(5000))
    expect(toast(page)).to_have_count(0)
    page.get_by_role("tab", name="Watch").click()
    page.locator("#fill button").first.click()
    page.locator("#fill-go").click()
    expect(toast(page).first).to_contain_text("at most 2 runs waiting", timeout=patience(5000))
    other.locator("#stop").click()
    slow(server, 0.0)
    page.get_by_role("tab", name="Watch").click()
    assert until(page, "p.run && p.run.result && p.run.result.stopped") in ("end", "full")
    refusals(page, 400)


def seen(locator) -> bool:
    """Whether a person sees an element: inside the window, opaque, nothing over its middle."""
    return locator.evaluate("""e => { const r = e.getBoundingClientRect(), x = (r.left + r.right) / 2, y = (r.top + r.bottom) / 2;
        const top = document.elementFromPoint(x, y); let opacity = 1;
        for (let n = e; n; n = n.parentElement) opacity *= Number(getComputedStyle(n).opacity);
        return r.width > 20 && r.height > 8 && r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.bottom <= innerHeight
            && opacity > 0.9 && Boolean(top) && (e === top || e.contains(top)); }""")


def test_the_place_in_the_queue_is_seen_on_the_screen(serve, visit):
    server = serve(delay=0.4)
    first, second = visit(server), visit(server)
    one_a_step(first)
    run(first)
    until(first, "p.live && p.length > 2")
    run(second)
    words = second.locator(".ink-waiting").first
    expect(words).to_contain_text("Number 1 of 1 in the queue", timeout=patience(5000))
    assert seen(words)
    first.locator("#stop").click()
    slow(server, 0.0)
    until(second, "p.run && p.run.result")
    expect(words).to_be_hidden()


def test_a_server_that_is_gone_ends_the_run_and_says_so(serve, visit):
    server = serve(delay=0.3)
    page = visit(server)
    one_a_step(page)
    run(page)
    length = until(page, "p.live && p.length > 2 && p.length")
    server.blocks.close(verbose=False)
    expect(page.locator("#alive")).to_contain_text(
        "The server does not answer: the run was interrupted", timeout=patience(20_000)
    )
    assert seen(page.locator("#alive")) and until(page, "!p.live && p.length") >= length
    page.watched.problems = []  # what the browser notes of a server that is gone
