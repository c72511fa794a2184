"""A run, which yields frames and keeps the trace, and what a loaded model must offer."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from model.draft import Draft, start_of
from model.loops.steering import Steering
from model.loops.stopwatch import Clock
from model.request import Request
from model.settings import LOCAL, Limits, Settings
from model.spec import ModelSpec
from model.trace.frame import Frame
from model.trace.trace import Trace

PAUSED = ("cancelled", "deadline")  # ways to stop after which a run could go on


class Run(Iterator[Frame]):
    """An iterator over frames that keeps them in `trace`. Stop it with `stop()`, or close it; both free its tensors."""

    def __init__(
        self,
        trace: Trace,
        frames: Iterator[Frame],
        piece: Callable[[int], bytes],
        cancelled: threading.Event | None = None,
    ):
        self.trace, self._frames, self._piece = trace, frames, piece
        self.cancelled = cancelled or threading.Event()
        self.steering = Steering()
        self.model: Any = None  # that writes it

    def __next__(self) -> Frame:
        """Return the next frame; the loop itself sets `trace.result` before it ends."""
        frame = next(self._frames)
        pieces = self.trace.pieces
        for token in {*frame.ids.tolist(), *(frame.candidates[0].ravel().tolist() if frame.candidates else ())}:
            if token >= 0 and token not in pieces:
                pieces[token] = self._piece(token)
        self.trace.frames.append(frame)
        return frame

    def stop(self) -> None:
        """Ask the loop to end before its next step (safe from any thread)."""
        self.cancelled.set()

    def steer(self, **values: float) -> None:
        """Change temperature, threshold or entropy bound (on random canvases t_max, t_min) from the next step on; safe from any thread.

        The frames' notes say when ('set_temperature'). Raise SettingError and change nothing where one cannot be.
        """
        family = "autoregressive" if self.trace.mode == "ar" else self.trace.spec.family
        self.steering.set(values, family, Settings(**self.trace.settings))

    def edit(self, **changes: Any) -> Run:
        """Return a branch: a run that goes on from a step of this one, with words erased or pinned (see `branch.edit`)."""
        from model.branch import edit

        return edit(self.model, self.trace, **changes)

    def close(self) -> None:
        """End the run now and free what it holds."""
        close = getattr(self._frames, "close", None)
        if close:
            close()
        if self.trace.result is None and self.trace.frames:
            self.trace.finish("cancelled")

    def finish(self) -> Trace:
        """Run to the end and return the trace."""
        for _ in self:
            pass
        return self.trace


def replayed(before: Sequence[Frame], rest: Iterator[Frame]) -> Generator[Frame, None, None]:
    """Yield the frames of a run that was paused, all but its last, which the resumed loop yields first; then the loop's."""
    yield from before[:-1]
    yield from rest


class Model(ABC):
    """A loaded model: what the engine, the command line and the API use. `model.load(id)` returns one."""

    spec: ModelSpec

    @property
    def usual(self) -> Settings:
        """The knobs of a run that names none."""
        return Settings()

    @abstractmethod
    def encode(self, prompt: str, system: str = "") -> list[int]:
        """Return the ids of the whole templated prompt; special tokens typed by the visitor stay text."""

    @abstractmethod
    def tokens(self, text: str) -> list[int]:
        """Return the ids of plain text (pinned words, gaps), special tokens kept as text."""

    @abstractmethod
    def piece(self, token: int) -> bytes:
        """Return the bytes of one token."""

    @abstractmethod
    def begin(
        self,
        request: Request,
        *,
        limits: Limits = LOCAL,
        clock: Clock = time.perf_counter,
        cancelled: threading.Event | None = None,
        deadline: float | None = None,
    ) -> Run:
        """Return the run of a request; nothing is computed before its first frame is asked for. Raise SettingError.

        deadline: seconds of `clock` that the run may take. cancelled: ends it before its next step.
        """

    @abstractmethod
    def close(self) -> None:
        """Free the model's memory."""

    def denoise(
        self,
        prompt: str | Request,
        settings: Settings | None = None,
        *,
        mode: str = "diffusion",
        system: str = "",
        pinned: Mapping[int, str] | None = None,
        image: bytes | Sequence[bytes] = (),
        start: Sequence[int] = (),
        draft: Draft | None = None,
        **how: Any,
    ) -> Run:
        """Return a run of a request, or of one made from a prompt and the rest; raise SettingError before anything is computed.

        mode: 'diffusion' or 'ar'. pinned: {position: words}. image: a picture file, or several, before the prompt. start: ids of a
        partly filled canvas to begin with, -1 where undecided; draft: the same with edits and with positions that never change.
        how: what `begin` takes beside the request.
        """
        if isinstance(prompt, Request):
            return self.begin(prompt, **how)
        images = tuple(filter(None, (image,) if isinstance(image, bytes) else image))
        asked = (prompt, self.spec.id, mode, settings or self.usual, system, dict(pinned or {}), images)
        return self.begin(Request(*asked, draft or start_of(start)), **how)
