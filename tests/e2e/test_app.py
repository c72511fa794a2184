"""The page in Chromium on the scripted fake: it runs, streams, stops, explains its refusals, and nothing typed or generated acts."""

import re
import shlex
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from model.models.scripted import SCRIPT, Fake
from model.settings import Settings
from playground.cli import main as cli
from tests.patience import patience

pytestmark = pytest.mark.e2e
OUTPUT = Path(__file__).parents[2] / "test-output" / "app"
PLAYER = "document.querySelector('#player .ib-host').__player"
HOSTILE = [
    "<img src=x onerror=\"document.title='hit'\">",
    "<svg onload=\"document.title='hit'\">",
    "</script><script>document.title='hit'</script>",
    "${document.title='hit'}",
    "{{constructor.constructor('document.title=1')()}}",
    "`${document.title='hit'}`",
    "javascript:document.title='hit'",
    "' onmouseover='document.title=\"hit\"",
    "<style>body{display:none}</style>",
    "&lt;b&gt;",
    "<iframe srcdoc=\"<script>top.document.title='hit'</script>\">",
]


def slow(server, delay: float, first_delay: float | None = None) -> None:
    server.fake.delay, server.fake.first_delay = delay, delay if first_delay is None else first_delay


def until(page, truth: str, seconds: float = 15.0):
    """Wait until a JavaScript expression about the player `p` holds; return its value."""
    return page.wait_for_function(
        f"() => {{ const p = {PLAYER}; return {truth}; }}", timeout=patience(seconds * 1000)
    ).json_value()


def picture(page, name: str) -> None:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"{name}.png", full_page=True)


def toast(page):
    return page.locator("[data-testid=toast-body]")


def run(page) -> None:
    page.locator("#run").click()


def knob(page, name: str, value) -> None:
    """Set a slider by its number field."""
    box = page.locator(f"#knob-{name} input[type=number]").first
    box.fill(str(value))
    box.blur()


# ---------------------------------------------------------------- a run
def test_a_press_streams_frames_and_ends_with_the_whole_text(server, visit):
    slow(server, 0.04)
    page = visit(server)
    run(page)
    first = until(page, "p.run && p.length")
    assert until(page, f"p.length > {first + 3} && p.live && p.length")  # they come while the run goes on
    picture(page, "mid-run")
    until(page, "p.run.done || !p.live")
    assert until(page, "p.run.text(p.run.frames[p.length - 1])") == SCRIPT
    assert until(page, "p.index === p.length - 1")
    expect(page.locator("#player .ib-number-why")).to_contain_text("the text ended")
    assert page.locator("#player .ib-text .ib-cell").count() == 64
    picture(page, "done")


def test_an_example_fills_the_prompt_and_runs(server, visit):
    page = visit(server)
    page.locator(".ink-examples:visible").get_by_text("A bicycle").click()
    assert until(page, "p.run && !p.live && p.run.header.prompt") == "Explain how a bicycle stays upright."
    assert page.locator("#prompt textarea").input_value() == "Explain how a bicycle stays upright."


def test_keys_run_and_stop(server, visit):
    slow(server, 0.1)
    page = visit(server)
    page.locator("#prompt textarea").focus()
    page.keyboard.press("Control+Enter")
    until(page, "p.live && p.length > 2")
    page.keyboard.press("Escape")
    until(page, "p.run.result && p.run.result.stopped === 'cancelled'", 5)
    assert server.idle(2)


