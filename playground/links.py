"""Permalinks outside the page: '#v1=' and base64url of JSON, the very string that `assets/page/link.js` writes and reads.

The JSON: {t: tab, m: model, w: way of writing, p: prompt, s: system, n: pinned words, k: {knob: value}}; what is empty, and knobs as the
page starts the model with, are left out.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from model.engine.catalog import entry
from model.errors import ModelUnavailable, SettingError
from model.settings import FIELD
from playground.presets import start_values

LINK = re.compile(r"(?:.*#)?v1=([\w-]{1,60000})")


class Linked(NamedTuple):
    """What a link says of a run: every knob has a value."""

    model: str
    mode: str
    prompt: str
    system: str
    pinned: str
    knobs: dict[str, Any]


def link_of(model: str, mode: str, prompt: str, system: str, pinned: str, settings: Mapping[str, Any]) -> str:
    """Return the fragment that says all this."""
    start = start_values(entry=entry(model))
    knobs = ",".join(f'"{name}":{_value(settings[name])}' for name in FIELD if settings[name] != start[name])
    told = {"t": "watch", "m": model, "w": mode, "p": prompt, "s": system, "n": pinned}
    parts = [f'"{key}":{_value(value)}' for key, value in told.items() if value or key in "tmwp"]
    text = "{" + ",".join([*parts, *([f'"k":{{{knobs}}}'] if knobs else [])]) + "}"
    return "#v1=" + base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def _value(value: Any) -> str:
    """Return a value's JSON as a browser writes it: 1 for 1.0, and 0.00001 for 1e-05."""
    if not isinstance(value, float):
        return json.dumps(value, ensure_ascii=False)
    if value == int(value):
        return str(int(value))
    return re.sub(r"e-0", "e-", repr(value)) if abs(value) < 1e-6 else format(Decimal(repr(value)), "f")


def read_link(link: str) -> Linked:
    """Return what a link, or an address that ends with one, says; raise SettingError in one sentence."""
    found = LINK.fullmatch(link.strip())
    try:
        told = json.loads(base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4))) if found else None
    except (ValueError, binascii.Error, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise SettingError(
            "--link must be what 'Copy link' on the page gives: an address with #v1= and what follows it.", "link"
        )
    model, mode, prompt, system, pinned = (told[key] if isinstance(told.get(key), str) else "" for key in "mwpsn")
    try:
        record = entry(model)
    except ModelUnavailable:
        raise SettingError(f"This link is for the model {model[:60]!r}, which is not here.", "link") from None
    given = told.get("k")
    knobs = {name: value for name, value in given.items() if name in FIELD} if isinstance(given, dict) else {}
    modes = record.spec.modes
    return Linked(
        model, mode if mode in modes else modes[0], prompt, system, pinned, start_values(entry=record) | knobs
    )
