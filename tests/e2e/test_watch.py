"""Watch in Chromium: what plays before a click, the tour, the map of positions and steps, every knob, waiting, zoom, the keyboard."""

import json
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from model.settings import FIELD, REMASKING, RULES, Settings, applies
from playground.web.views.plots import HEATS, heat
from playground.web.wire import Recorder
from tests.conftest import serving
from tests.e2e.player_harness import shapes
from tests.patience import patience

pytestmark = pytest.mark.e2e
OUTPUT = Path(__file__).parents[2] / "test-output" / "watch"
PLAYER = "document.querySelector('#player .ib-host').__player"
TOUR = "document.querySelector('.ink-tour-stage').__player"
RUNS = shapes()
TRACES = Path(__file__).parents[2] / "assets" / "traces"


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A page whose recording is a made-up run of blocks, with guesses that change and words decided before their left neighbours."""
    folder, document = tmp_path_factory.mktemp("traces"), json.loads(RUNS["blocks"].to_json())
    document["header"]["recorded"] = "2026-01-02"
    (folder / "1.json").write_text(json.dumps(document))
    with serving(recordings=folder, delay=0.01) as server:
        yield server


def until(page, truth: str, seconds: float = 15.0):
    """Wait until a JavaScript expression about the player `p` holds; return its value."""
    return page.wait_for_function(
        f"() => {{ const p = {PLAYER}; return {truth}; }}", timeout=patience(seconds * 1000)
    ).json_value()


def picture(page, name: str) -> None:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"{name}.png")


def press(page, way: str) -> None:
    page.locator(f".ink-tour [data-turn={way}]").click()


def choose(page, name: str, value: str) -> None:
    from playground.web.strings import choice

    page.locator(f"#knob-{name} input").click()
    page.get_by_role("option", name=choice(value), exact=True).click()


def one_a_step(page) -> None:
    """Ask for a run of many steps, whatever the preset says."""
    choose(page, "rule", "schedule")
    page.locator("#knob-steps input[type=number]").first.fill("64")
    page.locator("#knob-steps input[type=number]").first.blur()


# ---------------------------------------------------------------- before any click
def test_a_recorded_run_plays_before_any_click(shown, visit):
    page = visit(shown, width=1366, height=768)
    expect(page.locator("#player .ib-badge-recorded")).to_have_text("recorded 2026-01-02")
    first = until(page, "p.index >= 0 && [p.index]")[0]
    until(page, f"p.index > {first}")
    assert until(page, "!p.clock.playing && p.index") == len(RUNS["blocks"].frames) - 1
    expect(page.locator("#player .ib-sr")).to_contain_text("Final text: " + RUNS["blocks"].final_text[:20])


def test_the_canvas_stands_above_the_fold(shown, visit):
    page = visit(shown, width=1366, height=768)
    until(page, "p.run && true")
    assert page.locator("#player .ib-paper").bounding_box()["y"] < 300
    last = page.locator("#player .ib-text .ib-cell[data-i='50']").bounding_box()  # the end of the text
    assert last["y"] + last["height"] <= 768
    picture(page, "fold")


# ---------------------------------------------------------------- the map
@pytest.fixture
def mapped(shown, visit):
    page = visit(shown, width=1366, height=900, reduced_motion="reduce")
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    until(page, "p.run && p.index === p.length - 1")
    assert not any("plotly" in url for url in page.asked)  # nobody pays for it before it is opened
    page.locator("#heatmap summary").click()
    page.wait_for_function("() => document.querySelector('#heatmap .ink-chart').data")
    assert sum("plotly" in url for url in page.asked) == 1
    return page


def drawn(page) -> np.ndarray:
    rows = page.evaluate("document.querySelector('#heatmap .ink-chart').data[0].z.map((row) => [...row])")
    return np.array([[np.nan if v is None else v for v in row] for row in rows], float)


def test_the_map_shows_what_python_computes_also_without_a_server(mapped):
    page, trace = mapped, RUNS["blocks"]
    page.context.set_offline(True)
    for of in HEATS:
        page.locator("#heatmap label", has_text=of.capitalize()).click()
        page.wait_for_function(
            f"(n) => document.querySelector('#heatmap .ink-chart').layout.uirevision.endsWith({json.dumps(of)})", arg=0
        )
        np.testing.assert_allclose(drawn(page), heat(trace, of), atol=1e-6)
    page.context.set_offline(False)


def test_the_map_marks_the_step_in_view_and_a_click_goes_there(mapped):
    page = mapped
    for k in (0, 11):
        until(page, f"(p.seek({k}), true)")
        page.wait_for_function(f"() => document.querySelector('#heatmap .ink-chart').layout.shapes[0].x0 === {k}")
    page.locator("#heatmap .ink-chart").scroll_into_view_if_needed()
    x, y = page.evaluate("""() => { const box = document.querySelector('#heatmap .ink-chart');
        const r = box.getBoundingClientRect(), l = box._fullLayout;
        return [r.x + l.xaxis._offset + l.xaxis.d2p(7), r.y + l.yaxis._offset + l.yaxis.d2p(5)]; }""")
    page.mouse.move(x, y)
    page.locator("#heatmap .hoverlayer .hovertext").wait_for()
    page.mouse.click(x, y)
    assert until(page, "p.index === 7 && p.inspector.position") == 5
    picture(page, "map")


def test_the_map_follows_a_new_run_and_a_stopped_one(mapped, shown):
    page, before = mapped, vars(shown.fake)["delay"]
    shown.fake.delay = shown.fake.first_delay = 0.06
    one_a_step(page)
    page.locator("#run").click()
    until(page, "p.live && p.length > 8")
    page.locator("#stop").click()
    length = until(page, "!p.live && p.run.result && p.length")
    page.wait_for_function(f"() => document.querySelector('#heatmap .ink-chart').data[0].z[0].length === {length}")
    shown.fake.delay = shown.fake.first_delay = before


# ---------------------------------------------------------------- stopping
def test_stop_ends_the_waiting_where_the_last_message_never_came(shown, visit):
    page, trace = visit(shown), RUNS["full"]
    until(page, "p.run && true")
    recorder = Recorder(trace, interval=0)
    for frame in trace.frames[:5]:
        page.evaluate(f"(message) => {PLAYER}.receive(message)", json.loads(recorder.add(frame)))
    assert until(page, "p.live && p.length === 5")
    page.locator("#stop").click()
    until(page, "!p.live")
    expect(page.locator("#player .ib-number-why")).to_contain_text("you stopped it")


def test_the_place_in_the_queue_is_a_sentence(server, visit):
    server.fake.delay = server.fake.first_delay = 0.1
    first, second = visit(server), visit(server)
    one_a_step(first)
    first.locator("#run").click()
    until(first, "p.live && p.length > 2")
    second.locator("#run").click()
    line = second.locator(".ink-waiting", has_text="in the queue")
    line.wait_for()
    assert line.inner_text().startswith("Number 1 of 1 in the queue")
    picture(second, "queue")
    second.locator("#stop").click()
    expect(line).to_have_count(0)
    first.locator("#stop").click()
    until(first, "!p.live")


# ---------------------------------------------------------------- every knob
def other(name: str):
    """A value of a knob that is neither its default nor a preset's."""
    field = FIELD[name]
    if name in ("steps", "new_tokens"):
        return 24
    if name == "block_length":
        return 8
    return round(
        min(field.high, field.default + 3 * field.step) if field.default < field.high else field.high - 3 * field.step,
        6,
    )


