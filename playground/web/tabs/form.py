"""Form: text with slots, read in one or a few passes; every slot's probabilities as bars."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from model.holes import reach
from model.slots import MOST_PASSES
from playground.web.components.status import Status
from playground.web.context import Context
from playground.web.handlers import forms
from playground.web.handlers import runs as handlers
from playground.web.queue import MODEL
from playground.web.tabs.race import endpoint
from playground.web.views.forms import EMPTY

TITLE = "Form"
HELP = """<p>Write a slot as <code>{name: one | other | a third}</code>, or <code>{name: 2}</code> for two free tokens. All else stays as it
is. Each pass reads every open slot at once; with more passes the surest slots are settled first, and the others are read again.</p>"""
SHOW = "() => document.getElementById('form-result')?.scrollIntoView({ block: 'nearest', behavior: 'smooth' })"
LOST = """Lost: a melancholy {animal: dog | duck | wolf} called {name: Rufus | Nell}, last seen near the cave on Friday. If you meet \
{whom: him | her}, try gossip: he {sound: barks | quacks | howls} at tourists only. Please bring Rufus back to the \
{place: cave | chapel | theatre}. Reward: six spoons, all {count: five | six | seven} of them numbered."""
REVIEW = """This is a review of a {place: restaurant | hotel room | cinema}. The guest was {mood: happy | unhappy}. \
In one word: {word: 1}."""
ABOUT = "The soup was cold and the waiter was rude. We will not come back."
EXAMPLES = {  # button -> text, prompt, model, passes
    "A lost dog": (LOST, "", "worlds", 1),
    "A review": (REVIEW, ABOUT, "builtin", 1),
}


def build(ctx: Context) -> None:
    """Lay the page out and join it to the engine."""
    models = [(name, known) for name, known in ctx.model_choices if reach(_spec(ctx, known))]
    first = ctx.model if any(known == ctx.model for _, known in models) else models[0][1]
    text, prompt, _, passes = EXAMPLES["A lost dog" if first.startswith("worlds") else "A review"]
    with gr.Row(elem_classes="ink-columns"):
        with gr.Column(scale=5, min_width=290):
            box = gr.Textbox(text, label="Form", lines=5, max_lines=14, elem_id="form-text")
            gr.HTML(HELP, elem_classes="ink-small", apply_default_css=False, container=False)
            with gr.Row(elem_classes="ink-fill-buttons"):
                examples = [gr.Button(name, size="sm", elem_id=f"form-example-{i}") for i, name in enumerate(EXAMPLES)]
            about = gr.Textbox(
                prompt,
                label="What it is about",
                info="The message or question that the form is filled in for. Empty: the text itself.",
                lines=2,
                elem_id="form-prompt",
            )
            model = gr.Dropdown(
                models, value=first, label="Model", filterable=False, elem_id="form-model", visible=len(models) > 1
            )
            rounds = gr.Slider(
                1, MOST_PASSES, passes, step=1, label="Passes", elem_id="form-passes", elem_classes="ink-knob"
            )
            with gr.Row(elem_classes="ink-actions"):
                read = gr.Button("Read", variant="primary", elem_id="form-read", min_width=110, scale=0)
                stop = gr.Button("Stop", elem_id="form-stop", min_width=90, scale=0)
            status = Status(elem_id="form-status", apply_default_css=False, container=False)
        with gr.Column(scale=6, min_width=320):
            result = Status(EMPTY, elem_id="form-result", apply_default_css=False, container=False)
    join(ctx, (box, about, model, rounds), examples, read, stop, result, status)


def join(
    ctx: Context, inputs: tuple[Any, ...], examples: list[gr.Button], read: Any, stop: Any, result: Any, status: Any
) -> None:
    """Join the page's parts to the engine, the endpoint /slots included. inputs: text, prompt, model and passes."""
    model, known = inputs[2], {entry.spec.id for entry in ctx.entries}
    silent: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    event: dict[str, Any] = {"preprocess": False, **MODEL}
    started = [
        gr.on(
            [read.click, inputs[1].submit],
            forms.from_page(ctx.engine),
            list(inputs),
            [result, status],
            show_progress="minimal",
            show_progress_on=status,
            api_visibility="private",
            **event,
        )
    ]
    read.click(None, js=SHOW, **silent)
    handlers.on_stop(stop, handlers.stop(ctx.engine), started)
    for button, example in zip(examples, EXAMPLES.values(), strict=True):
        offered = [example[0], example[1], example[2] if example[2] in known else model.value, example[3]]
        button.click(None, None, list(inputs), js=f"() => ({json.dumps(offered)})", **silent)
    endpoint(
        forms.slots(ctx.engine),
        "slots",
        event,
        {
            "text": gr.Textbox(visible=False),
            "slots": gr.JSON([], visible=False),
            "prompt": gr.Textbox("", visible=False),
            "model": gr.Textbox("worlds", visible=False),
            "passes": gr.Number(1, visible=False, precision=0),
            "seed": gr.Number(0, visible=False, precision=0),
        },
    )


def _spec(ctx: Context, model: str) -> Any:
    return next(entry.spec for entry in ctx.entries if entry.spec.id == model)
