"""Position x step of the run in view, folded away: drawn in the browser from the player's own frames. See `assets/chart/heatmap.js`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from playground.web.components.chart import SCRIPT, script
from playground.web.views.plots import HEATS

START = "mountHeatmap(element);"


def _choice(value: str, name: str, first: bool) -> str:
    checked = " checked" if first else ""
    return (
        f'<label><input type="radio" name="{name}" value="{value}"{checked}><span>{value.capitalize()}</span></label>'
    )


class Heatmap(gr.HTML):
    """The heatmap of one player's run. player: its CSS selector; the component has no value and no part in the API."""

    def __init__(self, player: str, **kwargs: Any):
        kwargs.setdefault("apply_default_css", False)
        choices = "".join(_choice(value, f"heat-{player.strip('#')}", not i) for i, value in enumerate(HEATS))
        heat_script = (SCRIPT.parent / "heatmap.js").read_text(encoding="utf-8")
        super().__init__(
            html_template=f"""<details class="ink-heat"><summary>Every position at every step</summary>
<div class="ink-heat-of" role="radiogroup" aria-label="What the map shows">{choices}</div>
<div class="ink-chart" role="img" aria-label="Position by step" data-player="{player}" hidden></div>
<p class="ink-chart-note" role="status"></p>
<p class="ink-small">The line is the step in view; a click goes there and asks about the position.</p></details>""",
            js_on_load=f"{script()}{heat_script}{START}",
            **kwargs,
        )

    @property
    def skip_api(self) -> bool:
        """A drawing is no part of what API clients receive."""
        return True
