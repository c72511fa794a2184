"""What is known of how far a form's probabilities can be trusted: one sentence a model, from a measurement (`bench.slots`)."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from model.paths import ASSETS

RECORD = ASSETS / "recorded" / "slots.json"


@cache
def _measured() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def trusted(model: str, weights: str = "") -> str:
    """Return how well a model's probabilities were found to fit; weights: SHA-256 of those in use, where it is known."""
    found = _measured().get(model)
    if found is None:
        return "How well these probabilities fit was not measured for this model."
    if weights and weights != found["weights_sha256"]:
        return "How well these probabilities fit was measured for other weights of this model, not for these."
    what = "held-out texts" if model.startswith("worlds") else "held-out sentences"
    return (
        f"Measured on {found['slots']} slots of {what}, one pass: the likeliest choice was right in {found['accuracy']:.0%}, "
        f"at a mean probability of {found['mean_probability']:.0%}; expected calibration error {found['ece']:.3f}."
    )
