"""A run on random canvases as frames: noise with the guess it hides, accepted, taken back, and why.

The canvas of a frame is the answer so far: finished canvases, then the one under work. A frame's ids are what the decoder will see
next: accepted tokens stand, everything else is random. `confidence` is the raw softmax probability of the accepted token (of the
guess, where none is); `entropy` is that of the tempered distribution, which is what the budget counts.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import torch

from model.loops.hooks import Hooks
from model.loops.steering import steered
from model.loops.stopwatch import Stopwatch
from model.loops.uniform import Loop, Step
from model.trace.frame import (
    AFTER_END,
    COMMITTED,
    NOISE,
    PINNED,
    SETTLED,
    TAKEN_BACK,
    TOP,
    UNDECIDED,
    Frame,
    Reason,
    pack_entropy,
    pack_probability,
)

_OPEN = np.zeros(256, bool)  # by a state's number, whether it is undecided: an index is ten times as fast as np.isin
_OPEN[list(UNDECIDED)] = True
SORTED = 256  # sorted entropies kept in a frame's notes


def denoise(
    loop: Loop,
    watch: Stopwatch,
    should_stop: Callable[[], str] = lambda: "",
    first: dict[str, Any] | None = None,
    hooks: Hooks | None = None,
) -> Generator[Frame, None, str]:
    """Yield each new canvas, each step and each finished canvas; return why the run stopped ('end', 'converged', 'full', ...).

    A loop that was resumed yields the frame it paused at and goes on from there. first: notes for the first frame. hooks: who else
    listens. One prompt only.
    """
    state = loop.state
    if state.frame is not None:
        watch.continue_from(state.frame)
        yield state.frame
    while not loop.over:
        watch.resume()
        if state.closed:
            loop.open_canvas()
            _settle(loop, watch)
            yield _show(loop, watch, _fresh(loop), (first or {}) | {"canvas": state.block + 1})
            first = None
            watch.resume()
        if state.cached < state.sequence.shape[1]:
            if why := should_stop():
                return why
            watch.forward(loop.encode, passes=loop.denoiser.ahead)
        while state.left > 0 and not bool(state.done.all()):
            if why := should_stop():
                return why
            loop.settings, told = steered(should_stop, loop.settings, state.frame.step + 1 if state.frame else 0)
            raw = watch.forward(loop.forward)
            step = loop.step(raw)
            _settle(loop, watch)
            if hooks:
                step = hooks.stepped(loop, step, raw)
            arrays, notes = _stepped(loop, step)
            yield _show(loop, watch, arrays, notes | told)
            watch.resume()
        watch.pause()
        written = _written(loop)
        watch.resume()
        loop.close_canvas()
        _settle(loop, watch)
        if hooks:
            hooks.written(loop)
        yield _show(loop, watch, *written)
    return "end" if bool(state.ended[0]) else "converged" if bool(state.done[0]) else "full"


def _settle(loop: Loop, watch: Stopwatch) -> None:
    """Stop counting once what was asked of a GPU is done: the frames built from it are no part of the model's time."""
    if loop.device.type == "cuda":
        torch.cuda.synchronize(loop.device)
    watch.pause()


def _show(loop: Loop, watch: Stopwatch, arrays: dict[str, Any], notes: dict[str, Any]) -> Frame:
    """Return (and keep) a frame: the finished canvases as the last frame had them, then `arrays` for the one under work."""
    state, before, at = loop.state, loop.state.frame, loop.state.block * loop.length
    reasons = tuple(Reason(r.position + at, r.rule, r.value, r.bound) for r in arrays.pop("reasons", ()))
    whole: dict[str, np.ndarray] = {}
    for name in ("ids", "states", "confidence", "entropy"):
        old = getattr(before, name)[:at].copy() if before is not None else arrays[name][:0]
        if name == "states":
            old[old == COMMITTED] = SETTLED
        whole[name] = np.concatenate([old, arrays[name]])
    open_ = _OPEN[arrays["states"]][:, None]
    ids = np.concatenate([np.full((at, TOP), -1), np.where(open_, arrays["top_ids"], -1)]).astype(np.int32)
    p = np.concatenate([np.zeros((at, TOP)), np.where(open_, arrays["top_p"], 0)]).astype(np.uint8)
    seconds, step = round(watch.pause(), 5), before.step + 1 if before else 0
    state.frame = Frame(
        step,
        state.block,
        (at, at + loop.length),
        watch.forwards,
        seconds,
        round(watch.forward_seconds, 5),
        **whole,
        candidates=(ids, p),
        reasons=reasons,
        notes=notes,
    )
    return state.frame


def _fresh(loop: Loop) -> dict[str, Any]:
    """A new canvas, nothing known about it yet."""
    n = loop.length
    states = np.full(n, NOISE, np.uint8)
    states[list(loop.here)] = PINNED
    confidence = np.where(states == PINNED, 255, 0).astype(np.uint8)
    return {
        "ids": _numpy(loop.state.canvas, np.int32),
        "states": states,
        "confidence": confidence,
        "entropy": np.zeros(n, np.uint8),
        "top_ids": np.full((n, TOP), -1),
        "top_p": np.zeros((n, TOP), np.uint8),
    }


