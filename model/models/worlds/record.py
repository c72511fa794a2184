"""The record of the small-worlds model: what the catalogue says of it before anything is loaded."""

from __future__ import annotations

from model.entry import Entry
from model.paths import ASSETS
from model.spec import ModelSpec
from model.worlds import CANVAS, END, MASK, VOCABULARY

FOLDER = ASSETS / "weights" / "small"
MASKED, TWIN = FOLDER / "worlds.safetensors", FOLDER / "worlds-twin.safetensors"
# What the page opens with; measured in assets/weights/small/MODEL_CARD.md.
DEFAULTS = {
    "new_tokens": CANVAS, "steps": 48, "temperature": 1.0, "rule": "independent", "entropy_bound": 0.1, "remasking": "recheck",
    "remask_strength": 0.1,
}  # fmt: skip
WORLDS = ModelSpec(
    id="worlds", name="Small worlds (built in)", family="masked", vocab_size=len(VOCABULARY), eos_ids=(END,), mask_id=MASK,
    default_block=CANVAS, canvas=CANVAS, recheck=True, modes=("diffusion", "ar"), twin="worlds", max_tokens=0,
    parameters=2_914_240, memory_bytes=30_000_000, license="Apache-2.0", checked=True,
    note="Writes eight forms of text, from a lost-animal notice to a horoscope, all over the canvas at once. Left to right: a twin of the "
         "same size, trained on the same texts.",
)  # fmt: skip


def shipped() -> tuple[bool, str]:
    """Whether the weights are here."""
    here = MASKED.is_file() and TWIN.is_file()
    return here, "" if here else "its weight files are missing from assets/weights/small."


ENTRIES = (Entry(WORLDS, "model.models.worlds.model:load", "any CPU, 0.3 GB of memory", shipped, defaults=DEFAULTS),)
