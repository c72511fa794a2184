"""Race: one prompt, two to four lanes, each timed alone, then replayed together on one clock."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import gradio as gr

from model.engine.catalog import entry
from model.settings import FIELD, ORDERS, REMASKING, RULES, Limits
from playground.compare.lanes import PRESETS, preset_lanes
from playground.compare.race import MOST_REPEATS
from playground.presets import start_of, start_values
from playground.web import strings
from playground.web.components import two_runs
from playground.web.components.chart import Chart, save_js
from playground.web.components.stage import Stage
from playground.web.components.status import Status
from playground.web.context import Context
from playground.web.handlers import comparisons as racing
from playground.web.handlers import runs as handlers
from playground.web.queue import SERIES
from playground.web.views.recorded import recorded

TITLE = "Race"
LANES = ("lane1", "lane2", "lane3", "lane4")
# Said on the page's root, because what an accordion holds comes into being only when it is opened; race.css does the hiding.
HIDE = """(lanes, ...modes) => {
  const hidden = modes.flatMap((mode, i) => (mode === 'ar' ? [`lane${i + 1}-knobs`] : []));
  const unused = modes.flatMap((_, i) => (i < lanes ? [] : [`lane${i + 1}-box`]));
  document.documentElement.dataset.raceHides = [...hidden, ...unused].join(' ');
}"""
# A preset brings its own prompt where not every one suits it; leaving it, the prompt that was there before it comes back.
SET = """(name, prompt) => {
  const [own, ...rest] = (%s)[name], page = window.inkblotRace ??= {};
  if (own && !page.own) page.typed = prompt;
  const shown = own || (page.own && prompt === page.own ? page.typed : prompt);
  page.own = own;
  return [shown, ...rest];
}"""
NOTE = """Lanes run one after the other, alone and warmed up, each with its cache. While one is timed, no text is drawn.
Then all of them replay together."""
SAVE = """<div class="ink-save"><span>Save this race</span>
<button type="button" onclick="inkblotExport.racePage()" title="One file that replays it, without a network">as a page</button>
<button type="button" onclick="inkblotExport.film('gif', 'race-save')" title="All lanes on one clock, for slides and posts">as GIF</button>
<button type="button" onclick="inkblotExport.film('video', 'race-save')" title="Recorded as long as it plays">as video</button>
<button type="button" onclick="inkblotExport.film('png', 'race-save')" title="The moment in view">as PNG</button>
<button type="button" onclick="inkblotExport.film('svg', 'race-save')" title="The moment in view, as shapes and text">as SVG</button>
<button type="button" class="ink-cancel" onclick="inkblotExport.cancel()">Cancel</button>
<output id="race-save-status" aria-live="polite"></output></div>"""


def lane_start(name: str, base: str, limits: Limits) -> list[dict[str, Any]]:
    """Return the values of all lanes' controls for a preset; a lane it does not have repeats the first."""
    start = {**start_values(limits, entry(base)), "model": base, "mode": "diffusion"}
    own = {
        lane["model"]: start_values(limits, entry(lane["model"]))
        for lane in preset_lanes(name, base)
        if "model" in lane
    }
    lanes = [{**start, **own.get(lane.get("model"), {}), **lane} for lane in preset_lanes(name, base)]
    lanes += [start] * (len(LANES) - len(lanes))
    return [{knob: lane[knob] for knob in racing.LANE_KNOBS} for lane in lanes]


def preset_table(ctx: Context) -> str:
    """Return {preset: prompt ('': any), how many lanes, length, temperature, the values of every lane control} as JSON for the page."""
    table = {}
    for name, preset in PRESETS.items():
        lanes = lane_start(name, ctx.model, ctx.limits)
        common = {**start_values(ctx.limits, entry(lanes[0]["model"])), **preset_lanes(name, ctx.model)[0]}
        controls = [lane[knob] for lane in lanes for knob in racing.LANE_KNOBS]
        table[name] = [preset.prompt, len(preset.lanes), common["new_tokens"], common["temperature"], *controls]
    return json.dumps(table)


def lane_controls(ctx: Context, name: str, number: int, value: dict[str, Any]) -> dict[str, gr.components.Component]:
    """Lay out one lane: model, way of writing, and what a denoiser reads."""
    with gr.Column(min_width=230, elem_id=f"{name}-box", elem_classes="ink-lane"):
        gr.HTML(f"<h3>Lane {number}</h3>", apply_default_css=False, container=False, padding=False)
        model = gr.Dropdown(
            ctx.model_choices,
            value=value["model"],
            label="Model",
            filterable=False,
            elem_id=f"{name}-model",
            visible=len(ctx.model_choices) > 1,
        )
        mode = gr.Radio(
            [(strings.choice(m), m) for m in ctx.modes],
            value=value["mode"],
            label="Way of writing",
            elem_id=f"{name}-mode",
        )
        with gr.Column(elem_id=f"{name}-knobs"):
            made: dict[str, gr.components.Component] = {"model": model, "mode": mode}
            for knob, choices in (("rule", RULES), ("order", ORDERS), ("remasking", REMASKING)):
                made[knob] = gr.Dropdown(
                    [(strings.choice(c), c) for c in choices],
                    value=value[knob],
                    label=FIELD[knob].label,
                    filterable=False,
                    elem_id=f"{name}-{knob}",
                )
            for knob in ("steps", "threshold", "block_length", "remask_strength"):
                field = FIELD[knob]
                made[knob] = gr.Number(value[knob], label=field.label, step=field.step, elem_id=f"{name}-{knob}")
    return {knob: made[knob] for knob in racing.LANE_KNOBS}


