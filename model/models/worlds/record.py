"""The records of the small-worlds models: what the catalogue says of them before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from model.entry import Entry
from model.paths import ASSETS
from model.spec import ModelSpec
from model.worlds import CANVAS, END, MASK, PROMPT, VOCABULARY

FOLDER = ASSETS / "weights" / "small"
MASKED, NOISY, TWIN = (FOLDER / f"{name}.safetensors" for name in ("worlds", "worlds-noisy", "worlds-twin"))
# What the page opens with; measured in assets/weights/small/MODEL_CARD.md.
DEFAULTS = {
    "new_tokens": CANVAS,
    "steps": 40,
    "temperature": 0.8,
    "top_p": 0.9,
    "rule": "independent",
    "entropy_bound": 0.3,
    "remasking": "recheck",
    "remask_strength": 0.2,
}
WORLDS = ModelSpec(
    id="worlds",
    name="Small worlds (built in)",
    family="masked",
    vocab_size=len(VOCABULARY),
    eos_ids=(END,),
    mask_id=MASK,
    default_block=CANVAS,
    canvas=CANVAS,
    recheck=True,
    modes=("diffusion", "ar"),
    twin="worlds",
    max_tokens=0,
    parameters=2_914_752,
    memory_bytes=30_000_000,
    license="Apache-2.0",
    checked=True,
    note="Writes eight forms of text, from a lost-animal notice to a horoscope, all over the canvas at once. Left to right: a twin of the "
    "same size, trained on as many texts.",
)


NOISY_DEFAULTS = {"new_tokens": CANVAS, "canvases": 1, "steps": 48, "entropy_bound": 0.3}
WORLDS_NOISY = replace(
    WORLDS,
    id="worlds-noisy",
    name="Small worlds, noisy (built in)",
    family="uniform",
    mask_id=None,
    recheck=False,
    self_conditioning=True,
    max_tokens=PROMPT + CANVAS,  # one canvas: it never learned to go on behind a text
    parameters=2_951_616,
    note="The same texts from random words: DiffusionGemma's own loop, with its knobs, on a network small enough for any CPU.",
)


def shipped(*files: Path) -> tuple[bool, str]:
    """Whether the weights are here."""
    here = all(file.is_file() for file in files)
    return here, "" if here else "its weight files are missing from assets/weights/small."


ENTRIES = (
    Entry(
        WORLDS,
        "model.models.worlds.model:load",
        "any CPU, 0.3 GB of memory",
        partial(shipped, MASKED, TWIN),
        defaults=DEFAULTS,
    ),
    Entry(
        WORLDS_NOISY,
        "model.models.worlds.model:load_noisy",
        "any CPU, 0.3 GB of memory",
        partial(shipped, NOISY, TWIN),
        defaults=NOISY_DEFAULTS,
    ),
)
