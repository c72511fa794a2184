"""How fast a loaded model computes: milliseconds a forward pass, tokens a second in both modes, and what the loop adds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from model import Run, Settings
from playground.web.strings import examples, kind

WIDTHS = (1, 8, 16, 32, 64, 128)
PROMPTS = (
    "Why is the sky blue?",
    "Write a short story about a lighthouse.",
    "How do I make a cup of tea?",
    "Explain what a computer is to a child.",
    "Name three things to take on a hike.",
    "Write a letter to a friend about the spring.",
)


def milliseconds(call: Callable[[], Any], seconds: float = 1.0) -> float:
    """Return the median milliseconds of `call`, repeated for `seconds`, at least 5 times, after two calls to warm up."""
    call(), call()
    times: list[float] = []
    while len(times) < 5 or sum(times) < seconds:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return round(1000 * statistics.median(times), 3)


def ms_per_forward(model: Any, widths: tuple[int, ...] = WIDTHS) -> dict[str, float] | None:
    """Return {positions: ms} behind a short prompt's cache: a causal pass for 1, a block with every logit for more.

    None for a model that has no network of its own (the fake).
    """
    if not hasattr(model, "predictor"):
        return None
    spec = getattr(model, "spec", None)
    if spec and spec.family == "masked" and spec.canvas:
        return whole_canvas(model)
    settings, length = Settings(new_tokens=max(widths)), max(widths)
    ids = model.encode(PROMPTS[0])
    predictor = model.predictor(PROMPTS[0], "", ids, length, settings, "diffusion")
    predictor.advance(0, [], [-1])
    canvas = [ids[-1]] + [-1] * (length - 1)
    out = {}
    for width in widths:
        if width == 1:
            out["1"] = milliseconds(lambda: predictor.advance(0, canvas[:1], [0]))
        else:
            undecided = list(range(1, width))
            out[str(width)] = milliseconds(lambda w=width, u=undecided: predictor.predict(canvas, (0, w), u))  # type: ignore[misc]
    return out


def whole_canvas(model: Any) -> dict[str, float]:
    """Return {positions: ms} of a model that reads its whole canvas at every pass: all of it empty, and one more token of its twin."""
    length = model.spec.canvas
    prompt = prompts_of(model.spec.id)[0]
    ids, settings = model.encode(prompt), Settings(new_tokens=length)
    whole = model.predictor(prompt, "", ids, length, settings, "diffusion")
    reader = model.predictor(prompt, "", ids, length, settings, "ar")
    reader.advance(0, [], [-1])
    word, everywhere = model.spec.vocab_size - 1, list(range(length))
    return {
        "1": milliseconds(lambda: reader.advance(length // 2, [word], [0])),
        str(length): milliseconds(lambda: whole.predict([-1] * length, (0, length), everywhere)),
    }


def prompts_of(model_id: str) -> tuple[str, ...]:
    """Return the prompts a model is measured with."""
    return tuple(examples(model_id).values()) if kind(model_id) != "chat" else PROMPTS


def write(run: Run) -> dict[str, float]:
    """Run to the end; return its tokens, forward passes, compute seconds and the part of them inside forward passes."""
    trace = run.finish()
    result, last = trace.result, trace.frames[-1]
    assert result is not None
    out = {
        "tokens": result.tokens,
        "forwards": result.forwards,
        "seconds": result.seconds,
        "inside": last.forward_seconds,
        "texts": 1,
    }
    return out | {"consistent": float(result.faults == ())}


def both_modes(model: Any, settings: Settings, rounds: int = 2, prompts: tuple[str, ...] = ()) -> dict[str, Any]:
    """Write every prompt in both modes, in turn so that a busy machine slows both alike; return rates over everything written.

    Rates are tokens up to and including the end token over compute seconds, prompt included. The first prompt warms up, uncounted.
    """
    names = ("tokens", "forwards", "seconds", "inside", "texts", "consistent")
    sums, prompts = (
        {mode: dict.fromkeys(names, 0.0) for mode in ("diffusion", "ar")},
        prompts or prompts_of(model.spec.id),
    )
    for mode in sums:
        write(model.denoise(prompts[0], settings, mode=mode))
    for turn in range(rounds):
        seeded = replace(settings, seed=settings.seed + turn)
        for prompt in prompts:
            for mode, total in sums.items():
                for name, value in write(model.denoise(prompt, seeded, mode=mode)).items():
                    total[name] += value
    diffusion, ar = sums["diffusion"], sums["ar"]
    fast, slow = diffusion["tokens"] / diffusion["seconds"], ar["tokens"] / ar["seconds"]
    told = (
        {"consistent": "consistent", "seconds_a_text": "seconds", "passes_a_text": "forwards"}
        if model.spec.checked
        else {}
    )
    checked = {
        f"{mode}_{name}": round(total[key] / total["texts"], 4)
        for mode, total in sums.items()
        for name, key in told.items()
    }
    return checked | {
        "diffusion_tokens_per_second": round(fast, 2),
        "ar_tokens_per_second": round(slow, 2),
        "diffusion_over_ar": round(fast / slow, 3),
        "diffusion_tokens_per_forward": round(diffusion["tokens"] / diffusion["forwards"], 3),
        "loop_overhead": round(diffusion["seconds"] / diffusion["inside"], 4) if diffusion["inside"] else None,
        "ar_loop_overhead": round(ar["seconds"] / ar["inside"], 4) if ar["inside"] else None,
    }
