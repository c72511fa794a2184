"""Settings under a name: what the page's presets set, and what the command line starts from. No Gradio here."""

from __future__ import annotations

from typing import Any

# The page's three ways to run, from measurements of the built-in model. Each sets every knob it names and leaves the others.
_BLOCKS = {"new_tokens": 64, "block_length": 8, "order": "confidence", "schedule": "linear", "threshold": 0.4, "remask_strength": 0.3}
PRESETS: dict[str, dict[str, Any]] = {
    # a planned number of tokens every pass: the most at once, and rough
    "fast": _BLOCKS | {"steps": 24, "rule": "schedule", "remasking": "none"},
    # a block guessed in one pass, then checked by the causal pass: about as good as token by token, in fewer passes
    "balanced": _BLOCKS | {"steps": 64, "rule": "threshold", "threshold": 0.0, "remasking": "verify"},
    # a few passes a block before the check: the most to see
    "careful": _BLOCKS | {"steps": 128, "rule": "threshold", "remasking": "verify"},
}
START = "balanced"
