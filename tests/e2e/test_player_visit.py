"""The player in a visitor's hands: time, keys, tokens, numbers, live runs; from a disk, with no server behind it."""

# ruff: noqa: F811
from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from model.trace.frame import COMMITTED, SETTLED, TAKEN_BACK
from model.trace.trace import STOPPED as ENDINGS
from model.trace.trace import Trace
from playground.web.wire import STOPPED, Recorder, trace_message
from tests.e2e.player_page import PLAYER, RUNS, cell, copied, index, show, until  # noqa: F401

pytestmark = pytest.mark.e2e
LAST = {name: len(trace.frames) - 1 for name, trace in RUNS.items()}


def send(page: Any, message: str | None) -> None:
    page.evaluate(f"m => {PLAYER}.receive(m)", json.loads(message or "{}"))
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


# ---------------------------------------------------------------- time
def test_keys_move_in_time(show: Any):
    page = show("full")
    page.locator(".ib-slider").focus()
    last = LAST["full"]
    for key, expected in [
        ("Home", 0),
        ("ArrowRight", 1),
        ("PageDown", 2),
        ("ArrowRight", 3),
        ("ArrowLeft", 2),
        ("PageUp", 1),
        ("End", last),
        ("ArrowRight", last),
        ("Home", 0),
        ("ArrowLeft", 0),
    ]:
        page.keyboard.press(key)
        assert index(page) == expected, key
    page.keyboard.press("Space")
    assert page.evaluate(f"{PLAYER}.clock.playing")
    page.keyboard.press("Space")
    assert not page.evaluate(f"{PLAYER}.clock.playing")


def test_buttons_and_slider_move_in_time(show: Any):
    page = show("full")
    for name, expected in [
        ("First step", 0),
        ("Step forward", 1),
        ("Step forward", 2),
        ("Step back", 1),
        ("Last step", LAST["full"]),
    ]:
        page.get_by_role("button", name=name).click()
        assert index(page) == expected
    page.locator(".ib-slider").fill("7")
    assert index(page) == 7 and "7 of 21" in page.locator(".ib-step").inner_text()
    assert page.locator(".ib-slider").get_attribute("aria-valuetext") == "step 7 of 21"


def test_the_last_frame_is_played_to_in_the_runs_own_seconds(show: Any):
    page = show("full")
    duration = RUNS["full"].frames[-1].seconds
    took = page.evaluate(f"""async () => {{ const p = {PLAYER}, at = []; p.seek(0); const begin = performance.now();
        p.host.addEventListener('ib-frame', e => at.push([e.detail.seconds, (performance.now() - begin) / 1000]));
        p.play(); await new Promise(r => document.addEventListener('ib-end', r, {{ once: true }}));
        return {{ at, whole: (performance.now() - begin) / 1000 }} }}""")
    assert duration * 0.95 <= took["whole"] <= duration + 0.7
    # never early: 8 ms are allowed, and the clock starts with a frame of the screen that may be two frames old on a busy machine
    assert all(shown >= due - 0.05 for due, shown in took["at"])
    page.locator(".ib-speed").select_option("8")
    assert page.evaluate(f"{PLAYER}.clock.speed") == 8


def test_even_steps_give_every_frame_the_same_time(show: Any):
    page = show("ar")
    page.locator(".ib-clock").select_option("even")
    assert page.evaluate(f"{PLAYER}.clock.due(10)") == pytest.approx(10 * page.evaluate(f"{PLAYER}.clock.due(1)"))
    page.locator(".ib-clock").select_option("real")
    assert page.evaluate(f"{PLAYER}.clock.due(10)") == RUNS["ar"].frames[10].seconds


def test_a_race_can_drive_it_by_seconds_and_by_forward_passes(show: Any):
    page, trace = show("blocks"), RUNS["blocks"]
    assert page.evaluate(f"[{PLAYER}.durationSeconds, {PLAYER}.durationForwards]") == [
        trace.frames[-1].seconds,
        trace.frames[-1].forwards,
    ]
    page.evaluate(f"{PLAYER}.host.addEventListener('ib-frame', e => (window.told = e.detail))")
    for k in (3, 9, 0, 20):
        page.evaluate(f"s => {PLAYER}.seekSeconds(s)", trace.frames[k].seconds + 1e-4)
        assert index(page) == k
        assert page.evaluate("window.told") == {
            "index": k,
            "step": trace.frames[k].step,
            "seconds": trace.frames[k].seconds,
            "forwards": trace.frames[k].forwards,
            "length": len(trace.frames),
        }
        page.evaluate(f"n => {PLAYER}.seekForwards(n)", trace.frames[5].forwards)
        assert index(page) == 5


