"""Settings under a name: what the page's presets set, and what the command line starts from. No Gradio here."""

from __future__ import annotations

from typing import Any

# The page's three ways to run, from measurements of the built-in model. Each sets every knob it names and leaves the others.
_BLOCKS = {"new_tokens": 64, "block_length": 8, "order": "confidence", "schedule": "linear", "threshold": 0.4, "remask_strength": 0.3}
_AHEAD = _BLOCKS | {"steps": 256, "rule": "threshold", "threshold": 0.0, "block_length": 4, "remasking": "verify"}
PRESETS: dict[str, dict[str, Any]] = {
    # as balanced, with a more lenient check: the most tokens a pass, a little rougher
    "fast": _AHEAD | {"remask_strength": 0.1},
    # one pass checks a block and guesses the next: about as good as token by token, in less than half the passes
    "balanced": _AHEAD,
    # a few passes a block before its check: the most to see
    "careful": _BLOCKS | {"steps": 128, "rule": "threshold", "remasking": "verify"},
}
START = "balanced"
