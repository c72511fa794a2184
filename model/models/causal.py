"""Any causal checkpoint as the other lane of a race: token by token, with its own cache, in the same frames."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import torch

from model.entry import Progress
from model.errors import ModelUnavailable
from model.loops.masked import Predictor
from model.models import hub
from model.models.answers import answer_only
from model.models.base import inputs_device
from model.models.chat import Chat, ChatModel
from model.models.placement import Placement
from model.settings import Settings
from model.spec import ModelSpec
from model.trace.frame import Frame
from model.trace.trace import Trace


def knows(kind: str) -> bool:
    """Whether transformers has a causal model of this type."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


class Causal(ChatModel):
    """A loaded causal model, in mode 'ar' only."""

    def __init__(self, model: Any, chat: Chat, spec: ModelSpec):
        self.model, self.chat, self.spec = model, chat, spec
        self.torch_device = inputs_device(model.get_input_embeddings())
        self.device, self.dtype = str(self.torch_device), str(model.dtype).removeprefix("torch.")

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: hub.Checkpoint,
        spec: ModelSpec,
        place: Placement,
        progress: Progress | None = None,
        *,
        thinking: bool = False,
    ) -> Causal:
        """Load tokenizer and weights; raise ModelUnavailable."""
        from transformers import AutoModelForCausalLM

        chat = Chat(hub.load_tokenizer(checkpoint, spec.name), thinking)
        model = hub.load_model(
            AutoModelForCausalLM, checkpoint, place, spec.name, progress, ("lm_head", "embed_tokens", "router")
        )
        text = model.config.get_text_config()
        ids = chat.ends(model.generation_config.to_dict(), checkpoint.generation, checkpoint.config)
        if not ids:
            raise ModelUnavailable(
                f"{spec.name} cannot be used: neither its configuration nor its tokenizer names an end token."
            )
        limit = getattr(text, "max_position_embeddings", None) or 0
        return cls(
            model,
            chat,
            replace(
                spec,
                family="autoregressive",
                vocab_size=text.vocab_size,
                eos_ids=ids,
                causal_prefix=True,
                modes=("ar",),
                max_tokens=limit,
                spaced=chat.pieces.leads,
                first_byte=chat.pieces.first_byte,
                parameters=sum(p.numel() for p in model.parameters()),
            ),
        )

    def predictor(
        self, prompt: str, system: str, ids: list[int], length: int, settings: Settings, mode: str
    ) -> Predictor:
        """Return a session with a cache of its own."""
        return Session(self.model, ids, self.torch_device)

    def _frames(self, trace: Trace, *args: Any, **kwargs: Any) -> Generator[Frame, None, None]:
        yield from super()._frames(trace, *args, **kwargs)
        answer_only(trace, self.chat)


class Session:
    """One run over a causal model: a `masked.Predictor` that only ever advances."""

    passes = 1

    def __init__(self, model: Any, prompt_ids: list[int], device: torch.device):
        from transformers import DynamicCache

        self.model, self.prompt, self.device = model, prompt_ids, device
        self.cache = DynamicCache(config=model.config.get_text_config(decoder=True))
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters

    @torch.inference_mode()
    def advance(self, start: int, ids: list[int], rows: list[int]) -> torch.Tensor:
        """Return next-token logits (len(rows), V) behind tokens `ids`, on the processor; the first call reads the prompt before them."""
        new = ids if self.cache.get_seq_length() else self.prompt + ids
        keep = len(ids) - min(rows)  # logits of the last rows only: a whole prompt's would be gigabytes
        options = {"logits_to_keep": keep} if self._keeps else {}
        inputs = torch.tensor([new], device=self.device)
        logits = self.model(input_ids=inputs, past_key_values=self.cache, use_cache=True, **options).logits[0]
        first = len(ids) - len(logits)  # the row that logits[0] belongs to
        return logits[[row - first for row in rows]].float().cpu()

    def predict(self, canvas: list[int], span: tuple[int, int], positions: list[int]) -> torch.Tensor:
        """Nothing: a causal model does not denoise."""
        raise NotImplementedError

    def crop(self, length: int) -> None:
        """Forget cached tokens from position `length` on."""
        self.cache.crop(
            min(0, len(self.prompt) + length - self.cache.get_seq_length())
        )  # how many to remove, as a negative count
