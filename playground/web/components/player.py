"""The player as a Gradio component: its value is one JSON text (see `wire.py`), everything on screen is drawn in the browser."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import gradio as gr

from playground.web.wire import STOPPED, Recorder, stream, trace_message

__all__ = ["STOPPED", "Player", "Recorder", "stream", "trace_message"]

JS = """
const host = element.querySelector('.ib-host');
const go = (detail) => {
  if (!player.document) return;
  if (runs) runs.branch(player.run.id, detail.words);
  trigger('go_on', { ...detail, trace: player.document });
};
const pick = (detail) => trigger('pick', detail);
const halt = () => document.getElementById('stop')?.click(), steer = (values) => trigger('steer', values);
const hands = host.dataset.hands ? { go, halt, steer } : {};
const player = mountPlayer(host, { ...JSON.parse(host.dataset.options), pick, ...hands });
element.__player = player;
const runs = host.dataset.hands && window.inkblotRuns, before = runs ? runs.last() : null;
const take = () => {
  if (!props.value) return;
  let message;
  try { message = JSON.parse(props.value); } catch (error) { return; }
  if (message.play) player.recording = message.trace;
  if (runs && message.done && message.trace && !message.play) runs.add(message.run, message.trace);
  if (!(message.play && before)) player.receive(message);
};
watch('value', take);
take();
if (before) player.receive(before);
"""


class Player(gr.HTML):
    """A `gr.HTML` whose value is one wire message; yield those of `Recorder` or `stream`, start it with `trace_message`.

    options: those of `mountPlayer` in `assets/player/player.js` (controls, strips, numbers, legend, prompt, title, inspector, even,
    speed, loop, theme). `.pick(fn)` fires when a token is chosen; `gr.EventData` then has position, id, step, index and run.
    hands: words can be changed; `.go_on(fn)` then fires with trace, step, edits and keep, `.steer(fn)` with knobs moved meanwhile.
    """

    def __init__(
        self, value: str | None = None, *, options: dict[str, Any] | None = None, hands: bool = False, **kwargs: Any
    ):
        chosen = escape(json.dumps(options or {}), quote=True).replace("{", "&#123;").replace("$", "&#36;")
        kwargs.setdefault("apply_default_css", False)
        marked = ' data-hands="yes"' if hands else ""
        super().__init__(
            value=value,
            html_template=f'<div class="ib-host" data-options="{chosen}"{marked}></div>',
            js_on_load=JS,
            **kwargs,
        )

    def api_info(self) -> dict[str, Any]:
        """Describe the value to API clients."""
        return {
            "type": "string",
            "description": 'JSON text: {"run", "frames", ...} as they come, last {"run", "trace", "done": true}',
        }
