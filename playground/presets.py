"""Settings under a name: what the page's presets set, and what the command line starts from. No Gradio here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.entry import Entry
from model.models.worlds.record import DEFAULTS, NOISY_DEFAULTS
from model.settings import LOCAL, Limits, Settings
from model.sudoku import CELLS
from model.worlds import CANVAS

START = "balanced"
# The chat model's, from its measurements. Each sets every knob it names and leaves the others.
_BLOCKS = {
    "new_tokens": 64,
    "block_length": 8,
    "order": "confidence",
    "schedule": "linear",
    "threshold": 0.4,
    "remask_strength": 0.3,
    "temperature": 0.0,
    "entropy_bound": 0.1,
}
_AHEAD = _BLOCKS | {"steps": 256, "rule": "threshold", "threshold": 0.0, "block_length": 4, "remasking": "verify"}
_CHAT: dict[str, dict[str, Any]] = {
    # as balanced, with a more lenient check: the most tokens a pass, a little rougher
    "fast": _AHEAD | {"remask_strength": 0.1},
    # one pass checks a block and guesses the next: about as good as token by token, in less than half the passes
    "balanced": _AHEAD,
    # a few passes a block before its check: the most to see
    "careful": _BLOCKS | {"steps": 128, "rule": "threshold", "remasking": "verify"},
    # every position of half the canvas re-ranked at every step: words appear all over it, and read rougher
    "all over": _BLOCKS | {"new_tokens": 32, "block_length": 32, "steps": 64, "rule": "schedule", "remasking": "p2"},
}
# The small worlds': the whole canvas at once, from the sweep in their model card.
_CANVAS = DEFAULTS | {"block_length": 0, "order": "confidence", "schedule": "linear", "threshold": 0.9}
_WORLDS: dict[str, dict[str, Any]] = {
    # a fixed number of words a pass and nothing taken back: what goes wrong when words that must agree are decided at once
    "fast": _CANVAS | {"steps": 8, "rule": "schedule", "remasking": "none"},
    # what is sure, and two free choices a pass that cannot contradict each other; what turns out not to fit is taken back
    "balanced": _CANVAS,
    # only words that the network is sure of: three times the passes, the most consistent texts
    "careful": _CANVAS | {"steps": CANVAS, "rule": "threshold", "remask_strength": 0.1, "top_p": 1.0},
}
# Sudoku's: what matters is which cell goes first, and how many go at once.
_BOARD = {
    "new_tokens": CELLS,
    "block_length": 0,
    "steps": CELLS,
    "rule": "schedule",
    "schedule": "linear",
    "order": "margin",
    "remasking": "none",
    "temperature": 0.0,
}
_SUDOKU: dict[str, dict[str, Any]] = {
    # several cells a pass: quick, and as good on hard boards; extreme ones fail more often
    "fast": _BOARD | {"steps": 12},
    # one cell a pass, the one whose best digit leads its second best by most
    "balanced": _BOARD,
    # one cell a pass, wherever it lies: the same network, and a third of the hard boards come out wrong
    "at random": _BOARD | {"order": "random"},
}
# From random words: DiffusionGemma's own knobs, on the small network.
_RANDOM = NOISY_DEFAULTS
_NOISY: dict[str, dict[str, Any]] = {
    "fast": _RANDOM | {"steps": 8},
    "balanced": _RANDOM,
    "careful": _RANDOM | {"entropy_bound": 0.05, "steps": 64},
}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "worlds": _WORLDS,
    "worlds-noisy": _NOISY,
    "sudoku": _SUDOKU,
    "builtin": _CHAT,
    "fake": _CHAT,
}
# What each is for, as the page says it under the choice.
_PURPOSE_CHAT = {
    "fast": "The most words a pass, a little rougher.",
    "balanced": "One pass checks a block and guesses the next: reads about as token by token, in fewer than half the passes.",
    "careful": "A few passes for every block before it is checked: slower, and the most to see.",
    "all over": "Words appear all over the canvas, as in the big models. Rougher: so small a model loses the thread.",
}
_PURPOSE_WORLDS = {
    "fast": "Eight passes, nothing taken back: see what goes wrong when words that must agree are decided at once.",
    "balanced": "What is sure, and two free choices a pass; what turns out not to fit is taken back.",
    "careful": "Only words that the network is sure of: three times the passes, the most consistent texts.",
}
PURPOSES: dict[str, dict[str, str]] = {
    "worlds": _PURPOSE_WORLDS,
    "worlds-noisy": {
        "fast": "Eight passes: often not enough for the words to settle.",
        "balanced": "DiffusionGemma's own way, until the canvas stands still.",
        "careful": "Fewer words accepted a pass, and time for more passes.",
    },
    "sudoku": {
        "fast": "Several cells a pass: quick, and as good on hard boards; extreme ones fail more often.",
        "balanced": "One cell a pass: the one whose best digit leads its second best by most.",
        "at random": "One cell a pass, wherever it lies: the same network, and a third of the hard boards come out wrong.",
    },
    "builtin": _PURPOSE_CHAT,
    "fake": _PURPOSE_CHAT,
}
NAMES = tuple(dict.fromkeys(name for presets in PRESETS.values() for name in presets))


def presets_of(model: str) -> dict[str, dict[str, Any]]:
    """Return the presets of a model by name; none where none were measured."""
    return PRESETS.get(model, {})


def begun(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the knobs of a run that was given these by name; where none says how to write, it begins as the page does with that model."""
    preset = start_of(model) if given.keys() <= {"new_tokens", "seed"} else None
    return {**(preset or {}), **given}


def start_of(model: str) -> dict[str, Any] | None:
    """Return what the page, and a command line without knobs, start a model with; None: what its record says."""
    return presets_of(model).get(START)


def start_values(limits: Limits = LOCAL, entry: Entry | None = None) -> dict[str, Any]:
    """Return the value every knob has when a model is chosen (None: the chat model): its first preset's, or its record's."""
    preset = start_of("builtin" if entry is None else entry.spec.id)
    return Settings.parse(preset or (entry.start(limits) if entry else {}), limits).as_dict()
