"""A finished run in one flat record: what `--json` prints, what a race's lanes and a sweep's runs consist of."""

from __future__ import annotations

from typing import Any

from model.trace.trace import Trace


def summary(trace: Trace) -> dict[str, Any]:
    """Return the figures of a finished run, JSON-ready; rates count tokens up to and including the end token."""
    result = trace.result
    assert result is not None
    return {
        "text": result.text,
        "ids": trace.final_ids,
        "mode": trace.mode,
        "tokens": result.tokens,
        "forwards": result.forwards,
        "tokens_per_forward": round(result.tokens_per_forward, 4),
        "seconds": result.seconds,
        "tokens_per_second": round(result.tokens_per_second, 3),
        "first_frame_seconds": result.first_frame_seconds,
        **(
            {}
            if result.faults is None
            else {"consistent": not result.faults, "faults": [sentence for sentence, _ in result.faults]}
        ),
        **({"thought": result.thought} if result.thought else {}),
        **({"notice": trace.notice} if trace.notice else {}),
        "stopped": result.stopped,
        "seed": trace.seed,
        "after_end": result.after_end,
        "model": trace.spec.id,
        "prompt": trace.prompt,
    }