@pytest.mark.parametrize("first_delay", [0.25, 1.0], ids=["mid-run", "in the first step"])
def test_stop_ends_it_within_a_step_and_keeps_every_frame(server, visit, first_delay):
    slow(server, 0.25, first_delay)
    page, before = visit(server), server.fake.passes
    knob(page, "steps", 64)
    run(page)
    until(page, "p.live && p.length > 4" if first_delay < 1 else "p.live && p.length === 1")
    page.locator("#stop").click()
    stopped = until(page, "p.run.result && [p.run.result.stopped, p.run.result.forwards, p.length]", 6)
    assert stopped[0] == "cancelled" and stopped[1] == stopped[2] - 1 < 40
    assert server.idle(2) and server.fake.passes - before == stopped[1]
    expect(page.locator("#player .ib-number-why")).to_contain_text("you stopped it")
    slow(server, 0.0)
    run(page)
    until(page, "p.run.result && p.run.result.stopped === 'end'")


def test_a_closed_page_frees_the_place(server, visit):
    slow(server, 0.1)
    page = visit(server)
    run(page)
    until(page, "p.live && p.length > 2")
    page.close()
    at = server.fake.passes
    assert server.idle(3) and server.fake.passes <= at + 3


def test_a_second_visitor_reads_its_place_and_then_gets_its_own_run(server, visit):
    slow(server, 0.1)
    first, second = visit(server), visit(server)
    second.locator("#prompt textarea").fill("another question")
    run(first)
    until(first, "p.live && p.length > 2")
    run(second)
    expect(second.locator("#status")).to_contain_text(re.compile(r"queue: 1/1"), timeout=patience(5000))
    first.locator("#stop").click()
    slow(server, 0.0)
    assert until(second, "p.run && !p.live && p.run.header.prompt") == "another question"
    assert until(first, "p.run.header.prompt") == "Why is the sky blue?"


def test_stop_while_waiting_gives_the_place_up_and_stop_at_rest_does_nothing(server, visit):
    slow(server, 0.4)
    first, second = visit(server), visit(server)
    second.locator("#stop").click()
    run(first)
    until(first, "p.live && p.length > 2")
    run(second)
    expect(second.locator("#status")).to_contain_text(re.compile(r"queue: 1/1"), timeout=patience(5000))
    second.locator("#stop").click()
    expect(second.locator("#status")).not_to_contain_text("queue", timeout=patience(5000))
    queue = server.blocks._queue
    assert not any(waiting.queue for waiting in queue.event_queue_per_concurrency_id.values())
    first.locator("#stop").click()
    first.locator("#stop").click()
    until(first, "p.run.result && p.run.result.stopped === 'cancelled'", 5)
    assert until(second, "p.run === null || p.run === undefined")
    expect(toast(first)).to_have_count(0)
    expect(toast(second)).to_have_count(0)


def test_time_is_the_visitors_even_without_the_server(server, visit):
    page = visit(server)
    run(page)
    last = until(page, "p.run && p.run.result && p.length - 1")
    page.context.set_offline(True)
    slider = page.locator("#player .ib-slider")
    slider.focus()
    page.keyboard.press("Home")
    assert until(page, "p.index === 0 && p.frame.ids.every((id) => id < 0)")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert until(page, "p.index") == 2
    page.keyboard.press("End")
    assert until(page, f"p.index === {last}")
    page.locator("#player [data-do=home]").click()
    page.locator("#player [data-do=play]").click()
    assert until(page, f"!p.clock.playing && p.index === {last}")
    page.context.set_offline(False)


# ---------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda page: page.locator("#prompt textarea").fill("  "),
            "Write a prompt first: it must have at least 1 character.",
        ),
        (lambda page: knob(page, "block_length", 999), None),
        (
            lambda page: (page.locator("#extras").click(), page.locator("#pinned textarea").fill("<b>x</b>")),
            "Pinned words must be lines like '5: upon'; this one was '<b>x</b>'.",
        ),
    ],
    ids=["empty prompt", "a slider takes only what it allows", "pinned words"],
)
def test_a_refusal_is_one_sentence_and_the_page_stays_usable(server, visit, change, said):
    page, before = visit(server), server.fake.passes
    page.locator("#more").get_by_role("button").first.click()
    change(page)
    run(page)
    if said is None:
        until(page, "p.run && p.run.result")
        return
    expect(toast(page)).to_contain_text(said)
    expect(page.locator("#status")).to_have_text(re.compile(r"^\s*(Error)?\s*$"))
    expect(page.locator("#status .error")).to_be_hidden()
    assert "Traceback" not in page.locator("body").inner_text() and toast(page).locator("b").count() == 0
    assert server.fake.passes == before
    picture(page, "refused")


