"""What every page is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.engine import catalog
from model.engine.engine import Engine
from model.entry import Entry
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
        """(name, id) of every model, those that cannot run here, or have to be fetched first, marked."""
        marks = {"ready": "", "download": " (to download)", "unavailable": " (not here)"}
        return [(entry.spec.name + marks[entry.standing()[0]], entry.spec.id) for entry in self.entries]

    @property
    def chosen(self) -> Entry:
        """The entry of the model chosen at the start."""
        return catalog.entry(self.model)

    @property
    def modes(self) -> tuple[str, ...]:
        """The ways of writing any of the models knows."""
        return tuple(mode for mode in MODES if any(mode in entry.spec.modes for entry in self.entries))
