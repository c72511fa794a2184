"""The Sudoku model: a masked network that sees the whole board, and an autoregressive twin for the other way of writing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from model import sudoku
from model.errors import SettingError
from model.loops.masked import Predictor
from model.models.base import TorchModel
from model.models.worlds.session import Passes, Reader, Task, Whole
from model.models.worlds.weights import load as load_weights
from model.request import Request
from model.run import Run
from model.settings import Settings
from model.trace.trace import Trace

from .pairs import pairs, twin_pairs
from .record import MASK, MASKED, SUDOKU, TOKENS, TWIN

TASK = Task(MASK, (1, TOKENS))


class Sudoku(TorchModel):
    """Both networks, loaded. The puzzle that a prompt asks for stands on the canvas as given cells; the twin reads it first."""

    def __init__(self, masked: Path = MASKED, twin: Path = TWIN, progress: Callable[[float, str], None] | None = None):
        report = progress or (lambda share, what: None)
        report(0.1, "Reading the weights")
        self.spec = SUDOKU
        network, about = load_weights(masked)
        second, of_twin = load_weights(twin)
        self.weights_sha256, self.twin_sha256 = about["sha256"], of_twin["sha256"]
        self.networks = {"diffusion": Passes(network, pairs()), "ar": Passes(second, twin_pairs())}
        report(1.0, "Ready")

    def fingerprint(self, mode: str) -> str:
        """Return the SHA-256 of the file of the network that writes in a mode."""
        return self.twin_sha256 if mode == "ar" else self.weights_sha256

    def encode(self, prompt: str, system: str = "") -> list[int]:
        """Return nothing: the puzzle stands on the canvas. Raise SettingError where the prompt asks for none that can be solved."""
        sudoku.read_prompt(prompt)
        return []

    def tokens(self, text: str) -> list[int]:
        """Return the ids of typed digits; raise SettingError for anything else."""
        digits = text.split() if " " in text.strip() else list(text.strip())
        if wrong := [word for word in digits if word not in "123456789" or len(word) != 1]:
            raise SettingError(f"A cell holds a digit from 1 to 9; {wrong[0][:20]!r} was pinned.", "pinned")
        return [int(digit) for digit in digits]

    def piece(self, token: int) -> bytes:
        """Return a digit."""
        return str(token).encode() if MASK < token < TOKENS else b""

    def begin(self, request: Request, **how: Any) -> Run:
        """Return a run from the given cells of the puzzle that the prompt asks for, and what is pinned; see `Model.begin`."""
        request.check_pinned(self.spec)
        asked = sudoku.read_prompt(request.prompt, request.settings.seed)
        cells = self.given(request.pinned, sudoku.CELLS)
        for cell, digit in cells.items():
            right = asked.puzzle[cell] or (asked.solution[cell] if asked.solution else digit)
            if digit != right:
                raise SettingError(f"No solution of this puzzle has a {digit} in {sudoku.name(cell)}.", "pinned")
        board = [cells.get(cell, digit) for cell, digit in enumerate(asked.puzzle)]
        if asked.solution is None and (clash := sudoku.conflicts(board)):
            raise SettingError(
                f"No board can hold what is pinned: {clash[0].sentence[0].lower()}{clash[0].sentence[1:]}", "pinned"
            )
        given = {cell: str(digit) for cell, digit in enumerate(board) if digit}
        return super().begin(replace(request, pinned=given), **how)

    def score(self, prompt: str, ids: Sequence[int], system: str = "") -> list[float] | None:
        """Return None: a board is right or wrong (see `faults`), how probable it is tells nothing."""
        return None

    def faults(self, trace: Trace) -> tuple[tuple[str, tuple[int, ...]], ...] | None:
        """Return what keeps a finished board from being a solution; None for one that was cut off."""
        if trace.frames[-1].undecided or trace.result is None or trace.result.stopped != "full":
            return None
        return tuple((fault.sentence, fault.positions) for fault in sudoku.check(trace.frames[-1].ids.tolist()))

    def predictor(
        self, prompt: str, system: str, ids: list[int], length: int, settings: Settings, mode: str
    ) -> Predictor:
        """Return a session over the network of a mode."""
        if mode == "ar":
            return Reader(self.networks[mode], sudoku.read_prompt(prompt, settings.seed).puzzle, TASK)
        return Whole(self.networks[mode], [], TASK)


def load(progress: Callable[[float, str], None] | None = None, **options: Path) -> Sudoku:
    """Load the Sudoku model; raise WeightsError if its files are missing or damaged."""
    return Sudoku(progress=progress, **options)
