"""Anybody's own checkpoint, as the model 'hf:<folder or hub id>': masked, DiffusionGemma or causal, whichever its files say it is.

What the files do not say is asked for behind a question mark: 'hf:owner/name?shift=yes&block=0&mask=<|mask|>'.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from model.entry import Entry, Progress
from model.errors import ModelUnavailable
from model.models.gemma import record as diffusion_gemma
from model.models.masked.families import BERT, CHATML, DEFAULTS, LLADA, ONE_EACH, Family
from model.models.masked.records import HUB, WORKING
from model.models.placement import cached
from model.spec import ModelSpec

if TYPE_CHECKING:
    from model.models.hub import Checkpoint
    from model.run import Model

PREFIX = "hf:"
ASKS = ("shift", "block", "mask", "mode", "way", "revision", "dtype", "thinking", "compile")
YES, NO = ("yes", "true", "1"), ("no", "false", "0")


def entry(model_id: str) -> Entry:
    """Return the entry of a folder, or of 'hf:<folder or hub id>[?what=...]'; a folder's config tells its family, loading the rest.

    Raises ModelUnavailable where the id cannot be read.
    """
    where, asked = parse(model_id)
    known = diffusion_gemma.own_entry(where)
    folder, spec = files(where, asked.get("revision", "")), known.spec
    defaults = known.defaults
    if asked.get("mode") != "ar" and (asked.keys() & {"shift", "block", "mask"} or _says_masked(folder)):
        spec, known_family = replace(spec, family="masked", vision=False, canvas=0), _start(_config(folder))
        defaults = dict(known_family.settings if known_family else ONE_EACH)
    elif not (folder / "config.json").is_file():  # on the hub: anything, until it is loaded
        spec = replace(spec, family="masked", modes=("diffusion", "ar"))
    elif spec.family == "autoregressive":
        spec = replace(spec, modes=("ar",))
    url = "" if Path(where).expanduser().is_dir() else HUB + where.partition("@")[0]
    spec = replace(spec, id=model_id, url=url, note="Your own checkpoint.", **_abilities(_config(folder)))
    options = {"spec": spec, "where": where, **asked}
    return Entry(spec, "model.models.own:load", "depends on its size", options=options, defaults=defaults)


def _config(folder: Path, file: str = "config.json") -> dict[str, Any]:
    """Return what a file of a folder says, nothing where it cannot be read; loading tells what is wrong with it."""
    try:
        said = json.loads((folder / file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def files(where: str, revision: str = "") -> Path:
    """Return where a checkpoint's files are read: its folder, or what the hub's cache holds of it."""
    folder = Path(where).expanduser()
    return folder if folder.is_dir() else cached(*where.partition("@")[::2], revision) or folder


def peek(model_id: str) -> None:
    """Fetch the small files of a checkpoint on the hub, so that its entry can tell what it is; what cannot be had is told on loading."""
    where, asked = parse(model_id)
    if files(where, asked.get("revision", "")).is_dir():
        return
    from huggingface_hub import hf_hub_download

    hub_id, _, revision = where.partition("@")
    for file in ("config.json", "generation_config.json", "tokenizer_config.json"):
        with contextlib.suppress(Exception):
            hf_hub_download(hub_id, file, revision=asked.get("revision") or revision or None, etag_timeout=5)


def parse(model_id: str) -> tuple[str, dict[str, str]]:
    """Return (folder or hub id, what was asked for); raise ModelUnavailable naming what is not known."""
    where, _, query = model_id.removeprefix(PREFIX).partition("?")
    asked = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
    unknown = sorted(asked.keys() - set(ASKS))
    if not where.strip() or unknown:
        what = f"'{unknown[0][:40]}' is not one of {', '.join(ASKS)}" if unknown else "there is nothing behind 'hf:'"
        raise ModelUnavailable(f"Your own model must be given as 'hf:folder' or 'hf:owner/name'; {what}.")
    return where, asked


def load(
    progress: Progress | None = None,
    *,
    spec: ModelSpec,
    where: str,
    shift: str = "",
    block: str = "",
    mask: str = "",
    mode: str = "",
    way: str = "auto",
    revision: str = "",
    dtype: str = "",
    thinking: str | bool = "",
    compile: str | bool = "",
) -> Model:
    """Load a folder or hub id; raise ModelUnavailable with one sentence, also where it has to be told what it cannot see."""
    from model.models import hub
    from model.models.masked import load as hf_masked
    from model.models.masked.formats import REFUSED, layout
    from model.models.placement import Needs, plan, survey

    thinks, compiled = (_yes(name, said) for name, said in (("thinking", thinking), ("compile", compile)))
    hardware = survey()
    checkpoint = hub.find(
        where, revision, spec.name, progress, fits=lambda size: plan(Needs(spec.name, size, 0, WORKING), hardware, way)
    )
    if mode not in ("", "ar"):
        raise ModelUnavailable(f"mode must be ar, or left out; it was '{mode[:20]}'.")
    if checkpoint.kind in REFUSED:
        layout(spec.name, checkpoint.config)
    if mode == "ar" or not (mask or shift or block or _says_masked(checkpoint.folder)):
        model = diffusion_gemma.open_checkpoint(
            where, progress, way=way, revision=checkpoint.revision, thinking=thinks, compiled=compiled
        )
        model.spec = replace(model.spec, id=spec.id, url=spec.url, note=spec.note)
        return model
    if compiled:
        raise ModelUnavailable(f"{spec.name} cannot be compiled: compile=yes is for DiffusionGemma alone.")
    with hub.told(spec.name, "its files"):
        asked = family(checkpoint, spec.name, shift, block)
    return hf_masked.load(
        progress,
        spec=replace(spec, family="masked", max_tokens=0, **_abilities(checkpoint.config)),
        family=asked,
        where=where,
        way=way,
        revision=checkpoint.revision,
        dtype=dtype,
        mask=mask,
        thinking=thinks,
    )


def _yes(name: str, said: str | bool) -> bool:
    """Return what was asked for; raise ModelUnavailable where it is neither yes nor no."""
    if str(said).lower() not in (*YES, *NO, ""):
        raise ModelUnavailable(f"{name} must be yes or no; it was '{str(said)[:20]}'.")
    return str(said).lower() in YES


def _says_masked(folder: Path) -> bool:
    """Whether the config, or a tokenizer with a mask token, says that this is a masked model; False where they cannot be read.

    Only types that can be loaded as one are looked at: Gemma's tokenizers name a mask token too.
    """
    from model.models.masked.formats import FORMATS, is_encoder

    config = _config(folder)
    kind, named = str(config.get("model_type", "")), _config(folder, "tokenizer_config.json").get("mask_token")
    stock = kind in FORMATS and kind not in DEFAULTS and not kind.startswith("a2d-")
    return bool("mask_token_id" in config or named) if stock else kind in FORMATS or is_encoder(kind)


def _start(config: dict[str, Any]) -> Family | None:
    """Return the family that a config's type tells, None where it tells none."""
    from model.models.masked.formats import is_encoder, is_llada_moe

    kind = str(config.get("model_type", ""))
    return DEFAULTS.get("llada_moe" if kind == "llada" and is_llada_moe(config) else kind) or (
        BERT if is_encoder(kind) else None
    )


