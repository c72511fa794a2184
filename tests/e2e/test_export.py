"""Saving a run in Chromium and bringing it back: the page that is saved opens from disk, asks nobody, and shows the same run."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from model import Trace
from model.models.scripted import SCRIPT
from playground.web.views.plots import written
from tests.e2e.test_race_page import run_race
from tests.e2e.test_watch import until

pytestmark = pytest.mark.e2e
HOSTILE = [
    "<img src=x onerror=window.hit=1>",
    "</script><script>window.hit=1</script>",
    " ${window.hit=1}",
    " $& $1",
    "\u2028",
    "<!--",
    "-->",
    "<svg onload=window.hit=1>",
    "<svg><script>window.hit=1</script></svg>",
    '"><script>window.hit=1</script>',
    "'-window.hit=1-'",
    "javascript:window.hit=1",
    "{{window.hit=1}}",
    "<iframe srcdoc='<script>parent.hit=1</script>'>",
    "<style>*{display:none}</style>",
    "</style><script>window.hit=1</script>",
    "<base href=//evil.example/>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "\\u003cscript>",
    "<object data=data:text/html,x>",
    "<math><mtext></mtext><img src=x onerror=window.hit=1></math>",
    "]]><script>window.hit=1</script>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "&lt;script&gt;",
    "__INKBLOT_TRACE__",
    "\u2029",
    "<a href=//evil.example ping=//evil.example>",
]


def finished(page):
    page.locator("#run").click()
    until(page, "p.run && p.run.result && p.document")


def saved(page, name, tmp_path) -> Path:
    with page.expect_download() as caught:
        page.locator("#save").get_by_role("button", name=name, exact=True).click()
    path = tmp_path / caught.value.suggested_filename
    caught.value.save_as(path)
    return path


def test_a_saved_page_plays_the_run_from_disk_and_asks_nobody(shared, visit, browser, tmp_path):
    page = visit(shared, width=1440, height=1200)
    finished(page)
    path = saved(page, "as a page", tmp_path)
    assert (
        path.name.startswith("inkblot_fake_") and path.name.endswith("_seed-0.html") and path.stat().st_size < 400_000
    )
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    asked, problems = [], []
    copy = context.new_page()
    copy.on("request", lambda request: asked.append(request.url))
    copy.on("pageerror", lambda error: problems.append(str(error)))
    copy.goto(path.as_uri())
    player = "document.querySelector('#player').__player"
    copy.wait_for_function(f"() => {player} && {player}.length > 10")
    copy.keyboard.press("End")
    assert copy.evaluate(f"{player}.run.text({player}.run.frames[{player}.length - 1])") == SCRIPT
    assert asked == [path.as_uri()] and problems == []
    expect(copy.locator(".ib-text")).to_be_visible()
    context.close()


def test_json_text_and_markdown_are_the_run(shared, visit, tmp_path):
    page = visit(shared, width=1440, height=1200)
    finished(page)
    trace = Trace.from_json(saved(page, "as JSON", tmp_path).read_text(encoding="utf-8"))
    assert trace.final_text == SCRIPT
    assert saved(page, "as text", tmp_path).read_text(encoding="utf-8") == SCRIPT
    markdown = saved(page, "as Markdown", tmp_path).read_text(encoding="utf-8")
    assert "\n".join("> " + line for line in SCRIPT.split("\n")) in markdown and "forward passes" in markdown


def test_what_a_model_writes_stays_text_in_a_saved_page(serve, visit, browser, tmp_path):
    page = visit(serve(emit=HOSTILE, delay=0.001), width=1440, height=1200)
    finished(page)
    path = saved(page, "as a page", tmp_path)
    context, asked = browser.new_context(), []
    copy = context.new_page()
    copy.on("request", lambda request: asked.append(request.url))
    copy.goto(path.as_uri())
    copy.wait_for_function("() => document.querySelector('#player').__player?.length > 3")
    copy.keyboard.press("End")
    assert asked == [path.as_uri()] and len(HOSTILE) >= 25
    text = copy.evaluate("document.querySelector('#player').__player.document.result.text")
    assert copy.evaluate("window.hit") is None and HOSTILE[0] in text
    context.close()


def test_a_trace_from_disk_is_shown_and_what_is_none_is_refused(shared, visit, tmp_path):
    page = visit(shared, width=1440, height=1200)
    finished(page)
    path = saved(page, "as JSON", tmp_path)
    document = json.loads(path.read_text(encoding="utf-8"))
    before = until(page, "p.run.id")
    broken = {
        "empty.json": "",
        "list.json": "[]",
        "text.json": "hello",
        "none.json": "null",
        "other.json": json.dumps({"format": "x"}),
        "frames.json": json.dumps(document | {"frames": []}),
        "version.json": json.dumps(document | {"version": 9}),
        "long.json": json.dumps(document | {"frames": [{**document["frames"][0], "l": 10**9}]}),
        "header.json": json.dumps(document | {"header": {}}),
    }
    for name, text in broken.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        with page.expect_file_chooser() as chooser:
            page.locator("#save").get_by_role("button", name="Open a trace…").click()
        chooser.value.set_files(tmp_path / name)
        expect(page.locator("#save-status")).to_contain_text(name)
        assert until(page, "p.run.id") == before, name
    document["header"]["prompt"] = "from disk"
    path.write_text(json.dumps(document), encoding="utf-8")
    with page.expect_file_chooser() as chooser:
        page.locator("#save").get_by_role("button", name="Open a trace…").click()
    chooser.value.set_files(path)
    assert until(page, "p.run.header.prompt === 'from disk' && p.run.header.prompt") == "from disk"


def test_the_code_to_embed_a_run_is_copied_and_its_script_saved(shared, visit, tmp_path):
    page = visit(shared, width=1440, height=1200, permissions=["clipboard-read", "clipboard-write"])
    finished(page)
    script = saved(page, "Embed", tmp_path)
    expect(page.locator("#save-status")).to_contain_text("The code is copied.")
    run = saved(page, "as JSON", tmp_path)
    code = page.evaluate("navigator.clipboard.readText()")
    assert code == f'<script src="inkblot-player.js"></script>\n<inkblot-player src="{run.name}"></inkblot-player>'
    assert script.name == "inkblot-player.js" and "customElements.define" in script.read_text(encoding="utf-8")


def test_a_race_saved_as_a_page_replays_on_one_clock_from_disk(shared, visit, browser, tmp_path):
    page = visit(shared, width=1440, height=1000)
    page.get_by_role("tab", name="Race").click()
    run_race(page)
    with page.expect_download() as caught:
        page.locator("#race-film").get_by_role("button", name="as a page", exact=True).click()
    path = tmp_path / caught.value.suggested_filename
    caught.value.save_as(path)
    assert path.name.startswith("inkblot_race_fake") and path.stat().st_size < 400_000
    context, asked = browser.new_context(), []
    copy = context.new_page()
    copy.on("request", lambda request: asked.append(request.url))
    copy.goto(path.as_uri())
    copy.locator(".rs-lane .ib-cell").first.wait_for()
    assert copy.locator(".rs-name").all_inner_texts() == page.locator(".rs-name").all_inner_texts()
    copy.keyboard.press("End")
    assert all(SCRIPT.split()[0] in text for text in copy.locator(".rs-lane .ib-text").all_inner_texts())
    assert asked == [path.as_uri()]
    context.close()


def test_branches_picked_in_the_tree_are_saved_as_one_page_on_one_clock(shared, visit, browser, tmp_path):
    page = visit(shared, width=1440, height=1200)
    finished(page)
    for prompt in ("second", "third"):
        page.locator("#prompt textarea").fill(prompt)
        page.locator("#run").click()
        until(page, f"p.run && p.run.result && p.run.header.prompt === '{prompt}' && p.document")
    tree = page.locator(".ink-runs")
    tree.locator("summary").click()
    expect(tree.locator(".ink-runs-save")).to_be_disabled()
    for box in range(3):
        tree.locator("input[type=checkbox]").nth(box).check()
    expect(tree.locator(".ink-runs-compare")).to_be_disabled()
    with page.expect_download() as caught:
        tree.locator(".ink-runs-save").click()
    path = tmp_path / caught.value.suggested_filename
    caught.value.save_as(path)
    assert path.name.startswith("inkblot_branches_fake")
    context, asked = browser.new_context(viewport={"width": 1600, "height": 900}), []
    copy = context.new_page()
    copy.on("request", lambda request: asked.append(request.url))
    copy.goto(path.as_uri())
    copy.locator(".rs-lane .ib-cell").first.wait_for()
    copy.keyboard.press("End")
    texts = copy.locator(".rs-lane .ib-text").all_inner_texts()
    assert len(texts) == 3 and all(SCRIPT.split()[0] in text for text in texts) and asked == [path.as_uri()]
    stage = "document.querySelector('.rs-stage').__stage"
    for lane, document in enumerate(copy.evaluate(f"{stage}.lanes.map((lane) => lane.data)")):
        run = Trace.from_json(json.dumps(document["trace"]))
        assert document["counts"] == [written(frame, document["tokens"]) for frame in run.frames], lane
    copy.screenshot(path=tmp_path / "branches.png")
    context.close()
