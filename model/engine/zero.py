"""Runs of GPU models on a ZeroGPU Space, where CUDA exists only inside functions that `spaces.GPU` decorates.

Such a function runs in a fork of this process, for a limited time: what it is given and what it yields is pickled. So a whole run is one
call, a generator that yields its frames, on the model that was loaded before the fork. Models on the CPU are left as they are. It
needs the package `spaces`.
"""

from __future__ import annotations

import math
import os
import secrets
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from model.engine import catalog
from model.entry import Progress
from model.errors import SettingError
from model.request import Request
from model.run import Model, Run
from model.trace.frame import Frame
from model.trace.trace import Result, Trace

BEGIN_SECONDS = 10.0  # from the fork to the first step, beside the time that a run may take
SCORE_SECONDS = 15
_LOADED: dict[str, Model] = {}  # by id: what a fork finds


def seconds_of(model_id: str, request: Request, options: Mapping[str, Any], stop: str) -> int:
    """Return for how long the GPU is asked: as long as the run may take; shorter calls wait less."""
    return math.ceil((options.get("deadline") or 60.0) + BEGIN_SECONDS)


def _frames(
    model_id: str, request: Request, options: Mapping[str, Any], stop: str
) -> Generator[Frame | Result, None, None]:
    """Yield a run's frames, and last how it ended. stop: a file that is there once the run is to end before its next step."""
    run = _LOADED[model_id].begin(request, **options)
    with closing(run):
        for frame in run:
            yield frame
            if os.path.exists(stop):
                run.stop()
        if run.trace.result is not None:
            yield run.trace.result


def _score(model_id: str, prompt: str, ids: Sequence[int], system: str) -> list[float] | None:
    say: Any = _LOADED[model_id]
    return say.score(prompt, ids, system)


try:
    GPU: Any = import_module("spaces").GPU
    frames_there, score_there = GPU(duration=seconds_of)(_frames), GPU(duration=SCORE_SECONDS)(_score)
except ImportError:
    GPU = None  # not a Space


def load(model_id: str, progress: Progress | None = None) -> Model:
    """Load a model as `catalog.load` does; one that lies on a GPU comes back wrapped."""
    return lent(catalog.load(model_id, progress))


def lent(model: Model) -> Model:
    """Return a model whose runs are computed where the GPU is, the model itself where it is on the CPU."""
    if not str(getattr(model, "device", "cpu")).startswith("cuda"):
        return model
    wrapped: Any = Lent(model)
    return wrapped


class Lent:
    """A GPU model's stand-in in the process that has no GPU: it reads prompts, and has runs computed in a fork."""

    def __init__(self, model: Any):
        self.model, self.spec = model, model.spec
        _LOADED[self.spec.id] = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["model"], name)

    def score(self, prompt: str, ids: Sequence[int], system: str = "") -> list[float] | None:
        """See `TorchModel.score`."""
        return score_there(self.spec.id, prompt, list(ids), system)

    def close(self) -> None:
        """Free the model's memory."""
        _LOADED.pop(self.spec.id, None)
        self.model.close()

    denoise: Any = Model.denoise

    def begin(self, request: Request, *, cancelled: threading.Event | None = None, **options: Any) -> Run:
        """Return a run; raise SettingError before the GPU is asked for. It can be stopped, but not steered."""
        told = self.model.begin(request, **options)  # checks everything, computes nothing
        cancelled = cancelled or threading.Event()
        kept = {name: value for name, value in options.items() if name != "clock"}  # a clock cannot be pickled
        stop = os.path.join(tempfile.gettempdir(), f"inkblot-stop-{secrets.token_hex(8)}")
        begin = partial(frames_there, self.spec.id, request, kept, stop)
        return LentRun(told.trace, _arrived(told.trace, begin, Path(stop), cancelled), self.model.piece, cancelled)


def _arrived(
    trace: Trace, begin: Callable[[], Iterator[Frame | Result]], stop: Path, cancelled: threading.Event
) -> Generator[Frame, None, None]:
    """Pass frames on until the fork says how it ended. A stop, or a run that is closed, ends it there before its next step."""
    arriving = begin()
    try:
        for each in arriving:
            if isinstance(each, Result):
                trace.result = each
                return
            if cancelled.is_set():
                stop.touch()
            yield each
    finally:
        if trace.result is None:
            stop.touch()
            for _ in arriving if sys.exc_info()[0] is GeneratorExit else ():  # what comes until it heard
                pass
        stop.unlink(missing_ok=True)


class LentRun(Run):
    """A run in a fork, which hears nothing from here."""

    def steer(self, **values: float) -> None:
        """Refuse."""
        raise SettingError(
            "On this Space a run's knobs cannot be changed under way; stop it and go on from a step.", "settings"
        )
