"""The model picker in Chromium: what a choice shows, sets and refuses, a checkpoint of one's own, a picture."""

import base64
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from model.models.gemma import record as diffusion_gemma
from model.models.scripted import SCRIPT
from playground.presets import start_of
from playground.web.handlers import runs as handlers
from tests.patience import patience

pytestmark = pytest.mark.e2e
OUTPUT = Path(__file__).parents[2] / "test-output" / "models"
BIG = "DiffusionGemma"


def choose(page, name: str) -> None:
    page.locator("#model input").click()
    page.get_by_role("option", name=name).first.click()


def value(page, knob: str) -> str:
    return page.locator(f"#knob-{knob} input[type=number]").first.input_value()


def test_a_model_brings_its_knobs_its_words_and_leaves_again(server, visit):
    page = visit(server)
    line = page.locator("#model-line p:visible")
    expect(line).to_contain_text("scripted stand-in")
    assert page.locator("#preset").is_visible() and not page.locator("#image").is_visible()
    choose(page, BIG)
    expect(line).to_contain_text("Writes 256 tokens at a time")
    expect(line).to_contain_text("Apache-2.0")
    expect(page.locator("#knob-steps input[type=number]").first).to_have_value("48")
    assert (
        value(page, "new_tokens") == "256"
        and not page.locator("#preset").is_visible()
        and page.locator("#image").is_visible()
    )
    page.locator("#more button").first.click()
    expect(page.locator("#knob-entropy_bound input[type=number]").first).to_have_value("0.1")
    assert value(page, "t_max") == "0.8" and not page.locator("#knob-order").is_visible()
    shown = page.locator(".ink-side").inner_text()
    assert not re.search(r"\bmask", shown, re.IGNORECASE)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / "diffusiongemma.png", full_page=True)
    choose(page, "Gemma 4 26B")
    expect(page.locator("#knob-temperature")).to_be_visible()  # it writes left to right, its only way
    assert not page.locator("#mode").is_visible() and not page.locator("#knob-steps").is_visible()
    choose(page, "Fake")
    expect(page.locator("#knob-steps input[type=number]").first).to_have_value(str(start_of("fake")["steps"]))
    assert page.locator("#preset").is_visible()


def test_a_model_that_is_not_here_says_so_and_the_page_goes_on(server, visit, monkeypatch):
    monkeypatch.setattr(diffusion_gemma, "gpu_seen", lambda: False)
    page = visit(server)
    choose(page, BIG)
    page.locator("#run").click()
    expect(page.locator("[data-testid=toast-body]")).to_contain_text(
        "cannot be loaded here: it needs a GPU", timeout=patience(8000)
    )
    assert server.engine.loaded.id == "fake"
    choose(page, "Fake")
    page.locator("#run").click()
    expect(page.locator("#player .ib-text")).to_contain_text(SCRIPT[:20], timeout=patience(15000))


def test_all_models_are_listed_with_what_they_need(server, visit):
    page = visit(server)
    page.locator("#models button").first.click()
    row = page.locator(".ink-models li", has_text="SDAR 1.7B Chat")
    row.locator("summary").click()
    expect(row.locator("p")).to_contain_text("4.1 GB to download")
    expect(row.locator("p")).not_to_contain_text("Format unconfirmed")
    assert row.locator("a").get_attribute("href") == "https://huggingface.co/JetLM/SDAR-1.7B-Chat"
    unread = page.locator(".ink-models li", has_text="LLaDA-MoE")
    unread.locator("summary").click()
    expect(unread.locator("p")).to_contain_text("Format unconfirmed")


def test_a_checkpoint_of_ones_own_is_chosen_by_its_folder(server, visit, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "diffusion_gemma"}')
    page = visit(server)
    page.locator("#models button").first.click()
    own = page.locator("#own input, #own textarea").first
    own.fill("nonsense")
    page.locator("#own-choose").click()
    expect(page.locator("[data-testid=toast-body]")).to_contain_text("must be a folder on this machine")
    own.fill(str(tmp_path))
    page.locator("#own-choose").click()
    expect(page.locator("#model input")).to_have_value(f"{tmp_path.name} (your own)")
    page.locator("#more button").first.click()
    expect(page.locator("#knob-t_max")).to_be_visible()
    assert not page.locator("#knob-order").is_visible()


def test_the_public_page_offers_neither_own_checkpoints_nor_pictures(serve, visit):
    page = visit(serve("public"))
    choose(page, BIG)
    expect(page.locator("#model-line p:visible")).to_contain_text("Writes 256 tokens")
    page.locator("#models button").first.click()
    expect(page.locator(".ink-models")).to_be_visible()
    assert page.locator("#own").count() == 0 and not page.locator("#image").is_visible()


def test_a_picture_is_scaled_down_and_sent_with_the_run(server, visit, monkeypatch, tmp_path):
    from PIL import Image

    monkeypatch.setattr(diffusion_gemma, "gpu_seen", lambda: False)
    seen, usual = [], handlers.pictures_of
    monkeypatch.setattr(handlers, "pictures_of", lambda value: seen.append(usual(value)) or seen[-1])
    Image.effect_noise((2400, 1600), 90).convert("RGB").save(tmp_path / "large.png")
    (tmp_path / "none.png").write_bytes(base64.b64decode("AAAA"))
    page = visit(server)
    choose(page, BIG)
    chooser = page.locator("#image input[type=file]")
    chooser.set_input_files(tmp_path / "none.png")
    expect(page.locator("#image label span")).to_have_text("This picture cannot be read; try another")
    chooser.set_input_files(tmp_path / "large.png")
    expect(page.locator("#image label span")).to_have_text(re.compile(r"^\d+ x \d+$"))
    page.locator("#run").click()
    expect(page.locator("[data-testid=toast-body]")).to_be_visible(timeout=patience(8000))
    picture = Image.open(io.BytesIO(seen[-1][0]))
    assert picture.format == "JPEG" and max(picture.size) <= 1024 and abs(picture.width / picture.height - 1.5) < 0.02
    page.locator("#image button").click()
    page.locator("#run").click()
    page.wait_for_timeout(500)
    assert seen[-1] == []
