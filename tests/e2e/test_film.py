"""Pictures and films of a run, made in Chromium: what is in the file is what the trace says, and nothing of a text becomes markup."""

import io
import json
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageSequence
from playwright.sync_api import expect

from model.trace.frame import AFTER_END, COMMITTED, MASK, NOISE, PINNED, TAKEN_BACK
from tests.e2e.player_harness import shapes
from tests.e2e.test_race_page import run_race
from tests.e2e.test_watch import until
from tests.patience import patience

pytestmark = pytest.mark.e2e
RUNS = shapes()
SHOW = "([doc, play]) => document.querySelector('#player .ib-host').__player.receive({ run: 'shown', trace: doc, done: true, play })"
PLACES = """([doc]) => {
  const host = document.querySelector('#player .ib-host');
  const p = new inkblotPicture.Picture([doc], host.parentElement, { theme: 'light' });
  const told = { top: p.top + 30, edge: 44, places: p.lanes[0].places, colours: p.colours, size: [p.width, p.height] };
  p.destroy();
  return told;
}"""


def opened(visit, shared, trace):
    page = visit(shared, width=1440, height=1200)
    document = json.loads(trace.to_json())
    page.evaluate(SHOW, [document, False])
    return page, document


def saved(page, name, tmp_path, row="#save", seconds=60):
    with page.expect_download(timeout=patience(1000 * seconds)) as caught:
        page.locator(row).get_by_role("button", name=name, exact=True).click()
    path = tmp_path / caught.value.suggested_filename
    caught.value.save_as(path)
    return path


def rgb(colour):
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def frames_of(path):
    """Return a GIF's frames as (RGB pixels, seconds)."""
    with Image.open(path) as image:
        return [(np.asarray(one.convert("RGB")), one.info["duration"] / 1000) for one in ImageSequence.Iterator(image)]


@pytest.mark.parametrize("shape", ["blocks", "taken_back", "pinned", "uniform", "board", "ar"])
def test_every_frame_of_a_gif_shows_what_the_trace_says(shared, visit, tmp_path, shape):
    trace = RUNS[shape]
    page, document = opened(visit, shared, trace)
    told = page.evaluate(PLACES, [document])
    path = saved(page, "as GIF", tmp_path)
    assert path.name.startswith("inkblot_made-up_write-a-letter") and path.name.endswith(
        f"_seed-{trace.settings['seed']}.gif"
    )
    assert path.stat().st_size < 3e6
    frames, colours = frames_of(path), told["colours"]
    assert len(frames) == len(trace.frames) <= 120
    assert frames[-1][1] == 2.5 and all(0.04 <= seconds <= 1.5 for _, seconds in frames[:-1])
    paper, masks, checked = rgb(colours["paper"]), {rgb(one) for one in [*colours["masks"], colours["later"]]}, set()
    for (pixels, _), frame in zip(frames, trace.frames, strict=True):
        assert pixels.shape[1::-1] == tuple(told["size"])
        for i, state in enumerate(frame.states):
            at = told["places"][i]
            # a point of the cell over which no letter reaches, in the middle of its upper edge
            found = tuple(pixels[int(told["top"] + at["y"] + 4), int(told["edge"] + at["x"] + at["w"] / 2)])
            if int(frame.ids[i]) in trace.spec.eos_ids:
                continue  # a small square, no ground of its own
            if state == COMMITTED and at["w"] > 25:
                assert found == rgb(colours["accent"]), (frame.step, i)
            elif state == MASK and shape not in ("board", "ar"):
                assert found in masks, (frame.step, i)
            elif state not in (COMMITTED, MASK, NOISE, PINNED, TAKEN_BACK, AFTER_END) and shape != "board":
                assert found == paper, (frame.step, i)
            else:
                continue
            checked.add(int(state))
    assert COMMITTED in checked
    assert any((a[0] != b[0]).any() for a, b in pairwise(frames))


