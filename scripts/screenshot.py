"""Take the README's pictures again: the page with the small worlds, mid-run, light and dark. `python -m scripts.screenshot`."""

from __future__ import annotations

from pathlib import Path

from bench.page import serving
from bench.replay import FLAGS, browser_path
from scripts.budgets import ROOT

PROMPT = "A postcard from the volcano, with a penguin"
PLAYER = "document.querySelector('#player .ib-player')?.__player"
SHARE = 0.3  # of the run that has passed


def take(file: Path, model: str = "worlds", dark: bool = False) -> None:
    """Serve the page, write one text, stand in the middle of it, and save what a visitor sees."""
    from playwright.sync_api import sync_playwright

    with serving(model) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(FLAGS))
        page = browser.new_page(
            viewport={"width": 1366, "height": 900},
            device_scale_factor=1.5,
            reduced_motion="reduce",
            color_scheme="dark" if dark else "light",
        )
        page.set_default_timeout(600_000)
        page.goto(server.url)
        recorded = page.wait_for_function(f"() => {PLAYER}?.run?.id").json_value()
        page.fill("#prompt textarea", PROMPT)
        page.click("#run")
        page.wait_for_function(
            f"(old) => {PLAYER}?.run && {PLAYER}.run.id !== old && {PLAYER}.live === false", arg=recorded
        )
        page.evaluate(f"() => {{ {PLAYER}.pause(); {PLAYER}.seek(Math.round({PLAYER}.length * {SHARE})); }}")
        page.wait_for_timeout(500)
        file.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=file)
        browser.close()


if __name__ == "__main__":
    pictures = ROOT / "assets" / "screenshots"
    take(pictures / "watch.png")
    take(pictures / "watch-dark.png", dark=True)
