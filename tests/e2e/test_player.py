"""The player in a browser, opened from a disk with no server behind it: what it decodes, and how it draws it."""

# ruff: noqa: F811
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.trace.frame import STATES, UNDECIDED, unpack_entropy
from model.trace.trace import Trace
from tests.e2e.player_harness import HOSTILE
from tests.e2e.player_page import PLAYER, RUNS, cell, copied, index, show, until  # noqa: F401

pytestmark = pytest.mark.e2e
OUTPUT = Path(__file__).parents[2] / "test-output" / "player"


# ---------------------------------------------------------------- what it decodes
@pytest.mark.parametrize("shape", RUNS)
def test_every_frame_is_decoded_as_python_has_it(show: Any, shape: str):
    trace = RUNS[shape]
    page = show(shape)
    got = page.evaluate(f"""() => {{ const run = {PLAYER}.run; return run.frames.map(f => ({{
        step: f.step, block: f.block, span: [f.start, f.stop], forwards: f.forwards, seconds: f.seconds, ids: [...f.ids],
        states: [...f.states], confidence: [...f.confidence], entropy: [...f.entropy],
        guesses: f.guesses && [[...f.guesses.ids], [...f.guesses.p]],
        text: run.text(f, '\\u0001'), answer: run.answerIds(f), mean: f.meanEntropy,
        why: [...f.why.keys()].map(i => [i, run.reason(f, i)]) }})) }}""")
    assert len(got) == len(trace.frames)
    for frame, js in zip(trace.frames, got, strict=True):
        for name in ("step", "block", "forwards", "seconds"):
            assert js[name] == getattr(frame, name), name
        assert js["span"] == list(frame.span)
        for name in ("ids", "states", "confidence", "entropy"):
            assert js[name] == getattr(frame, name).tolist(), name
        assert js["guesses"] == (None if frame.candidates is None else [a.ravel().tolist() for a in frame.candidates])
        assert js["text"] == trace.text(frame, "\x01")
        assert [i for i, _ in js["why"]] == list(dict.fromkeys(r.position for r in frame.reasons))
        if frame.forwards and trace.mode != "ar" and frame.undecided:
            here = np.isin(frame.states, UNDECIDED)
            assert js["mean"] == pytest.approx(unpack_entropy(frame.entropy[here], trace.spec.vocab_size).mean())
    assert got[-1]["answer"] == trace.final_ids
    assert dict(got[1]["why"])[trace.frames[1].reasons[0].position] == str(trace.frames[1].reasons[0]).replace(
        ".0 ", " "
    )


@pytest.mark.parametrize("shape", ["full", "blocks", "after_end", "pinned", "bytes", "uniform", "ar", "long"])
def test_the_canvas_reads_and_copies_as_the_final_text(show: Any, shape: str):
    page = show(shape)
    assert copied(page).rstrip("\n") == RUNS[shape].final_text.rstrip("\n")


@pytest.mark.parametrize("shape", RUNS)
def test_what_is_drawn_is_what_the_frame_holds(show: Any, shape: str):
    """The state on every cell, and its own text wherever a whole token stands, at every step and after jumps back."""
    trace = RUNS[shape]
    page = show(shape)
    seen = page.evaluate(f"""() => {{ const p = {PLAYER}, order = [...p.run.frames.keys()], out = {{}};
        for (const k of [...order, ...order.reverse()]) {{ p.seek(k);
          out[k] = [...document.querySelectorAll('.ib-cell[data-i]')].map(c => {{ const ghost = c.querySelector('.ib-ink').dataset.o;
            return [c.dataset.s, ghost ? c.querySelector('.ib-over').textContent : c.textContent, ghost]; }}); }} return out; }}""")
    for k, frame in enumerate(trace.frames):
        for i, (name, text, ghost) in enumerate(seen[str(k)][: len(frame.ids)]):
            state = STATES[frame.states[i]]
            undecided = frame.states[i] in UNDECIDED
            expected = "unreached" if trace.mode == "ar" and undecided else state
            assert name.removesuffix("_later") == expected
            assert name.endswith("_later") == (state in ("mask", "noise") and i >= frame.span[1] and trace.mode != "ar")
            piece = trace.pieces.get(int(frame.ids[i]), b"")
            if not undecided and state != "after_end" and piece.isascii() and piece.isalpha():
                assert text.strip() == piece.decode()
            if ghost == "guess":
                guess = trace.pieces[int(frame.candidates[0][i, 0])].decode("utf-8", "ignore").strip()
                assert text == guess or not guess.isalpha()


def test_no_replacement_character_ever_shows(show: Any):
    page = show("bytes")
    texts = page.evaluate(
        f"""() => {{ const p = {PLAYER}; return p.run.frames.map((_, k) => (p.seek(k), document.body.innerText)) }}"""
    )
    assert all("\ufffd" not in text for text in texts)
    assert any("\u25cc" in text for text in texts)  # bytes that wait for their neighbours
    assert (
        "\u25cc" not in texts[-1]
        and "\U0001f44b" in texts[-1]
        and "\U0001f468\u200d\U0001f469\u200d\U0001f467" in texts[-1]
    )


