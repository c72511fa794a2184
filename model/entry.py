"""One model of the catalogue: what it is, what it needs, and how to load it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from model.settings import LOCAL, Limits, nearest
from model.spec import ModelSpec

Progress = Callable[[float, str], None]  # share done in [0, 1], and what is being done, in words

USUAL_PROMPT = 128  # tokens: a model's own length and steps are lessened only where limits would refuse them with a prompt of this length


def always() -> tuple[bool, str]:
    """A model that runs anywhere."""
    return True, ""


@dataclass(frozen=True)
class Entry:
    """One model. `loader` is 'module:function', called as function(progress=..., **options) -> Model.

    available, fetched: answer, without loading anything heavy, whether it can run here (if not, why, in one sentence) and whether its
    weights are on this machine. defaults: the knobs that its own generation config, or its authors, set; the rest are ours.
    offers: what it takes beside a prompt, and what it does not and why, one sentence each.
    """

    spec: ModelSpec
    loader: str
    needs: str = ""
    available: Callable[[], tuple[bool, str]] = always
    options: dict[str, Any] = field(default_factory=dict)
    fetched: Callable[[], bool] = lambda: True
    defaults: dict[str, Any] = field(default_factory=dict)
    offers: tuple[str, ...] = ()

    def start(self, limits: Limits = LOCAL) -> dict[str, Any]:
        """Return the knobs a run of this model starts from: its own, as far as these limits go."""
        values = {name: nearest(name, value, limits) for name, value in self.defaults.items()}
        values = {name: value for name, value in values.items() if value is not None}
        if self.spec.family == "masked" and not self.spec.causal_prefix and {"steps", "new_tokens"} <= values.keys():
            most = int(
                (USUAL_PROMPT**2 / 4 + limits.cost) ** 0.5 - USUAL_PROMPT / 2
            )  # n passes over n tokens and the prompt
            values |= {name: min(values[name], max(1, most // 32 * 32)) for name in ("steps", "new_tokens")}
        return values

    def standing(self) -> tuple[str, str]:
        """Return 'ready', 'download' or 'unavailable', and the same in words."""
        usable, reason = self.available()
        if not usable:
            return "unavailable", f"not available here: {reason}"
        if not self.fetched():
            return "download", f"can be downloaded ({self.spec.memory_bytes / 1e9:.1f} GB)"
        return "ready", "ready"