def test_a_click_on_the_strips_goes_there_and_the_playhead_stands_under_the_thumb(show: Any):
    page = show("full")
    plots = page.locator(".ib-plots").bounding_box()
    page.mouse.click(plots["x"] + plots["width"] * 0.25, plots["y"] + 20)
    assert index(page) == round(LAST["full"] * 0.25)
    head = page.locator(".ib-head").evaluate("e => e.getBoundingClientRect().x")
    assert head == pytest.approx(plots["x"] + plots["width"] * index(page) / LAST["full"], abs=1.5)


def test_the_strips_show_the_run_against_its_plan(show: Any):
    page, trace = show("full"), RUNS["full"]
    page.evaluate(f"{PLAYER}.seek(12)")
    committed, planned = len(trace.frames[12].committed), trace.frames[12].reasons[0].bound
    words = [text.replace("\n", " ") for text in page.locator(".ib-caption").all_inner_texts()]
    assert f"Committed {committed} of {planned:g} planned" in words[1]
    share = 1 - trace.frames[12].undecided / 64
    assert f"{round(100 * share)}" in words[3] and "nats" in words[2]
    bars = page.locator(".ib-strip-committed .ib-done").get_attribute("d")
    assert bars.count("M") == sum(1 for frame in trace.frames if frame.committed)
    assert page.locator(".ib-strip-committed .ib-plan").get_attribute("d").count("M") == sum(
        1 for frame in trace.frames if frame.reasons
    )


# ---------------------------------------------------------------- tokens
def decided(trace: Trace, rule: str = "schedule") -> tuple[int, int, Any]:
    """A position in the middle, the frame that decided it, and why."""
    return next(
        (r.position, k, r)
        for k, frame in enumerate(trace.frames)
        for r in frame.reasons
        if r.rule == rule and k > 3 and 5 < r.position < 30
    )


def test_pointing_at_a_token_tells_everything_about_it(show: Any):
    page, trace = show("full"), RUNS["full"]
    position, k, reason = decided(trace)
    cell(page, position).hover()
    card = page.locator(".ib-card")
    text = card.inner_text()
    piece = trace.pieces[int(trace.frames[k].ids[position])].decode().strip()
    assert piece in text and f"position {position}" in text and f"token {trace.frames[k].ids[position]}" in text
    assert (
        f"Committed in step {trace.frames[k].step}: score " in text
        and f"this step takes the best {reason.bound:g}" in text
    )
    assert f"{trace.frames[k].confidence[position] / 255:.2f}" in text and "nats" in text
    before = trace.frames[k - 1]
    assert f"Candidates at step {before.step}" in text and f"{before.candidates[1][position, 1] / 255:.2f}" in text
    assert "Favourite over the steps" in text and card.locator(".ib-spark path").count() == 3
    page.mouse.move(5, 5)
    card.wait_for(state="hidden")


def test_an_undecided_position_tells_todays_candidates(show: Any):
    page, trace = show("full"), RUNS["full"]
    position, k, _ = decided(trace)
    page.evaluate(f"k => {PLAYER}.seek(k)", k - 1)
    cell(page, position).click()
    text, frame = page.locator(".ib-card").inner_text(), trace.frames[k - 1]
    assert "Mask: not decided yet" in text and "Candidates now" in text and "today\u2019s guess" in text
    for rank in range(3):
        assert f"{frame.candidates[1][position, rank] / 255:.2f}" in text


def test_a_chosen_token_stays_open_while_time_moves(show: Any):
    page, trace = show("full"), RUNS["full"]
    position, k, _ = decided(trace)
    page.evaluate(f"{PLAYER}.host.addEventListener('ib-pick', e => (window.picked = e.detail))")
    cell(page, position).click()
    assert page.evaluate("window.picked.position") == position
    page.evaluate(f"k => {PLAYER}.seek(k)", k - 1)
    assert "not decided yet" in page.locator(".ib-card").inner_text()
    page.evaluate(f"k => {PLAYER}.seek(k)", k)
    assert "Committed in step" in page.locator(".ib-card").inner_text()
    page.mouse.move(0, 0)  # a pointer that rests on a token would ask about it again
    page.locator(".ib-text").press("Escape")
    page.locator(".ib-card").wait_for(state="hidden")


