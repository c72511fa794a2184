"""Watch: one prompt, one run, every step of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr

from model.loops.steering import STEERED
from model.paths import ASSETS
from playground.presets import NAMES, START
from playground.web import strings
from playground.web.components import fill, picker, runs, turns
from playground.web.components.embed import choices
from playground.web.components.heatmap import Heatmap
from playground.web.components.player import STOPPED, Player, trace_message
from playground.web.components.status import Status
from playground.web.context import Context
from playground.web.controls import knobs
from playground.web.handlers import runs as handlers
from playground.web.queue import MODEL

TRACES = ASSETS / "traces"
TITLE = "Watch"
TOUR = """<button type="button" class="ink-open-tour" data-open="tour">How it works</button>
<a class="ink-open-talk" href="talk" target="_blank" rel="opener" title="Recorded runs and yours for a room">Talk mode</a>"""
# Made in the browser: nothing of it passes through the server.
SAVE = f"""<div class="ink-save"><span>Save this run</span>
<button type="button" onclick="inkblotExport.run('html')" title="One file that plays it, without a network">as a page</button>
<button type="button" onclick="inkblotExport.film('gif')" title="Moves by itself in slides and posts">as GIF</button>
<button type="button" onclick="inkblotExport.film('video')" title="Recorded as long as it plays">as video</button>
<button type="button" onclick="inkblotExport.film('png')" title="The step in view">as PNG</button>
<button type="button" onclick="inkblotExport.film('svg')" title="The step in view, as shapes and text">as SVG</button>
<button type="button" onclick="inkblotExport.run('json')" title="The whole trace">as JSON</button>
<button type="button" onclick="inkblotExport.run('text')">as text</button>
<button type="button" onclick="inkblotExport.run('markdown')">as Markdown</button>
<button type="button" onclick="inkblotExport.embed()" title="Code for a page of your own, and the script it needs">Embed</button>
<button type="button" onclick="inkblotExport.choose()" title="Or drop files, or a folder, on the canvas">Open a trace…</button>
<select aria-label="Recorded runs" onchange="inkblotExport.recorded(this.value)">
<option value="">Recorded runs…</option>{choices()}</select>
<button type="button" class="ink-cancel" onclick="inkblotExport.cancel()">Cancel</button>
<output id="save-status" aria-live="polite"></output></div>"""
# Where a run's last message never came, this ends the player's waiting for it.
HALT = f"() => document.querySelector('#player .ib-host').__player.receive({STOPPED})"


def recording() -> str | None:
    """Return the message that plays the first shipped recording, None where there is none."""
    shipped = sorted(TRACES.glob("*.json"))
    return trace_message(shipped[0].read_text(encoding="utf-8"), play=True) if shipped else None


def examples(kind: str, texts: dict[str, str], prompt: gr.Textbox) -> gr.Dataset:
    """Lay out the example prompts of one kind of model; the page's script shows those of the chosen model."""
    return gr.Dataset(
        label="Examples",
        components=[prompt],
        samples=[[text] for text in texts.values()],
        type="values",
        sample_labels=list(texts),
        elem_id=f"examples-{kind}",
        elem_classes="ink-examples",
        samples_per_page=20,
    )


def build(ctx: Context) -> None:
    """Lay the page out and join it to the engine."""
    page = SimpleNamespace()
    with gr.Row(elem_classes="ink-columns"):
        with gr.Column(scale=7, min_width=320, elem_classes="ink-main"):
            page.messages = turns.turns()
            with gr.Row(elem_classes="ink-ask"):
                ask(ctx, page)
            page.chips = [examples(kind, texts, page.prompt) for kind, texts in strings.EXAMPLES.items()]
            opening = recording()
            with gr.Row(elem_classes="ink-line"):
                page.status = Status(elem_id="status", apply_default_css=False, container=False)
                if opening:
                    gr.HTML(TOUR, apply_default_css=False, container=False, elem_id="open-tour")
            page.player = Player(opening, label="run", elem_id="player", options={"loop": True}, hands=True)
            turns.way_on(page.messages, page.prompt)
            page.filling = fill.build(ctx)
            runs.build(ctx)
            Heatmap("#player", elem_id="heatmap", container=False)
            gr.HTML(SAVE, apply_default_css=False, container=False, elem_id="save")
        with gr.Column(scale=3, min_width=290, elem_classes="ink-side"):
            choose(ctx, page)
            page.controls = knobs(ctx.limits, ctx.chosen)
            extras(ctx, page)
            recipe(page)
            page.copy_link = gr.Button("Copy link", size="sm", elem_id="link-copy")
            picker.build_list(ctx, page.model, [page.prompt, page.mode, page.preset, *page.controls.values()])
    gr.HTML(f"<p>{strings.HONEST}</p>", elem_classes="ink-honest", apply_default_css=False, container=False)
    join(ctx, page)


