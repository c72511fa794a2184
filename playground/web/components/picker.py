"""Choosing a model: a quiet line on the one chosen, a folded list of all of them, a checkpoint of your own, a picture for those that see.

Words only: nothing is loaded before a run asks for it. Which line is shown is the page's script's to say.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

import gradio as gr

from model.engine.catalog import entry, is_own, peek
from model.entry import Entry
from model.errors import ModelUnavailable
from playground.presets import PURPOSES
from playground.web.components.picture import Picture
from playground.web.components.status import Status
from playground.web.context import Context
from playground.web.controls import model_told
from playground.web.handlers.runs import shown

HUB = "https://huggingface.co/"
MARKS = {"ready": "ready", "download": "to download", "unavailable": "not here"}
WHY = '<button type="button" class="ink-open-tour" data-open="tour">It writes in short blocks: see why.</button>'
OWN = (
    "A folder on this machine, or <code>hf:owner/name</code> from the hub. Weights are read from safetensors files; "
    "no code of a checkpoint runs."
)


def size_words(known: Entry, needs: bool = True) -> str:
    """Return parameters, licence and, if asked, needs, as far as they are known: '25.8 B parameters; Apache-2.0; needs ...'."""
    count = known.spec.parameters
    size = f"{count / 1e9:.1f} B parameters" if count >= 1e9 else f"{count / 1e6:.0f} M parameters" if count else ""
    return "; ".join(filter(None, (size, known.spec.license, f"needs {known.needs}" if needs else "")))


def revision_words(known: Entry) -> str:
    """Return which revision of a model on the hub is taken, '' for models that come with the playground."""
    if not known.spec.url.startswith(HUB):
        return ""
    return (
        f" Taken at revision {known.spec.revision[:8]}."
        if known.spec.revision
        else " Taken at its newest revision; runs name it."
    )


def model_line(known: Entry) -> str:
    """Return one model's line as HTML: what it is and needs, and whether it is here."""
    state, words = known.standing()
    told, colon, why = (words[0].upper() + words[1:].rstrip(".") + ".").partition(":")
    told = f"<b>{escape(told + colon)}</b>{escape(why)}" if state != "ready" else ""
    tour = f" {WHY}" if known.spec.id == "builtin" else ""
    facts = size_words(known, needs=state != "unavailable")  # its reason says them already
    return (
        f'<p class="ink-model" data-model="{escape(known.spec.id, quote=True)}">{told} {escape(known.spec.note)}{tour} '
        f"<span>{escape(facts[:1].upper() + facts[1:])}.</span></p>"
    )


def purposes() -> str:
    """Return what each preset of each model is for, as HTML; the page's script shows the chosen one's."""
    return "".join(
        f'<p data-model="{escape(model, quote=True)}" data-preset="{escape(name, quote=True)}">{escape(words)}</p>'
        for model, told in PURPOSES.items()
        for name, words in told.items()
    )


def model_list(entries: tuple[Entry, ...]) -> str:
    """Return every model as an HTML list."""
    rows = []
    for known in entries:
        state, words = known.standing()
        name, why = escape(known.spec.name), escape(words[0].upper() + words[1:].rstrip(".")) + "."
        url = escape(known.spec.url, quote=True)
        more = f' <a href="{url}" target="_blank" rel="noopener noreferrer">Its page</a>' if url else ""
        note = f"{size_words(known)}. {known.spec.note}{revision_words(known)}"
        rows.append(
            f'<li data-standing="{state}"><details><summary>{name} <em>{MARKS[state]}</em></summary>'
            f"<p>{escape(note[0].upper() + note[1:])}{'' if state == 'ready' else ' ' + why}{more}</p></details></li>"
        )
    return f'<ul class="ink-models">{"".join(rows)}</ul>'


def build(ctx: Context) -> Picture:
    """Lay out the line under the picker and a place for a picture; return the latter, an input of every run."""
    lines = "".join(model_line(known) for known in ctx.entries)
    Status(lines, elem_id="model-line", apply_default_css=False, container=False, padding=False)
    return Picture(elem_id="image", container=False, padding=False, visible=bool(ctx.limits.image_bytes))


def build_list(ctx: Context, model: gr.Dropdown, touched: list[gr.components.Component]) -> None:
    """Lay out the list of models and, where the page is the visitor's own, the way to a checkpoint of theirs.

    touched: prompt, mode, preset and knobs, which a new model sets.
    """
    with gr.Accordion("All models", open=False, elem_id="models"):
        if ctx.limits.name == "local":
            own = gr.Textbox(
                label="A checkpoint of your own",
                placeholder="hf:owner/name, or a folder",
                max_length=300,
                elem_id="own",
            )
            use = gr.Button("Choose it", size="sm", elem_id="own-choose")
            gr.HTML(f"<p>{OWN}</p>", elem_classes="ink-small", apply_default_css=False, container=False)
            told = gr.Textbox(visible="hidden", elem_id="own-told", show_label=False)
            silent: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
            asked = gr.on([use.click, own.submit], look, own, told, concurrency_limit=None, **silent)
            learnt = asked.success(None, told, None, js="(told) => { inkblot.learn(told); }", **silent)
            chosen = learnt.then(offer(ctx.model_choices), told, model, concurrency_limit=None, **silent)
            chosen.then(None, [model, *touched], touched, js="(...values) => inkblot.choose(...values)", **silent)
        Status(model_list(ctx.entries), apply_default_css=False, container=False, padding=False)
    model.input(
        None,
        [model, *touched],
        touched,
        js="(...values) => inkblot.choose(...values)",
        api_visibility="private",
        show_progress="hidden",
    )


def look(text: str) -> str:
    """Return what the page must know of an own checkpoint, as JSON; raise gr.Error with one sentence."""
    wanted = (text or "").strip()
    with shown():
        if not is_own(wanted):
            raise ModelUnavailable("A checkpoint of your own must be a folder on this machine, or 'hf:owner/name'.")
        peek(wanted)
        own = entry(wanted)
    return json.dumps({"id": own.spec.id, "name": own.spec.name, **model_told(own)})


def offer(choices: list[tuple[str, str]]) -> Any:
    """Return the handler that adds an own checkpoint to the picker and chooses it."""

    def handler(told: str) -> Any:
        """Return the picker's new choices and value."""
        own = json.loads(told)
        return gr.update(choices=[*choices, (f"{own['name']} (your own)", own["id"])], value=own["id"])

    return handler
