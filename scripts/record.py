"""Record what is there before a visitor has pressed anything: `make traces`.

One JSON trace a prompt in assets/traces/, the race and the sweep that Race and Lab open with in assets/recorded/, and the playlist of
talk mode in assets/talk/runs (`scripts/record_talk.py`).

They are real runs of the weights that ship, with the page's own presets; a test compares the fingerprint of the weights in them with
the one in assets/weights/manifest.json, so they must be recorded again whenever the weights change.
"""

from __future__ import annotations

import datetime
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from model import Settings, load
from model.engine.catalog import entry
from model.engine.engine import Engine
from model.engine.parsing import parse_ripple
from model.settings import LOCAL
from model.worlds import CHANGES
from playground.compare.lanes import make_lanes, preset_lanes
from playground.compare.race import Race
from playground.compare.sweep import Sweep, offered, plan
from playground.compare.verdict import hardware
from playground.presets import presets_of
from playground.web.components.chart import chart_value
from playground.web.components.stage import final_message
from playground.web.handlers.comparisons import sweep_charts
from playground.web.strings import CHAT, SUDOKU, WORLDS
from playground.web.views.plots import text_over_time
from playground.web.views.recorded import FOLDER
from playground.web.views.results import table_html, verdict_html
from scripts import record_talk

TRACES = Path(__file__).resolve().parent.parent / "assets" / "traces"
RECORDINGS = (  # file, model, prompt, preset, seed: the page opens with the first
    ("1-notice", "worlds", WORLDS["Lost animal"], "balanced", 8),  # a seed whose text is consistent, as nine of ten are
    ("2-sky", "builtin", CHAT["Blue sky"], "careful", 0),
    ("3-fox", "builtin", CHAT["A fox"], "balanced", 0),
    ("4-sudoku", "sudoku", SUDOKU["Hard"], "balanced", 0),
)


def main() -> None:
    """Write every recording, replacing what is there."""
    traces()
    FOLDER.mkdir(exist_ok=True)
    hands()
    with closing(Engine()) as engine:
        for name, document in (("race", race(engine)), ("sweep", sweep(engine))):
            text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
            (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
            print(f"{name}: {len(text):,} bytes: {document['words']}")
    record_talk.main()


def race(engine: Engine) -> dict[str, Any]:
    """Run the race that the Race page opens with: the small worlds against their twin."""
    prompt, settings = WORLDS["Lost animal"], presets_of("worlds")["balanced"]
    made = Race(
        engine, make_lanes(prompt, settings | {"model": "worlds"}, preset_lanes("modes", "worlds"), LOCAL), 10, True
    )
    for _ in made:
        pass
    drawn = [(result.label, result.shown.trace) for result in made.results if result.shown and result.shown.trace]
    charts = [chart_value(text_over_time(drawn, clock)) for clock in ("seconds", "forwards")]
    return about(f"A race of 10 texts a lane, '{prompt}', recorded", hardware(made.results[0])) | {
        "stage": final_message("recorded", made.results, LOCAL.trace_bytes, play=False),
        "verdict": verdict_html(made.verdict),
        "table": table_html(made.results),
        "charts": charts,
    }


def sweep(engine: Engine) -> dict[str, Any]:
    """Run the sweep that the Lab opens with: what fewer passes cost."""
    settings = presets_of("worlds")["balanced"] | {"model": "worlds"}
    what = plan("steps", offered("steps", entry("worlds").spec), list(WORLDS.values())[:2], 20, settings, LOCAL)
    made = Sweep(engine, what)
    for _ in made:
        pass
    ran = f"{sum(len(point.runs) for point in made.points)} texts by as many passes as the points say, recorded"
    shown = next(run.trace for point in made.points for run in point.runs if run.trace)
    return about(ran, f"{shown.hardware}, {shown.dtype}") | {"charts": list(sweep_charts(made))}


def hands() -> None:
    """Write what the tour shows of words changed by hand: one press each on the run that the page opens with."""
    (FOLDER / "hands").mkdir(exist_ok=True)
    model, document = load("worlds"), (TRACES / f"{RECORDINGS[0][0]}.json").read_text(encoding="utf-8")
    for change in CHANGES:
        asked = parse_ripple(document, change)
        trace = model.denoise(asked.prompt, asked.settings, draft=asked.draft).finish()
        trace.recorded = datetime.date.today().isoformat()
        (FOLDER / "hands" / f"{change.split()[-1]}.json").write_text(trace.to_json() + "\n", encoding="utf-8")
        print(f"{change}: {trace.notice} {trace.result.faults if trace.result else ''}")


def about(words: str, where: str) -> dict[str, Any]:
    """Return what every recording says of itself."""
    return {"model": "worlds", "words": f"{words} {datetime.date.today().isoformat()} on {where}."}


def traces() -> None:
    """Write the runs that play on Watch."""
    for old in TRACES.glob("*.json"):
        old.unlink()
    for name, model_id, prompt, preset, seed in RECORDINGS:
        model, settings = load(model_id), Settings(**presets_of(model_id)[preset], seed=seed)
        model.denoise(prompt, settings).finish()  # warm-up
        trace = model.denoise(prompt, settings).finish()
        trace.recorded = datetime.date.today().isoformat()
        text = trace.to_json()
        (TRACES / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(f"{name}: {len(trace.frames)} frames, {len(text):,} bytes: {trace.final_text[:80]!r}")


if __name__ == "__main__":
    main()
