"""Replay in a browser: 256 tokens committed one a step, 60 steps a second, played by the exported page in headless Chromium.

`python -m bench.replay [--keep FILE.html]`. The last line of stdout is one JSON object: how many frames were drawn of how many, at what
rate, what rate the idle page reaches on this machine, the longest wait between two pictures, the layout shift (Chromium's own score, 0
is none), whether any cell moved, and what drawing one frame costs (script and layout, median).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from model import Settings, load

TOKENS, RATE = 256, 60
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WATCH = """async () => {
  window.seen = { shift: 0, drawn: 0, gaps: [], done: false };
  const shifts = new PerformanceObserver((list) => { for (const entry of list.getEntries()) seen.shift += entry.value; });
  shifts.observe({ type: "layout-shift", buffered: true });
  const cells = () => [...document.querySelectorAll(".ib-text > *")].map((cell) => [cell.offsetLeft, cell.offsetTop].join());
  const host = document.getElementById("player"), player = host.__player;
  seen.costs = Array.from({ length: player.length }, (_, k) => {
    const begin = performance.now();
    player.seek(k);
    host.offsetHeight; // the layout is part of the price
    return performance.now() - begin;
  });
  player.seek(0);
  seen.empty = await new Promise((resolve) => { // what an idle page reaches here: nothing can be faster
    const begin = performance.now();
    let n = 0;
    const idle = (now) => (++n < 120 ? requestAnimationFrame(idle) : resolve((1000 * n) / (now - begin)));
    requestAnimationFrame(idle);
  });
  let last = 0;
  const tick = (now) => { if (last) seen.gaps.push(now - last); last = now; if (!seen.done) requestAnimationFrame(tick); };
  host.addEventListener("ib-frame", () => seen.drawn++);
  host.addEventListener("ib-end", () => {
    Object.assign(seen, { done: true, seconds: (performance.now() - seen.began) / 1000, after: cells() });
  });
  requestAnimationFrame(() => { seen.before = cells(); seen.began = performance.now(); requestAnimationFrame(tick); player.play(); });
}"""


def document(tokens: int = TOKENS, rate: float = RATE) -> str:
    """Return a scripted trace whose every step takes exactly 1 / rate seconds and decides one token."""
    words = [" upon", " a", " time", " there", " was", " a", " light", "house", ",", " and"]
    fake = load("fake", emit=words, eos_at=tokens)
    trace = fake.denoise("Tell me a story.", Settings(new_tokens=tokens, steps=tokens, block_length=tokens)).finish()
    trace.frames = [replace(frame, seconds=i / rate, forward_seconds=i / rate) for i, frame in enumerate(trace.frames)]
    return trace.to_json()


def browser_path() -> str | None:
    """Return the system's Chromium or Chrome, None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def replay(html: Path, width: int = 1280, height: int = 900) -> dict[str, Any]:
    """Play the page at `html` once and return what was measured."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(FLAGS))
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(html.resolve().as_uri())
            page.wait_for_function("() => document.getElementById('player').__player?.length > 1")
            page.evaluate(WATCH)
            page.wait_for_function("() => seen.done", timeout=60_000)
            seen = page.evaluate("() => ({ ...seen, length: document.getElementById('player').__player.length })")
        finally:
            browser.close()
    moved = sum(a != b for a, b in zip(seen["before"], seen["after"], strict=True))
    return {
        "replay_frames": seen["length"],
        "replay_drawn": seen["drawn"],
        "replay_seconds": round(seen["seconds"], 3),
        "replay_frames_per_second": round(seen["drawn"] / seen["seconds"], 2),
        "replay_idle_frames_per_second": round(seen["empty"], 2),
        "replay_longest_gap_ms": round(max(seen["gaps"]), 1),
        "replay_layout_shift": round(seen["shift"], 5),
        "replay_cells": len(seen["before"]),
        "replay_cells_moved": moved,
        "replay_draw_ms": round(statistics.median(seen["costs"]), 3),
    }


def measure(keep: Path | None = None) -> dict[str, Any]:
    """Write the page and play it; `keep`: leave it there."""
    from playground.web.components.assets import page_html

    with tempfile.TemporaryDirectory() as folder:
        html = keep or Path(folder) / "replay.html"
        html.write_text(page_html(document(), title="Replay"), encoding="utf-8")
        return replay(html)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__)
    parser.add_argument("--keep", type=Path, help="write the page there and keep it")
    args = parser.parse_args(arguments)
    if browser_path() is None:
        print("bench.replay: no Chromium or Chrome is installed", file=sys.stderr)
        return 1
    print(json.dumps(measure(args.keep)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
