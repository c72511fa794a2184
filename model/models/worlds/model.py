"""The small-worlds models: a masked network whose whole canvas is one block, one for random words, and an autoregressive twin."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

import torch

from model import worlds
from model.errors import SettingError
from model.loops.masked import Predictor
from model.loops.reading import NoiseReader
from model.loops.stopwatch import Stopwatch
from model.loops.uniform import Loop
from model.loops.uniform_frames import denoise
from model.models.base import Standing, TorchModel
from model.request import Request
from model.settings import Settings
from model.trace.frame import Frame
from model.trace.trace import Trace

from .noisy import Noisy
from .record import MASKED, NOISY, TWIN, WORLDS, WORLDS_NOISY
from .session import Passes, Reader, Task, Whole
from .weights import load as load_weights

TASK = Task(worlds.MASK, (worlds.FIRST_WORD, len(worlds.VOCABULARY)), worlds.END)


class Worlds(TorchModel):
    """A denoising network and the twin, loaded. A prompt becomes PROMPT ids: a form, and the words of it that the worlds know."""

    spec = WORLDS

    def __init__(self, masked: Path = MASKED, twin: Path = TWIN, progress: Callable[[float, str], None] | None = None):
        report = progress or (lambda share, what: None)
        report(0.1, "Reading the weights")
        network, about = load_weights(masked)
        second, of_twin = load_weights(twin)
        self.weights_sha256, self.twin_sha256 = about["sha256"], of_twin["sha256"]
        self.networks = {"diffusion": Passes(network), "ar": Passes(second)}
        report(1.0, "Ready")

    def fingerprint(self, mode: str) -> str:
        """Return the SHA-256 of the file of the network that writes in a mode."""
        return self.twin_sha256 if mode == "ar" else self.weights_sha256

    def encode(self, prompt: str, system: str = "") -> list[int]:
        """Return the form and the topics that a prompt names; what the worlds do not know is left out (see `notice`)."""
        asked = worlds.read_prompt(prompt)
        return worlds.prompt_ids(asked.form, asked.topics)

    def notice(self, prompt: str) -> str:
        """Return which words of a prompt the worlds do not know, or have no room for."""
        return worlds.read_prompt(prompt).sentence

    def tokens(self, text: str) -> list[int]:
        """Return the ids of typed words; raise SettingError naming one that the worlds do not know."""
        try:
            return worlds.tokens(text)
        except ValueError as error:
            known = f"the {len(worlds.VOCABULARY):,} words of the small worlds"
            raise SettingError(f"'{str(error)[:40]}' is not among {known}.", "pinned") from None

    def piece(self, token: int) -> bytes:
        """Return a word with the space before it."""
        return worlds.piece(token).encode()

    def given(self, pinned: Mapping[int, str], length: int) -> dict[int, int]:
        """Return {position: id} of pinned words; raise SettingError where no text can hold all of them."""
        out = super().given(pinned, length)
        if out and (
            sentence := worlds.unholdable({position: worlds.VOCABULARY[token] for position, token in out.items()})
        ):
            raise SettingError(sentence, "pinned")
        return out

    def faults(self, trace: Trace) -> tuple[tuple[str, tuple[int, ...]], ...] | None:
        """Return what the checker finds wrong with a finished text, the prompt's wishes included; None for one that was cut off."""
        frame = trace.frames[-1]
        if frame.undecided or trace.result is None or trace.result.stopped not in ("end", "full", "converged"):
            return None
        return self.verdict(trace.prompt, trace.final_ids)

    def verdict(self, prompt: str, ids: Sequence[int]) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Return what the checker finds wrong with a whole canvas."""
        words = worlds.decode(token for token in ids if token != worlds.END)
        asked = worlds.read_prompt(prompt)
        return tuple((fault.sentence, fault.positions) for fault in worlds.check(words, asked.form, asked.topics))

    def predictor(
        self, prompt: str, system: str, ids: list[int], length: int, settings: Settings, mode: str
    ) -> Predictor:
        """Return a session over the network of a mode."""
        return (Reader if mode == "ar" else Whole)(self.networks[mode], ids, TASK)


class NoisyWorlds(Worlds):
    """As `Worlds`, from random words instead of masks."""

    spec = WORLDS_NOISY

    def reader(self, prompt: str, length: int, seed: int = 0) -> NoiseReader:
        """Return what reads a form's open places as random words."""
        ids = torch.tensor([self.encode(prompt)])
        loop = Loop(Noisy(self.networks["diffusion"], TASK), Settings(seed=seed), ids, pad_id=worlds.END)
        return NoiseReader(loop, ())

    def _written(
        self, request: Request, ids: list[int], known: Standing, watch: Stopwatch, should_stop: Callable[[], str]
    ) -> Generator[Frame, None, str]:
        if request.mode == "ar":
            return (yield from super()._written(request, ids, known, watch, should_stop))
        start = known.start
        first = torch.tensor([[*start, *[-1] * (worlds.CANVAS - len(start))]]) if len(start) else None
        loop = Loop(
            Noisy(self.networks["diffusion"], TASK),
            request.settings,
            torch.tensor([ids]),
            eos_ids=self.spec.eos_ids,
            pad_id=worlds.END,
            pinned=known.pinned | known.kept,
            start=first,
        )
        return (yield from denoise(loop, watch, should_stop))


def load_noisy(
    progress: Callable[[float, str], None] | None = None, noisy: Path = NOISY, twin: Path = TWIN
) -> NoisyWorlds:
    """Load the model for random words; raise WeightsError if its files are missing or damaged."""
    return NoisyWorlds(noisy, twin, progress)


def load(progress: Callable[[float, str], None] | None = None, **options: Path) -> Worlds:
    """Load the small-worlds model; raise WeightsError if its files are missing or damaged."""
    return Worlds(progress=progress, **options)