def ask(ctx: Context, page: SimpleNamespace) -> None:
    """Lay out the prompt and the buttons that start and stop a run."""
    page.prompt = gr.Textbox(
        label="Prompt",
        placeholder="Ask something, or press an example",
        lines=1,
        max_lines=8,
        scale=1,
        elem_id="prompt",
        value=strings.first_example(ctx.model),
    )
    with gr.Column(scale=0, min_width=112, elem_classes="ink-actions"):
        page.run = gr.Button("Run", variant="primary", elem_id="run")
        page.stop = gr.Button("Stop", elem_id="stop")


def choose(ctx: Context, page: SimpleNamespace) -> None:
    """Lay out what stands above the knobs: preset, model, picture, way of writing."""
    presets = [(name.capitalize(), name) for name in (*NAMES, "custom")]
    page.preset = gr.Radio(presets, value=START, label="Preset", elem_id="preset")
    Status(picker.purposes(), elem_id="preset-line", apply_default_css=False, container=False, padding=False)
    page.model = gr.Dropdown(
        ctx.model_choices,
        value=ctx.model,
        label="Model",
        elem_id="model",
        filterable=False,
        visible=len(ctx.model_choices) > 1,
    )
    page.image = picker.build(ctx)
    modes = [(strings.choice(name), name) for name in ctx.modes]
    page.mode = gr.Radio(modes, value="diffusion", label="Way of writing", elem_id="mode")


def extras(ctx: Context, page: SimpleNamespace) -> None:
    """Lay out pinned words and the system prompt, folded."""
    with gr.Accordion("Pinned words, system prompt", open=False, elem_id="extras"):
        page.pinned = gr.Textbox(
            label="Pinned words",
            info="One a line: a position, a colon, the words that must stand there.",
            placeholder="5: upon",
            lines=2,
            elem_id="pinned",
            value="",
        )
        page.system = gr.Textbox(
            label="System prompt",
            info="Empty: the model's own.",
            lines=2,
            elem_id="system",
            value="",
        )


def recipe(page: SimpleNamespace) -> None:
    """Lay out the settings as a command line and as Python, folded."""
    shown: dict[str, Any] = {"interactive": False, "wrap_lines": True}
    with gr.Accordion("Copy as command line or Python", open=False, elem_id="recipe"):
        page.write = gr.Button("Write out these settings", size="sm", elem_id="write-recipe")
        page.shell = gr.Code(language="shell", label="Command line", elem_id="recipe-shell", **shown)
        page.python = gr.Code(language="python", label="Python", elem_id="recipe-python", **shown)


SILENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def join(ctx: Context, page: SimpleNamespace) -> None:
    """Join the page's controls, as `build` named them, to the engine."""
    asked = ("prompt", "model", "mode", "system", "pinned")
    inputs = {name: getattr(page, name) for name in asked} | page.controls | {"image": page.image}
    inputs["messages"] = page.messages
    join_runs(ctx, page, inputs)
    join_choices(ctx, page)
    join_links(ctx, page, inputs)


