"""The app: a header, one tab a page, nothing started."""

from __future__ import annotations

import json
from types import ModuleType

import gradio as gr

from model.engine import catalog
from model.engine.engine import Engine
from model.paths import ASSETS
from model.settings import Limits
from playground.web import strings
from playground.web.api import describe
from playground.web.components.assets import page_links
from playground.web.context import Context
from playground.web.controls import page_data
from playground.web.tabs import form, lab, race, watch
from playground.web.views.tour import others, scenes

PARTS = (
    "page.js",
    "link.js",
    "runs.js",
    "chat.js",
    "tree.js",
    "shapes.js",
    "picture.js",
    "film.js",
    "foreign.js",
    "export.js",
    "queue.js",
    "theme.js",
    "full.js",
    "tour.js",
)
SCRIPTS = [ASSETS / "page" / name for name in PARTS]
PAGES: tuple[ModuleType, ...] = (
    watch,
    race,
    lab,
    form,
)  # each has TITLE and build(ctx); its player lives inside its own tab
BLOT = '<path d="M13 2c4 0 5 3 8 4s5 2 5 6-3 4-3 7 1 6-3 7-5-2-9-1-8 0-9-4 2-5 1-8 2-4 4-6 2-5 6-5z"/><circle cx="27" cy="25" r="1.8"/>'
HEADER = f"""<header class="ink-header"><svg viewBox="0 0 32 28" aria-hidden="true">{BLOT}</svg>
<h1>{strings.NAME}</h1><p>{strings.TAGLINE}</p>
<button type="button" data-theme-switch aria-label="Dark page" aria-pressed="false"><svg viewBox="0 0 16 16" aria-hidden="true">
<circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.4"/>
<path d="M8 1.8a6.2 6.2 0 0 1 0 12.4z"/></svg></button></header>"""


def build_app(engine: Engine, limits: Limits, model: str = "worlds") -> gr.Blocks:
    """Return the app over `engine`. model: the id chosen when the page opens."""
    with gr.Blocks(title=strings.TITLE, analytics_enabled=False, delete_cache=(600, 600)) as blocks:
        ctx = Context(engine, limits, catalog.entries(), model, blocks)
        gr.HTML(HEADER, apply_default_css=False, container=False, padding=False)
        if len(PAGES) == 1:
            PAGES[0].build(ctx)
        else:
            with gr.Tabs(elem_id="pages"):
                for page in PAGES:
                    with gr.Tab(page.TITLE, id=page.TITLE.lower()):
                        page.build(ctx)
    describe(blocks)
    return blocks


def head(limits: Limits) -> str:
    """Return what goes into the page's head: the script and what it needs to know; no address outside the page."""
    data = json.dumps(page_data(catalog.entries(), limits) | {"tour": scenes(), "tourRuns": others()}).replace(
        "<", "\\u003c"
    )
    script = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    return f"{page_links()}<script>window.INKBLOT = {data};\n{script}</script>"
