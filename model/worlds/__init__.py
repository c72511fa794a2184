"""Small worlds: eight forms of text narrow enough to be checked exactly, with their grammar, writer, checker and vocabulary.

Pure Python, no torch: the page, the command line, training and tests use the same. `python -m model.worlds` prints texts.
"""

from __future__ import annotations

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
    "ANY", "CANVAS", "END", "FIRST_WORD", "FORM_IDS", "MASK", "NONE", "PROMPT", "VOCABULARY", "Text", "decode", "display", "encode", "piece",
    "prompt_ids", "tokens", "training_prompt", "write",
]  # fmt: skip
