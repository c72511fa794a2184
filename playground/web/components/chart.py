"""A Plotly figure on the page: drawn in the browser by the plotly.js that comes with the Python package, clickable, tied to a player.

`gr.Plot` remounts on every update, knows no clicks and no dark page; hence a component of our own. See `assets/chart/chart.js`.
"""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from model.paths import ASSETS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SCRIPT = ASSETS / "chart" / "chart.js"
ADDRESS = "/plotly.min.js"
START = """
const show = mountChart(element, (detail) => trigger('pick', detail));
watch('value', () => show(props.value));
show(props.value);
"""


@cache
def script() -> str:
    """Return the script that defines `mountChart`."""
    return SCRIPT.read_text(encoding="utf-8")


class Chart(gr.HTML):
    """A chart whose value is a figure's JSON text ('' shows nothing), as `chart_value` makes it.

    player: a CSS selector of the player it belongs to. `.pick(fn)` fires with `point`, the customdata of what was clicked.
    """

    def __init__(self, value: str = "", *, label: str = "Chart", player: str = "", **kwargs: Any):
        kwargs.setdefault("apply_default_css", False)
        named = escape(label, quote=True)
        super().__init__(
            value=value,
            html_template=f'<div class="ink-chart" role="img" aria-label="{named}" data-player="{escape(player, quote=True)}" hidden></div>'
            '<p class="ink-chart-note" role="status"></p>',
            js_on_load=script() + START,
            **kwargs,
        )

    @property
    def skip_api(self) -> bool:
        """A drawing is no part of what API clients receive."""
        return True


def chart_value(figure: Figure | None) -> str:
    """Return a figure as a chart's value: JSON without a literal '<', which Gradio would take for HTML."""
    return "" if figure is None else str(figure.to_json()).replace("<", "\\u003c")


def save_js(name: str, kind: str) -> str:
    """Return the script of an event that saves the text it is given as a file, in the browser alone. kind: its MIME type."""
    return f"""(text) => {{
  if (!text) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {{ type: '{kind}' }}));
  link.download = '{name}';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}}"""


def plotly_route() -> Route:
    """Return the route that serves plotly.js from the installed Python package, so that no page calls out for it."""

    def serve(request: Request) -> FileResponse:
        import plotly

        path = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
        return FileResponse(path, media_type="text/javascript", headers={"cache-control": "public, max-age=86400"})

    return Route(ADDRESS, serve)
