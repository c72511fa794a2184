"""Talk mode: a playlist of runs with speaker notes, as one page that needs no server. See `assets/talk/talk.js` for the keys.

A playlist is a folder, read by name: `NAME.json` is a trace, a folder `NAME` holds two to four that stand beside each other on one clock,
and `NAME.md` is its title (a line that begins with '# ') and its notes. Labels of lanes are their file names, a number in front aside.
"""

from __future__ import annotations

import json
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from model.errors import SettingError, TraceError
from model.paths import ASSETS
from model.settings import FIELD, LOCAL
from model.trace.trace import Trace
from playground.web.components.assets import STAGE_LAYOUT, stage_script, stage_style
from playground.web.views.plots import written

TALK = ASSETS / "talk"
SHIPPED = TALK / "runs"
MOST_RUNS, MOST_LANES, MOST_NOTES = 99, 4, 20_000
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"
# Of the endpoint /denoise, in their order.
INPUTS = ("prompt", "model", "mode", "system", "pinned", *FIELD, "image", "messages")


def lane_of(label: str, trace: Trace, max_bytes: int = LOCAL.trace_bytes) -> dict[str, Any]:
    """Return a run as a lane of `assets/race/stage.js`: its trace, and where it stood after each frame."""
    tokens = trace.result.tokens if trace.result else trace.length
    return {
        "label": label,
        "phase": "written",
        "tokens": tokens,
        "trace": json.loads(trace.to_json(max_bytes)),
        "seconds": [frame.seconds for frame in trace.frames],
        "forwards": [frame.forwards for frame in trace.frames],
        "counts": [written(frame, tokens) for frame in trace.frames],
    }


def playlist(folder: Path) -> list[dict[str, Any]]:
    """Return a folder's runs as {title, notes, lanes}, or the one run of a file; raise SettingError in one sentence."""
    if folder.is_file():
        return [item(folder)]
    try:
        entries = sorted(
            path for path in folder.iterdir() if (path.is_dir() or path.suffix == ".json") and path.name[0] != "."
        )
    except OSError as error:
        raise SettingError(f"{folder} cannot be read: {error.strerror or error}.", "folder") from None
    if not 1 <= len(entries) <= MOST_RUNS:
        raise SettingError(f"A talk has between 1 and {MOST_RUNS} runs; {folder} has {len(entries)}.", "folder")
    return [item(path) for path in entries]


def item(path: Path) -> dict[str, Any]:
    """Return one run of a playlist, or several beside each other."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not 1 <= len(files) <= MOST_LANES:
        raise SettingError(
            f"Between 1 and {MOST_LANES} runs stand beside each other; {path} has {len(files)}.", "folder"
        )
    named = path.parent / f"{path.stem}.md"
    try:
        text = named.read_text(encoding="utf-8")[:MOST_NOTES] if named.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"The notes {named} cannot be read: {error}.", "folder") from None
    heading = re.search(r"^# +(.+)$", text, re.MULTILINE)
    traces = [(spoken(file.stem), read_trace(file)) for file in files]
    title = heading[1].strip() if heading else traces[0][1].prompt[:80] or spoken(path.stem)
    notes = text.replace(heading[0], "", 1).strip() if heading else text.strip()
    return {"title": title, "notes": notes, "lanes": [lane_of(label, trace) for label, trace in traces]}


def spoken(stem: str) -> str:
    """Return a file's name as a label: '1-left-to-right' is 'left to right'."""
    words = re.sub(r"^\d+[-_ ]*", "", stem).replace("-", " ").replace("_", " ").strip()
    return words or stem


def read_trace(path: Path) -> Trace:
    """Return the trace of a file; raise SettingError in one sentence."""
    try:
        if path.stat().st_size > LOCAL.trace_bytes * 2:
            raise SettingError(f"A trace may have at most {LOCAL.trace_bytes * 2 / 1e6:g} MB; {path} has more.", "file")
        return Trace.from_json(path.read_bytes())
    except (OSError, TraceError) as error:
        raise SettingError(f"{path} cannot be replayed: {error}", "file") from None


def talk_html(items: list[dict[str, Any]], title: str = "Inkblot: talk") -> str:
    """Return the page of a playlist: one file, nothing else is needed to show it."""
    data = json.dumps(items, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    style = stage_style() + (TALK / "talk.css").read_text("utf-8")
    own = "".join((TALK / name).read_text("utf-8") for name in ("presenter.js", "talk.js"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<main id="room"><div id="run"></div>
<div id="map" hidden><span class="talk-down">position</span><canvas aria-label="Confidence of every position at every step"></canvas>
<p class="talk-along" style="margin:0"><span>step</span><span>darker: surer</span></p></div></main>
<footer id="line"><b></b><output aria-live="off"></output><i></i></footer>
<div id="dot" hidden></div><div id="black" hidden></div><div id="help" role="dialog" aria-label="Keys" hidden></div>
<div id="ask" hidden><input aria-label="Prompt" placeholder="A prompt"><p role="status"></p></div>
<template id="stage">{STAGE_LAYOUT}</template>
<script type="application/json" id="talk">{data}</script>
<script>
{stage_script()}
{own}
window.inkblotTalk = new Talk(JSON.parse(document.getElementById("talk").textContent), {json.dumps(INPUTS)});
</script>
</body>
</html>
"""


@cache
def shipped() -> str:
    """Return the page of the playlist that ships."""
    return talk_html(playlist(SHIPPED))
