"""One word of a small world changed at a press, in Chromium, on the shipped weights: what hangs on it is written anew."""

import random
from pathlib import Path

import pytest
from playwright.sync_api import expect

from model import worlds
from model.draft import Draft
from model.engine.engine import Engine
from model.models.worlds.model import load
from model.settings import LOCAL, Settings
from playground.web import server as serving_module
from playground.web.tabs import watch
from tests.conftest import Server
from tests.e2e.test_watch import PLAYER, until

pytestmark = pytest.mark.e2e
OUTPUT = Path(__file__).parents[2] / "test-output" / "change"


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A page of the small worlds that opens with a consistent notice."""
    model, words = load(), worlds.write(random.Random(3), "notice").words
    ids = (*worlds.encode(words), *[worlds.END] * (worlds.CANVAS - len(words)))
    trace = model.denoise(
        "notice", Settings(steps=2), draft=Draft(ids, kept=tuple(range(len(words) + 1)), about="")
    ).finish()
    folder = tmp_path_factory.mktemp("traces")
    (folder / "1.json").write_text(trace.to_json())
    engine = Engine(LOCAL, loader=lambda model_id, progress: model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "TRACES", folder)
        blocks, url = serving_module.launch(engine, LOCAL, "worlds")
    engine.load("worlds")
    yield Server(url.rstrip("/"), engine, model, blocks), words
    blocks.close(verbose=False)
    engine.close()


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (360, True)])
def test_a_press_changes_a_word_and_says_what_follows(shown, visit, width, dark):
    server, words = shown
    page = visit(server, width=width, height=900, dark=dark)
    until(page, "p.run && p.run.result")
    found = worlds.ripple(words, "notice", "who", 0)
    page.locator("#change [data-change=who]").click()
    until(page, "p.run.result && p.run.header.notice && p.document && !p.live")
    expect(page.locator("#player .ib-notice")).to_contain_text(f"'{found.old}' was made '{found.new}' and pinned")
    expect(page.locator("#player .ib-notice")).to_contain_text("contradiction")
    assert page.evaluate(f"{PLAYER}.run.frames[0].states[{found.position}]") == 1  # pinned
    page.evaluate(f"{PLAYER}.go({PLAYER}.length - 1)")
    expect(page.locator("#player .ib-verdict")).to_be_visible()
    assert page.evaluate(f"{PLAYER}.run.text({PLAYER}.frame)").count(found.new) >= 1
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"who-{width}.png", full_page=width == 1440)


def test_only_models_that_can_offer_it(shared, visit):
    expect(visit(shared).locator("#change")).to_be_hidden()
