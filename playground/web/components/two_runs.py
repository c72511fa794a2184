"""Two kept runs laid beside each other, token by token: the part of a page that Race and Lab share."""

from __future__ import annotations

from typing import Any

import gradio as gr

from playground.web.components.status import Status
from playground.web.handlers import comparisons as racing
from playground.web.handlers import runs as handlers


def build(name: str, kept: gr.State, after: Any, opened: bool) -> None:
    """Lay the part out and join it: it is filled from `kept` when the event `after` has ended. name: prefix of its element ids."""
    with gr.Accordion("Two runs, token by token", open=opened, elem_id=f"{name}-two"):
        with gr.Row():
            first = gr.Dropdown([], label="One run", elem_id=f"{name}-first", filterable=False, min_width=240)
            second = gr.Dropdown([], label="Another run", elem_id=f"{name}-second", filterable=False, min_width=240)
        compared = Status(elem_id=f"{name}-compared", apply_default_css=False, container=False)
    silent: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    chosen = [kept, first, second]
    after.then(choices, kept, [first, second], **silent).then(lay, chosen, compared, **silent)
    gr.on([first.input, second.input], lay, chosen, compared, **silent)


def choices(kept: list[racing.Kept]) -> tuple[Any, Any]:
    """Offer the kept runs; at first two of them: of a sweep, the first two values' first runs."""
    offered = [(run.label, i) for i, run in enumerate(kept)]
    second = next((i for i, run in enumerate(kept) if run.run == 0 and run.point == 1), 1)
    return gr.Dropdown(choices=offered, value=0 if kept else None), gr.Dropdown(
        choices=offered, value=second if len(kept) > 1 else None
    )


def lay(kept: list[racing.Kept], first: Any, second: Any) -> str:
    """Return two kept runs token by token."""
    if not all(isinstance(i, int) and not isinstance(i, bool) for i in (first, second)):
        return ""
    with handlers.shown():
        return racing.comparison(kept, first, second)
