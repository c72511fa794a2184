"""Masked models out of transformers checkpoints: a record of `families`, or anybody's own folder or hub id ('hf:...').

Weights go into stock classes (`layouts`), so that no checkpoint's code runs; every weight must be there, and of its shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from model.entry import Progress
from model.errors import ModelUnavailable, SettingError
from model.loops.masked import Predictor
from model.models import files, hub
from model.models.base import inputs_device
from model.models.chat import Chat, ChatModel
from model.models.masked import dit
from model.models.masked import formats as layouts
from model.models.masked.families import Family
from model.models.masked.predictors import Blocks, Full, Guided, Logits, decoder_logits, encoder_logits
from model.models.masked.records import HUB, WORKING
from model.models.placement import Hardware, Needs, Placement, plan, survey
from model.settings import Settings
from model.spec import ModelSpec


class HFMasked(ChatModel):
    """A loaded masked model. network: the class itself where there is an exact cache to keep, else what `predictors.Full` asks."""

    def __init__(
        self, network: Any, tokenizer: Any, spec: ModelSpec, family: Family, device: torch.device, dtype: torch.dtype
    ):
        self.network, self.spec, self.family, self.torch_device = network, spec, family, device
        self.chat = Chat(tokenizer)
        self.device, self.dtype = str(device), str(dtype).removeprefix("torch.")

    @property
    def defaults(self) -> Settings:
        """The knobs that its authors decode with."""
        return Settings(**self.family.settings)

    def predictor(
        self, prompt: str, system: str, ids: list[int], length: int, settings: Settings, mode: str
    ) -> Predictor:
        """Return what the loop asks; with guidance, twice: once more with the whole prompt hidden behind masks, as LLaDA was trained."""
        mask, family, device = self.spec.mask_id, self.family, self.torch_device
        assert mask is not None
        if family.block:
            width = settings.block_length or family.block
            blocks = Blocks(self.network, ids, mask, family.shift, family.block, family.from_answer, device, width)
            count = -(-(length + blocks.lead % width) // width)
            if settings.steps < count:
                each = f"one for each block of {width}, the prompt's end being in the first"
                raise SettingError(f"Steps must be at least {count}, {each}; it was {settings.steps}.", "steps")
            return blocks
        full = Full(self.network, ids, mask, family.shift, device)
        if not settings.guidance:
            return full
        return Guided(full, Full(self.network, [mask] * len(ids), mask, family.shift, device), settings.guidance)

    def whole(self, length: int, prompt: int) -> int:
        """Return the length up to the end of its last trained block, which SDAR and Fast-dLLM v2 denoise whole and then cut.

        Blocks that are counted from the answer end with it (dLLM's sampler for BD3-LM). No more than the network has places for.
        """
        if not self.family.block or self.family.from_answer:
            return length
        most = self.spec.max_tokens - prompt if self.spec.max_tokens else length + self.family.block
        return max(length, min(length + -(prompt + length) % self.family.block, most))

    def close(self) -> None:
        """Free the model's memory, the GPU's too."""
        super().close()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def load(
    progress: Progress | None = None,
    *,
    spec: ModelSpec,
    family: Family,
    where: str = "",
    way: str = "auto",
    revision: str = "",
    dtype: str = "",
    mask: str = "",
    thinking: bool = False,
) -> HFMasked:
    """Load a masked model from its hub id, or from `where`: a folder, or another hub id. Raises ModelUnavailable with one sentence.

    way: one of `placement.WAYS`. revision: another commit than the record's. dtype: 'float32' or 'bfloat16' (empty: what the place does
    fast). mask: the mask token, if not the family's own. thinking: whether its template asks for a thought first.
    """
    hardware = survey()
    number = _dtype(dtype, hardware, way)
    if not where:  # refuse before anything is asked of the hub
        plan(Needs(spec.name, spec.parameters * number.itemsize, 0, WORKING), hardware, way)
    checkpoint = hub.find(
        where or spec.url.removeprefix(HUB),
        revision or ("" if where else spec.revision),
        spec.name,
        progress,
        fits=lambda weights: plan(Needs(spec.name, weights, 0, WORKING), hardware, way),
    )
    size = checkpoint.weights * number.itemsize // _stored(checkpoint.config).itemsize
    model = open_masked(
        checkpoint, spec, family, plan(Needs(spec.name, size, 0, WORKING), hardware, way), number, progress, mask
    )
    if thinking:
        model.chat.check_asked(spec.name, thinking, ())
        model.chat = Chat(model.chat._tokenizer, thinking)
    return model


def open_masked(
    checkpoint: hub.Checkpoint,
    spec: ModelSpec,
    family: Family,
    place: Placement,
    dtype: torch.dtype,
    progress: Progress | None = None,
    mask: str = "",
) -> HFMasked:
    """Load tokenizer and weights of a checkpoint on this disk; raise ModelUnavailable."""
    with hub.told(spec.name, "its files"):
        return _open(checkpoint, spec, family, place, dtype, progress, mask)


def _open(
    checkpoint: hub.Checkpoint,
    spec: ModelSpec,
    family: Family,
    place: Placement,
    dtype: torch.dtype,
    progress: Progress | None,
    mask: str,
) -> HFMasked:
    layout = layouts.layout(spec.name, checkpoint.config)
    if family.block and layout.kind != "decoder":
        kind = f"a network of the type '{checkpoint.kind[:40]}' sees the whole canvas"
        raise ModelUnavailable(f"{spec.name} cannot be loaded: {kind}, so block must be 0; it was {family.block}.")
    tokenizer = _tokenizer(checkpoint, family, spec.name)
    chat = Chat(tokenizer)
    network, vocab, limit, device = _weights(checkpoint, layout, bool(family.block), place, dtype, spec.name, progress)
    known = vocab - 1 if family.mask_is_last else chat.token_id(family.mask) if family.mask else None
    named = (checkpoint.config.get("mask_token_id"), tokenizer.mask_token_id, known, spec.mask_id)
    mask_id = _mask_id(chat, named, spec.name, vocab, mask)
    own = next((each for each in named if each is not None), mask_id)
    if own != mask_id:
        told = f"Its mask token is {mask_id}, as asked for, against {own}, which its files name."
        spec = replace(spec, note=f"{spec.note} {told}".strip())
    ends = [chat.token_id(text) for text in family.ends] + list(chat.ends(checkpoint.config, checkpoint.generation))
    ends = [end for end in dict.fromkeys(ends) if end is not None and end != mask_id and end < vocab]
    spec = replace(
        spec,
        vocab_size=vocab,
        mask_id=mask_id,
        eos_ids=tuple(ends),
        shift=family.shift,
        shares=family.shares,
        causal_prefix=bool(family.block),
        block_lengths=family.widths,
        default_block=family.block or spec.default_block,
        max_tokens=min(spec.max_tokens or limit, limit) if limit else spec.max_tokens or 1024,
        revision=checkpoint.revision,
        memory_bytes=checkpoint.weights,
        spaced=chat.pieces.leads,
        first_byte=chat.pieces.first_byte,
    )
    return HFMasked(network, tokenizer, spec, family, device, dtype)


# ---------------------------------------------------------------- weights
def _dtype(wanted: str, hardware: Hardware, way: str) -> torch.dtype:
    if wanted not in ("", "float32", "bfloat16"):
        raise ModelUnavailable(f"A model's numbers must be float32 or bfloat16; they were '{wanted[:20]}'.")
    if wanted:
        return torch.float32 if wanted == "float32" else torch.bfloat16
    from model.models.chat135m.model import fast_dtype

    return torch.bfloat16 if hardware.gpus and way != "cpu" else fast_dtype()


def _stored(config: dict[str, Any]) -> torch.dtype:
    """The number format of the stored weights, as far as the config says; bfloat16 otherwise."""
    said = getattr(torch, str(config.get("dtype") or config.get("torch_dtype") or "bfloat16"), torch.bfloat16)
    return said if isinstance(said, torch.dtype) else torch.bfloat16


def _weights(
    checkpoint: hub.Checkpoint,
    layout: layouts.Layout,
    cached: bool,
    place: Placement,
    dtype: torch.dtype,
    name: str,
    progress: Progress | None,
) -> tuple[Any, int, int, torch.device]:
    """Return (the network or its pass, vocabulary size, most positions, the device its inputs go to)."""
    if layout.kind == "dit":
        files.check_quantization(checkpoint.config, name)
        target = next(iter(place.device_map.values())) if isinstance(place.device_map, dict) else "cpu"
        with hub.told(name, "its weights"):
            network = dit.load(checkpoint.folder, dict(layout.config), dtype, torch.device(target), name)
        return network, layout.config["vocab_size"], int(checkpoint.config.get("model_length", 0)), torch.device(target)
    model = hub.load_model(_Recast(layout, dtype), checkpoint, place, name, progress)
    logits: Callable[[Any], Logits] = decoder_logits if layout.kind == "decoder" else encoder_logits
    limit = most_positions(model)
    embedding = model.get_input_embeddings()
    return (model if cached else logits(model)), embedding.num_embeddings, limit, inputs_device(embedding)


def most_positions(model: Any) -> int:
    """Return how many positions a network has, 0 where its config sets no limit.

    RoBERTa's kind begin to count behind the padding's id, so that their tables have a few rows more than positions.
    """
    limit = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    for path, module in model.named_modules():
        if (
            path.endswith("position_embeddings")
            and isinstance(module, torch.nn.Embedding)
            and module.padding_idx is not None
        ):
            return min(limit or module.num_embeddings, module.num_embeddings - module.padding_idx - 1)
    return limit


class _Recast:
    """Stands where `hub.load_model` expects a class: loads a layout's weights into its stock class."""

    def __init__(self, layout: layouts.Layout, dtype: torch.dtype):
        self.layout, self.dtype = layout, dtype

    def from_pretrained(self, folder: Any, **options: Any) -> Any:
        import transformers

        options["dtype"] = self.dtype
        if self.layout.kind == "encoder":
            stock: Any = transformers.AutoModelForMaskedLM
        else:
            stock = getattr(transformers, f"{self.layout.stock}ForCausalLM")
            config = getattr(transformers, f"{self.layout.stock}Config")(**self.layout.config)
            config.is_causal = False
            options |= {
                "config": config,
                "key_mapping": dict(self.layout.keys),
                "generation_config": transformers.GenerationConfig(),
            }
        return stock.from_pretrained(folder, **options)


