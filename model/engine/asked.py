"""A request as JSON, and back: what a page sends to an engine on another machine, where it is checked as if a visitor had typed it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from model.draft import Draft, parse_edits
from model.engine.parsing import parse_request
from model.errors import SettingError
from model.holes import LONGEST, MOST_HOLES, MOST_OPEN, Filling, Hole, Part
from model.loops.steering import STEERED
from model.request import Request, visible_text
from model.settings import FIELD, LOCAL, Limits, parse_value
from model.text import before, messages_of

TOP_ID = 2**31 - 1


def asked_json(request: Request) -> dict[str, Any]:
    """Return a request JSON-ready; knobs that nobody asked for are left to the model, there as here."""
    given, talk = request.settings.as_dict(), bool(before(request.prompt))
    system = [{"role": "system", "content": request.system}] if request.system else []
    return {
        "prompt": None if talk else request.prompt,
        "messages": [*system, *messages_of(request.prompt)] if talk else None,
        "model": request.model,
        "mode": request.mode,
        "system": None if talk else request.system,
        "settings": {name: given[name] for name in (given if request.asked is None else request.asked)},
        "pinned": [f"{position}:{words}" for position, words in request.pinned.items()],
        "images": [base64.b64encode(image).decode() for image in request.images],
        "draft": None if request.draft is None else draft_json(request.draft),
    }


def draft_json(draft: Draft) -> dict[str, Any]:
    """Return a canvas to begin with JSON-ready."""
    out: dict[str, Any] = {item.name: getattr(draft, item.name) for item in fields(Draft)}
    for name in ("ids", "pinned", "kept", "spaced"):
        out[name] = list(out[name])
    out["edits"] = [{"at": [e.start, e.stop], "do": e.do, "text": e.text, "id": e.token} for e in draft.edits]
    out["steered"] = {str(step): dict(values) for step, values in draft.steered.items()}
    if isinstance(draft, Filling):
        out["parts"] = [part.tokens if isinstance(part, Hole) else part for part in draft.parts]
        out["lengths"] = list(draft.lengths)
    return out


def parse_asked(document: Any, limits: Limits) -> Request:
    """Return the checked request of a document as `asked_json` makes it; raise SettingError with one sentence."""
    known = {"prompt", "model", "mode", "system", "settings", "pinned", "images", "draft", "messages"}
    if not isinstance(document, Mapping) or not document.keys() <= known:
        raise SettingError(f"A request maps names to values; those there are: {', '.join(sorted(known))}.", "request")
    given = {name: value for name, value in document.items() if value is not None}
    try:
        images = [base64.b64decode(image, validate=True) for image in given.pop("images", [])]
    except (TypeError, ValueError, binascii.Error):
        raise SettingError("Images must be a list of files' bytes in base64.", "image") from None
    draft, prompt = given.pop("draft", None), given.pop("prompt", None)
    made = None if draft is None else parse_draft(draft)
    return parse_request(prompt, given.pop("settings", None), image=images, draft=made, limits=limits, **given)


def parse_draft(value: Any) -> Draft:
    """Return a canvas to begin with from untrusted JSON; raise SettingError with one sentence."""
    _need(isinstance(value, Mapping), "is not a mapping")
    names = {item.name for item in fields(Filling)} if "parts" in value else {item.name for item in fields(Draft)}
    _need(value.keys() <= names, "has a field that is not known")
    ids = _wholes(value.get("ids", []), "ids", -1, TOP_ID)
    last = len(ids) - 1
    places = {name: _wholes(value.get(name, []), name, 0, last) for name in ("pinned", "kept", "spaced")}
    _need(all(ids[at] >= 0 for at in (*places["pinned"], *places["kept"])), "keeps a place where nothing stands")
    _need(isinstance(value.get("keep", False), bool), "has a 'keep' that is neither true nor false")
    words = {name: visible_text(f"'{name}'", value.get(name, ""), 2_000) for name in ("about", "weights", "says")}
    common: dict[str, Any] = {
        **places,
        **words,
        "ids": ids,
        "edits": parse_edits(value.get("edits")),
        "keep": value.get("keep", False),
        "steered": _steered(value.get("steered", {})),
    }
    if "parts" not in value:
        return Draft(**common)
    parts = _parts(value["parts"])
    lengths = _wholes(value.get("lengths", []), "lengths", 1, LONGEST)
    _need(len(lengths) == len(parts) // 2, "has no length for each hole")
    return Filling(**common, parts=parts, lengths=lengths)


def _parts(value: Any) -> tuple[Part, ...]:
    """Text and holes in turn, text first and last."""
    _need(isinstance(value, list) and len(value) % 2 == 1, "has parts that are not text and holes in turn")
    texts, holes = value[::2], value[1::2]
    _need(all(type(n) is int and 0 <= n <= LONGEST for n in holes), "has a hole of a length that is not known")
    _need(len(holes) <= MOST_HOLES and holes.count(0) <= MOST_OPEN, "has more holes than a text may have")
    told = [visible_text("The text", text, LOCAL.prompt_chars) for text in texts]
    return tuple(Hole(part) if i % 2 else told[i // 2] for i, part in enumerate(value))


def _steered(value: Any) -> dict[int, dict[str, float]]:
    _need(isinstance(value, Mapping) and len(value) <= LOCAL.steps, "has changes under way that are not a mapping")
    out: dict[int, dict[str, float]] = {}
    for step, knobs in value.items():
        _need(isinstance(step, str) and step.isascii() and step.isdigit() and len(step) <= 6, "has a step of no number")
        _need(isinstance(knobs, Mapping) and set(knobs) <= set(STEERED), "changes a knob that cannot be changed")
        out[int(step)] = {name: parse_value(FIELD[name], number, LOCAL) for name, number in knobs.items()}
    return out


def _wholes(value: Any, name: str, low: int, high: int) -> tuple[int, ...]:
    _need(isinstance(value, list), f"has '{name}' that are not a list")
    _need(all(type(each) is int and low <= each <= high for each in value), f"has '{name}' out of range")
    return tuple(value)


def _need(truth: bool, otherwise: str) -> None:
    if not truth:
        raise SettingError(f"The canvas to start from {otherwise}.", "draft")