def test_every_knob_reaches_the_run(shown, visit):
    page = visit(shown, width=1366, height=1400)
    page.locator("#more").get_by_role("button").first.click()
    choose(page, "order", "margin")
    backs = [
        ("schedule", name) for name in REMASKING if name != "recheck"
    ]  # the stand-in has no second look of its own
    for rule, remasking in [*((rule, "none") for rule in RULES if rule != "schedule"), *backs]:
        choose(page, "rule", rule)
        choose(page, "remasking", remasking)
        asked, wanted = (
            Settings(rule=rule, remasking=remasking, temperature=0.5),
            {"rule": rule, "remasking": remasking, "order": "margin"},
        )
        if rule == "schedule":
            choose(page, "schedule", "cosine")
            wanted["schedule"] = "cosine"
        for name in [
            name
            for name, field in FIELD.items()
            if field.kind != "choice" and page.locator(f"#knob-{name}").is_visible()
        ]:
            assert "masked" in FIELD[name].families and applies(FIELD[name], asked), (
                f"{name} is shown and does not apply"
            )
            wanted[name] = other(name)
            page.locator(f"#knob-{name} input[type=number]").first.fill(str(wanted[name]))
            page.locator(f"#knob-{name} input[type=number]").first.blur()
        before = until(page, "p.run ? [p.run.id] : [null]")[0]
        page.locator("#run").click()
        used = until(page, f"p.run && p.run.result && p.run.id !== {json.dumps(before)} && p.run.header.settings")
        assert {name: used[name] for name in wanted} == wanted
        expected = {n for n, f in FIELD.items() if "masked" in f.families and applies(f, asked)} - {
            "guidance",
            "schedule",
        }
        assert expected <= set(wanted)


