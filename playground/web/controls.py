"""One table, `model.settings.FIELDS`, turned into the page's controls: bounds, help, presets, and what applies when.

Showing and hiding happens in the browser (see `assets/page/page.js`): `page_data` tells it which knob applies to which model, way of
writing and rule. Values reach the server as they are and are refused there, by `Settings.parse`, in one sentence.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from model.entry import Entry
from model.holes import reach
from model.loops.schedules import CURVES
from model.settings import FIELDS, LOCAL, MODES, REMASKING, RULES, Field, Limits, Settings, applies, bounds
from playground.presets import NAMES, START, presets_of, start_values
from playground.web.strings import EXAMPLES, HOLES, choice, kind


def model_told(entry: Entry, limits: Limits = LOCAL) -> dict[str, Any]:
    """Return what the page's script must know of a model, JSON-ready."""
    spec = entry.spec
    return {
        "family": spec.family,
        "guidance": spec.guidance,
        "modes": spec.modes,
        "vision": spec.vision and bool(limits.image_bytes),
        "canvas": spec.canvas if spec.family == "masked" else 0,
        "presets": presets_of(spec.id),
        "defaults": entry.start(),
        "start": start_values(limits, entry),
        "examples": kind(spec.id),
        "fills": bool(reach(spec)),
    }


def knob(field: Field, limits: Limits, value: Any) -> Component:
    """Return the control of one knob."""
    common: dict[str, Any] = {
        "label": field.label + (f" ({field.unit})" if field.unit else ""),
        "info": field.help,
        "value": value,
        "elem_id": f"knob-{field.name}",
        "elem_classes": "ink-knob",
        "interactive": True,
    }
    if field.kind == "choice":
        return gr.Dropdown([(choice(name), name) for name in field.choices], filterable=False, **common)
    low, high = bounds(field, limits)
    if high > 10_000:
        return gr.Number(minimum=low, maximum=high, precision=0, **common)
    least = field.step if field.open_low else low
    return gr.Slider(least, high, step=field.step, precision=0 if field.kind == "int" else None, buttons=[], **common)


def knobs(limits: Limits, entry: Entry | None = None) -> dict[str, Component]:
    """Lay out every knob, the common ones first and the rest folded away; return {name: control} in the table's order."""
    values, made = start_values(limits, entry), {}
    for field in FIELDS:
        if field.common:
            made[field.name] = knob(field, limits, values[field.name])
            if field.name == "schedule":
                gr.HTML(schedule_curves(), elem_id="curves", apply_default_css=False, container=False)
    with gr.Accordion("More knobs", open=False, elem_id="more"):
        for field in FIELDS:
            if not field.common:
                made[field.name] = knob(field, limits, values[field.name])
    return {field.name: made[field.name] for field in FIELDS}


def schedule_curves() -> str:
    """Return a drawing (constant numbers only) of every schedule's curve; the page's script marks the chosen one."""
    lines = []
    for name, curve in CURVES.items():
        points = " ".join(f"{100 * i / 40:g},{40 - 40 * curve(i / 40):.2f}" for i in range(41))
        lines.append(f'<polyline data-schedule="{name}" points="{points}"/>')
    return (
        '<figure class="ink-curves" role="img" aria-label="Share of tokens decided over the steps, one curve for each schedule">'
        f'<svg viewBox="-1 -1 102 42" preserveAspectRatio="none">{"".join(lines)}</svg>'
        "<figcaption><span>first step</span><span>share decided</span><span>last step</span></figcaption></figure>"
    )


def page_data(entries: tuple[Entry, ...], limits: Limits) -> dict[str, Any]:
    """Return what the page's script needs to know, JSON-ready: knobs, models, presets and where each applies."""

    def reads(field: Field, **chosen: Any) -> bool:
        return applies(field, Settings(**{"temperature": 1.0, **chosen}))

    fields = {
        field.name: {
            "families": field.families,
            "default": field.default,
            "label": field.label,
            "rules": [rule for rule in RULES if any(reads(field, rule=rule, remasking=back) for back in REMASKING)],
            "remasking": [back for back in REMASKING if any(reads(field, rule=rule, remasking=back) for rule in RULES)],
            "sampling": reads(field) and not reads(field, temperature=0.0),
        }
        for field in FIELDS
    }
    models = {entry.spec.id: model_told(entry, limits) for entry in entries}
    prompts = {name: list(texts.values()) for name, texts in EXAMPLES.items()}
    return {
        "fields": fields,
        "models": models,
        "prompts": prompts,
        "presetNames": NAMES,
        "preset": START,
        "modes": MODES,
        "limits": limits.name,
        "holes": HOLES,
    }
