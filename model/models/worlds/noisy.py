"""The worlds' network for random words: what `loops.uniform`, DiffusionGemma's own loop, asks of it in one run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from model import worlds
from model.loops.uniform import State

from .session import Passes, Task


class Noisy:
    """The passes of one run. Prompt and canvas are read together at every pass, so there is no cache."""

    first, ahead = worlds.FIRST_WORD, 0

    def __init__(self, passes: Passes, task: Task):
        self.passes, self.task = passes, task
        self.length, self.vocab = worlds.CANVAS, task.words[1]

    def empty(self) -> None:
        """Return nothing."""

    def encode(self, state: State) -> None:
        """Note that the prompt needs no pass of its own."""
        state.cached = state.sequence.shape[1]

    @torch.inference_mode()
    def forward(self, state: State) -> Tensor:
        """Return raw logits (B, L, V) of the canvas, given the prompt and the belief of the pass before."""
        ids, prompt = torch.cat((state.sequence, state.canvas), 1), state.sequence.shape[1]
        guess = None
        if state.belief is not None:
            guess = torch.nn.functional.pad(state.belief.softmax(-1), (0, 0, prompt, 0))
        features = self.passes.run(ids, guess=guess)[:, prompt:]
        return self.task.shown(self.passes.logits(features).flatten(0, 1)).view(*state.canvas.shape, -1)

    def belief(self, logits: Tensor) -> Tensor:
        """Return tempered logits as they are."""
        return logits

    def fork(self, cache: Any) -> Any:
        """Return nothing: nothing is cached."""

    def release(self) -> None:
        """Do nothing: a run holds nothing of its own here."""