def _abilities(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a type's record has beside how it is decoded: LLaDA was trained for guidance, and small blocks suit it."""
    return {"guidance": True, "default_block": 32} if _start(config) is LLADA else {}


def family(checkpoint: Checkpoint, name: str, shift: str, block: str) -> Family:
    """Return how to decode: as the config's type tells, or as asked; raise ModelUnavailable where neither says it."""
    kind, config = checkpoint.kind, checkpoint.config
    start = _start(config)
    if start is not None:
        trained = config.get("bd_size") or config.get("block_size") or start.block
        start = replace(start, block=int(trained) if start.block else 0)
    else:
        start = Family(ends=CHATML, from_answer=kind.startswith("a2d-"), settings=ONE_EACH)
        lacking = [what for what, said in (("block", block), ("shift", shift or kind.startswith("a2d-"))) if not said]
        if lacking:
            meanings = {
                "block": "block=0 if it sees the whole canvas, else the block length it was trained with",
                "shift": "shift=yes if the output at one position predicts the next token, as in Dream, else shift=no",
            }
            ask = "; ".join(meanings[what] for what in lacking)
            unsaid = f"{name} is a masked '{kind[:40]}' whose files do not say how it was trained"
            raise ModelUnavailable(
                f"{unsaid}; add behind a '?': {ask}{'' if shift or kind.startswith('a2d-') else '; or mode=ar'}."
            )
    if shift and shift not in (*YES, *NO):
        raise ModelUnavailable(f"shift must be yes or no; it was '{shift[:20]}'.")
    if block and not (block.isdecimal() and int(block) <= 4096):
        raise ModelUnavailable(f"block must be a whole number from 0 to 4096; it was '{block[:20]}'.")
    changes: dict[str, Any] = ({"shift": shift in YES} if shift else {}) | ({"block": int(block)} if block else {})
    if block:  # a part of the family's own block need not be one of this
        changes["settings"] = {name: value for name, value in start.settings.items() if name != "block_length"}
    return replace(start, **changes)