def test_a_long_run_becomes_at_most_120_frames_and_ends_with_its_last(shared, visit):
    page = visit(shared)
    plan = page.evaluate("inkblotFilm.plan([Array.from({ length: 900 }, (_, k) => k * 0.01)])")
    assert len(plan) == 120 and plan[0]["at"] == [0] and plan[-1] == {"at": [899], "seconds": 2.5}
    room = page.evaluate(
        "[[1280, 700], [1280, 1400], [1280, 9000], [64, 64]].map(([width, height]) => inkblotFilm.room({ width, height }))"
    )
    assert room == [66, 56, 120, 120]  # as many frames as pixels allow; none is taller than a screen
    race = page.evaluate("inkblotFilm.plan([[0, 1, 2, 3], [0, 0.5, 1, 1.5]])")
    assert [step["at"] for step in race] == [[0, 0], [0, 1], [1, 2], [1, 3], [2, 3], [3, 3]]


def test_png_and_svg_are_the_step_in_view(shared, visit, tmp_path):
    page, _ = opened(visit, shared, RUNS["full"])
    until(page, "p.run.id === 'shown' && (p.seek(3), true)")
    png = saved(page, "as PNG", tmp_path)
    assert png.name.endswith("_step-3.png") and Image.open(io.BytesIO(png.read_bytes())).width == 1920
    drawing = ElementTree.parse(saved(page, "as SVG", tmp_path)).getroot()
    texts = [node.text for node in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert RUNS["full"].prompt in " ".join(texts) and any(text.startswith("Step 3 of") for text in texts)
    frame = RUNS["full"].frames[3]
    ids = [int(i) for i, state in zip(frame.ids, frame.states, strict=True) if state == COMMITTED]
    committed = [RUNS["full"].pieces[i].decode().strip() for i in ids]
    assert committed and set(committed) - {""} <= set(texts)


def test_hostile_text_stays_text_in_a_drawing(shared, visit, tmp_path, browser):
    page, _ = opened(visit, shared, RUNS["hostile"])
    path = saved(page, "as SVG", tmp_path)
    drawing = ElementTree.parse(path).getroot()  # well-formed, whatever the text holds
    known = {"svg", "title", "style", "defs", "pattern", "rect", "text", "path", "g", "circle"}
    assert {node.tag.rpartition("}")[2] for node in drawing.iter()} <= known
    assert not [name for node in drawing.iter() for name in node.attrib if name.startswith("on") or "href" in name]
    saved(page, "as GIF", tmp_path)
    assert page.evaluate("window.hit") is None
    context = browser.new_context()
    copy = context.new_page()
    copy.goto(path.as_uri())
    assert copy.evaluate("window.hit") is None
    context.close()


def test_a_video_plays_and_a_press_ends_one_that_is_being_made(shared, visit, tmp_path):
    page, _ = opened(visit, shared, RUNS["board"])
    page.locator("#save").get_by_role("button", name="as video", exact=True).click()
    page.locator("#save").get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator("#save-status")).to_have_text("Nothing was saved.")
    assert page.evaluate("document.querySelectorAll('.ib-out-of-sight').length") == 0
    until(page, "(p.clock.speed = 8)")
    path = saved(page, "as video", tmp_path)
    assert path.suffix in (".webm", ".mp4")
    seen = page.evaluate(
        """(data) => new Promise((done, failed) => {
          const video = document.createElement('video');
          video.onloadeddata = () => done([video.videoWidth, video.videoHeight]);
          video.onerror = () => failed(new Error('it does not play'));
          video.src = URL.createObjectURL(new Blob([Uint8Array.from(data)]));
        })""",
        list(path.read_bytes()),
    )
    assert seen[0] == 1920 and seen[1] > 600


def test_a_race_is_one_gif_of_all_lanes_on_one_clock(shared, visit, tmp_path):
    page = visit(shared, width=1440, height=1000)
    page.get_by_role("tab", name="Race").click()
    run_race(page)
    path = saved(page, "as GIF", tmp_path, "#race-film")
    frames = frames_of(path)
    assert path.name.startswith("inkblot_race_fake") and frames[0][0].shape[1] == 1600 and len(frames) <= 120
    ended, started = frames[-1][0], frames[0][0]
    for lane in (slice(0, 800), slice(800, 1600)):
        assert (ended[:, lane] != started[:, lane]).mean() > 0.01
