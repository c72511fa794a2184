"""One model of the catalogue: what it is, what it needs, and how to load it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from model.settings import Settings
from model.spec import ModelSpec

Progress = Callable[[float, str], None]  # share done in [0, 1], and what is being done, in words


def always() -> tuple[bool, str]:
    """A model that runs anywhere."""
    return True, ""


@dataclass(frozen=True)
class Entry:
    """One model. `loader` is 'module:function', called as function(progress=..., **options) -> Model.

    available, fetched: answer, without loading anything heavy, whether it can run here (if not, why, in one sentence) and whether its
    weights are on this machine. defaults: the knobs that its own generation config, or its authors, set; the rest are ours.
    """

    spec: ModelSpec
    loader: str
    needs: str = ""
    available: Callable[[], tuple[bool, str]] = always
    options: dict[str, Any] = field(default_factory=dict)
    fetched: Callable[[], bool] = lambda: True
    defaults: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """What a run of this model starts from."""
        return Settings(**self.defaults)

    def standing(self) -> tuple[str, str]:
        """Return 'ready', 'download' or 'unavailable', and the same in words."""
        usable, reason = self.available()
        if not usable:
            return "unavailable", f"not available here: {reason}"
        if not self.fetched():
            return "download", f"can be downloaded ({self.spec.memory_bytes / 1e9:.1f} GB)"
        return "ready", "ready"