def test_a_failed_run_keeps_its_frames_and_says_why(server, visit):
    vars(server.fake).update(fail_at=6, delay=0.05)
    page = visit(server)
    run(page)
    expect(toast(page)).to_contain_text("Something unexpected went wrong")
    assert "scripted failure" not in page.locator("body").inner_text()
    assert until(page, "p.run.result && p.run.result.stopped") == "error"
    assert until(page, "p.length") == 6


# ---------------------------------------------------------------- hostile text
def test_hostile_text_in_prompt_and_in_generated_tokens_stays_text(serve, visit):
    server = serve(emit=HOSTILE)
    page = visit(server)
    title = page.title()
    page.locator("#prompt textarea").fill("\n".join(HOSTILE))
    page.locator("#extras").get_by_role("button").first.click()
    page.locator("#pinned textarea").fill(f"2: {HOSTILE[0]}")
    page.locator("#system textarea").fill(HOSTILE[2])
    run(page)
    until(page, "p.run && p.run.result")
    shown = until(page, "p.run.text(p.run.frames[p.length - 1])")
    assert all(text in shown for text in HOSTILE)
    page.locator("#player .ib-text .ib-cell").nth(40).hover()
    page.locator("#recipe").get_by_role("button").first.click()
    page.locator("#write-recipe").click()
    expect(page.locator("#recipe-shell")).to_contain_text("playground run")
    time.sleep(0.3)  # whatever was going to run would have run
    assert page.title() == title
    assert (
        page.evaluate(
            "document.querySelectorAll('#player :is(img, iframe, script, style), #recipe :is(img, iframe)').length"
        )
        == 0
    )
    assert page.locator("#run").is_visible()


# ---------------------------------------------------------------- knobs
def chosen_curves(page) -> list[str]:
    return page.evaluate("""() => [...document.querySelectorAll('#curves polyline')]
        .filter((line) => getComputedStyle(line).strokeWidth === '2.5px').map((line) => line.dataset.schedule)""")


def test_only_what_applies_is_shown(server, visit):
    page = visit(server)
    expect(page.locator("#knob-threshold")).to_be_visible()
    expect(page.locator("#knob-schedule")).to_be_hidden()
    page.locator("#knob-rule input").click()
    page.get_by_role("option", name="planned count").click()
    expect(page.locator("#knob-schedule")).to_be_visible()
    expect(page.locator("#knob-threshold")).to_be_hidden()
    assert chosen_curves(page) == ["linear"]
    page.locator("#knob-schedule input").click()
    page.get_by_role("option", name="cosine").click()
    page.wait_for_timeout(100)
    assert chosen_curves(page) == ["cosine"]
    page.locator("#more").get_by_role("button").first.click()
    expect(page.locator("#knob-top_k")).to_be_visible()
    for name in ("t_max", "canvases", "factor", "entropy_bound", "guidance"):
        expect(page.locator(f"#knob-{name}")).to_be_hidden()
    expect(page.locator("#knob-remask_strength")).to_be_visible()  # the first preset takes back
    page.locator("#knob-remasking input").click()
    page.get_by_role("option", name="never").click()
    expect(page.locator("#knob-remask_strength")).to_be_hidden()
    page.locator("#mode").get_by_text("Left to right").click()
    expect(page.locator("#knob-steps")).to_be_hidden()
    expect(page.locator("#curves")).to_be_hidden()
    expect(page.locator("#knob-temperature")).to_be_visible()
    run(page)
    assert until(page, "p.run && p.run.result && p.run.header.mode") == "ar"