def build(ctx: Context) -> None:
    """Lay the page out and join it to the engine."""
    running, start, shown = racing.Running(), lane_start("modes", ctx.model, ctx.limits), recorded("race", ctx.model)
    values, page = start_values(ctx.limits, ctx.chosen), SimpleNamespace()
    page.prompt = gr.Textbox(
        label="Prompt",
        lines=2,
        max_lines=6,
        value=strings.first_example(ctx.model),
        elem_id="race-prompt",
    )
    presets = [(preset.label, name) for name, preset in PRESETS.items()]
    page.preset = gr.Radio(presets, value="modes", label="Who races", elem_id="race-preset")
    with gr.Row(elem_classes="ink-actions"):
        page.run = gr.Button("Race", variant="primary", elem_id="race-run", min_width=110, scale=0)
        page.stop = gr.Button("Stop", elem_id="race-stop", min_width=90, scale=0)
        page.status = Status(
            handlers.status(shown.get("words", "")), elem_id="race-status", apply_default_css=False, container=False
        )
    with gr.Accordion("Lanes and settings", open=False, elem_id="race-settings"):
        with gr.Row():
            page.length = gr.Number(
                values["new_tokens"], label="Length (tokens)", precision=0, elem_id="race-length", min_width=140
            )
            page.temperature = gr.Number(
                values["temperature"], label="Temperature", step=0.05, elem_id="race-temperature", min_width=140
            )
            page.seed = gr.Number(0, label="Seed", precision=0, elem_id="race-seed", min_width=140)
            page.repeats = gr.Slider(
                1, MOST_REPEATS, value=1, step=1, precision=0, label="Repeats", elem_id="race-repeats", min_width=180
            )
            page.new_seeds = gr.Checkbox(
                False, label="A new seed for each repeat", elem_id="race-new-seeds", min_width=180
            )
            page.count = gr.Radio([2, 3, 4], value=2, label="Lanes", elem_id="race-lanes", min_width=140)
        with gr.Row(elem_classes="ink-lanes"):
            page.lanes = {name: lane_controls(ctx, name, i + 1, start[i]) for i, name in enumerate(LANES)}
    gr.HTML(f"<p>{NOTE}</p>", elem_classes="ink-small", apply_default_css=False, container=False)
    page.stage = Stage(shown.get("stage"), elem_id="race-stage")
    gr.HTML(SAVE, apply_default_css=False, container=False, elem_id="race-film")
    page.verdict = Status(shown.get("verdict", ""), elem_id="race-verdict", apply_default_css=False, container=False)
    page.table = Status(shown.get("table", ""), elem_id="race-table", apply_default_css=False, container=False)
    with gr.Row(elem_id="race-charts"):
        page.charts = [
            Chart(chart, label=f"Tokens of the text over {clock}", elem_id=f"race-chart-{name}", min_width=320)
            for chart, name, clock in zip(
                shown.get("charts", ("", "")), ("seconds", "forwards"), ("seconds", "forward passes"), strict=True
            )
        ]
    with gr.Row(elem_classes="ink-actions", elem_id="race-after"):
        page.save = gr.Button("Save figures as JSON", size="sm", scale=0, min_width=180, elem_id="race-save")
    page.record = gr.Textbox(visible="hidden", elem_id="race-record", show_label=False)
    page.kept = gr.State([])
    join(ctx, running, page)


def join(ctx: Context, running: racing.Running, page: SimpleNamespace) -> None:
    """Join the page's controls, as `build` named them, to the engine."""
    knobs = {f"{lane}__{knob}": control for lane, controls in page.lanes.items() for knob, control in controls.items()}
    inputs = {
        "prompt": page.prompt,
        "repeats": page.repeats,
        "new_seeds": page.new_seeds,
        "count": page.count,
        "new_tokens": page.length,
        "temperature": page.temperature,
        "seed": page.seed,
    } | knobs
    outputs = [page.stage, page.status, page.verdict, page.table, *page.charts, page.record]
    event = {"preprocess": False, **SERIES}
    started = page.run.click(
        racing.race_page(ctx.engine, running, LANES),
        inputs_kwargs=inputs,
        outputs=[*outputs, page.kept],
        show_progress="minimal",
        show_progress_on=page.status,
        api_visibility="private",
        **event,
    )
    two_runs.build("race", page.kept, started, opened=True)
    handlers.on_stop(page.stop, running.stop(), [started])
    silent = {"api_visibility": "private", "show_progress": "hidden"}
    every = [page.prompt, page.count, page.length, page.temperature, *knobs.values()]
    page.preset.input(None, [page.preset, page.prompt], every, js=SET % preset_table(ctx), **silent)
    shown = [page.count, *[controls["mode"] for controls in page.lanes.values()]]
    gr.on([ctx.blocks.load, *(control.change for control in shown)], None, shown, None, js=HIDE, **silent)
    page.save.click(None, page.record, None, js=save_js("race.json", "application/json"), **silent)
    endpoint(
        racing.race_api(ctx.engine, running),
        "race",
        event,
        {
            "prompt": gr.Textbox(visible=False),
            "lanes": gr.JSON([], visible=False),
            "settings": gr.JSON(start_of("builtin"), visible=False),
            "preset": gr.Textbox("modes", visible=False),
            "repeats": gr.Number(1, visible=False),
            "new_seeds": gr.Checkbox(False, visible=False),
        },
    )


def endpoint(handler: Any, name: str, event: dict[str, Any], inputs: dict[str, Any]) -> None:
    """Offer a streaming endpoint that no control of the page calls; its inputs are never shown."""
    gr.Button(visible=False).click(
        handler, inputs_kwargs=inputs, outputs=gr.JSON(visible=False), api_name=name, **event
    )
