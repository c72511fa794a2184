"""Lab: sweep one knob over prompts and seeds, see what speed costs, open any run, and lay two runs beside each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gradio as gr

from model.settings import FIELD
from playground.compare.sweep import KNOBS, MOST_SEEDS, offered
from playground.presets import start_of, start_values
from playground.web import strings
from playground.web.components import two_runs
from playground.web.components.chart import Chart, save_js
from playground.web.components.player import Player, trace_message
from playground.web.components.status import Status
from playground.web.context import Context
from playground.web.handlers import comparisons as racing
from playground.web.handlers import runs as handlers
from playground.web.queue import SERIES
from playground.web.tabs.race import endpoint
from playground.web.views.recorded import recorded

TITLE = "Lab"
NOTE = """Every value is written for every prompt and seed, each run alone and timed by its own stopwatch. A marker is the median of
its runs, the bars span their middle half, faint dots are single runs. Texts of the small worlds are checked exactly: there a marker is
the share of texts without a contradiction, its bar the 95 % interval. NLL says how usual the text is to the autoregressive twin, not
whether it is good."""


def opener() -> Callable[..., Any]:
    """Return the handler of a click on a chart: the run as the player's message, and its name."""

    def handler(kept: list[racing.Kept], event: gr.EventData) -> tuple[Any, Any]:
        found = racing.clicked(kept, getattr(event, "point", None))
        if found is None:
            return gr.skip(), gr.skip()
        return trace_message(racing.unpacked(found.document), play=True), handlers.status(found.label)

    return handler


def build(ctx: Context) -> None:
    """Lay the page out and join it to the engine."""
    running, page, shown = racing.Running(), SimpleNamespace(), recorded("sweep", ctx.model)
    with gr.Row(elem_classes="ink-columns"):
        with gr.Column(scale=3, min_width=290, elem_classes="ink-lab-side"):
            ask(ctx, page)
            with gr.Row(elem_classes="ink-actions"):
                page.run = gr.Button("Sweep", variant="primary", elem_id="lab-run", min_width=110, scale=0)
                page.stop = gr.Button("Stop", elem_id="lab-stop", min_width=90, scale=0)
            page.status = Status(
                handlers.status(shown.get("words", "")), elem_id="lab-status", apply_default_css=False, container=False
            )
        with gr.Column(scale=7, min_width=320):
            drawn = zip(shown.get("charts", ("", "")), ("consistent texts, or NLL", "distinct-2"), strict=True)
            page.charts = [
                Chart(chart, label=f"Tokens per second against {name}", elem_id=f"lab-chart-{i}")
                for i, (chart, name) in enumerate(drawn)
            ]
            with gr.Row(elem_classes="ink-actions"):
                page.as_csv = gr.Button("Save as CSV", size="sm", scale=0, min_width=130, elem_id="lab-csv")
                page.as_json = gr.Button("Save as JSON", size="sm", scale=0, min_width=130, elem_id="lab-json")
    gr.HTML(f"<p>{NOTE}</p>", elem_classes="ink-small", apply_default_css=False, container=False)
    page.opened = Status(elem_id="lab-opened", apply_default_css=False, container=False)
    page.player = Player(elem_id="lab-player")
    page.csv_box = gr.Textbox(visible="hidden", elem_id="lab-csv-text", show_label=False)
    page.json_box = gr.Textbox(visible="hidden", elem_id="lab-json-text", show_label=False)
    page.kept = gr.State([])
    join(ctx, running, page)


def ask(ctx: Context, page: SimpleNamespace) -> None:
    """Lay out what is asked of a sweep: the knob and its values, prompts, seeds, length, model."""
    start, spec = start_values(ctx.limits, ctx.chosen), ctx.chosen.spec
    knob = "steps" if spec.checked else "threshold"
    # five values and the reference, for two prompts
    seeds = max(1, min(20, ctx.limits.runs // 12)) if spec.checked else 1
    names = [(FIELD[name].label, name) for name in KNOBS]
    page.knob = gr.Dropdown(names, value=knob, label="Knob", filterable=False, elem_id="lab-knob")
    page.values = gr.Textbox(
        offered(knob, spec),
        label="Values",
        info="Separated by commas, or a range: 8..64/4 is four values.",
        elem_id="lab-values",
        max_length=400,
    )
    page.prompts = gr.Textbox(
        "\n".join(list(strings.examples(ctx.model).values())[:2]),
        label="Prompts",
        info="One a line.",
        lines=3,
        max_lines=10,
        elem_id="lab-prompts",
    )
    number: dict[str, Any] = {"min_width": 110}
    with gr.Row():
        page.seeds = gr.Number(
            seeds, label="Seeds", precision=0, minimum=1, maximum=MOST_SEEDS, elem_id="lab-seeds", **number
        )
        page.length = gr.Number(
            start["new_tokens"], label="Length (tokens)", precision=0, elem_id="lab-length", **number
        )
        page.temperature = gr.Number(
            start["temperature"], label="Temperature", step=0.05, elem_id="lab-temperature", **number
        )
    page.model = gr.Dropdown(
        ctx.model_choices,
        value=ctx.model,
        label="Model",
        filterable=False,
        elem_id="lab-model",
        visible=len(ctx.model_choices) > 1,
    )
    page.reference = gr.Checkbox(True, label="Autoregressive mode for reference", elem_id="lab-reference")


def join(ctx: Context, running: racing.Running, page: SimpleNamespace) -> None:
    """Join the page's controls, as `build` named them, to the engine."""
    event = {"preprocess": False, **SERIES}
    inputs = {
        name: getattr(page, name)
        for name in ("knob", "values", "prompts", "seeds", "reference", "model", "temperature")
    }
    started = page.run.click(
        racing.sweep_page(ctx.engine, running, start_of),
        inputs_kwargs=inputs | {"new_tokens": page.length},
        outputs=[page.status, *page.charts, page.csv_box, page.json_box, page.kept],
        show_progress="minimal",
        show_progress_on=page.status,
        api_visibility="private",
        **event,
    )
    silent = {"api_visibility": "private", "show_progress": "hidden"}
    handlers.on_stop(page.stop, running.stop(), [started])
    first = {entry.spec.id: {name: offered(name, entry.spec) for name in KNOBS} for entry in ctx.entries}
    values_of = f"(name, model) => ({json.dumps(first)})[model]?.[name]"
    for control in (page.knob, page.model):
        control.input(None, [page.knob, page.model], page.values, js=values_of, **silent)
    for chart in page.charts:
        chart.pick(opener(), page.kept, [page.player, page.opened], concurrency_limit=None, **silent)
    two_runs.build("lab", page.kept, started, opened=False)
    page.as_csv.click(None, page.csv_box, None, js=save_js("sweep.csv", "text/csv"), **silent)
    page.as_json.click(None, page.json_box, None, js=save_js("sweep.json", "application/json"), **silent)
    endpoint(
        racing.sweep_api(ctx.engine, running),
        "sweep",
        event,
        {
            "knob": gr.Textbox("threshold", visible=False),
            "values": gr.Textbox(KNOBS["threshold"][0], visible=False),
            "prompts": gr.JSON([], visible=False),
            "seeds": gr.Number(1, visible=False),
            "settings": gr.JSON(start_of("builtin"), visible=False),
            "reference": gr.Checkbox(True, visible=False),
        },
    )
