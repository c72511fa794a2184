"""Small worlds: eight forms of text narrow enough to be checked exactly, with their grammar, writer, checker and vocabulary.

Pure Python, no torch: the page, the command line, training and tests use the same. `python -m model.worlds` prints texts.
"""

from __future__ import annotations

from .check import Fault, check, unholdable
from .forms import FORMS
from .prompt import Asked, form_of, read_prompt
from .ripple import CHANGES, Ripple, ripple
from .vocabulary import (
    ANY,
    CANVAS,
    END,
    FIRST_WORD,
    FORM_IDS,
    MASK,
    NONE,
    PROMPT,
    VOCABULARY,
    decode,
    display,
    encode,
    piece,
    prompt_ids,
    tokens,
    training_prompt,
)
from .write import Text, write

__all__ = [
    "ANY",
    "CANVAS",
    "CHANGES",
    "END",
    "FIRST_WORD",
    "FORMS",
    "FORM_IDS",
    "MASK",
    "NONE",
    "PROMPT",
    "VOCABULARY",
    "Asked",
    "Fault",
    "Ripple",
    "Text",
    "check",
    "decode",
    "display",
    "encode",
    "form_of",
    "piece",
    "prompt_ids",
    "read_prompt",
    "ripple",
    "tokens",
    "training_prompt",
    "unholdable",
    "write",
]