def test_hostile_text_stays_text(show: Any):
    page = show("hostile")
    for k in range(len(RUNS["hostile"].frames)):
        page.evaluate(f"k => {PLAYER}.seek(k)", k)
        cell(page, k % len(HOSTILE)).click()
    assert page.evaluate("window.hit") is None
    assert page.locator(".ib-text :is(img, svg, script, b), .ib-card :is(img, script)").count() == 0
    text = copied(page)
    assert "<img src=x onerror=window.hit=1> ${window.hit=1} {{window.hit=1}}" in text and "</script><script>" in text
    badges = page.locator(".ib-text .ib-badge")
    assert badges.all_inner_texts() == ["RLO", "ZWSP", "0", "LRI", "PDI", "?"]
    assert badges.first.get_attribute("title") == "U+202E"
    assert {"isolate"} == set(
        page.evaluate("[...document.querySelectorAll('.ib-ink')].map(e => getComputedStyle(e).unicodeBidi)")
    )
    prompt = Trace(
        RUNS["hostile"].spec, "diffusion", {}, "<img src=x onerror=window.hit=1>", (), frames=RUNS["hostile"].frames
    )
    prompt.pieces = RUNS["hostile"].pieces
    assert (
        show(prompt, options={"title": "</script><img>"}).locator(".ib-prompt p").inner_text()
        == "<img src=x onerror=window.hit=1>"
    )


# ---------------------------------------------------------------- how it looks
def test_nothing_moves_during_a_replay(show: Any):
    page = show("full", width=700)
    moved = {}
    for shape, trace in RUNS.items():
        page.evaluate(f"t => {PLAYER}.load(t)", trace.to_json())
        moved[shape] = page.evaluate(f"""() => {{ const p = {PLAYER}, all = '.ib-ink, .ib-player > *:not(.ib-card)';
            const box = e => {{ const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height].map(v => v.toFixed(1)).join() }};
            const place = () => [...document.querySelectorAll(all)].map(box).join(';');
            const first = place(); return p.run.frames.filter((_, k) => (p.seek(k), place() !== first)).map(f => f.index) }}""")
    assert moved == dict.fromkeys(RUNS, [])


def test_playing_256_tokens_shifts_nothing(show: Any):
    page = show("long", options={"even": True, "speed": 8})
    score = page.evaluate(f"""async () => {{ let score = 0; const p = {PLAYER}; p.seek(0); await new Promise(r => setTimeout(r, 100));
        new PerformanceObserver(l => l.getEntries().forEach(e => (score += e.value))).observe({{ type: 'layout-shift' }});
        p.play(); await new Promise(r => document.addEventListener('ib-end', r, {{ once: true }})); return score }}""")
    assert score == 0 and index(page) == len(RUNS["long"].frames) - 1


FORM = """e => { const s = getComputedStyle(e), size = v => v.replace(/rgba?\\([^)]*\\)|color\\([^)]*\\)|color-mix\\([^)]*\\)/g, '');
    return [size(s.backgroundImage), s.backgroundColor === 'rgba(0, 0, 0, 0)' ? 'clear' : 'filled', s.fontStyle, s.textDecorationLine,
            s.outlineStyle, size(s.boxShadow)].join('|') }"""


def test_every_state_differs_by_form_and_by_colour(show: Any):
    forms, colours = {}, {}
    for shape in ("pinned", "taken_back", "after_end", "uniform"):
        page = show(shape, reduced_motion="reduce")
        for k in range(len(RUNS[shape].frames)):
            page.evaluate(f"k => {PLAYER}.seek(k)", k)
            for state in {STATES[s] for s in RUNS[shape].frames[k].states} - forms.keys():
                found = page.locator(f'.ib-text .ib-cell[data-s="{state}"] .ib-ink:not([data-k="end"], [data-o="end"])')
                if found.count():
                    forms[state] = found.first.evaluate(FORM)
                    colours[state] = found.first.evaluate(
                        "e => [getComputedStyle(e).color, getComputedStyle(e).background].join()"
                    )
    assert forms.keys() == set(STATES)
    assert len(set(forms.values())) == len(STATES), forms
    assert len(set(colours.values())) == len(STATES)


def test_probability_is_drawn_under_every_token(show: Any):
    page = show("full")
    trace = RUNS["full"]
    p = [float(cell(page, i).evaluate("e => e.style.getPropertyValue('--p')")) for i in range(64)]
    for i, confidence in enumerate(trace.frames[-1].confidence):
        if STATES[trace.frames[-1].states[i]] == "settled":
            assert p[i] == pytest.approx(confidence / 255, abs=0.026)
    sizes = [
        cell(page, i).evaluate("e => getComputedStyle(e).backgroundSize") for i in np.argsort(p[:40])[[0, -1]].tolist()
    ]
    assert sizes[0] != sizes[1]


