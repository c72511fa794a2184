"""Record the runs that play before a visitor has pressed anything: `make traces`. One JSON trace a prompt in assets/traces/.

They are real runs of the weights that ship, with the page's own presets; a test compares the fingerprint of the weights in them with
the one in assets/weights/manifest.json, so they must be recorded again whenever the weights change.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from model import Settings, load
from playground.presets import presets_of
from playground.web.strings import CHAT, WORLDS

TRACES = Path(__file__).resolve().parent.parent / "assets" / "traces"
RECORDINGS = (  # file, model, prompt, preset, seed: the page opens with the first
    ("1-notice", "worlds", WORLDS["Lost animal"], "balanced", 0),
    ("2-sky", "builtin", CHAT["Blue sky"], "careful", 0),
    ("3-fox", "builtin", CHAT["A fox"], "balanced", 0),
)


def main() -> None:
    """Write every recording, replacing what is there."""
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
