"""Traces read back from their JSON, which may come from anywhere: every field is checked before anything is made of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from model.errors import TraceError
from model.spec import ModelSpec
from model.text import Conversation
from model.trace.encode import FORMAT, HEADER, LETTERS, VERSION, settle, usual_heat
from model.trace.frame import (
    REASONS,
    TOP,
    Frame,
    Reason,
)
from model.trace.trace import STOPPED, Result, Trace
from model.trace.untrusted import (
    MAX_LENGTH,
    check_header,
    check_size,
    notes_of,
    number,
    pieces_of,
    spec_of,
    whole,
    wholes,
)
from model.trace.untrusted import need as _need
from model.trace.untrusted import text as checked_text


def loads(text: str | bytes, max_bytes: int = 8_000_000) -> Trace:
    """Parse and check a document of at most `max_bytes`; raise TraceError with one sentence."""
    if len(text) > max_bytes:
        raise TraceError(f"A trace may have at most {max_bytes:,} bytes; this one has {len(text):,}.")
    try:
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"This is not a readable trace: {str(error)[:120]}.") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise TraceError(f"This is not a trace: the field 'format' must be '{FORMAT}'.")
    if document.get("version") != VERSION:
        raise TraceError(
            f"This trace has version {str(document.get('version'))[:20]}; this page reads version {VERSION}."
        )
    try:
        return _decode(document, len(text))
    except TraceError:
        raise
    except MemoryError:
        raise TraceError("This trace does not fit into memory.") from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise TraceError(f"This trace is damaged ({type(error).__name__}: {str(error)[:80]}).") from None


def _decode(document: dict[str, Any], size: int) -> Trace:
    frames = document["frames"]
    check_size(frames, size)
    trace = decode_header(document["header"])
    for table in (document["vocab"], document.get("extra_vocab") or {}):
        trace.pieces |= pieces_of(table)
    candidates = document.get("candidates") or [None] * len(frames)
    _need(isinstance(candidates, list) and len(candidates) == len(frames), "its candidates do not match its frames")
    has_candidates = document.get("candidates") is not None
    before: Frame | None = None
    for data, guess in zip(frames, candidates, strict=True):
        before = decode_frame(before, data, guess, has_candidates, trace.spec)
        trace.frames.append(before)
    if document.get("result") is not None:
        trace.result = decode_result(document["result"], whole(document["length"], "length", 0, MAX_LENGTH), size)
    return trace


def decode_header(header: Any) -> Trace:
    """Return a trace without frames from its header's JSON; raise TraceError where it is malformed."""
    check_header(header)
    told = {name: header[name] for name in HEADER} | {"prompt_ids": tuple(header["prompt_ids"])}
    told["prompt"] = (
        Conversation(told["prompt"], [(turn[0], turn[1]) for turn in header["before"]])
        if header.get("before")
        else told["prompt"]
    )
    return Trace(spec=spec_of(header["model"]), **told, notice=header.get("notice", ""))


def decode_result(stored: Any, length: int, size: int) -> Result:
    """Return how a run ended, from its JSON; raise TraceError where it is malformed."""
    _need(isinstance(stored, dict) and stored.get("stopped") in STOPPED, "its result is not known")
    tokens = whole(stored["tokens"], "number of tokens")
    return Result(
        checked_text(stored["text"], "text", size),
        stored["stopped"],
        tokens,
        whole(stored["after_end"], "number behind the end"),
        whole(stored["forwards"], "number of passes"),
        number(stored["seconds"], "seconds", 0),
        number(stored["first_frame_seconds"], "seconds", 0),
        _faults(stored.get("faults"), length),
        whole(stored.get("given", 0), "number of given tokens", 0, tokens),
        checked_text(stored.get("thought", ""), "thought", size),
    )


