"""What `masked.denoise` asks of a network out of transformers: the whole canvas at every pass, or block by block over an exact cache.

`Full` serves bidirectional models, whose blocks are only an order of filling; `Blocks` those trained to see finished blocks and their
own block, whose finished blocks therefore never change and are computed once; `Guided` pairs two of either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Logits = Callable[
    [torch.Tensor, torch.Tensor], torch.Tensor
]  # ids (n,), rows (k,) -> logits (k, V), every position seeing every other


def decoder_logits(model: Any) -> Logits:
    """Return a causal class's pass with nothing hidden: its config must say `is_causal = False` (exactly an all-True mask)."""
    assert model.config.is_causal is False

    def logits(ids: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return model(input_ids=ids[None], logits_to_keep=rows, use_cache=False).logits[0]

    return logits


def encoder_logits(model: Any) -> Logits:
    """Return a masked-language-model class's pass. ModernBERT's head is put on the wanted rows alone, others' on all."""
    if not (hasattr(model, "model") and hasattr(model, "head") and hasattr(model, "decoder")):
        return lambda ids, rows: model(input_ids=ids[None]).logits[0, rows]
    return lambda ids, rows: model.decoder(model.head(model.model(input_ids=ids[None]).last_hidden_state[0, rows]))


class Full:
    """One run of a bidirectional network: prompt and canvas at every pass, nothing cached. A `masked.Predictor`.

    shift: the output at position i - 1 predicts position i, so the canvas's first position is predicted by the prompt's last.
    """

    passes = 1

    def __init__(self, logits: Logits, prompt: list[int], mask_id: int, shift: bool, device: torch.device):
        self.logits, self.prompt, self.mask_id, self.shift, self.device = logits, prompt, mask_id, int(shift), device

    @torch.inference_mode()
    def predict(self, canvas: list[int], span: tuple[int, int], positions: list[int]) -> torch.Tensor:
        """See `masked.Predictor.predict`."""
        ids = self.prompt + [self.mask_id if token < 0 else token for token in canvas]
        rows = [max(0, len(self.prompt) + position - self.shift) for position in positions]
        return self.logits(torch.tensor(ids, device=self.device), torch.tensor(rows, device=self.device)).float().cpu()

    def advance(self, start: int, ids: list[int], rows: list[int]) -> torch.Tensor | None:
        """Nothing: bidirectional networks have no exact prefix cache, so the loop never asks."""
        raise NotImplementedError

    def crop(self, length: int) -> None:
        """Nothing is cached."""


class Blocks:
    """One run of a block-causal network over its exact cache: a token sees all earlier blocks and its own. A `masked.Predictor`.

    block: the width it was trained with. Blocks are counted from the answer's first token (`from_answer`: the first block of the prompt
    is the short one, as in dLLM's BD3-LM sampler) or from the sequence's (then the prompt's last tokens lie in the answer's first
    block, as in SDAR and Fast-dLLM v2). shift: the output at i - 1 predicts i, and a block's first token is the clean pass's to decide.
    part: a block is filled part after part, each this wide, every pass over the whole of it (0: all at once).
    """

    def __init__(
        self,
        model: Any,
        prompt: list[int],
        mask_id: int,
        shift: bool,
        block: int,
        from_answer: bool,
        device: torch.device,
        part: int = 0,
    ):
        from transformers import DynamicCache

        self.model, self.prompt, self.mask_id, self.shift = model, prompt, mask_id, int(shift)
        self.block, self.part, self.device = block, part or block, device
        self.finished: list[int] = []  # the answer as far as it never changes; only whole blocks of it are in the cache
        self.origin = len(prompt) % block if from_answer else 0  # a sequence index at which a block begins
        self.lead = (len(prompt) - self.origin) % block  # prompt tokens in the answer's first block
        self.cache = DynamicCache(config=model.config)
        self.passes = 1

    def span(self, position: int, width: int) -> tuple[int, int]:
        """Return the trained block, or its part, around a position, whatever width is asked for; below 0 lie prompt tokens."""
        return self._around(position, self.part)

    def _around(self, position: int, width: int) -> tuple[int, int]:
        start = (position + self.lead) // width * width - self.lead
        return start, start + width

    @torch.inference_mode()
    def advance(self, start: int, ids: list[int], rows: list[int]) -> torch.Tensor | None:
        """See `masked.Predictor.advance`; only whole blocks are read, the others wait. The first call reads the prompt's."""
        self.finished[start:] = ids
        stored, end = self.cache.get_seq_length(), len(self.prompt) + len(self.finished)
        whole = end - (end - self.origin) % self.block
        new = (self.prompt + self.finished)[stored:whole]
        self.passes = int(bool(new))
        if not new:
            return None
        decides = self.shift and whole == end
        keep = [len(new) - len(ids) + row for row in rows] if decides else [0]
        logits = self._forward(new, stored, keep)
        return logits if decides else None

    @torch.inference_mode()
    def predict(self, canvas: list[int], span: tuple[int, int], positions: list[int]) -> torch.Tensor:
        """See `masked.Predictor.predict`; what the pass put into the cache is taken out again."""
        stop = min(len(canvas), self._around(span[1] - 1, self.block)[1])
        stored, end = self.cache.get_seq_length(), len(self.prompt) + stop
        whole = self.prompt + [self.mask_id if token < 0 else token for token in canvas[:stop]]
        rows = [len(self.prompt) + position - self.shift - stored for position in positions]
        assert min(rows) >= 0, "a shifted block's first token is the clean pass's to decide"
        logits = self._forward(whole[stored:end], stored, rows)
        self.cache.crop(stored - end)
        self.passes = 1
        return logits

    def crop(self, length: int) -> None:
        """Forget cached tokens from canvas position `length` on."""
        del self.finished[length:]
        self.cache.crop(min(0, len(self.prompt) + length - self.cache.get_seq_length()))

    def _forward(self, new: list[int], stored: int, rows: list[int]) -> torch.Tensor:
        """Run tokens behind the cached ones, appending to the cache; return logits (len(rows), V) on the processor."""
        at = torch.arange(stored + len(new), device=self.device)
        number = (at - self.origin).div(self.block, rounding_mode="floor")
        sees = number[stored:, None] >= number[None, :]
        out = self.model(
            input_ids=torch.tensor([new], device=self.device),
            attention_mask=sees[None, None],
            position_ids=at[None, stored:],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=torch.tensor(rows, device=self.device),
        )
        return out.logits[0].float().cpu()


class Guided:
    """Classifier-free guidance: what the prompt adds to the prediction, `weight` times more. A `masked.Predictor` over two `Full` ones.

    logits = without + (weight + 1) * (with - without), as in LLaDA's generate.py (ML-GSAI/LLaDA@b7e6c35).
    """

    passes = 2

    def __init__(self, with_prompt: Full, without: Full, weight: float):
        self.with_prompt, self.without, self.weight = with_prompt, without, weight

    def predict(self, canvas: list[int], span: tuple[int, int], positions: list[int]) -> torch.Tensor:
        """See `masked.Predictor.predict`."""
        wanted, plain = (each.predict(canvas, span, positions) for each in (self.with_prompt, self.without))
        return plain + (self.weight + 1) * (wanted - plain)

    def advance(self, start: int, ids: list[int], rows: list[int]) -> torch.Tensor | None:
        """Nothing: bidirectional networks have no exact prefix cache, so the loop never asks."""
        raise NotImplementedError

    def crop(self, length: int) -> None:
        """Nothing is cached."""
