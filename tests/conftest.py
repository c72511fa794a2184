"""Fixtures for everything that serves or drives the page: a real server on the scripted fake, and a browser where there is one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.patience import patience, soon

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

CHROMIUM = os.environ.get("CHROME") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Server:
    """A page being served, the engine behind it, and the fake in it."""

    url: str
    engine: Any
    fake: Any
    blocks: Any = field(repr=False)

    def idle(self, seconds: float = 5.0) -> bool:
        """Whether the engine's turn is free within `seconds`."""
        return soon(lambda: not self.engine.busy, seconds)


@contextmanager
def serving(
    limits_name: str = "local",
    queue: int | None = None,
    recordings: Path | None = None,
    proxies: int = 0,
    names: tuple[str, ...] = (),
    assistants: bool = False,
    **fake_options: Any,
) -> Iterator[Server]:
    """Serve the app over one fake, opening without a recording unless told; close it whatever happens, and leave no run behind."""
    from model.engine.engine import Engine
    from model.models.scripted import Fake
    from model.settings import PROFILES
    from playground.web import server as serving_module
    from playground.web.tabs import watch

    fake, limits = Fake(**fake_options), PROFILES[limits_name]
    engine = Engine(limits, loader=lambda model_id, progress: fake)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving_module, "QUEUE", queue or serving_module.QUEUE)
        patch.setattr(watch, "TRACES", recordings or Path(os.devnull))
        blocks, url = serving_module.launch(engine, limits, "fake", proxies=proxies, names=names, assistants=assistants)
    engine.load("fake")
    try:
        yield Server(url.rstrip("/"), engine, fake, blocks)
    finally:
        blocks.close(verbose=False)
        engine.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Return a function that starts a server of its own for this test: serve(limits_name, queue=..., delay=..., emit=[...], ...)."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(serving(*args, **options))


@pytest.fixture(scope="session")
def shared() -> Iterator[Server]:
    """One server for all tests that leave it as they found it: a fake with 10 ms a step."""
    with serving(delay=0.01) as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    """The shared server, idle before and after; a test may set its fake's delay, failures and limits, which are put back."""
    assert shared.idle()
    saved, limits = dict(vars(shared.fake)), shared.engine.limits
    yield shared
    assert shared.idle(), "the test left a run behind"
    vars(shared.fake).update(saved)
    shared.engine.limits = limits


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, one a module (two drivers cannot live side by side); where there is none, its tests are skipped and counted."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=patience(5_000))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        new_context = chromium.new_context

        def patient(**options: Any) -> Any:
            context = new_context(**options)
            context.set_default_timeout(patience(30_000))
            return context

        chromium.new_context = patient
        yield chromium
        chromium.close()


@dataclass
class Watched:
    """A page whose console and requests are watched."""

    page: Any
    url: str
    problems: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Fail where anything was wrong in the console, or asked for outside the server."""
        assert self.outside == [], self.outside
        assert self.problems == [], self.problems


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a server's page: visit(server, width=..., height=..., dark=...) -> playwright page."""
    opened: list[Watched] = []

    def open_page(
        server: Server, width: int = 1280, height: int = 900, dark: bool = False, path: str = "", **options: Any
    ) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", **options
        )
        watched = Watched(context.new_page(), server.url)

        def guard(route: Any) -> None:
            if route.request.url.startswith((server.url, "data:", "blob:")):
                route.continue_()
            else:
                watched.outside.append(route.request.url)
                route.abort()

        context.route("**/*", guard)
        watched.page.on(
            "console", lambda message: watched.problems.append(message.text) if message.type == "error" else None
        )
        watched.page.on("pageerror", lambda error: watched.problems.append(str(error)))
        watched.page.goto(server.url + path)
        watched.page.locator("#run").wait_for()
        watched.page.watched = watched
        opened.append(watched)
        return watched.page

    yield open_page
    for watched in opened:
        watched.page.context.close()
        watched.check()
