"""Traces as compact, versioned JSON: `text-diffusion-trace`, version 1. Round trip is exact.

Document: {"format", "version", "header": {...}, "states": "PFmncste", "reasons": {rule: template}, "length": L,
"vocab": {id: text or [bytes]}, "frames": [...], "candidates": [...] or null, "extra_vocab": {...}, "result": {...} or null}.

A frame is the difference from the one before it (the first from an empty canvas of its length):
  n step (when not one more), b block and w its [start, stop) (when changed), f forward passes (when not one more), t seconds,
  u seconds in forward passes,
  l length (when it changed), at/st/id: positions whose state or id changed, their state letters, their ids;
  hp/hv: a base64 bitmap of the positions whose confidence or entropy is sent ("*": those undecided in the frame before, or all
  positions in the first frame), and base64 bytes: all their confidences, then all their entropies;
  why [[rule, bound, [positions], [values]], ...], x notes.
Before the difference is applied, every 'committed' turns 'settled' and every 'taken_back' turns 'mask' (with id -1) or, on a model
without a mask token, 'noise'.
candidates[i] belongs to frame i: null where they are as before, else {"at": base64 bitmap of the positions that have any,
"ids": [3 ids a position], "p": base64 bytes}. The whole section (with "extra_vocab", the texts only it uses) is left out when the
document would be too long.
The live page receives the same pieces one by one: `encode_header`, `encode_frame`, `encode_candidates`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from model.spec import ModelSpec
from model.text import before
from model.trace.frame import (
    COMMITTED,
    MASK,
    NOISE,
    REASONS,
    SETTLED,
    STATES,
    TAKEN_BACK,
    UNDECIDED,
    Frame,
    Reason,
)
from model.trace.trace import STOPPED, Result, Trace

FORMAT, VERSION, LETTERS = "text-diffusion-trace", 1, "PFmncste"
CANDIDATE_BYTES = 512 * 1024
HEADER = (
    "mode",
    "settings",
    "prompt",
    "prompt_ids",
    "system",
    "dtype",
    "device",
    "hardware",
    "weights_sha256",
    "versions",
    "recorded",
    "branch",
)


def encode_header(trace: Trace) -> dict[str, Any]:
    """Return everything about a run that is known before its first frame."""
    header = {name: getattr(trace, name) for name in HEADER}
    header["prompt_ids"] = list(trace.prompt_ids)
    if said := before(trace.prompt):
        header["before"] = [list(turn) for turn in said]
    if trace.notice:
        header["notice"] = trace.notice
    return {"model": asdict(trace.spec), **header}


def encode_vocab(trace: Trace, ids: Iterable[int]) -> dict[str, Any]:
    """Return {id: text}, or {id: [bytes]} where a token is not whole characters, for ids with a known text."""
    out: dict[str, Any] = {}
    for token in sorted(set(ids)):
        if token in trace.pieces:
            piece = trace.pieces[token]
            try:
                out[str(token)] = piece.decode()
            except UnicodeDecodeError:
                out[str(token)] = list(piece)
    return out


def encode_frame(before: Frame | None, frame: Frame, spec: ModelSpec) -> dict[str, Any]:
    """Return the frame as its difference from `before` (None: from an empty canvas)."""
    ids, states, confidence, entropy = settle(before, len(frame.ids), spec)
    out: dict[str, Any] = {"t": frame.seconds, "u": frame.forward_seconds}
    usual = {"n": before.step + 1, "b": before.block, "f": before.forwards + 1} if before else {}
    here = {"n": frame.step, "b": frame.block, "f": frame.forwards}
    out |= {key: value for key, value in here.items() if usual.get(key) != value}
    if before is None or before.span != frame.span:
        out["w"] = list(frame.span)
    if before is None or len(before.ids) != len(frame.ids):
        out["l"] = len(frame.ids)
    changed = np.flatnonzero((ids != frame.ids) | (states != frame.states))
    if len(changed):
        out["at"], out["id"] = changed.tolist(), frame.ids[changed].tolist()
        out["st"] = "".join(LETTERS[s] for s in frame.states[changed])
    heat = (confidence != frame.confidence) | (entropy != frame.entropy)
    if heat.any():
        undecided = usual_heat(before, len(frame.ids))
        star = (
            not (heat & ~undecided).any() and int(undecided.sum() - heat.sum()) * 2 <= len(frame.ids) // 8
        )  # cheaper than a bitmap
        heat = undecided if star else heat
        out["hp"], out["hv"] = (
            "*" if star else _bits(heat),
            _b64(np.concatenate([frame.confidence[heat], frame.entropy[heat]])),
        )
    if frame.reasons:
        out["why"] = _group(frame.reasons)
    if frame.notes:
        out["x"] = frame.notes
    return out


def encode_candidates(before: Frame | None, frame: Frame) -> dict[str, Any] | None:
    """Return the frame's candidates, or None where they are as before."""
    if frame.candidates is None:
        return None
    ids, p = frame.candidates
    if before is not None and before.candidates is not None and len(before.ids) == len(ids):
        same = np.array_equal(before.candidates[0], ids) and np.array_equal(before.candidates[1], p)
        if same:
            return None
    there = ids[:, 0] >= 0
    return {"at": _bits(there), "ids": ids[there].ravel().tolist(), "p": _b64(p[there])}


