"""What every page is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.catalog import Entry
from model.engine import Engine
from model.settings import MODES, Limits

if TYPE_CHECKING:
    import gradio as gr


@dataclass(frozen=True)
class Context:
    """The engine, what a visitor may ask for, the models of the table, the one chosen at the start, and the app under construction."""

    engine: Engine
    limits: Limits
    entries: tuple[Entry, ...]
    model: str
    blocks: gr.Blocks

    @property
    def model_choices(self) -> list[tuple[str, str]]:
        """(name, id) of every model, those that cannot run here marked."""
        return [(entry.spec.name + ("" if entry.available()[0] else " (not available here)"), entry.spec.id) for entry in self.entries]

    @property
    def modes(self) -> tuple[str, ...]:
        """The ways of writing any of the models knows."""
        return tuple(mode for mode in MODES if any(mode in entry.spec.modes for entry in self.entries))
