"""The tour on the page: what it tells of the recorded run, and that it leaves the visitor's own alone."""
# ruff: noqa: F811 (fixtures of another file are named as arguments)

import json

from playwright.sync_api import expect

from model.trace.trace import Trace
from playground.web.views.recorded import FOLDER
from playground.web.views.talk import SHIPPED
from playground.web.views.tour import SCENES
from tests.e2e.test_watch import RUNS, TOUR, TRACES, picture, press, shown, until  # noqa: F401 (fixtures)


# ---------------------------------------------------------------- how it works
def test_the_tour_tells_the_recorded_run_and_leaves_the_visitors_own_alone(shown, visit):
    page, trace = visit(shown, width=1366, height=768, reduced_motion="reduce"), RUNS["blocks"]
    page.locator("#run").click()
    mine = until(page, "p.run.result && !p.run.header.recorded && p.run.id")
    opener = page.get_by_role("button", name="How it works")
    opener.focus()
    page.keyboard.press("Enter")
    dialog, told, count = (
        page.get_by_role("dialog"),
        [],
        7,
    )  # nothing is taken back in this run, and no other one is of its model
    for k in range(count):
        expect(dialog.locator(".ink-tour-count")).to_have_text(f"{k + 1} of {count}")
        told.append(dialog.locator(".ink-tour-text").inner_text())
        picture(page, f"tour-{k + 1}")
        page.keyboard.press("ArrowRight")
    assert "{" not in "".join(told)
    assert "64 places" in told[0] and "makes things up" in told[6]
    assert f"{trace.result.forwards} passes" in told[4] and f"{trace.result.tokens} tokens" in told[4]
    expect(dialog).to_have_count(0)  # the last arrow left it
    expect(opener).to_be_focused()
    assert until(page, "p.run.id") == mine


def test_what_the_tour_says_of_a_word_is_so(shown, visit):
    page, trace = visit(shown, reduced_motion="reduce"), RUNS["blocks"]
    page.get_by_role("button", name="How it works").click()
    press(page, "next"), press(page, "next")
    index, position = page.evaluate(f"[{TOUR}.index, {TOUR}.inspector.position]")
    frame, text = trace.frames[index], page.locator(".ink-tour-text").inner_text()
    assert position in frame.committed and trace.pieces[int(frame.ids[position])].decode().strip() in text
    assert f"step {frame.step} " in text and f"{frame.confidence[position] / 255:.2f}" in text
    assert any(frame.ids[i] < 0 for i in range(frame.span[0], position))
    press(page, "next")
    index, position = page.evaluate(f"[{TOUR}.index, {TOUR}.inspector.position]")
    assert position in trace.frames[index].committed
    press(page, "next"), press(page, "next")
    assert page.evaluate(f"[{TOUR}.run.ar, {TOUR}.run.text({TOUR}.frame)]") == [True, trace.final_text]
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_tour_tells_of_a_token_that_was_taken_back(serve, visit, tmp_path):
    trace = RUNS["taken_back"]
    document = json.loads(trace.to_json())
    document["header"]["settings"]["remasking"] = "verify"
    (tmp_path / "1.json").write_text(json.dumps(document))
    page = visit(serve(recordings=tmp_path), reduced_motion="reduce")
    page.get_by_role("button", name="How it works").click()
    check = next(scene for scene in SCENES if scene.name == "check")
    while page.locator(".ink-tour h2").inner_text() != check.title:
        press(page, "next")
    index, position = page.evaluate(f"[{TOUR}.index, {TOUR}.inspector.position]")
    assert position in trace.frames[index].taken_back
    was = trace.pieces[int(trace.frames[index - 1].ids[position])].decode().strip()
    assert f"\u201c{was}\u201d" in page.locator(".ink-tour-text").inner_text()
    assert f"step {trace.frames[index].step}," in page.locator(".ink-tour-text").inner_text()


def test_the_tour_of_the_small_worlds_ends_at_a_control_to_try(serve, visit):
    """On the run that ships: what too few passes and the twin do is shown on real runs, and what is said of them is so."""
    page, told = visit(serve(recordings=TRACES), reduced_motion="reduce"), {}
    runs = {
        name: Trace.from_json((SHIPPED / file).read_text())
        for name, file in {"hasty": "02-four-steps.json", "twin": "05-race/2-left-to-right.json"}.items()
    }
    by_hand = {
        name: Trace.from_json((FOLDER / "hands" / f"{name}.json").read_text()) for name in ("who", "many", "when")
    }
    runs |= by_hand
    page.get_by_role("button", name="How it works").click()
    last, seconds = "", 0
    while last != "Now you":
        last = page.locator(".ink-tour h2").inner_text()
        scene = next(scene for scene in SCENES if scene.title == last)
        told[scene.name], seconds = page.locator(".ink-tour-text").inner_text(), seconds + scene.seconds
        if scene.name in runs:
            assert page.evaluate(f"{TOUR}.run.text({TOUR}.frame)").strip() == runs[scene.name].final_text
        else:
            assert (
                page.evaluate(f"{TOUR}.run.header.recorded && {TOUR}.run.answerIds({TOUR}.run.frames.at(-1)).length")
                > 0
            )
        picture(page, f"tour-worlds-{scene.name}")
        press(page, "next")
    assert 50 <= seconds <= 90 and {"empty", "step", "first", "hasty", "twin", "yours"} <= told.keys()
    assert not {"typed", "honest"} & told.keys()
    for name, trace in by_hand.items():  # what the checker says before and after
        assert trace.notice in told[name] and "contradiction" in told[name] and "finds nothing wrong" in told[name]
    assert any(sentence in told["hasty"] for sentence, _ in runs["hasty"].result.faults)
    assert f"{runs['hasty'].result.forwards} passes" in told["hasty"]
    assert f"{runs['twin'].result.forwards} passes" in told["twin"] and "{" not in "".join(told.values())
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#run")).to_be_focused()


def test_the_tour_goes_on_by_itself_can_be_held_and_reopened(shown, visit):
    page = visit(shown)
    page.evaluate("INKBLOT.tour.forEach((scene) => (scene.seconds = 0.4))")
    page.get_by_role("button", name="How it works").click()
    page.locator(".ink-tour h2", has_text=SCENES[2].title).wait_for()
    press(page, "play")
    held = page.locator(".ink-tour-count").inner_text()
    page.wait_for_timeout(900)
    assert page.locator(".ink-tour-count").inner_text() == held
    press(page, "skip")
    page.get_by_role("button", name="How it works").click()
    page.locator(".ink-tour h2", has_text="Do not believe what it says").wait_for()
    press(page, "next")
    expect(page.get_by_role("dialog")).to_have_count(0)
