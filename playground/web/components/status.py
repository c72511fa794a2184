"""A line, or a block, of our own words on a page. In a module of its own: Gradio writes a stub beside each component it meets."""

from __future__ import annotations

import gradio as gr


class Status(gr.HTML):
    """HTML that we made; not part of what API clients receive."""

    @property
    def skip_api(self) -> bool:
        return True
