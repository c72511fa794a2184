"""Take the README's picture again: the page with the built-in model, in the middle of a run. `python -m scripts.screenshot [FILE]`."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.page import serving
from bench.replay import FLAGS, browser_path
from scripts.budgets import ROOT

PROMPT = "Write a short story about a lighthouse."
PLAYER = "document.querySelector('#player .ib-player')?.__player"
SHARE = 0.6  # of the run that has passed


def take(file: Path, model: str = "builtin") -> None:
    """Serve the page, write one text, stand in the middle of it, and save what a visitor sees."""
    from playwright.sync_api import sync_playwright

    with serving(model) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1360, "height": 1075}, device_scale_factor=1.5, reduced_motion="reduce")
        page.set_default_timeout(600_000)
        page.goto(server.url)
        recorded = page.wait_for_function(f"() => {PLAYER}?.run?.id").json_value()
        page.fill("#prompt textarea", PROMPT)
        page.click("#run")
        page.wait_for_function(f"(old) => {PLAYER}?.run && {PLAYER}.run.id !== old && {PLAYER}.live === false", arg=recorded)
        page.evaluate(f"() => {{ {PLAYER}.pause(); {PLAYER}.seek(Math.round({PLAYER}.length * {SHARE})); }}")
        page.wait_for_timeout(500)
        file.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=file)
        browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "assets" / "screenshots" / "watch.png")