def test_a_preset_sets_its_knobs(server, visit):
    from playground.presets import presets_of

    careful = presets_of("fake")["careful"]

    page = visit(server)
    page.locator("#preset").get_by_text("Careful").click()
    box = page.locator("#knob-threshold input[type=number]")
    expect(box).to_have_value(str(careful["threshold"]))
    run(page)
    used = until(page, "p.run && p.run.result && p.run.header.settings")
    assert {name: used[name] for name in careful} == careful


def test_help_shows_on_its_knob_and_nowhere_else(server, visit):
    page = visit(server)
    note = page.locator("#knob-temperature .info-text")
    expect(note).to_be_hidden()
    page.locator("#knob-temperature [data-testid=block-info]").hover()
    expect(note).to_be_visible()
    expect(note).to_contain_text("0 takes the likeliest token")


def test_the_copied_command_and_python_give_the_same_run(server, visit, capsys):
    page = visit(server)
    page.locator("#prompt textarea").fill('it\'s "so" $HOME')
    knob(page, "steps", 19)
    knob(page, "seed", 5) if page.locator("#knob-seed").is_visible() else None
    page.locator("#extras").get_by_role("button").first.click()
    page.locator("#pinned textarea").fill("3: upon\n9: a time")
    page.locator("#recipe").get_by_role("button").first.click()
    page.locator("#write-recipe").click()
    expect(page.locator("#recipe-shell .cm-content")).to_contain_text("--steps 19")
    command = "\n".join(page.locator("#recipe-shell .cm-line").all_inner_texts())
    code = "\n".join(page.locator("#recipe-python .cm-line").all_inner_texts())
    run(page)
    shown = until(page, "p.run && p.run.result && p.run.result.text")
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "playground"] and cli.main(words[3:]) == 0
    assert capsys.readouterr().out == shown + "\n" and " upon" in shown
    exec(code.replace("\u00a0", " "), {})  # noqa: S102 - our own page's example
    assert capsys.readouterr().out.endswith(shown + "\n")


# ---------------------------------------------------------------- the page itself
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_scrolls_sideways_and_every_control_is_reachable(server, visit, width, dark):
    page = visit(server, width=width, height=740, dark=dark)
    run(page)
    until(page, "p.run && p.run.result")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for name in ("#run", "#stop", "#preset", "#knob-steps", "#more", "#recipe"):
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, name
    picture(page, f"{'phone' if width == 360 else 'desktop'}-{'dark' if dark else 'light'}")


def test_a_shipped_recording_plays_by_itself_and_says_so(serve, visit, tmp_path):
    trace = Fake().denoise("a recorded question", Settings(steps=12, rule="schedule")).finish()
    trace.recorded = "2026-01-02"
    (tmp_path / "one.json").write_text(trace.to_json())
    page = visit(serve(recordings=tmp_path))
    expect(page.locator("#player .ib-badge-recorded")).to_contain_text("recorded 2026-01-02")
    assert until(page, "p.run && p.run.header.prompt") == "a recorded question"
    first = until(page, "p.index >= 0 && p.index")
    assert isinstance(first, int)
    run(page)
    assert until(page, "!p.run.header.recorded && p.run.result && p.run.header.prompt") == "Why is the sky blue?"
    expect(page.locator("#player .ib-badge-recorded")).to_have_count(0)


def test_the_page_says_how_far_the_model_is(serve, visit):
    import threading

    server, gate = serve(), threading.Event()
    server.engine.unload()

    def loader(model_id, progress):
        progress(0.4, "reading the weights")
        gate.wait(patience(20))
        return server.fake

    server.fake.closed, server.engine._loader = False, loader
    server.engine.start_loading("fake")
    page = visit(server)
    expect(page.locator("#status")).to_contain_text("Reading the weights 40%")
    run(page)
    gate.set()
    until(page, "p.run && p.run.result")
    expect(page.locator("#status span")).to_have_count(0)