# ---------------------------------------------------------------- tokens
def _tokenizer(checkpoint: hub.Checkpoint, family: Family, name: str) -> Any:
    """Return the checkpoint's tokenizer in a stock class, with the family's template where it has none.

    Not through AutoTokenizer where that can be helped: before a checkpoint that brings code along it stops to ask on the terminal.
    """
    import transformers

    folder = checkpoint.folder
    if not family.tokenizer_from:
        files.check_tokenizer(checkpoint, name)
    with hub.told(name, "its tokenizer"):
        if (folder / "tokenizer.json").is_file():
            tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        elif family.tokenizer:
            own = (folder / "vocab.json").is_file() or not family.tokenizer_from
            stock = getattr(transformers, family.tokenizer)
            tokenizer = (
                stock.from_pretrained(folder, local_files_only=True)
                if own
                else stock.from_pretrained(family.tokenizer_from)
            )
        else:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    if family.raw:
        tokenizer.chat_template = None
    elif not tokenizer.chat_template and family.template:
        tokenizer.chat_template = family.template
    return tokenizer


def _mask_id(chat: Chat, named: tuple[int | None, ...], name: str, vocab: int, wanted: str) -> int:
    """Return the mask token's id: the one asked for, else the first that config, tokenizer or family name; raise ModelUnavailable."""
    if wanted:
        found = int(wanted) if wanted.isdecimal() else chat.token_id(wanted)
        if found is None:
            raise ModelUnavailable(f"{name} cannot be used: its vocabulary has no token '{wanted[:40]}'.")
    else:
        found = next((each for each in named if each is not None), None)
    if found is None:
        ask = "say which, as in 'hf:...?mask=<token>'"
        raise ModelUnavailable(
            f"{name} cannot be used: neither its config nor its tokenizer names a mask token; {ask}."
        )
    if not 0 <= found < vocab:
        raise ModelUnavailable(
            f"{name} cannot be used: its mask token must be below its vocabulary's size, {vocab}; it was {found}."
        )
    return int(found)
