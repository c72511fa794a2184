"""Talk mode in Chromium, from a disk and by keys alone: what is on stage, what the presenter sees, and that the last row can read it."""

import re
import time

import pytest

from model.models.scripted import SCRIPT
from model.paths import ASSETS
from model.settings import Settings
from playground.cli.main import main
from playground.web.views.talk import SHIPPED, playlist, talk_html
from tests.e2e.player_harness import shapes
from tests.patience import patience

pytestmark = pytest.mark.e2e
TALK = "window.inkblotTalk"
# Every text that a person sees, by its size on the screen; what is hidden, or transparent to a reader, is none.
SMALL = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), small = [];
  for (let node; (node = walker.nextNode()); ) {
    const el = node.parentElement, style = getComputedStyle(el), text = node.textContent.trim();
    if (!text || el.closest('script, style, template, .ib-sr, [hidden], select') || style.visibility === 'hidden') continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = (el.closest('.ib-over') ? el.closest('.ib-ink') : range).getBoundingClientRect(); // what lies over a place is clipped to it
    if (!box.width || !box.height) continue;
    if (parseFloat(style.fontSize) < 24) small.push([text.slice(0, 40), style.fontSize, el.className]);
    const inside = box.bottom <= innerHeight + 1 && box.right <= innerWidth + 1 && box.left >= -1 && box.top >= -1;
    if (!inside) small.push([text.slice(0, 40), 'off the screen', el.className]);
  }
  return small;
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A playlist of made-up runs: one, two beside each other, a board; the first with notes."""
    path, runs = tmp_path_factory.mktemp("talk"), shapes()
    (path / "1-letter.json").write_text(runs["full"].to_json())
    (path / "1-letter.md").write_text("# A letter\n\n- Say **this** <img src=x onerror=window.hit=1>\n- and *that*\n")
    (path / "2-both").mkdir()
    (path / "2-both" / "1-left-to-right.json").write_text(runs["ar"].to_json())
    (path / "2-both" / "2-blocks.json").write_text(runs["blocks"].to_json())
    (path / "3-board.json").write_text(runs["board"].to_json())
    (path / "4-hostile.json").write_text(runs["hostile"].to_json())
    return path


@pytest.fixture
def stage(browser, tmp_path):
    """Return a function that opens a playlist from a disk and fails where anything is asked for, or said in the console."""
    contexts, wrong = [], []

    def show(items, width=1280, height=720):
        file = tmp_path / "talk.html"
        file.write_text(talk_html(items), encoding="utf-8")
        contexts.append(browser.new_context(viewport={"width": width, "height": height}))
        page = contexts[-1].new_page()
        page.on(
            "request", lambda request: wrong.append(request.url) if not request.url.startswith(file.as_uri()) else None
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.goto(file.as_uri())
        page.wait_for_selector(".ib-cell")
        return page

    yield show
    for context in contexts:
        context.close()
    assert wrong == []


def now(page, what):
    return page.evaluate(f"(() => {{ const t = {TALK}; return {what}; }})()")


def wait(page, truth, seconds=15):
    """Wait until something is true, asked from outside: the page's own policy forbids to evaluate text."""
    ends = time.monotonic() + patience(seconds)
    while not page.evaluate(truth):
        assert time.monotonic() < ends, truth
        page.wait_for_timeout(30)


