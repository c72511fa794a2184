"""A conversation on the page: earlier turns above the prompt, and the way on under the answer. Drawn by `assets/page/chat.js`."""

from __future__ import annotations

from typing import Any

import gradio as gr

TURNS = """<div class="ink-turns" hidden><ol aria-label="Said before"></ol>
<button type="button" onclick="inkblotChat.anew()">Start anew</button></div>"""
NEXT = """<div class="ink-next" hidden><button type="button" onclick="inkblotChat.next()">Next prompt</button>
<span>The answer becomes part of a conversation; what you ask next follows it.</span></div>"""


def turns() -> gr.JSON:
    """Lay out the earlier turns; return what holds them for a run: a list of messages."""
    gr.HTML(TURNS, apply_default_css=False, container=False, elem_id="turns", padding=False)
    return gr.JSON([], visible=False, elem_id="messages")


def way_on(messages: gr.JSON, prompt: Any) -> None:
    """Lay out what continues a conversation, and join it to the messages and the prompt, in the browser alone."""
    gr.HTML(NEXT, apply_default_css=False, container=False, elem_id="next", padding=False)
    put = gr.Button(visible="hidden", elem_id="chat-set")
    pending = "() => inkblotChat.pending()"
    put.click(None, None, [messages, prompt], js=pending, api_visibility="private", show_progress="hidden")