def _faults(stored: Any, length: int) -> tuple[tuple[str, tuple[int, ...]], ...] | None:
    """Return what a check found, from its JSON; raise TraceError where it is malformed."""
    if stored is None:
        return None
    _need(isinstance(stored, list) and len(stored) <= length + 16, "its faults are not a list")
    for fault in stored:
        typed = isinstance(fault, list) and list(map(type, fault)) == [str, list]
        _need(typed, "a fault is malformed")
        inside = all(type(p) is int and 0 <= p < length for p in fault[1])
        _need(inside and len(checked_text(fault[0], "faults")) <= 300, "a fault is malformed")
    return tuple((sentence, tuple(positions)) for sentence, positions in stored)


def decode_frame(
    before: Frame | None, data: dict[str, Any], guess: dict[str, Any] | None, has_candidates: bool, spec: ModelSpec
) -> Frame:
    """Return a frame from its difference (and that of its candidates) from the one before; raise TraceError, ValueError and the like."""
    length = data.get("l", len(before.ids) if before else 0)
    ids, states, confidence, entropy = settle(before, length, spec)
    if "at" in data:
        at = np.array(wholes(data["at"], "list of positions on the canvas", 0, length - 1, length), dtype=np.int64)
        tokens = wholes(data["id"], "list of tokens", -1, spec.vocab_size - 1, length)
        _need(isinstance(data["st"], str) and len(data["st"]) == len(tokens) == len(at), "a position is off the canvas")
        ids[at], states[at] = np.array(tokens, dtype=np.int32), [LETTERS.index(s) for s in data["st"]]
    if "hp" in data:
        heat = usual_heat(before, length) if data["hp"] == "*" else _unbits(data["hp"], length)
        confidence[heat], entropy[heat] = _unb64(data["hv"], 2 * int(heat.sum())).reshape(2, -1)
    span = tuple(data["w"]) if "w" in data else before.span if before else (0, length)
    groups = data.get("why", ())
    _need(
        all(isinstance(group, list) and len(group) == 4 and group[0] in REASONS for group in groups),
        "a reason is not known",
    )
    reasons = tuple(
        Reason(whole(p, "place of a reason", 0, length - 1), r, *(float(number(n, "reason's number")) for n in (v, b)))
        for r, b, at, vs in groups
        for p, v in zip(at, vs, strict=True)
    )
    step = data["n"] if "n" in data or before is None else before.step + 1
    block = data["b"] if "b" in data or before is None else before.block
    forwards = data["f"] if "f" in data or before is None else before.forwards + 1
    numbers = [step, block, forwards, *span]
    _need(len(span) == 2 and all(type(n) is int and 0 <= n <= 10**7 for n in numbers), "a counter is out of range")
    for name in ("t", "u"):
        number(data[name], "time", 0, 1e9)
    return Frame(
        step,
        block,
        span,
        forwards,
        data["t"],
        data["u"],
        ids,
        states,
        confidence,
        entropy,
        _candidates(before, guess, length) if has_candidates else None,
        reasons,
        notes_of(data.get("x", {})),
    )


def _candidates(before: Frame | None, data: dict[str, Any] | None, length: int) -> tuple[np.ndarray, np.ndarray]:
    if data is None and before is not None and before.candidates is not None and len(before.ids) == length:
        return before.candidates
    ids, p = np.full((length, TOP), -1, np.int32), np.zeros((length, TOP), np.uint8)
    if data is not None:
        there = _unbits(data["at"], length)
        n = int(there.sum())
        ids[there] = np.array(wholes(data["ids"], "list of candidates", -1, 10**7, n * TOP), dtype=np.int32).reshape(
            n, TOP
        )
        _need(bool((ids[there, 0] >= 0).all()), "a position has candidates, but no first one")
        p[there] = _unb64(data["p"], n * TOP).reshape(n, TOP)
    return ids, p


def _unbits(text: str, length: int) -> np.ndarray:
    return np.unpackbits(_unb64(text, (length + 7) // 8), bitorder="little")[:length].astype(bool)


def _unb64(text: str, size: int) -> np.ndarray:
    _need(isinstance(text, str), "an array is not text")
    raw = base64.b64decode(text, validate=True)
    _need(len(raw) == size, "an array has the wrong length")
    return np.frombuffer(raw, dtype=np.uint8)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a field stands twice")
    return out
