"""Under the canvas: one word of a small world changed at a press, and text with holes, folded away."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from model.holes import reach
from model.worlds import CHANGES
from playground.web.context import Context
from playground.web.handlers import holes

HELP = "<code>___</code> stands for one to a few words, <code>[5]</code> for exactly five tokens. All else stays to the letter."
CHANGE = (
    '<div class="ink-change"><span>Change one word, and see the rest follow</span>'
    + "".join(
        f'<button type="button" onclick="inkblot.change(this)" data-change="{name}">{name}</button>' for name in CHANGES
    )
    + "</div>"
)
SHOW = "() => document.getElementById('player')?.scrollIntoView({ block: 'nearest', behavior: 'smooth' })"


def build(ctx: Context) -> tuple[gr.Textbox, gr.Button, gr.Button]:
    """Lay the part out; return the text, the button that fills it, and the one that brings an example."""
    says = "".join(f'<p data-model="{escape(entry.spec.id)}">{escape(reach(entry.spec))}</p>' for entry in ctx.entries)
    gr.HTML(CHANGE, elem_id="change", apply_default_css=False, container=False)
    with gr.Accordion("Fill a text with holes", open=False, elem_id="fill"):
        text = gr.Textbox(
            label="Text with holes",
            lines=3,
            max_lines=12,
            elem_id="fill-text",
            placeholder="Dear ___, thank you for the [2] you sent me.",
            value="",
        )
        gr.HTML(f"<p>{HELP}</p>{says}", elem_id="fill-reach", apply_default_css=False, container=False)
        with gr.Row(elem_classes="ink-fill-buttons"):
            button = gr.Button("Fill", variant="primary", size="sm", elem_id="fill-go")
            example = gr.Button("An example", size="sm", elem_id="fill-example")
    return text, button, example


def join(
    ctx: Context,
    part: tuple[gr.Textbox, gr.Button, gr.Button],
    model: Any,
    controls: dict[str, Any],
    shows: dict[str, Any],
) -> Any:
    """Join the part to the engine, the endpoint /fill included; return the event that begins a run."""
    text, button, example = part
    silent: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    example.click(None, model, text, js="(model) => inkblot.holes(model)", **silent)
    button.click(None, js=SHOW, **silent)
    begun = button.click(
        holes.from_page(ctx.engine, list(controls)),
        [text, model, *controls.values()],
        api_visibility="private",
        preprocess=False,
        **shows,
    )
    asked = {
        "text": gr.Textbox(visible=False),
        "prompt": gr.Textbox("", visible=False),
        "model": gr.Textbox("worlds", visible=False),
        "settings": gr.JSON({}, visible=False),
    }
    gr.Button(visible=False).click(
        holes.fill(ctx.engine), inputs_kwargs=asked, api_name="fill", preprocess=False, **shows
    )
    return begun