def dumps(trace: Trace, max_bytes: int | None = None) -> str:
    """Return the document as JSON text; see the module docstring."""
    pairs = list(zip([None, *trace.frames[:-1]], trace.frames, strict=True)) if trace.frames else []
    used = {int(t) for frame in trace.frames for t in np.unique(frame.ids) if t >= 0}
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "header": encode_header(trace),
        "states": LETTERS,
        "reasons": REASONS,
        "length": trace.length,
        "vocab": encode_vocab(trace, used),
        "frames": [encode_frame(a, b, trace.spec) for a, b in pairs],
        "result": result_dict(trace.result),
    }
    section: dict[str, Any] = {"candidates": None, "extra_vocab": {}}
    if any(frame.candidates is not None for frame in trace.frames):
        guessed = {
            int(t) for f in trace.frames if f.candidates is not None for t in np.unique(f.candidates[0]) if t >= 0
        }
        section = {
            "candidates": [encode_candidates(a, b) for a, b in pairs],
            "extra_vocab": encode_vocab(trace, guessed - used),
        }
    plain, extra = _dump(document), _dump(section)
    if len(extra) > CANDIDATE_BYTES or (max_bytes is not None and len(plain) + len(extra) > max_bytes):
        extra = _dump({"candidates": None, "extra_vocab": {}})
    return plain[:-1] + "," + extra[1:]


def result_dict(result: Result | None) -> dict[str, Any] | None:
    """Return a result with its derived rates, JSON-ready."""
    if result is None:
        return None
    rates = {
        "tokens_per_forward": round(result.tokens_per_forward, 4),
        "tokens_per_second": round(result.tokens_per_second, 3),
    }
    values = asdict(result)
    if result.faults is None:
        del values["faults"]  # as documents were before there was a check
    if not result.thought:
        del values["thought"]
    if not result.given:
        del values["given"]
    return values | rates | {"why": STOPPED[result.stopped]}


def settle(before: Frame | None, length: int, spec: ModelSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return writable (ids, states, confidence, entropy) of `length` positions: `before` with its one-step states aged."""
    empty = NOISE if spec.family == "uniform" else MASK
    ids, states = np.full(length, -1, np.int32), np.full(length, empty, np.uint8)
    confidence, entropy = np.zeros(length, np.uint8), np.zeros(length, np.uint8)
    if before is not None:
        n = min(length, len(before.ids))
        for new, old in (
            (ids, before.ids),
            (states, before.states),
            (confidence, before.confidence),
            (entropy, before.entropy),
        ):
            new[:n] = old[:n]
        states[states == COMMITTED] = SETTLED
        taken = states == TAKEN_BACK
        states[taken] = empty
        if empty == MASK:
            ids[taken] = -1
    return ids, states, confidence, entropy


def usual_heat(before: Frame | None, length: int) -> np.ndarray:
    """The positions that "*" stands for."""
    out = np.ones(length, bool)
    if before is not None:
        n = min(length, len(before.ids))
        out[:n] = np.isin(before.states[:n], UNDECIDED)
    return out


def _group(reasons: Iterable[Reason]) -> list[list[Any]]:
    """Reasons in their order, neighbours with the same rule and bound together."""
    groups: list[list[Any]] = []
    for r in reasons:
        if not groups or groups[-1][:2] != [r.rule, r.bound]:
            groups.append([r.rule, r.bound, [], []])
        groups[-1][2].append(r.position)
        groups[-1][3].append(r.value)
    return groups


def _bits(mask: np.ndarray) -> str:
    return _b64(np.packbits(mask, bitorder="little"))


def _b64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


assert len(LETTERS) == len(STATES)
