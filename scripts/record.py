"""Record the runs that play before a visitor has pressed anything: `make traces`. One JSON trace a prompt in assets/traces/.

They are real runs of the weights that ship, with the page's own presets; a test compares the fingerprint of the weights in them with
the one in assets/weights/manifest.json, so they must be recorded again whenever the weights change.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from model import Settings, load
from playground.web.controls import PRESETS
from playground.web.strings import EXAMPLES

TRACES = Path(__file__).resolve().parent.parent / "assets" / "traces"
RECORDINGS = (("1-sky", 0, "careful"), ("2-fox", 1, "balanced"), ("3-letter", 3, "careful"))  # file, example, preset


def main() -> None:
    """Write every recording, replacing what is there."""
    model = load("builtin")
    for old in TRACES.glob("*.json"):
        old.unlink()
    for name, example, preset in RECORDINGS:
        model.denoise(EXAMPLES[example], Settings(**PRESETS[preset])).finish()  # warm-up
        trace = model.denoise(EXAMPLES[example], Settings(**PRESETS[preset])).finish()
        trace.recorded = datetime.date.today().isoformat()
        text = trace.to_json()
        (TRACES / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(f"{name}: {len(trace.frames)} frames, {len(text):,} bytes: {trace.final_text[:80]!r}")


if __name__ == "__main__":
    main()
