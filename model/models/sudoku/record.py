"""The record of the Sudoku model: what the catalogue says of it before anything is loaded."""

from __future__ import annotations

from model.entry import Entry
from model.paths import ASSETS
from model.spec import ModelSpec
from model.sudoku import CELLS

FOLDER = ASSETS / "weights" / "small"
MASKED, TWIN = FOLDER / "sudoku.safetensors", FOLDER / "sudoku-twin.safetensors"
MASK, TOKENS = 0, 10  # ids: the mask, then the nine digits as themselves
DEFAULTS = {
    "new_tokens": CELLS,
    "steps": CELLS,
    "temperature": 0.0,
    "rule": "schedule",
    "order": "margin",
    "remasking": "none",
}
SUDOKU = ModelSpec(
    id="sudoku",
    name="Sudoku (built in)",
    family="masked",
    vocab_size=TOKENS,
    eos_ids=(),
    mask_id=MASK,
    default_block=CELLS,
    canvas=CELLS,
    modes=("diffusion", "ar"),
    twin="sudoku",
    max_tokens=0,
    parameters=2_658_144,
    memory_bytes=30_000_000,
    license="Apache-2.0",
    checked=True,
    view="board",
    note="Solves Sudokus by denoising: type one, or ask for easy, medium, hard or extreme. The order in which cells are decided makes all "
    "the difference. Left to right: a twin of the same size, trained on as many boards.",
)


def shipped() -> tuple[bool, str]:
    """Whether the weights are here."""
    here = MASKED.is_file() and TWIN.is_file()
    return here, "" if here else "its weight files are missing from assets/weights/small."


ENTRIES = (Entry(SUDOKU, "model.models.sudoku.model:load", "any CPU, 0.3 GB of memory", shipped, defaults=DEFAULTS),)
