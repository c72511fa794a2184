"""The race on the page: lanes that replay together on one clock. See `assets/race/stage.js` for the messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import gradio as gr

from model.paths import ASSETS
from playground.web.components.assets import script, style
from playground.web.components.player import css_literal
from playground.web.views.plots import written

if TYPE_CHECKING:
    from playground.compare.figures import LaneResult
    from playground.compare.race import Race
    from playground.compare.series import Progress

RACE = ASSETS / "race"
PAUSE = '<path class="rs-i-pause" d="M4 3h2.6v10H4zM9.4 3H12v10H9.4z"/>'
PLAY = f'<svg viewBox="0 0 16 16"><path class="rs-i-play" d="M4 2.5v11L13.5 8z"/>{PAUSE}</svg>'
AGAIN = '<svg viewBox="0 0 16 16"><path d="M3.5 8a4.5 4.5 0 1 0 1.6-3.4M3.2 2.4v2.9h2.9"/></svg>'
LAYOUT = f"""<div class="rs-stage rs-empty" role="region" aria-label="Race">
<div class="rs-lanes"></div>
<div class="rs-transport" hidden>
<button type="button" class="rs-play" aria-label="Play">{PLAY}</button>
<button type="button" class="rs-again" aria-label="From the start" title="From the start">{AGAIN}</button>
<input type="range" class="rs-slider" min="0" max="1" value="0" step="any" aria-label="Seconds">
<output class="rs-time" aria-live="off"></output>
<select class="rs-speed" aria-label="Speed of the replay"></select>
<div class="rs-clocks"><span class="rs-pair" role="group" aria-label="Clock">
<button type="button" data-clock="seconds">Seconds</button><button type="button" data-clock="forwards">Forward passes</button></span>
<p class="rs-told" aria-live="polite"></p></div>
</div></div>"""
START = """
const take = mountStage(element);
watch('value', () => take(props.value));
take(props.value);
"""


@cache
def stage_script() -> str:
    """Return the script that defines `mountPlayer` and `mountStage`."""
    return f"const mountPlayer = (() => {{\n{script()}return globalThis.mountPlayer;\n}})();\n" + (RACE / "stage.js").read_text("utf-8")


class Stage(gr.HTML):
    """Two or three runs on one clock; its value is the JSON text that `progress_message` and `final_message` make."""

    def __init__(self, value: str | None = None, **kwargs: Any):
        kwargs.setdefault("apply_default_css", False)
        super().__init__(
            value=value, html_template=LAYOUT, js_on_load=stage_script() + START,
            css_template=css_literal(style() + (RACE / "stage.css").read_text("utf-8")), **kwargs,
        )  # fmt: skip

    @property
    def skip_api(self) -> bool:
        """API clients receive the race's record instead."""
        return True


def progress_message(name: str, race: Race, now: Progress | None) -> str:
    """Return where each lane stands: bars only, no text, so that drawing takes no time from what is being timed."""
    lanes, at = [], race.series.jobs[now.job].group if now else None
    for number, result in enumerate(race.results):
        lane: dict[str, Any] = {"label": result.label, "phase": "queue", "share": 0, "words": "waits for its turn"}
        if now and number == at:
            words = {"writing": now.words, "written": "timed"}.get(now.phase, now.words)
            lane |= {"phase": now.phase, "share": now.share, "words": words + now.label[len(result.label) :]}
        elif result.error:
            lane |= {"phase": "failed", "share": 1, "words": result.error}
        elif result.finished:
            lane |= {"phase": "written", "share": 1, "words": "timed"}
        lanes.append(lane)
    return _dump({"race": name, "lanes": lanes, "done": False})


def final_message(name: str, results: Sequence[LaneResult], max_bytes: int, play: bool = True) -> str:
    """Return the lanes with the run of each that is replayed, its median one."""
    return _dump({"race": name, "lanes": [_lane(result, max_bytes) for result in results], "done": True, "play": play})


def _lane(result: LaneResult, max_bytes: int) -> dict[str, Any]:
    run = result.shown
    lane: dict[str, Any] = {"label": result.label, "phase": "failed" if result.error else "stopped", "share": 0,
                            "words": result.error or ("stopped" if result.runs else "not run")}  # fmt: skip
    if run is None or run.trace is None:
        return lane
    trace = run.trace
    tokens = trace.result.tokens if trace.result else trace.length
    return lane | {
        "phase": "written" if run.finished else lane["phase"], "tokens": tokens, "trace": json.loads(trace.to_json(max_bytes)),
        "seconds": [frame.seconds for frame in trace.frames], "forwards": [frame.forwards for frame in trace.frames],
        "counts": [written(frame, tokens) for frame in trace.frames],
    }  # fmt: skip


def _dump(value: Any) -> str:
    """JSON without a literal '<': Gradio warns of script tags in what it takes for HTML."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
