"""DiffusionGemma's passes, as `loops.uniform` asks for them: transformers' public modules and their cache."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch

from model.loops.uniform import State


class Decoder:
    """The passes of one run.

    extra: what the first encoder pass takes beside the ids (an image). decode: the forward pass to use (a compiled one); cache: one of
    fixed size, which compiling needs and which outlives the run.
    """

    first, ahead = 0, 1

    def __init__(
        self,
        model: Any,
        extra: Mapping[str, Any] | None = None,
        decode: Callable[..., Any] | None = None,
        cache: Any = None,
    ):
        self.model, self.config = model, model.config
        self.length, self.vocab = self.config.canvas_length, self.config.text_config.vocab_size
        self.extra, self.decode, self.cache = dict(extra or {}), decode or model, cache

    @torch.inference_mode()
    def empty(self) -> Any:
        """Return an empty cache: a growing one, or that of fixed size."""
        from transformers import DynamicCache

        if self.cache is None:
            return DynamicCache(config=self.config.get_text_config(decoder=True))
        self.cache.reset()
        return self.cache

    @torch.inference_mode()
    def encode(self, state: State) -> None:
        """Append what the cache lacks, the prompt or the canvas before, in one causal pass."""
        model, length = self.model.model, self.length
        todo = state.sequence[:, state.cached :].contiguous()
        total, device = state.sequence.shape[1], todo.device
        extra = {} if state.cached else self.extra
        positions = torch.arange(state.cached, total, dtype=torch.int32, device=device)[None]
        nothing = torch.empty((*todo.shape, 0), dtype=self.model.dtype, device=device)
        masks = model.encoder.create_masks_for_generate(  # by place: transformers 5.24 renamed the cache's argument
            self.config,
            nothing,
            state.attention,
            state.cache,
            positions,
            mm_token_type_ids=extra.get("mm_token_type_ids"),
        )
        model.encoder(
            input_ids=todo, attention_mask=masks, past_key_values=state.cache, position_ids=positions, **extra
        )
        state.cached = total
        state.decoder_mask = model.decoder.create_diffusion_decoder_attention_mask(
            self.config,
            state.canvas[..., None],
            state.cache,
            decoder_attention_mask=torch.nn.functional.pad(state.attention, (0, length), value=True),
        )

    @torch.inference_mode()
    def forward(self, state: State) -> torch.Tensor:
        """Return the decoder's raw logits (B, L, V), float32, for the canvas as it stands."""
        total, device = state.sequence.shape[1], state.sequence.device
        if self.decode is not self.model and device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()  # what a compiled pass returned last time may be overwritten now
        logits: torch.Tensor = self.decode(
            decoder_input_ids=state.canvas,
            self_conditioning_logits=state.belief,
            past_key_values=state.cache,
            decoder_attention_mask=state.decoder_mask,
            decoder_position_ids=torch.arange(total, total + self.length, dtype=torch.int32, device=device)[None],
        ).logits
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # a pass is timed until its logits are there
        return logits

    def belief(self, logits: torch.Tensor) -> torch.Tensor:
        """Return tempered logits in the format of the embedding."""
        return logits.to(self.model.model.decoder.embed_tokens.weight.dtype)

    def fork(self, cache: Any) -> Any:
        """Return a copy that grows on its own. A growing cache replaces its tensors, so they are shared; a fixed one is copied."""
        if cache.is_compileable:
            return copy.deepcopy(cache)
        twin = copy.copy(cache)
        twin.layers = [copy.copy(layer) for layer in cache.layers]
        return twin

    def release(self) -> None:
        """Free the image."""
        self.extra = {}


def fixed_cache(model: Any, tokens: int) -> Any:
    """Return a cache of fixed size for sequences of up to `tokens`: what a compiled forward pass needs, run after run the same one.

    Behind a sliding window its text differs from the growing cache's, in transformers' own loop as in ours (5.23).
    """
    from transformers import StaticCache

    return StaticCache(config=model.config.get_text_config(decoder=True), max_cache_len=tokens)