def test_what_only_sampling_reads_is_grey_at_temperature_0_and_says_why(shown, visit):
    page = visit(shown, width=1366, height=1200)
    page.locator("#more").get_by_role("button").first.click()
    knob, said = (
        page.locator("#knob-top_p"),
        "getComputedStyle(document.querySelector('#knob-top_p'), '::after').content",
    )
    temperature = page.locator("#knob-temperature input[type=number]").first
    for value, grey in (("0", True), ("0.7", False)):
        temperature.fill(value)
        temperature.blur()
        page.wait_for_function(f"({said} !== 'none') === {json.dumps(grey)}")
        assert (
            knob.is_visible()
            and (float(knob.locator("input[type=range]").evaluate("e => getComputedStyle(e).opacity")) < 0.5) == grey
        )
        assert ("Not read at temperature 0" in page.evaluate(said)) == grey
        picture(page, f"sampling-{value}")


def test_system_prompt_and_pinned_words_reach_the_run(shown, visit):
    page = visit(shown, width=1366, height=1200)
    page.locator("#extras").get_by_role("button").first.click()
    page.locator("#system textarea").wait_for()
    page.wait_for_timeout(500)  # what an accordion holds listens a moment after it is there
    page.locator("#pinned textarea").press_sequentially("3: upon")
    page.locator("#system textarea").press_sequentially("Be brief.")
    page.locator("#run").click()
    assert until(page, "p.run && p.run.result && !p.run.header.recorded && p.run.header.system") == "Be brief."
    assert "upon" in until(page, "p.run.text(p.frame)")
    assert page.locator("#player .ib-text .ib-cell[data-i='3']").get_attribute("data-s") == "pinned"


# ---------------------------------------------------------------- for everybody
def test_at_twice_the_size_nothing_is_lost(shown, visit):
    page = visit(shown, width=683, height=384, device_scale_factor=2, reduced_motion="reduce")
    until(page, "p.run && p.index === p.length - 1")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    controls = ("#run", "#stop", ".ink-examples:visible", "#open-tour", "#heatmap", "#mode", "#more")
    for name in (*controls, "#player .ib-play", "#player .ib-numbers"):
        page.locator(name).scroll_into_view_if_needed()
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 683, name
    page.locator("#open-tour [data-open=tour]").click()
    words = page.locator(".ink-tour-words").bounding_box()
    assert words["y"] >= 0 and words["y"] + words["height"] <= 384
    picture(page, "zoomed-tour")


ORDER = (
    "prompt",
    "run",
    "stop",
    "examples",
    "open-tour",
    "player",
    "heatmap",
    "preset",
    "mode",
    "knob-steps",
    "more",
    "extras",
    "recipe",
)
FOCUS = """(order) => { const e = document.activeElement;
    const around = ['label', '.wrap', '.wrap-inner', '.container']; // a choice is lit around its word
    const near = [e, ...around.map((q) => e.closest(q))].filter(Boolean);
    const ring = (c) => (c.outlineStyle !== 'none' && parseFloat(c.outlineWidth) > 0) || c.boxShadow !== 'none';
    const box = e.closest(order.map((id) => '#' + id).join() + ', #model, .ink-knob');
    return [box ? box.id : e.tagName, near.some((n) => ring(getComputedStyle(n))), e.outerHTML.slice(0, 90)]; }"""


def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(shown, visit):
    page = visit(shown, width=1366, height=900, reduced_motion="reduce")
    until(page, "p.run && true")
    page.locator("#prompt textarea").focus()
    seen, unseen = [], []
    for _ in range(90):
        name, lit, element = page.evaluate(FOCUS, list(ORDER))
        if not lit and name != "BODY":  # leaving a list of choices, Gradio lets go for one press
            unseen.append(element)
        if name not in seen:
            seen.append(name)
        page.keyboard.press("Tab")
    expected = [name for name in ORDER if page.locator(f"#{name}").is_visible()]
    assert [name for name in seen if name in ORDER] == expected and len(expected) >= 11
    assert unseen == []


# ---------------------------------------------------------------- going on
def test_a_stopped_run_goes_on_by_the_one_button_there_is(serve, visit):
    page = visit(serve(delay=0.05))
    go_on = page.locator("#player .ib-revise-go")
    one_a_step(page)
    page.locator("#run").click()
    until(page, "p.index >= 3")
    expect(go_on).to_be_hidden()
    page.locator("#stop").click()
    expect(go_on).to_be_visible()
    assert page.get_by_role("button", name="Continue").count() == 0  # there is one way to go on
    stopped = until(page, "p.run.result && p.length")
    picture(page, "continue")
    go_on.click()
    assert (
        until(page, f"p.run.result && p.run.result.stopped !== 'cancelled' && p.length > {stopped} && p.length", 30)
        > 30
    )
    expect(page.locator("#player .ib-sr")).to_contain_text("This text is scripted")
    expect(go_on).to_be_hidden()
