"""What a run must not change while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from model.settings import Settings
from model.spec import ModelSpec


@dataclass
class Plan:
    """Everything of a run that does not change: settings, spec, block length, and when to stop."""

    settings: Settings
    spec: ModelSpec
    block: int
    generator: torch.Generator
    forbidden: tuple[int, ...]  # ids that may never be written
    should_stop: Callable[[], str]  # '' or 'cancelled' / 'deadline'
    spaced: tuple[int, ...] = ()  # positions that only one of `starts` (V,) may stand at
    starts: torch.Tensor | None = field(default=None, repr=False)
    _scratch: torch.Tensor = field(default_factory=lambda: torch.empty(0), repr=False)

    def scratch(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return two float32 tensors of that shape (n, V), valid until the next call: fresh megabytes in every pass cost page faults."""
        if self._scratch.numel() < 2 * like.numel() or self._scratch.device != like.device:
            self._scratch = torch.empty(2 * like.numel(), device=like.device)
        first, second = self._scratch[: 2 * like.numel()].view(2, *like.shape)
        return first, second

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken, not drawn."""
        return self.settings.temperature <= 1e-6

    def uniform(self, n: int) -> np.ndarray:
        """Return n draws from U(0, 1) by the run's own generator."""
        return torch.rand(n, generator=self.generator, dtype=torch.float64).numpy()
