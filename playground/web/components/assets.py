"""The player's own files, and a page made of nothing but them and one trace: it opens from a disk, without a server or a network."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from model.paths import ASSETS

PLAYER, RACE = ASSETS / "player", ASSETS / "race"
PARTS = ("decode", "text", "canvas", "board", "clock", "strips", "inspect", "hands", "numbers", "wiring", "player")
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


@cache
def script() -> str:
    """Return the player as one script that defines the global `mountPlayer(element, options)`."""
    return f'globalThis.mountPlayer = (() => {{\n"use strict";\n{_parts()}\nreturn mountPlayer;\n}})();\n'


def _parts() -> str:
    return "\n".join((PLAYER / f"{part}.js").read_text(encoding="utf-8") for part in PARTS)


@cache
def style() -> str:
    """Return the player's style sheet."""
    return "\n".join((PLAYER / name).read_text(encoding="utf-8") for name in ("player.css", "board.css", "hands.css"))


PAUSE = '<path class="rs-i-pause" d="M4 3h2.6v10H4zM9.4 3H12v10H9.4z"/>'
PLAY = f'<svg viewBox="0 0 16 16"><path class="rs-i-play" d="M4 2.5v11L13.5 8z"/>{PAUSE}</svg>'
FULL = '<svg viewBox="0 0 16 16"><path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4"/></svg>'
AGAIN = '<svg viewBox="0 0 16 16"><path d="M3.5 8a4.5 4.5 0 1 0 1.6-3.4M3.2 2.4v2.9h2.9"/></svg>'
STAGE_LAYOUT = f"""<div class="rs-stage rs-empty" role="region" aria-label="Race">
<div class="rs-lanes"></div>
<div class="rs-transport" hidden>
<button type="button" class="rs-play" aria-label="Play">{PLAY}</button>
<button type="button" class="rs-again" aria-label="From the start" title="From the start">{AGAIN}</button>
<input type="range" class="rs-slider" min="0" max="1" value="0" step="any" aria-label="Seconds">
<output class="rs-time" aria-live="off"></output>
<select class="rs-speed" aria-label="Speed of the replay"></select>
<button type="button" class="rs-full" aria-label="Full screen" title="Full screen (f)">{FULL}</button>
<div class="rs-clocks"><span class="rs-pair" role="group" aria-label="Clock">
<button type="button" data-clock="seconds">Seconds</button><button type="button" data-clock="forwards">Forward passes</button></span>
<p class="rs-told" aria-live="polite"></p></div>
</div></div>"""


@cache
def stage_script() -> str:
    """Return the script that defines the globals `mountPlayer` and `mountStage`."""
    stage = (RACE / "stage.js").read_text("utf-8")
    both = f'"use strict";\n{_parts()}\n{stage}\nreturn {{ mountPlayer, mountStage }};'
    return f"Object.assign(globalThis, (() => {{\n{both}\n}})());\n"


@cache
def stage_style() -> str:
    """Return the style sheet of a stage and the players on it."""
    return style() + (RACE / "stage.css").read_text("utf-8")


HOSTS = ("#player", "#lab-player", "#race-stage")  # whose rules come before those that Gradio has for all


@cache
def page_files() -> dict[str, tuple[str, str]]:
    """Return what all players and stages of the page share: {name: (media type, text)}."""
    rules = f"{', '.join(HOSTS)} {{\n{stage_style()}\n}}\n"
    return {"player.js": ("text/javascript", stage_script()), "player.css": ("text/css", rules)}


def page_links() -> str:
    """Return the head's links to `page_files`: read once, before any component asks for them, and kept until they change."""
    marks = {name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, (_, text) in page_files().items()}
    style_at, script_at = (f"{name}?v={marks[name]}" for name in ("player.css", "player.js"))
    return f'<link rel="stylesheet" href="{style_at}"><script src="{script_at}"></script>'


def page_file_routes() -> list[Route]:
    """Return the routes of `page_files`."""

    def serve(request: Request) -> Response:
        kind, text = page_files()[request.url.path.rsplit("/", 1)[-1]]
        return Response(text, media_type=kind, headers={"cache-control": "public, max-age=31536000, immutable"})

    return [Route(f"/{name}", serve) for name in page_files()]


PLACE = "__INKBLOT_TRACE__"  # where the page's script puts a trace that a visitor saves


def player_route() -> Route:
    """Return the route of a page that holds the player and a place for one trace; the browser fills it in and saves it."""

    def serve(request: Request) -> HTMLResponse:
        return HTMLResponse(
            page_html(PLACE, loop=True), headers={"cache-control": "no-cache", "content-disposition": "inline"}
        )

    return Route("/player.html", serve)


def encoder_route() -> Route:
    """Return the route of the GIF encoder, which the page loads when somebody saves one (gifenc, MIT; see assets/vendor)."""

    def serve(request: Request) -> FileResponse:
        return FileResponse(
            ASSETS / "vendor" / "gifenc.min.js", media_type="text/javascript", headers={"cache-control": "no-cache"}
        )

    return Route("/gifenc.js", serve)


def page_html(document: str, title: str = "Inkblot", extra: str = "", **options: Any) -> str:
    """Return one self-contained HTML page that plays a trace document (JSON text); `options` are `mountPlayer`'s.

    extra: HTML of our own that ends the page.
    """
    safe = document.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    chosen = json.dumps(options).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; background: light-dark(#f4f1e9, #0f0e13); }}
main {{ max-width: 68rem; margin: 0 auto; padding: clamp(0.6rem, 2.5vw, 2.2rem); }}
{style()}</style>
</head>
<body>
<main id="player"></main>
<script type="application/json" id="trace">{safe}</script>
<script>
{script()}
mountPlayer(document.getElementById("player"), {{ trace: JSON.parse(document.getElementById("trace").textContent), ...{chosen} }});
</script>
{extra}</body>
</html>
"""
