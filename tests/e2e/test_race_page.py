"""Race and Lab in Chromium: what a visitor sees, and that it is what was measured."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from model.models.scripted import SCRIPT
from tests.patience import patience

pytestmark = pytest.mark.e2e
SHOTS = Path("test-output")
STAND = """(i) => {
  const p = document.querySelectorAll('#race-stage .rs-player')[i].__player, { forwards, seconds } = p.frame;
  return { index: p.index, forwards, seconds, last: p.length - 1, next: p.run.frames[p.index + 1] || null };
}"""
SCRUB = """(value) => {
  const slider = document.querySelector('.rs-slider');
  slider.value = value;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
}"""
CLICK = (
    "([chart, point]) => document.querySelector(chart + ' .js-plotly-plot').emit('plotly_click', { points: [point] })"
)
STAGE = "document.querySelector('.rs-stage').__stage"


def open_tab(visit, server, name, **options):
    page = visit(server, **options)
    page.get_by_role("tab", name=name).click()
    return page


TWICE = """() => { const ids = [...document.querySelectorAll("[id]")].map((e) => e.id).filter(Boolean);
    return ids.filter((id, i) => ids.indexOf(id) < i); }"""


def run_race(page, seconds=60):
    page.locator("#race-run").click()
    page.locator("#race-verdict p").wait_for(timeout=patience(1000 * seconds))


def shot(page, name):
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def scrub(page, value):
    page.evaluate(SCRUB, value)


def test_a_race_is_timed_in_silence_and_then_replays_by_itself(visit, server):
    page = open_tab(visit, server, "Race")
    page.locator("#race-run").click()
    page.locator(".rs-lane").nth(1).wait_for()
    assert page.locator("#race-stage .ib-player").count() == 0, "text is drawn while a lane is timed"
    assert page.locator(".rs-lane").nth(1).locator(".rs-state").inner_text() == "waits for its turn"
    page.locator("#race-verdict p").wait_for(timeout=patience(60_000))
    page.wait_for_function(f"{STAGE}.playing || {STAGE}.at > 0")
    page.wait_for_function(f"!{STAGE}.playing && {STAGE}.at >= {STAGE}.duration()", timeout=patience(60_000))
    places = [page.locator(".rs-state").nth(i).inner_text() for i in (0, 1)]
    assert sorted(place[:3] for place in places) == ["1st", "2nd"] and all("52 tokens" in place for place in places)
    texts = page.evaluate(
        "[...document.querySelectorAll('#race-stage .rs-player')].map((h) => h.__player.run.text(h.__player.frame, ''))"
    )
    assert texts == [SCRIPT, SCRIPT]
    assert "on a script, not on hardware" in page.locator("#race-verdict").inner_text()
    rows = page.locator(".ink-figures tbody tr")
    assert rows.count() == 10 and "Forward passes" in rows.nth(4).inner_text()
    page.locator("#race-charts .js-plotly-plot").nth(1).wait_for()
    assert page.evaluate(TWICE) == [], "what a cell or a tooltip is pointed at by would lie in another tab"
    shot(page, "race")


def test_both_clocks_scrub_every_lane(visit, server):
    page = open_tab(visit, server, "Race")
    run_race(page)
    page.locator(".rs-play").wait_for()
    page.evaluate(f"{STAGE}.pause()")
    page.get_by_role("button", name="Forward passes").click()
    assert "This is not speed" in page.locator(".rs-told").inner_text()
    for passes in (0, 9, 30, 52):
        scrub(page, passes)
        for lane in (0, 1):
            stand = page.evaluate(STAND, lane)
            assert stand["forwards"] <= passes and (stand["next"] is None or stand["next"]["forwards"] > passes), (
                lane,
                stand,
            )
    assert page.locator(".rs-time").inner_text() == "52 of 52 passes"
    page.get_by_role("button", name="Seconds", exact=True).click()
    end = page.evaluate(f"{STAGE}.duration()")
    for share in (0.0, 0.31, 0.77, 1.0):
        scrub(page, share * end)
        at = page.evaluate(f"{STAGE}.at")
        for lane in (0, 1):
            stand = page.evaluate(STAND, lane)
            assert stand["seconds"] <= at + 1e-6 and (stand["next"] is None or stand["next"]["seconds"] > at - 1e-6)
    page.locator(".rs-slider").focus()
    page.keyboard.press("Home")
    assert page.evaluate(f"{STAGE}.at") == 0 and page.evaluate(STAND, 0)["index"] == 0
    page.keyboard.press("End")
    assert page.evaluate(STAND, 1)["index"] == page.evaluate(STAND, 1)["last"]


def test_the_replay_needs_no_server_and_follows_reduced_motion(serve, visit):
    server = serve(delay=0.005)
    page = open_tab(visit, server, "Race", reduced_motion="reduce")
    run_race(page)
    page.locator(".rs-play").wait_for()
    assert not page.evaluate(f"{STAGE}.playing") and page.evaluate(f"{STAGE}.at === {STAGE}.duration()")
    page.wait_for_timeout(
        500
    )  # the run's stream closes a moment after its last message; cut then, it would be an error in the console
    page.context.set_offline(True)
    scrub(page, 0)
    assert page.evaluate(STAND, 1)["index"] == 0
    page.context.set_offline(False)


def test_cancel_mid_race_keeps_what_was_finished_and_frees_the_engine(serve, visit):
    server = serve(delay=0.05)
    page = open_tab(visit, server, "Race")
    page.locator("#race-run").click()
    page.wait_for_function(
        "document.querySelectorAll('.rs-lane')[1]?.dataset.phase === 'writing'", timeout=patience(60_000)
    )
    page.locator("#race-stop").click()
    page.locator("#race-verdict p").wait_for(timeout=patience(20_000))
    assert "autoregressive was stopped before its end" in page.locator("#race-verdict").inner_text()
    assert "Stopped" in page.locator("#race-status").inner_text() and server.idle()
    assert page.locator(".rs-lane").nth(0).get_attribute("data-phase") == "written"
    assert page.locator(".rs-lane").nth(1).get_attribute("data-phase") == "stopped"
    server.fake.delay = server.fake.first_delay = 0.001
    page.locator("#race-run").click()
    page.wait_for_function("document.querySelector('#race-verdict p')?.innerText.includes(' on a script')")
    page.wait_for_function("!document.querySelector('#race-verdict p')?.innerText.includes('stopped')")


def test_a_failed_lane_is_named_and_the_page_goes_on(serve, visit):
    server = serve(fail_at=40)
    page = open_tab(visit, server, "Race")
    run_race(page)
    assert (
        "autoregressive failed (An unexpected error ended it (RuntimeError)"
        in page.locator("#race-verdict").inner_text()
    )
    assert page.locator(".rs-lane").nth(1).get_attribute("data-phase") == "failed" and server.idle()
    assert page.locator(".ink-none").first.inner_text() == "failed"


def test_what_is_refused_is_one_sentence(visit, server):
    page = open_tab(visit, server, "Race")
    page.locator("#race-prompt textarea").fill("  ")
    page.locator("#race-run").click()
    page.get_by_text("Write a prompt first: it must have at least 1 character.").wait_for(timeout=patience(10_000))
    assert page.locator(".rs-lane").count() == 0 and server.idle()


def test_presets_and_a_third_lane(visit, server):
    page = open_tab(visit, server, "Race")
    page.get_by_text("8, 16 and 64 steps, one seed").click()
    run_race(page)
    assert [page.locator(".rs-name").nth(i).inner_text() for i in range(3)] == ["8 steps", "16 steps", "64 steps"]
    page.locator("#race-compared").get_by_text("Both runs wrote the same 52 tokens.").wait_for(timeout=patience(10_000))
    assert page.locator(".rs-lane").nth(0).bounding_box()["y"] == page.locator(".rs-lane").nth(2).bounding_box()["y"]
    page.get_by_text("Diffusion against left to right").click()
    page.get_by_text("Lanes and settings").click()
    page.locator("#lane1-knobs").wait_for()
    assert page.locator("#lane2-knobs").is_hidden() and page.locator("#lane3-box").is_hidden()
    run_race(page)
    page.wait_for_function("document.querySelectorAll('.rs-lane').length === 2")


@pytest.mark.parametrize("dark", [False, True])
def test_phone_width(visit, server, dark):
    page = open_tab(visit, server, "Race", width=360, height=740, dark=dark, has_touch=True)
    run_race(page)
    page.locator(".rs-play").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    one, two = (page.locator(".rs-lane").nth(i).bounding_box() for i in (0, 1))
    assert two["y"] > one["y"] + one["height"] - 1 and one["width"] <= 340
    wide = page.evaluate(
        "[...document.querySelectorAll('#race-stage *')].filter((e) => e.getBoundingClientRect().right > 361).length"
    )
    assert wide == 0
    for button in page.locator(".rs-transport button").all():
        assert button.bounding_box()["height"] >= 30
    shot(page, f"race-phone-{'dark' if dark else 'light'}")


def test_nothing_a_model_or_a_visitor_writes_becomes_html(serve, visit):
    hostile = [
        "<img src=x onerror=window.hit=1>",
        " ${window.hit=1}",
        " {{window.hit=1}}",
        "`",
        "</script><script>window.hit=1</script>",
    ]
    server = serve(emit=hostile, delay=0.001)
    page = open_tab(visit, server, "Race")
    page.locator("#race-prompt textarea").fill(hostile[0])
    run_race(page)
    page.locator("#race-compared .ink-compare").wait_for()
    page.locator("#race-charts .js-plotly-plot").first.wait_for()
    assert page.evaluate("window.hit") is None
    assert hostile[0] in page.locator("#race-compared").inner_text()


# ---------------------------------------------------------------- lab
def sweep(page, knob="Steps", seconds=60):
    page.locator("#lab-knob input").click()
    page.get_by_role("option", name=knob, exact=True).click()
    page.locator("#lab-values input, #lab-values textarea").fill("8, 16")
    page.locator("#lab-run").click()
    page.get_by_text("Click a point to play its run").wait_for(timeout=patience(1000 * seconds))


def test_a_sweep_ends_in_charts_whose_points_open_their_run(visit, server):
    page = open_tab(visit, server, "Lab")
    sweep(page)
    chart = page.locator("#lab-chart-0 .js-plotly-plot")
    chart.wait_for()
    page.wait_for_function("document.querySelector('#lab-chart-0 .js-plotly-plot').data.length >= 4")
    page.evaluate(CLICK, ["#lab-chart-0", {"pointIndex": 1, "customdata": [1, -1]}])
    page.wait_for_function(
        "document.querySelector('#lab-player .ib-host').__player?.run?.header.settings.steps === 16",
        timeout=patience(20_000),
    )
    assert "Steps 16" in page.locator("#lab-opened").inner_text()
    page.get_by_text("Two runs, token by token").click()
    page.get_by_text("Both runs wrote the same 52 tokens.").wait_for(timeout=patience(10_000))
    shot(page, "lab")


def test_a_sweep_is_saved_as_csv_and_json_by_the_browser(visit, server):
    page = open_tab(visit, server, "Lab")
    sweep(page)
    with page.expect_download() as saved:
        page.locator("#lab-csv").click()
    rows = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text(encoding="utf-8"))))
    assert saved.value.suggested_filename == "sweep.csv"
    assert [row["value"] for row in rows] == ["8", "8", "16", "16", "autoregressive", "autoregressive"]
    with page.expect_download() as saved:
        page.locator("#lab-json").click()
    record = json.loads(Path(saved.value.path()).read_text(encoding="utf-8"))
    assert record["knob"] == "steps" and [point["finished"] for point in record["points"]] == [2, 2, 2]


def test_a_stopped_sweep_keeps_its_finished_runs(serve, visit):
    server = serve(delay=0.03)
    page = open_tab(visit, server, "Lab")
    page.locator("#lab-run").click()
    page.wait_for_function(
        "document.querySelector('#lab-status').innerText.startsWith('Run 3 of')", timeout=patience(60_000)
    )
    page.locator("#lab-stop").click()
    page.get_by_text("Stopped; the finished runs are kept.").wait_for(timeout=patience(20_000))
    assert server.idle()
    with page.expect_download() as saved:
        page.locator("#lab-csv").click()
    assert len(Path(saved.value.path()).read_text(encoding="utf-8").splitlines()) >= 3


def test_lab_on_a_phone(visit, server):
    page = open_tab(visit, server, "Lab", width=360, height=740)
    sweep(page)
    page.locator("#lab-chart-0 .js-plotly-plot").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    shot(page, "lab-phone")


# ---------------------------------------------------------------- a chart that belongs to a player
def test_a_heatmap_follows_its_player_and_a_click_scrubs_there(browser):
    import gradio as gr

    from model.models.scripted import Fake
    from model.settings import Settings
    from playground.web.components.assets import page_file_routes, page_links
    from playground.web.components.chart import Chart, chart_value, plotly_route
    from playground.web.components.player import Player, trace_message
    from playground.web.views.plots import heatmap

    trace = Fake().denoise("hi", Settings(new_tokens=32, steps=16)).finish()
    with gr.Blocks(analytics_enabled=False) as blocks:
        Player(trace_message(trace), elem_id="player")
        Chart(chart_value(heatmap(trace)), player="#player", elem_id="heat")
    _, url, _ = blocks.launch(
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        run_history=False,
        server_name="127.0.0.1",
        head=page_links(),
        app_kwargs={"routes": [*page_file_routes(), plotly_route()]},
    )
    page = browser.new_page()
    try:
        page.goto(url)
        page.locator("#heat .js-plotly-plot").wait_for(timeout=patience(20_000))
        line = "document.querySelector('#heat .js-plotly-plot').layout.shapes[0].x0"
        player = "document.querySelector('#player .ib-host').__player"
        for step in (3, 11):
            page.evaluate(f"{player}.seek({step})")
            page.wait_for_function(f"{line} === {step}")
        page.evaluate(CLICK, ["#heat", {"pointIndex": [5, 7]}])
        page.wait_for_function(f"{player}.index === 7 && {line} === 7")
    finally:
        page.close()
        blocks.close(verbose=False)
