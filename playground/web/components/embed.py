"""The player alone, for other pages: in a frame (`/?embed=player&run=NAME&theme=dark`), or as one script with an element of its own.

A frame may stand on any page: it shows a recording that ships, and offers nothing else of this server. It tells the page around it how
tall it is, by `postMessage({inkblot: {height}})`.
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from model.paths import ASSETS
from playground.web.components.assets import POLICY, page_html, script, style

FOLDERS = (ASSETS / "traces", ASSETS / "talk" / "runs")
TELLS = """<style>main { max-width: none; padding: 0.5rem; } body { background: none; }</style>
<script>
const page = document.documentElement, height = () => Math.ceil(page.getBoundingClientRect().height);
new ResizeObserver(() => parent.postMessage({ inkblot: { height: height() } }, "*")).observe(page);
</script>"""


@cache
def recordings() -> dict[str, Path]:
    """Return the runs that a frame may show, by name."""
    return {path.stem: path for folder in FOLDERS for path in sorted(folder.rglob("*.json"))}


def frame(run: str, theme: str) -> Response:
    """Return the page of a frame; '' is the first recording."""
    path = recordings().get(run or next(iter(recordings()), ""))
    if path is None:
        return PlainTextResponse("There is no recorded run of that name.", 404)
    options = {"theme": theme} if theme in ("light", "dark") else {}
    html = page_html(path.read_text("utf-8"), "Inkblot", loop=True, autoplay=True, extra=TELLS, **options)
    return HTMLResponse(
        html, headers={"content-security-policy": f"{POLICY}; frame-ancestors *", "cache-control": "no-cache"}
    )


def recorded_route() -> Route:
    """Return the route of a recording's trace document."""

    def serve(request: Request) -> Response:
        path = recordings().get(request.path_params["name"])
        if path is None:
            return PlainTextResponse("There is no recorded run of that name.", 404)
        return Response(path.read_bytes(), media_type="application/json", headers={"cache-control": "no-cache"})

    return Route("/recorded/{name}", serve)


@cache
def choices() -> str:
    """Return the recordings as options of a list: prompt, model and way of writing."""
    out = []
    for name, path in recordings().items():
        header = json.loads(path.read_text("utf-8"))["header"]
        said = (
            f"{header['prompt'][:50]} ({header['model']['name']}{', left to right' if header['mode'] == 'ar' else ''})"
        )
        out.append(f'<option value="{escape(name)}">{escape(said)}</option>')
    return "".join(out)


class Embedded:
    """Answer `/?embed=player` with the player alone, before Gradio sees it."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = (
            Request(scope) if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/" else None
        )
        if request is None or request.query_params.get("embed") != "player":
            return await self.app(scope, receive, send)
        answer = frame(request.query_params.get("run", ""), request.query_params.get("theme", ""))
        return await answer(scope, receive, send)


@cache
def element() -> str:
    """Return the script that defines <inkblot-player>: one file that anybody can host."""
    own = (ASSETS / "embed" / "element.js").read_text("utf-8")
    player = script().replace("globalThis.mountPlayer =", "const mountPlayer =", 1)
    return f"(() => {{\nconst STYLE = {json.dumps(style())};\n{player}\n{own}}})();\n"


def element_route() -> Route:
    """Return the route of that script."""

    def serve(request: Request) -> Response:
        return Response(element(), media_type="text/javascript", headers={"cache-control": "no-cache"})

    return Route("/inkblot-player.js", serve)
