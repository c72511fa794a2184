"""The other way to write: left to right, one token a forward pass, with the same weights' cache and the same frames."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from model.loops.canvas import Canvas
from model.loops.masked import Predictor
from model.loops.plan import Plan
from model.loops.readout import choose, shield
from model.loops.steering import steered
from model.loops.stopwatch import Stopwatch
from model.trace.frame import Frame


def decode(predictor: Predictor, canvas: Canvas, plan: Plan, watch: Stopwatch) -> Generator[Frame, None, str]:
    """Yield the empty canvas and one frame per token; return why it stopped. The prompt's pass (prefill) decides the first token."""
    yield canvas.frame(0, (0, 1), watch)
    watch.resume()
    for position in range(len(canvas)):
        if why := plan.should_stop():
            return why
        plan.settings, notes = steered(plan.should_stop, plan.settings, canvas.steps)
        given = canvas.ids[max(0, position - 1) : position].tolist()
        logits = watch.forward(
            predictor.advance, max(0, position - 1), given, [len(given) - 1], passes=predictor.passes
        )
        canvas.age()
        if canvas.ids[position] < 0:  # neither fixed nor on the canvas it began with
            shield(logits, plan, np.array([0]) if position < canvas.last_fixed else None)
            token, p, entropy = choose(logits, plan)
            canvas.commit(position, token, p, "next", p, 1.0)
            canvas.look_at(position, entropy)
        yield canvas.frame(0, (position, position + 1), watch, notes)
        watch.resume()
        if int(canvas.ids[position]) in canvas.eos_ids:
            canvas.age()
            canvas.close(position)
            yield canvas.frame(0, (position, position + 1), watch)
            watch.resume()
            return "end"
    return "full"
