"""DiffusionGemma and the autoregressive models beside it: their records, and how they are opened. Cheap to import.

`load` opens a known model; `open_checkpoint` any folder or hub id that transformers knows as DiffusionGemma or as a causal model.
What one takes here, and why it may not fit, is `placement.plan`'s to say.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from model.entry import Entry, Progress
from model.errors import ModelUnavailable
from model.models.placement import Needs, cached, fetched, gpu_seen, plan, survey
from model.spec import ModelSpec

if TYPE_CHECKING:
    from model.models.hub import Checkpoint
    from model.models.placement import Placement
    from model.run import Model

SPEC = ModelSpec(
    id="diffusiongemma",
    name="DiffusionGemma 26B-A4B",
    family="uniform",
    vocab_size=262_144,
    eos_ids=(1, 106, 50),
    causal_prefix=True,
    block_lengths=(256,),
    default_block=256,
    canvas=256,
    self_conditioning=True,
    vision=True,
    twin="gemma4-26b-a4b",
    max_tokens=262_144,
    parameters=25_823_778_864,
    memory_bytes=51_647_557_728,
    license="Apache-2.0",
    url="https://huggingface.co/google/diffusiongemma-26B-A4B-it",
    revision="f7f5b7f5fa82ffc52addd066915886d497f5517b",
    note="Writes 256 tokens at a time on a canvas of random tokens. Experimental; Google recommends Gemma 4 where quality matters.",
)
TWIN = ModelSpec(
    id="gemma4-26b-a4b",
    name="Gemma 4 26B-A4B",
    family="autoregressive",
    vocab_size=262_144,
    eos_ids=(1, 106, 50),
    causal_prefix=True,
    modes=("ar",),
    max_tokens=262_144,
    parameters=25_805_933_872,
    memory_bytes=51_612_009_916,
    license="Apache-2.0",
    url="https://huggingface.co/google/gemma-4-26B-A4B-it",
    revision="4d7ae4984b7db7de8f8457170b3f1a419ee76d52",
    note="The autoregressive model that DiffusionGemma was made from.",
)
WORKING = 4_000_000_000  # a step's logits (256 x 262,144) and what is computed from them, and the cache
FP8 = 26_600_000_000  # FP8 matrices, the rest bf16: counted from the shapes
KEEP = (
    "lm_head",
    "embed_tokens",
    "router",
    "vision_tower",
    "embed_vision",
    "self_conditioning",
)  # what FP8 leaves as it is
BIG = "a GPU with about 56 GB free (31 GB in FP8), 52 GB of disk"


# The released generation_config.json, at the pinned revision; a loaded checkpoint's own goes before it.
DEFAULTS = {
    "steps": 48,
    "new_tokens": 256,
    "canvases": 1,
    "entropy_bound": 0.1,
    "t_max": 0.8,
    "t_min": 0.4,
    "stability": 1,
    "confidence_threshold": 0.005,
}
HUB = "https://huggingface.co/"


def available(spec: ModelSpec = SPEC) -> tuple[bool, str]:
    """Whether the machine has a GPU at all, and the weights where the hub may not be asked; `load` weighs the memory."""
    if gpu_seen():
        if os.environ.get("HF_HUB_OFFLINE") == "1" and not fetched(spec.url.removeprefix(HUB)):
            return False, "its weights are not on this machine, and HF_HUB_OFFLINE is set."
        return True, ""
    return (
        False,
        "it needs a GPU with 55.6 GB of free memory, or 30.6 GB in FP8, and this machine has none; the built-in model runs here.",
    )


OFFERS = (
    "Pictures: up to 16 before the prompt, by the checkpoint's own processor (torchvision's where that is installed, else PIL's).",
    "Video: none, for its class in transformers takes none; send frames as pictures. Sound: none, for it was not trained on any.",
    "Thinking: on or off (load(..., thinking=True), denoise(thinking=True), 'hf:...?thinking=yes'); the thought is told apart.",
    "Tools: from Python, denoise(tools=[...]), into its chat template; calls come back as text and nothing is run.",
    "Batch: from Python, write([...]), without frames: frames show one text.",
    "Compiled: load(..., compiled=True) or 'hf:...?compile=yes', over a cache of fixed size; for a GPU, the first run takes minutes.",
)


ENTRIES = tuple(
    Entry(
        spec,
        "model.models.gemma.record:load",
        BIG,
        partial(available, spec),
        {"spec": spec},
        partial(fetched, spec.url.removeprefix(HUB)),
        defaults,
        offers,
    )
    for spec, defaults, offers in ((SPEC, DEFAULTS, OFFERS), (TWIN, {"new_tokens": 256}, ()))
)


def load(
    progress: Progress | None = None,
    *,
    spec: ModelSpec = SPEC,
    where: str = "",
    way: str = "auto",
    revision: str = "",
    thinking: bool = False,
    compiled: bool = False,
) -> Model:
    """Load a known model from its hub id, or from `where`: a folder, or another hub id. way: one of `placement.WAYS`.

    revision: another commit than the pinned one. Raises ModelUnavailable with one sentence.
    """
    own = where or spec.url.removeprefix(HUB)
    needs = Needs(spec.name, spec.memory_bytes, FP8, WORKING)
    if not where:
        plan(needs, survey(), way)  # before anything is downloaded
    return _open(
        own, replace(spec, revision=revision or ("" if where else spec.revision)), progress, way, thinking, compiled
    )


def own_entry(where: str) -> Entry:
    """Return the entry of a folder's or a hub id's checkpoint; a folder's config tells its family, loading tells the rest."""
    where, spec, defaults = where.removeprefix("hf:"), replace(_unknown(where), family="autoregressive"), {}
    folder = Path(where).expanduser()
    folder = folder if folder.is_dir() else cached(*where.partition("@")[::2]) or folder
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError, RecursionError):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.get("model_type") == "diffusion_gemma":
            from model.loops.uniform import defaults as own

            canvas = int(config.get("canvas_length") or SPEC.canvas)
            spec = replace(spec, family="uniform", vision=config.get("vision_config") is not None, canvas=canvas)
            defaults = dict(DEFAULTS)
            said = own(json.loads((folder / "generation_config.json").read_text(encoding="utf-8")), canvas).as_dict()
            defaults = {name: said[name] for name in DEFAULTS}
    return Entry(spec, "model.models.gemma.record:open_checkpoint", options={"where": where}, defaults=defaults)


