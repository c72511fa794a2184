"""The race on the page: lanes that replay together on one clock. See `assets/race/stage.js` for the messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from playground.web.components.assets import STAGE_LAYOUT
from playground.web.views.talk import lane_of

if TYPE_CHECKING:
    from playground.compare.figures import LaneResult
    from playground.compare.race import Race
    from playground.compare.series import Progress

START = """
const take = mountStage(element);
watch('value', () => take(props.value));
take(props.value);
"""


class Stage(gr.HTML):
    """Two or three runs on one clock; its value is the JSON text that `progress_message` and `final_message` make."""

    def __init__(self, value: str | None = None, **kwargs: Any):
        kwargs.setdefault("apply_default_css", False)
        super().__init__(
            value=value,
            html_template=STAGE_LAYOUT,
            js_on_load=START,
            **kwargs,
        )

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
    lane: dict[str, Any] = {
        "label": result.label,
        "phase": "failed" if result.error else "stopped",
        "share": 0,
        "words": result.error or ("stopped" if result.runs else "not run"),
    }
    if run is None or run.trace is None:
        return lane
    return lane | lane_of(result.label, run.trace, max_bytes) | {"phase": "written" if run.finished else lane["phase"]}


def _dump(value: Any) -> str:
    """JSON without a literal '<': Gradio warns of script tags in what it takes for HTML."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