def test_the_keyboard_reaches_every_token(show: Any):
    page = show("full")
    page.keyboard.press("Tab")
    text = page.locator(".ib-text")
    assert text.evaluate("e => e === document.activeElement") and "position 0" in page.locator(".ib-card").inner_text()
    before = index(page)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert "position 3" in page.locator(".ib-card").inner_text() and index(page) == before
    active = page.locator(f"#{text.get_attribute('aria-activedescendant')}")
    assert active.get_attribute("data-i") == "3" and "Probability" in active.get_attribute("aria-label")
    top = active.bounding_box()["y"]
    page.keyboard.press("ArrowDown")
    below = page.locator(".ib-active")
    assert below.bounding_box()["y"] > top and below.get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowUp")
    assert page.locator(".ib-active").bounding_box()["y"] == pytest.approx(top, abs=2)
    page.keyboard.press("Home")
    assert index(page) == 0


def test_a_tap_opens_and_closes_the_card(show: Any):
    page = show("blocks", width=360, has_touch=True)
    cell(page, 4).tap()
    assert page.locator(".ib-card").is_visible()
    cell(page, 4).tap()
    assert page.locator(".ib-card").is_hidden()


@pytest.mark.parametrize(
    ("shape", "words"), [("taken_back", "taken back"), ("uniform", "no longer within the entropy budget")]
)
def test_a_token_taken_back_shows_what_it_was_and_when(show: Any, shape: str, words: str):
    page, trace = show(shape), RUNS[shape]
    k = next(i for i, frame in enumerate(trace.frames) if frame.taken_back)
    position = trace.frames[k].taken_back[0]
    assert (
        trace.frames[k - 1].states[position] in (COMMITTED, SETTLED) and trace.frames[k].states[position] == TAKEN_BACK
    )
    lost = trace.pieces[int(trace.frames[k - 1].ids[position])].decode().strip()
    page.evaluate(f"k => {PLAYER}.seek(k)", k)
    struck = cell(page, position)
    assert struck.evaluate("e => getComputedStyle(e).textDecorationLine") == "line-through"
    page.evaluate(f"k => {PLAYER}.seek(k)", LAST[shape])
    struck.click()
    text = page.locator(".ib-card").inner_text()
    assert f"Step {trace.frames[k].step}" in text and words in text and lost in text


# ---------------------------------------------------------------- numbers and words
@pytest.mark.parametrize("shape", RUNS)
def test_the_numbers_are_the_results_own(show: Any, shape: str):
    page, result = show(shape), RUNS[shape].result
    said = dict(
        zip(page.locator(".ib-term").all_inner_texts(), page.locator(".ib-numbers dd b").all_inner_texts(), strict=True)
    )
    assert said["Forward passes"] == str(result.forwards)
    assert float(said["Tokens per forward"]) == pytest.approx(result.tokens_per_forward, abs=0.006)
    assert float(said["Tokens/s"]) == pytest.approx(result.tokens_per_second, abs=0.51)
    assert said["Spent after the end"] == str(result.after_end) and said["Ended"] == ENDINGS[result.stopped]
    assert said["First frame"] == f"{round(result.first_frame_seconds * 1000)} ms"
    assert "a made-up processor, float32" in page.locator(".ib-number-rate").inner_text()
    page.evaluate(f"{PLAYER}.seek(1)")  # an early step does not say what only holds at the end
    ended = f"in step {RUNS[shape].frames[-1].step}: {ENDINGS[result.stopped]}"
    assert page.locator(".ib-number-why dd b").inner_text() == ended


def test_every_number_explains_itself_to_the_keyboard(show: Any):
    page = show("full")
    for term in page.locator(".ib-term").all():
        term.focus()
        tip = page.locator(f"#{term.get_attribute('aria-describedby')}")
        assert tip.is_visible() and tip.inner_text().endswith(".")


def test_a_screen_reader_hears_the_text_once_it_stands_still(show: Any):
    page = show("full", options={"autoplay": True, "speed": 2})
    assert page.get_by_role("region", name="Text as it is denoised").count() == 1
    assert page.locator(".ib-sr").inner_text() == ""
    until(page, "document.querySelector('.ib-sr').textContent.startsWith('Final text: Once upon')")
    assert page.locator(".ib-sr").get_attribute("aria-live") == "polite"
    page.evaluate(f"{PLAYER}.seek(10)")
    until(page, "document.querySelector('.ib-sr').textContent.startsWith('Step 10: ')")