def test_the_block_under_work_is_outlined_and_later_ones_are_fainter(show: Any):
    page = show("blocks")
    trace = RUNS["blocks"]
    k = next(i for i, f in enumerate(trace.frames) if f.span == (16, 32) and f.undecided)
    page.evaluate(f"k => {PLAYER}.seek(k)", k)
    held = page.evaluate("""() => { const path = document.querySelector('.ib-outline path'), to = path.getScreenCTM().inverse();
        return [...document.querySelectorAll('.ib-cell[data-i] .ib-ink')].map(e => { const r = e.getBoundingClientRect();
            return path.isPointInFill(new DOMPoint(r.x + r.width / 2, r.y + r.height / 2).matrixTransform(to)) }) }""")
    assert [i for i, inside in enumerate(held) if inside] == list(range(16, 32))
    now = 16 + int(np.flatnonzero(trace.frames[k].ids[16:32] < 0)[0])
    shades = [cell(page, i).evaluate("e => getComputedStyle(e).backgroundColor") for i in (now, 40)]
    alphas = [float(re.findall(r"[\d.]+", shade)[-1]) for shade in shades]
    assert alphas[1] < alphas[0]
    page.evaluate(f"{PLAYER}.seek(999)")
    assert page.locator(".ib-outline path").count() == 0


@pytest.mark.parametrize("shape", ["uniform", "ar", "blocks"])
def test_the_legend_lists_what_occurs_and_noise_is_never_called_mask(show: Any, shape: str):
    page = show(shape)
    names = {
        "uniform": ("noise, undecided", "accepted in this step", "un-accepted in this step"),
        "ar": ("written in this step",),
        "blocks": ("mask, undecided", "committed in this step"),
    }
    legend = page.locator(".ib-legend").inner_text()
    assert all(name in legend for name in names[shape]) and "pinned" not in legend
    for k in range(0, len(RUNS[shape].frames), 3):
        page.evaluate(f"k => {PLAYER}.seek(k)", k)
        page.evaluate(f"{PLAYER}.ask(9)")
        if shape != "blocks":
            assert "mask" not in page.locator(".ib-player").inner_text().lower()
    assert ("noise" in page.locator(".ib-player").inner_text().lower()) == (shape == "uniform")


def test_left_to_right_hides_what_is_not_reached(show: Any):
    page = show("ar")
    page.evaluate(f"{PLAYER}.seek(5)")
    assert cell(page, 3).is_visible() and not cell(page, 20).is_visible()
    assert "autoregressive" in page.locator(".ib-title").inner_text()


def test_a_recording_says_so(show: Any):
    trace = Trace.from_json(RUNS["full"].to_json())
    trace.recorded = "2026-11-22"
    assert "recorded 2026-11-22" in show(trace).locator(".ib-title").inner_text()
    assert "recorded" not in show("full").locator(".ib-title").inner_text()


@pytest.mark.parametrize("width", [360, 640])
def test_it_fits_a_phone_and_a_zoomed_page(show: Any, width: int):
    page = show("full", width=width, height=740)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for shape, trace in RUNS.items():
        page.evaluate(f"t => {PLAYER}.load(t)", trace.to_json())
        for i in (1, len(trace.frames[-1].ids) - 1):
            page.evaluate(f"i => {PLAYER}.ask(i, true)", i)
            card = page.locator(".ib-card").bounding_box()
            assert card["x"] >= 0 and card["x"] + card["width"] <= width
        assert page.evaluate("document.documentElement.scrollWidth") <= width, shape
        assert all(box.bounding_box()["width"] > 40 for box in page.locator(".ib-caption").all())
        page.screenshot(path=str(OUTPUT / f"{shape}-{width}.png"), full_page=True)


def test_dark_follows_the_system_and_the_page(show: Any):
    ink = "getComputedStyle(document.querySelector('.ib-paper')).backgroundColor"
    bright, dark = show("full").evaluate(ink), show("full", color_scheme="dark").evaluate(ink)
    assert bright != dark
    page = show("full")
    page.evaluate("document.body.classList.add('dark')")
    until(page, f"{ink} === '{dark}'")


def test_reduced_motion_keeps_still(show: Any):
    page = show("full", options={"autoplay": True}, reduced_motion="reduce")
    assert index(page) == len(RUNS["full"].frames) - 1 and not page.evaluate(f"{PLAYER}.clock.playing")
    moving = "[...document.querySelectorAll('.ib-player *')].filter(e => parseFloat(getComputedStyle(e).transitionDuration) > 0)"
    assert page.evaluate(f"{moving}.length") == 0 and show("full").evaluate(f"{moving}.length") > 0
