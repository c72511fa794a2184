"""What can be said about a finished text in numbers: how likely another model finds it, and how much it repeats itself.

None of these says whether the text is true, helpful, or an answer to the question at all. A low NLL is also what dull and repetitive
text gets, which is why the two repetition figures stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.trace.trace import Trace

if TYPE_CHECKING:
    from model.engine.engine import Engine

CAVEAT = (
    "NLL is how surprising the text is to the autoregressive model of the same family (nats a token, lower is more usual); distinct-2 is "
    "the share of different token pairs. Neither says whether the text is true, useful or an answer: dull repetition is very likely too."
)


@dataclass(frozen=True)
class Quality:
    """Numbers about one text. None stands for 'not computed': no twin in memory, or too short a text."""

    nll: float | None = None
    distinct_2: float | None = None
    repetition: float | None = None


def distinct(ids: Sequence[int], n: int = 2) -> float | None:
    """Return the share of n-grams that are different ones, None where the text is shorter (Li et al., arXiv 1510.03055)."""
    grams = list(zip(*(ids[i:] for i in range(n)), strict=False))
    return len(set(grams)) / len(grams) if grams else None


def repetition(ids: Sequence[int], n: int = 4) -> float | None:
    """Return the share of n-grams that stood earlier in the same text, None where it is shorter."""
    share = distinct(ids, n)
    return None if share is None else 1 - share


def quality(trace: Trace, engine: Engine | None = None) -> Quality:
    """Return the numbers of a finished run; the NLL (end token included) where the twin is the model that `engine` holds.

    Waits for the engine's turn, computes one pass over the text, and counts as no part of the run.
    """
    ids = trace.final_ids
    nats = (
        engine.score(trace.spec.twin, trace.prompt, ids, trace.system)
        if engine is not None and trace.spec.twin and ids
        else None
    )
    mean = sum(nats) / len(nats) if nats else math.nan
    text = [token for token in ids if token not in trace.spec.eos_ids]
    return Quality(mean if math.isfinite(mean) else None, distinct(text), repetition(text))
