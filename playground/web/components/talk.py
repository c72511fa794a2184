"""The address of talk mode: the playlist that ships, as one page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from playground.web.views.talk import shipped


def talk_route() -> Route:
    """Return the route of talk mode."""

    def serve(request: Request) -> HTMLResponse:
        return HTMLResponse(shipped(), headers={"cache-control": "no-cache"})

    return Route("/talk", serve)