def test_a_talk_is_driven_by_keys_alone(stage, folder):
    page = stage(playlist(folder))
    press = page.keyboard.press
    assert page.locator("#line b").inner_text() == "1 A letter" and now(page, "t.player.index") == 0
    press("ArrowRight")
    press("ArrowRight")
    assert now(page, "t.player.index") == 2 and page.locator("#line output").inner_text().startswith("2 of 20 passes")
    press("End")
    assert now(page, "t.player.index === t.player.length - 1")
    press("Home")
    press("Space")
    wait(page, f"{TALK}.player.index > 1")
    press("Space")
    assert now(page, "t.player.clock.playing") is False
    press("+")
    assert now(page, "t.player.clock.speed") == 2
    press("PageDown")
    assert now(page, "t.at") == 1 and page.locator(".rs-name").all_inner_texts() == ["left to right", "blocks"]
    press("v")
    assert now(page, "t.stage.clock") == "forwards"
    press("Space")
    wait(page, f"{TALK}.stage.at > 0")
    press("PageUp")
    assert now(page, "t.at") == 0
    press("3")
    assert now(page, "t.at") == 2
    press("v")
    assert page.locator("#run .ib-numbers").is_visible() and not page.locator("#run .ib-text").is_visible()
    press("v")
    assert page.locator("#map canvas").is_visible() and not page.locator("#run .ib-numbers").is_visible()
    press("v")
    assert page.locator("#run .ib-text").is_visible() and not page.locator("#map").is_visible()


def test_a_race_of_milliseconds_is_slowed_down_for_the_room_and_says_so(stage):
    page = stage([item for item in playlist(SHIPPED) if len(item["lanes"]) == 2])
    lasts, speed = now(page, "[t.stage.duration(), t.stage.speed]")
    assert lasts < 4 and abs(lasts / speed - 8) < 1e-6
    assert f"slowed down {round(1 / speed)} times" in page.locator("#line output").inner_text()
    page.keyboard.press("-")
    assert abs(now(page, "t.stage.speed") - speed / 2) < 1e-9
    page.keyboard.press("v")
    assert now(page, "t.stage.speed") == 0.5 and page.locator("#line output").inner_text().endswith("passes")


def test_black_laser_help_and_theme(stage, folder):
    page = stage(playlist(folder))
    black, dot, help_ = page.locator("#black"), page.locator("#dot"), page.locator("#help")
    page.keyboard.press("b")
    assert black.is_visible() and black.bounding_box() == {"x": 0, "y": 0, "width": 1280, "height": 720}
    page.keyboard.press(".")
    page.keyboard.press("l")
    page.mouse.move(300, 200)
    assert not black.is_visible() and dot.is_visible()
    box = dot.bounding_box()
    assert abs(box["x"] + box["width"] / 2 - 300) < 1 and abs(box["y"] + box["height"] / 2 - 200) < 1
    page.keyboard.press("l")
    page.keyboard.press("?")
    assert not dot.is_visible() and "PageDown" in help_.inner_text() and "A letter" in help_.inner_text()
    page.keyboard.press("Escape")
    assert not help_.is_visible()
    ground = "getComputedStyle(document.body).backgroundColor"
    page.keyboard.press("ArrowRight")
    before = page.evaluate(ground)
    page.keyboard.press("t")
    assert page.evaluate(ground) != before and now(page, "t.player.index") == 1
    page.keyboard.press("n")
    assert "no model behind it" in page.locator("#ask").inner_text()


def test_the_presenter_sees_notes_and_what_comes_next_and_moves_the_stage(stage, folder):
    page = stage(playlist(folder))
    with page.context.expect_page() as opened:
        page.keyboard.press("p")
    notes = opened.value
    notes.wait_for_selector("#notes li")
    assert notes.locator("#notes li").all_inner_texts() == ["Say this <img src=x onerror=window.hit=1>", "and that"]
    assert notes.locator("#notes b").inner_text() == "this" and notes.evaluate("window.hit") is None
    assert notes.locator("h1").inner_text() == "A letter" and notes.locator("#next").inner_text().startswith("Next: ")
    assert re.match(r"\d+:\d\d ", notes.locator("header b").inner_text())
    notes.keyboard.press("PageDown")
    wait(page, f"{TALK}.at === 1")
    wait(notes, "document.querySelector('header span').textContent.startsWith('2 of 4')")