def _unknown(where: str, revision: str = "") -> ModelSpec:
    name = where.removeprefix("hf:").rstrip("/").rpartition("/")[2]
    return ModelSpec(id=where, name=name, family="", vocab_size=0, eos_ids=(), revision=revision)


def open_checkpoint(
    where: str = "",
    progress: Progress | None = None,
    *,
    way: str = "auto",
    revision: str = "",
    thinking: bool = False,
    compiled: bool = False,
) -> Model:
    """Load any DiffusionGemma or causal checkpoint; `where` is a folder, a hub id, or either with 'hf:' before it.

    The model's spec has the id it was asked for. Masked models are another family's: their configs are refused here.
    """
    return _open(where.removeprefix("hf:"), _unknown(where, revision), progress, way, thinking, compiled)


def _open(where: str, spec: ModelSpec, progress: Progress | None, way: str, thinking: bool, compiled: bool) -> Model:
    from model.models import files, hub

    def needs(weights: int) -> Needs:
        # FP8 halves what bf16 takes, but for the embedding and what KEEP names.
        return Needs(
            spec.name, weights, FP8 * weights // SPEC.memory_bytes, WORKING if weights > 20e9 else WORKING // 4
        )

    hardware = survey()
    checkpoint = hub.find(
        where, spec.revision, spec.name, progress, fits=lambda weights: plan(needs(weights), hardware, way)
    )
    widened = files.method_of(checkpoint.config) == "fp8" and not any(gpu.fp8 for gpu in hardware.gpus)
    place = plan(needs(checkpoint.weights * (2 if widened else 1)), hardware, way)
    if widened:
        spec = replace(spec, note="Stored in FP8, which this machine does not compute in: widened to bfloat16.")
    spec = replace(spec, revision=checkpoint.revision, memory_bytes=checkpoint.weights)
    with hub.told(spec.name, "its files"):
        return _load(checkpoint, spec, place, progress, thinking, compiled)


def _load(
    checkpoint: Checkpoint, spec: ModelSpec, place: Placement, progress: Progress | None, thinking: bool, compiled: bool
) -> Model:
    if checkpoint.kind == "diffusion_gemma":
        from model.models.gemma.model import DiffusionGemma

        return DiffusionGemma.from_checkpoint(checkpoint, spec, place, progress, thinking=thinking, compiled=compiled)
    from model.models.causal import Causal, knows

    if not knows(checkpoint.kind):
        kind = checkpoint.kind[:40] or "unknown"
        raise ModelUnavailable(
            f"{spec.name} is of the type '{kind}', which is neither DiffusionGemma nor a causal model known here."
        )
    return Causal.from_checkpoint(checkpoint, spec, place, progress, thinking=thinking)