def join_runs(ctx: Context, page: SimpleNamespace, inputs: dict[str, Any]) -> None:
    """Join what starts, continues, edits and stops a run."""
    controls, player, status = page.controls, page.player, page.status
    shows = {"outputs": [player, status], "show_progress": "minimal", "show_progress_on": status, **MODEL}
    event = {"inputs_kwargs": inputs, "preprocess": False, **shows}
    handler = handlers.denoise(ctx.engine)
    started = [page.run.click(handler, api_name="denoise", **event)]
    for box in page.chips:
        chosen = box.click(lambda row: row[0], box, page.prompt, concurrency_limit=None, **SILENT)
        started.append(chosen.then(handler, api_visibility="private", **event))
    gr.Button(visible=False).click(handlers.resume(ctx.engine), api_name="continue", **shows)
    go_on = handlers.go_on(ctx.engine, list(controls))
    started.append(player.go_on(go_on, list(controls.values()), api_visibility="private", preprocess=False, **shows))
    asked = {
        "trace": gr.JSON(visible=False),
        "step": gr.Number(0, visible=False),
        "edits": gr.JSON([], visible=False),
        "keep": gr.Checkbox(False, visible=False),
        "settings": gr.JSON({}, visible=False),
    }
    edit = handlers.edit(ctx.engine)
    gr.Button(visible=False).click(edit, inputs_kwargs=asked, api_name="edit", preprocess=False, **shows)
    join_steering(ctx, page)
    started.append(fill.join(ctx, page.filling, page.model, controls, shows))
    stopped = handlers.on_stop(page.stop, handlers.stop(ctx.engine), started, api_name="stop", api_visibility="public")
    stopped = stopped.then(None, js=HALT, **SILENT)
    ctx.blocks.load(handlers.watch_loading(ctx.engine, ctx.model), None, status, concurrency_limit=None, **SILENT)


def join_steering(ctx: Context, page: SimpleNamespace) -> None:
    """Join the knobs that may be turned while a run is under way."""
    beside: dict[str, Any] = {**SILENT, "concurrency_limit": None, "trigger_mode": "multiple"}
    page.player.steer(handlers.steer_page(ctx.engine), None, None, **beside)
    gr.Button(visible=False).click(
        handlers.steer(ctx.engine),
        inputs_kwargs={"settings": gr.JSON({}, visible=False)},
        api_name="steer",
        preprocess=False,
        show_progress="hidden",
        concurrency_limit=None,
    )
    for name in STEERED:
        control = page.controls[name]
        control.input(None, control, None, js=f"(value) => {{ inkblot.steer('{name}', value); }}", **SILENT)


def join_choices(ctx: Context, page: SimpleNamespace) -> None:
    """Join what depends on what: knobs on model and rule, all of them on the preset. In the browser, without the server."""
    controls = page.controls
    knobs = [controls[name] for name in ("rule", "remasking", "schedule", "temperature")]
    choosing = [page.model, page.mode, *knobs]
    changes, sync = [component.change for component in choosing], "(...values) => { inkblot.sync(...values); }"
    gr.on([ctx.blocks.load, *changes], None, choosing, None, js=sync, **SILENT)
    ctx.blocks.load(None, js="() => inkblotQueue('status')", **SILENT)
    every = list(controls.values())
    picked = "(...values) => inkblot.preset(...values)"
    page.preset.input(None, [page.preset, page.model, *every], every, js=picked, **SILENT)
    for control in every:
        control.input(None, [page.model, *every], page.preset, js="(...values) => inkblot.named(...values)", **SILENT)


def join_links(ctx: Context, page: SimpleNamespace, inputs: dict[str, Any]) -> None:
    """Join the link to a run, and its settings as command line and Python. In the browser, without the server."""
    linked = [page.model, page.mode, page.prompt, page.system, page.pinned, *page.controls.values()]
    opened = gr.Button(visible="hidden", elem_id="link-open")
    follow = "(...values) => inkblotLink.open(...values)"
    gr.on([ctx.blocks.load, opened.click], None, linked, linked, js=follow, **SILENT)
    gr.on([page.run.click], None, linked, None, js="(...values) => { inkblotLink.note(...values); }", **SILENT)
    page.copy_link.click(None, linked, None, js="(...values) => { inkblotLink.copy(...values); }", **SILENT)
    written = "(...values) => inkblot.recipes(...values)"
    page.write.click(None, list(inputs.values()), [page.shell, page.python], js=written, **SILENT)
