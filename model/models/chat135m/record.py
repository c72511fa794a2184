"""The record of the built-in chat model."""

from __future__ import annotations

from model.paths import ASSETS
from model.spec import ModelSpec

WEIGHTS = ASSETS / "weights"


def weights_shipped() -> tuple[bool, str]:
    """The built-in model needs its weight files."""
    here = (WEIGHTS / "manifest.json").is_file()
    return here, "" if here else "its weight files are missing from assets/weights."


BUILTIN = ModelSpec(
    id="builtin",
    name="Inkblot 135M (built in)",
    family="masked",
    vocab_size=49_152,
    eos_ids=(2, 0),
    mask_id=16,
    shift=True,
    causal_prefix=True,
    block_lengths=(1, 4, 8, 16, 32),
    default_block=16,
    verify=True,
    ahead=4,
    infills=True,
    modes=("diffusion", "ar"),
    twin="builtin",
    max_tokens=2_048,
    parameters=134_515_008,
    memory_bytes=700_000_000,
    license="Apache-2.0",
    url="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
    note="SmolLM2-135M-Instruct, taught to denoise. A model this small makes things up.",
)
