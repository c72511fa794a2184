"""Chromium, and a page with nothing but the player and one run, for the player's tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model.trace.trace import Trace
from playground.web.components.assets import page_html
from tests.e2e.player_harness import shapes
from tests.patience import patience

RUNS = shapes()
PLAYER = "document.getElementById('player').__player"


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a run as a page of its own; afterwards nothing may stand in the console."""
    said: list[str] = []
    contexts = []

    def open_page(
        shape: str | Trace,
        *,
        width: int = 1280,
        height: int = 900,
        options: dict[str, Any] | None = None,
        **context: Any,
    ) -> Any:
        trace = RUNS[shape] if isinstance(shape, str) else shape
        file = tmp_path / f"{len(contexts)}.html"
        file.write_text(page_html(trace.to_json(), **(options or {})), encoding="utf-8")
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **context))
        page = contexts[-1].new_page()
        page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: said.append(str(e)))
        page.on("request", lambda r: said.append("request " + r.url) if not r.url.startswith("file:") else None)
        page.goto(file.as_uri())
        page.wait_for_selector(".ib-cell")
        return page

    yield open_page
    for one in contexts:
        one.close()
    assert said == []


def index(page: Any) -> int:
    return page.evaluate(f"{PLAYER}.index")


def copied(page: Any) -> str:
    """What a visitor who selects the canvas and copies it gets."""
    return page.evaluate(
        "(getSelection().selectAllChildren(document.querySelector('.ib-text')), getSelection().toString())"
    )


def until(page: Any, condition: str, seconds: float = 15) -> None:
    """Wait until a JavaScript expression is true (asked from outside: the page's own policy forbids to evaluate text)."""
    ends = time.monotonic() + patience(seconds)
    while not page.evaluate(condition):
        assert time.monotonic() < ends, f"{condition} did not become true"
        page.wait_for_timeout(30)


def cell(page: Any, i: int) -> Any:
    return page.locator(f'.ib-cell[data-i="{i}"] .ib-ink')