def _stepped(loop: Loop, step: Step) -> tuple[dict[str, Any], dict[str, Any]]:
    """The canvas after a pass: what is accepted stands, what no longer is was taken back, the rest is noise."""
    settings, pinned = loop.settings, np.zeros(loop.length, bool)
    pinned[list(loop.here)] = True
    ids, accepted, before = _numpy(step.canvas, np.int32), _numpy(step.accepted), _numpy(step.before)
    entropy, spent, guess = _numpy(step.entropy, float), _numpy(step.spent, float), _numpy(step.guess)
    settled = accepted & before & (ids == _numpy(step.seen))
    states = np.select([pinned, settled, accepted, before], [PINNED, SETTLED, COMMITTED, TAKEN_BACK], NOISE).astype(
        np.uint8
    )
    reasons = [
        _reason(p, "accepted" if accepted[p] else "unaccepted", spent[p], settings.entropy_bound)
        for p in np.flatnonzero((states == COMMITTED) | (states == TAKEN_BACK))
    ]
    p = np.where(accepted | pinned, _numpy(step.token_p), _numpy(step.guess_p))
    arrays = {
        "ids": ids,
        "states": states,
        "confidence": pack_probability(p),
        "entropy": pack_entropy(entropy, loop.vocab),
        "top_ids": guess_first(guess, _numpy(step.top_ids)),
        "top_p": pack_probability(_numpy(step.top_p)),
        "reasons": tuple(reasons),
    }
    notes = {
        "temperature": round(float(step.temperature), 4),
        "mean_entropy": _short(step.mean_entropy[0]),
        "mean_entropy_to_stop": settings.confidence_threshold,
        "accepted": int((accepted & ~pinned).sum()),
        "entropy_bound": settings.entropy_bound,
        "passes_left": loop.state.left,
        "sorted_entropy": [round(float(e), 3) for e in np.sort(entropy[~pinned])[:SORTED]],
    }
    return arrays, notes


def _written(loop: Loop) -> tuple[dict[str, Any], dict[str, Any]]:
    """The finished canvas: every position holds its likeliest token; what lies behind an end token is not part of the text."""
    state, frame, settings, at = loop.state, loop.state.frame, loop.settings, loop.state.block * loop.length
    assert frame is not None
    guess, shown = _numpy(state.guess, np.int32), frame.ids[at:]
    states, p = frame.states[at:].copy(), _numpy(state.guess_p, float)
    converged, left = bool(state.done[0]), int(_OPEN[states].sum())
    changed = (states != PINNED) & (_OPEN[states] | (guess != shown))
    states = np.select([states == PINNED, changed], [PINNED, COMMITTED], SETTLED).astype(np.uint8)
    mean = float(frame.notes["mean_entropy"])
    reasons = [
        _reason(i, "converged", mean, settings.confidence_threshold) if converged else _reason(i, "cap", p[i], left)
        for i in np.flatnonzero(changed)
    ]
    ends = np.flatnonzero(np.isin(guess, loop.eos.tolist()))
    if len(ends):
        states[(np.arange(loop.length) > ends[0]) & (states != PINNED)] = AFTER_END
    arrays = {
        "ids": guess,
        "states": states,
        "confidence": pack_probability(p),
        "entropy": frame.entropy[at:],
        "top_ids": np.full((loop.length, TOP), -1),
        "top_p": np.zeros((loop.length, TOP), np.uint8),
        "reasons": tuple(r for r in reasons if states[r.position] == COMMITTED),
    }
    why = "stable and confident" if converged else "step limit"
    notes: dict[str, Any] = {"canvas_stopped": why, "passes": settings.steps - state.left, "mean_entropy": _short(mean)}
    if loop.thinking and (span := thought([*frame.ids[:at].tolist(), *guess.tolist()], *loop.thinking)):
        notes["thinking"] = list(span)
    return arrays, notes


def guess_first(guess: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return candidates (L, TOP) with the guess (L,) first: among equal logits, argmax and top-k may differ."""
    out = ids.copy()
    for row in np.flatnonzero(out[:, 0] != guess):
        others = [token for token in out[row] if token != guess[row]]
        out[row] = [guess[row], *others][: out.shape[1]]
    return out


def thought(ids: list[int], opens: int, closes: int) -> tuple[int, int] | None:
    """Return where [start, stop) the thinking channel lies in `ids`, its markers included, or None. It is found by token ids, before
    anything is decoded; a thought that is not closed reaches to the end, for there is no answer yet."""
    if opens not in ids:
        return None
    start = ids.index(opens)
    return start, ids.index(closes, start) + 1 if closes in ids[start:] else len(ids)


def _numpy(tensor: torch.Tensor, kind: Any = None) -> np.ndarray:
    array = tensor[0].cpu().numpy()
    return array.astype(kind) if kind else array


def _reason(position: Any, rule: str, value: float, bound: float) -> Reason:
    return Reason(int(position), rule, _short(value), _short(bound))


def _short(value: float) -> float:
    return float(f"{value:.4g}")
