"""What other sites show of a link to the page: its title, a sentence and a picture, in place of Gradio's own."""

from __future__ import annotations

import os
import re
from html import escape

from gradio.route_utils import get_root_url
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from model.paths import ASSETS
from playground.web import strings
from playground.web.connections import rewritten

PICTURE = ASSETS / "screenshots" / "watch.png"
THEIRS = re.compile(rb'\s*<meta\s+(?:property="og:|name="(?:twitter:|description"))[^>]*>')


def tags(root: str) -> bytes:
    """Return the meta elements of a page at `root`, an address without a slash at its end."""
    told = {
        "og:type": "website",
        "og:title": strings.TITLE,
        "og:description": strings.ABOUT,
        "og:url": f"{root}/",
        "og:image": f"{root}/preview.png",
        "og:image:alt": "A canvas half resolved into text, with the probability of every word under it",
    }
    ours = "".join(f'<meta property="{name}" content="{escape(value)}">' for name, value in told.items())
    more = f'<meta name="description" content="{escape(strings.ABOUT)}"><meta name="twitter:card" content="summary_large_image">'
    return (ours + more).encode()


class Preview:
    """Put the page's own meta elements into its head."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            return await self.app(scope, receive, send)
        root = get_root_url(Request(scope), "/", os.environ.get("GRADIO_ROOT_PATH", "").rstrip("/"))

        async def ours(status: int, headers: MutableHeaders, body: bytes) -> bytes:
            return THEIRS.sub(b"", body).replace(b"<head>", b"<head>" + tags(root), 1)

        return await self.app(scope, receive, rewritten(send, ours))


def picture_route() -> Route:
    """Return the route of the picture."""

    def serve(request: Request) -> FileResponse:
        return FileResponse(PICTURE, media_type="image/png", headers={"cache-control": "public, max-age=86400"})

    return Route("/preview.png", serve)