def test_a_prompt_typed_in_the_talk_runs_and_joins_the_playlist(shared, visit):
    page = visit(shared)
    page.goto(shared.url + "/talk")
    page.wait_for_selector(".ib-cell")
    before = now(page, "t.items.length")
    header = f"{TALK}.items[0].lanes[0].trace.header"
    page.evaluate(
        f"(settings) => {{ {header}.model.id = 'fake'; {header}.settings = settings; }}", Settings().as_dict()
    )
    page.keyboard.press("n")
    page.keyboard.type("what the room wants?")
    assert now(page, "t.at") == 0 and "it joins the playlist" in page.locator("#ask").inner_text()
    page.keyboard.press("Enter")
    wait(page, f"{TALK}.items.length === {before + 1}")
    assert now(page, "t.at") == before and page.locator("#line b").inner_text().endswith("what the room wants?")
    page.keyboard.press("End")
    assert now(page, "t.player.run.text(t.player.frame)") == SCRIPT
    page.keyboard.press("1")  # there is a tenth run: it waits whether a second digit comes
    wait(page, f"{TALK}.at === 0")


def test_runs_of_the_visit_come_along_to_the_talk(serve, visit):
    page = visit(serve(recordings=ASSETS / "traces"), width=1440, height=1000)
    page.locator("#prompt textarea").fill("for the <b>room</b>")
    page.locator("#run").click()
    page.wait_for_function("window.inkblotRuns.list().length === 1")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Talk mode").click()
    talk = opened.value
    talk.wait_for_selector(".ib-cell")
    assert (
        now(talk, "t.items.at(-1).title") == "for the <b>room</b>"
        and now(talk, "t.items.length") == len(playlist(SHIPPED)) + 1
    )
    talk.keyboard.press("Shift+?")
    assert "for the <b>room</b>" in talk.locator("#help").inner_text()


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 720)])
@pytest.mark.parametrize("which", ["made up", "shipped"])
def test_no_text_is_too_small_for_the_last_row_and_none_leaves_the_screen(stage, folder, width, height, which):
    items = playlist(folder if which == "made up" else SHIPPED)
    page = stage(items, width, height)
    for number, item in enumerate(items, 1):
        for view in range(1 if len(item["lanes"]) > 1 else 3):
            for where in ("Home", "ArrowRight", "ArrowRight", "End"):
                page.keyboard.press(where)
                assert page.evaluate(SMALL) == [], (number, view, where)
            page.keyboard.press("v")
        page.keyboard.press("PageDown")
    page.keyboard.press("?")
    assert page.evaluate(SMALL) == []


def test_the_playlist_that_ships_has_eight_runs_with_two_or_three_notes_each():
    items = playlist(SHIPPED)
    assert len(items) >= 8 and len({item["title"] for item in items}) == len(items)
    for item in items:
        assert 2 <= len([line for line in item["notes"].splitlines() if line.startswith("- ")]) <= 3, item["title"]


def test_the_first_two_runs_are_one_prompt_in_twelve_passes_and_in_four_with_its_faults():
    slow, quick = (item["lanes"][0]["trace"] for item in playlist(SHIPPED)[:2])
    assert slow["result"]["forwards"] == 12 and slow["result"]["faults"] == []
    assert quick["result"]["forwards"] == 4 and quick["result"]["faults"]
    of = lambda trace: {**trace["header"]["settings"], "steps": 0, "prompt": trace["header"]["prompt"]}  # noqa: E731
    assert of(slow) == of(quick)


def test_the_command_writes_one_file(folder, tmp_path, capsys):
    assert main(["talk", str(folder), "--html", str(tmp_path / "it.html")]) == 0
    assert (
        capsys.readouterr().out.strip() == str(tmp_path / "it.html")
        and "A letter" in (tmp_path / "it.html").read_text()
    )
    assert (
        main(["talk", str(folder / "1-letter.json"), "--html", str(tmp_path / "one.html")]) == 0
    )  # a file is a playlist of one
    assert (
        "A letter" in (one := (tmp_path / "one.html").read_text())
        and '"title":"A letter"' in one
        and one.count('"lanes":') == 1
    )
    for bad in (tmp_path / "none", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert main(["talk", str(bad), "--html", str(tmp_path / "it.html")]) == 2
        assert str(bad) in capsys.readouterr().err
