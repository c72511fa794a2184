"""The player's own files, and a page made of nothing but them and one trace: it opens from a disk, without a server or a network."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse
from starlette.routing import Route

from model.paths import ASSETS

PLAYER = ASSETS / "player"
PARTS = ("decode", "text", "canvas", "board", "clock", "strips", "inspect", "hands", "numbers", "wiring", "player")
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


@cache
def script() -> str:
    """Return the player as one script that defines the global `mountPlayer(element, options)`."""
    parts = "\n".join((PLAYER / f"{part}.js").read_text(encoding="utf-8") for part in PARTS)
    return f'globalThis.mountPlayer = (() => {{\n"use strict";\n{parts}\nreturn mountPlayer;\n}})();\n'


@cache
def style() -> str:
    """Return the player's style sheet."""
    return "\n".join((PLAYER / name).read_text(encoding="utf-8") for name in ("player.css", "board.css", "hands.css"))


PLACE = "__INKBLOT_TRACE__"  # where the page's script puts a trace that a visitor saves


def player_route() -> Route:
    """Return the route of a page that holds the player and a place for one trace; the browser fills it in and saves it."""

    def serve(request: Request) -> HTMLResponse:
        return HTMLResponse(page_html(PLACE, loop=True), headers={"cache-control": "no-cache", "content-disposition": "inline"})

    return Route("/player.html", serve)


def encoder_route() -> Route:
    """Return the route of the GIF encoder, which the page loads when somebody saves one (gifenc, MIT; see assets/vendor)."""

    def serve(request: Request) -> FileResponse:
        return FileResponse(ASSETS / "vendor" / "gifenc.min.js", media_type="text/javascript", headers={"cache-control": "no-cache"})

    return Route("/gifenc.js", serve)


def page_html(document: str, title: str = "Inkblot", **options: Any) -> str:
    """Return one self-contained HTML page that plays a trace document (JSON text); `options` are `mountPlayer`'s."""
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
</body>
</html>
"""
