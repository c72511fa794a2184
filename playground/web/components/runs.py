"""The runs of this visit under the canvas: a tree that the browser keeps and draws, and two of them laid beside each other."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from model.errors import SettingError
from model.settings import Limits
from model.text import normalise
from model.trace.trace import Trace
from playground.compare.diff import compare, comparison_html
from playground.web.components.status import Status
from playground.web.context import Context
from playground.web.handlers.runs import shown

LAYOUT = """<details class="ink-runs" hidden><summary>Runs of this visit (<span class="ink-runs-count">0</span>)</summary>
<div class="ink-runs-list"></div>
<button type="button" class="ink-runs-compare" disabled title="Pick two runs first">Compare the two picked</button>
<button type="button" class="ink-runs-save" disabled
title="Pick two to four runs first: they stand beside each other on one clock">Save the picked as one page</button>
<button type="button" class="ink-runs-clear" title="Forget every run of this visit">Drop all</button></details>"""
START = "window.inkblotTree?.mount(element, (detail) => trigger('compare', detail));"


def build(ctx: Context) -> None:
    """Lay the part out and join it."""
    tree = gr.HTML(html_template=LAYOUT, js_on_load=START, elem_id="runs", apply_default_css=False, container=False)
    compared = Status(elem_id="runs-compared", apply_default_css=False, container=False)

    def lay(event: gr.EventData) -> str:
        """Lay two kept runs beside each other."""
        with shown():
            return comparison(event._data, ctx.limits)

    tree.compare(lay, None, compared, api_visibility="private", show_progress="hidden", concurrency_limit=4)


def comparison(told: Any, limits: Limits) -> str:
    """Return two runs token by token as HTML; told: {"first", "second": trace documents, "labels": two names}. Raise SettingError."""
    labels = told.get("labels") if isinstance(told, dict) else None
    if not isinstance(labels, list) or len(labels) != 2 or not all(isinstance(label, str) for label in labels):
        raise SettingError("Two runs are compared by two names and two traces.", "labels")
    first, second = (Trace.from_json(json.dumps(told.get(name)), limits.trace_bytes) for name in ("first", "second"))
    return comparison_html(compare(first, second), (normalise(labels[0][:80]), normalise(labels[1][:80])))