# ---------------------------------------------------------------- live
def test_a_live_run_is_followed_and_can_be_scrubbed_meanwhile(show: Any):
    page, trace = show("plain"), RUNS["full"]
    recorder = Recorder(trace, interval=0)
    for k, frame in enumerate(trace.frames[:12]):
        send(page, recorder.add(frame))
        assert index(page) == k
    assert "not yet" in page.locator(".ib-number-why").inner_text() and "live" in page.locator(".ib-title").inner_text()
    page.keyboard.press("Tab")
    page.locator(".ib-slider").press("ArrowLeft")
    send(page, recorder.add(trace.frames[12]))
    assert index(page) == 10  # the visitor's choice stands
    page.locator(".ib-slider").press("End")
    send(page, recorder.add(trace.frames[13]))
    assert index(page) == 13
    send(page, recorder.final())
    assert index(page) == LAST["full"] and ENDINGS["end"] in page.locator(".ib-numbers").inner_text()
    assert page.evaluate(f"{PLAYER}.run.result.tokens") == trace.result.tokens
    assert copied(page).strip() == trace.final_text.strip()


def test_a_new_run_starts_over_and_late_messages_of_the_old_one_are_ignored(show: Any):
    page = show("blocks")
    old, new = Recorder(RUNS["full"], interval=0), Recorder(RUNS["uniform"], interval=0)
    send(page, old.add(RUNS["full"].frames[0]))
    send(page, new.add(RUNS["uniform"].frames[0]))
    send(page, old.add(RUNS["full"].frames[1]))
    assert page.evaluate(f"[{PLAYER}.length, {PLAYER}.run.uniform]") == [1, True]
    send(page, new.add(RUNS["uniform"].frames[1]))
    assert index(page) == 1


def test_a_missed_beginning_is_made_good_by_the_last_message(show: Any):
    page, trace = show("blocks"), RUNS["full"]
    recorder = Recorder(trace, interval=0)
    messages = [recorder.add(frame) for frame in trace.frames]
    send(page, messages[0])
    send(page, messages[5])  # four are missing: nothing may be made up
    assert page.evaluate(f"{PLAYER}.length") == 1
    send(page, recorder.final())
    assert page.evaluate(f"{PLAYER}.length") == len(trace.frames)


def test_a_stopped_run_keeps_what_came(show: Any):
    page, trace = show("plain"), RUNS["full"]
    recorder = Recorder(trace, interval=0)
    for frame in trace.frames[:8]:
        send(page, recorder.add(frame))
    send(page, STOPPED)
    assert "you stopped it" in page.locator(".ib-numbers").inner_text()
    page.locator(".ib-slider").press("Home")
    assert index(page) == 0
    page.get_by_role("button", name="Play").click()
    until(page, f"{PLAYER}.index === 7")


def test_live_text_gets_the_frames_the_recorder_batched(show: Any):
    page, trace = show("plain"), RUNS["long"]
    now = iter(np.arange(0, 10, 0.004))
    recorder = Recorder(trace, clock=lambda: float(next(now)))
    messages = [message for frame in trace.frames if (message := recorder.add(frame))]
    assert len(messages) < len(trace.frames) / 3
    for message in [*messages, recorder.flush()]:
        if message:
            send(page, message)
    got = page.evaluate(f"{PLAYER}.run.frames.map(f => [...f.ids])")
    assert got == [frame.ids.tolist() for frame in trace.frames]


def test_a_broken_document_is_told_and_does_no_harm(show: Any):
    page = show("full")
    page.evaluate("console.warn = () => {}")
    damaged = json.loads(RUNS["full"].to_json())
    del damaged["frames"][0]["l"]
    for trace in ({"format": "images"}, damaged, "{"):
        page.evaluate(f"t => {PLAYER}.load(t)", trace)
        assert "cannot be shown" in page.locator(".ib-empty").inner_text()
    page.keyboard.press("Space")
    send(page, trace_message(RUNS["blocks"]))
    assert copied(page).strip() == RUNS["blocks"].final_text.strip()


def test_two_players_share_a_page(show: Any):
    page = show("full")
    page.evaluate("() => { const d = document.createElement('div'); d.id = 'two'; document.body.append(d); }")
    page.evaluate(
        "t => mountPlayer(document.getElementById('two'), { trace: t, numbers: false })", RUNS["ar"].to_json()
    )
    page.evaluate("document.getElementById('two').__player.seek(3)")
    assert index(page) == LAST["full"] and page.evaluate("document.getElementById('two').__player.index") == 3
    assert page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size === document.querySelectorAll('[id]').length"
    )
    page.evaluate("document.getElementById('two').__player.destroy()")
    assert page.locator("#two *").count() == 0
