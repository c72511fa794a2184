"""What Race and Lab open with: a race and a sweep that were run and measured when the weights were recorded (`make traces`)."""

from __future__ import annotations

import json
from typing import Any

from model.paths import ASSETS

FOLDER = ASSETS / "recorded"


def recorded(name: str, model: str) -> dict[str, Any]:
    """Return a recording ('race' or 'sweep') that was made with this model, {} where there is none."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        return {}
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document if document["model"] == model else {}
