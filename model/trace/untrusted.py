"""What a trace document must be before anything is made of it: every field of its own type, and no more of it than its size allows."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from model.errors import TraceError
from model.spec import ModelSpec

MAX_LENGTH, MAX_FRAMES = 65_536, 20_000
CELLS = 8_388_608  # positions of all frames together: 22 bytes each with candidates
CELLS_A_BYTE, CELLS_FREE = 64, 1_048_576  # of them for each byte of the document, which a real run stays far below
TEXT = 20_000  # characters of a header's field
SPEC_TUPLES = {"eos_ids": int, "block_lengths": int, "modes": str}


def need(truth: Any, otherwise: str) -> None:
    """Raise TraceError where something does not hold."""
    if not truth:
        raise TraceError(f"This trace is damaged: {otherwise}.")


def text(value: Any, what: str, most: int = TEXT) -> str:
    """Return a text that can be sent on; raise TraceError."""
    need(isinstance(value, str) and len(value) <= most, f"its '{what}' is not text, or too long")
    need(
        value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value),
        f"its '{what}' holds half a character",
    )
    return str(value)


def whole(value: Any, what: str, low: int = 0, high: int = 10**7) -> int:
    """Return a whole number within bounds; raise TraceError."""
    need(type(value) is int and low <= value <= high, f"its {what} is out of range")
    return int(value)


def number(value: Any, what: str, low: float = -1e12, high: float = 1e12) -> float:
    """Return a finite number within bounds; raise TraceError."""
    need(type(value) in (int, float) and math.isfinite(value) and low <= value <= high, f"its {what} is out of range")
    return float(value) if isinstance(value, float) else value


def wholes(value: Any, what: str, low: int = 0, high: int = 10**7, most: int = 1_000_000) -> list[int]:
    """Return a list of whole numbers within bounds; raise TraceError."""
    need(isinstance(value, list) and len(value) <= most, f"its {what} is not a list, or too long")
    need(all(type(each) is int and low <= each <= high for each in value), f"its {what} is out of range")
    return list(value)


def check_size(frames: Any, size: int) -> None:
    """Refuse, before anything is allocated, frames that would take far more memory than their document has bytes (`size`)."""
    if not isinstance(frames, list) or len(frames) > MAX_FRAMES:
        raise TraceError(f"A trace may have at most {MAX_FRAMES:,} frames.")
    most, cells, length = min(CELLS, CELLS_FREE + CELLS_A_BYTE * size), 0, 0
    for data in frames:
        need(isinstance(data, dict), "a frame is not a mapping")
        length = whole(data.get("l", length), f"canvas, which must have 1 to {MAX_LENGTH:,} positions,", 1, MAX_LENGTH)
        cells += length
        if cells > most:
            raise TraceError(
                f"A trace of {size:,} bytes may have at most {most:,} positions in all its frames; this one has more."
            )


def check_header(header: Any) -> None:
    """Refuse a header with a field of another kind; raise TraceError."""
    need(isinstance(header, dict), "its header is not a mapping")
    for name in ("mode", "prompt", "system", "dtype", "device", "hardware", "weights_sha256", "recorded", "branch"):
        text(header[name], name)
    text(header.get("notice", ""), "notice")
    said = header.get("before", [])
    need(isinstance(said, list) and len(said) <= 64, "its turns are not a list of at most 64")
    for turn in said:
        need(
            isinstance(turn, list) and len(turn) == 2 and turn[0] in ("user", "assistant"), "a turn is no role and text"
        )
        text(turn[1], "turn")
    wholes(header["prompt_ids"], "list of prompt tokens")
    settings, versions = header["settings"], header["versions"]
    need(isinstance(settings, dict) and isinstance(versions, dict), "its settings or versions are not a mapping")
    need(len(settings) <= 200 and len(versions) <= 200, "its settings or versions are too many")
    for name, value in settings.items():
        text(name, "settings", 100)
        if not isinstance(value, bool | None):
            text(value, "settings", 200) if isinstance(value, str) else number(value, f"setting {name[:40]}")
    for name, value in versions.items():
        text(name, "versions", 100), text(value, "versions", 200)


def spec_of(data: Any) -> ModelSpec:
    """Return a model's record from its JSON, every field of its own type; raise TraceError."""
    need(isinstance(data, dict), "its model is not a mapping")
    values: dict[str, Any] = {}
    for field in fields(ModelSpec):
        if field.name not in data:
            continue
        value, name = data[field.name], f"model's {field.name.replace('vocab_size', 'vocabulary size')}"
        if field.name in SPEC_TUPLES:
            need(isinstance(value, list) and len(value) <= 1_000, f"its {name} is not a list")
            value = (
                tuple(wholes(value, name))
                if SPEC_TUPLES[field.name] is int
                else tuple(text(each, name, 100) for each in value)
            )
        elif field.name == "mask_id":
            value = None if value is None else whole(value, name)
        elif isinstance(field.default, bool):
            need(isinstance(value, bool), f"its {name} is neither true nor false")
        elif isinstance(field.default, int) or field.name == "vocab_size":
            whole(value, name, 0, 10**15)
        else:
            text(value, name)
        values[field.name] = value
    spec = ModelSpec(**values)
    need(spec.family in ("masked", "uniform", "autoregressive"), "its model family is not known")
    need(1 < spec.vocab_size < 10_000_000, "its vocabulary size is out of range")
    return spec


def pieces_of(table: Any) -> dict[int, bytes]:
    """Return {id: bytes} from a vocabulary's JSON; raise TraceError."""
    need(isinstance(table, dict), "its vocabulary is not a mapping")
    out = {}
    for token, piece in table.items():
        need(token.isascii() and token.isdigit() and len(token) <= 8, "a token's id is no number")
        spelt = isinstance(piece, str)
        out[int(token)] = (
            text(piece, "vocabulary").encode() if spelt else bytes(wholes(piece, "list of a token's bytes", 0, 255))
        )
    return out


def notes_of(notes: Any) -> dict[str, Any]:
    """Return a frame's notes: numbers, short texts, truths, and lists of numbers; raise TraceError."""
    need(isinstance(notes, dict) and len(notes) <= 100, "the notes of a frame are not a mapping")
    for name, value in notes.items():
        text(name, "notes", 100)
        if isinstance(value, list):
            need(len(value) <= MAX_LENGTH, "a note is too long")
            for each in value:
                number(each, "note")
        elif not isinstance(value, bool | None):
            text(value, "notes", 300) if isinstance(value, str) else number(value, "note")
    return dict(notes)
