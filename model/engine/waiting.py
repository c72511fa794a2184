"""What a run waits for, what a load tells those who wait, and the words for what failed."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from model.engine.catalog import Progress
from model.errors import OutOfMemory, PlaygroundError, places
from model.request import Request
from model.run import Model
from model.trace.trace import Trace

log = logging.getLogger("inkblot")
PATIENCE_SECONDS = 2.0  # a run that waits asks many times in this


@dataclass(frozen=True)
class Waiting:
    """Why a run has no frame yet: 'queue' (another run computes) or 'loading', with the share done in [0, 1] and words for it."""

    what: str
    share: float
    words: str


class Line:
    """The order in which runs take the turn: as they came. So a race of many runs gives way between two of them.

    A place whose owner has not looked for a while is passed over, for a run may be dropped without a word.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[object, float] = {}  # when each place was last looked at, the oldest place first

    def first(self, place: object) -> bool:
        """Whether it is this place's turn; a new one comes behind all others."""
        with self._lock:
            now = self._seen[place] = time.monotonic()
            for other, seen in self._seen.items():
                if other is place or now - seen < PATIENCE_SECONDS:
                    return other is place
        return True

    def leave(self, place: object) -> None:
        """Give a place up; one that is none is no error."""
        with self._lock:
            self._seen.pop(place, None)


class Loading:
    """One load under way, shared by everybody who asked for that model."""

    def __init__(self, model_id: str):
        self.model_id, self.share, self.words = model_id, 0.0, "waiting for the running text to end"
        self.done = threading.Event()
        self.error: BaseException | None = None
        self.listeners: list[Progress] = []

    def report(self, share: float, words: str) -> None:
        """Note the progress and pass it on."""
        self.share, self.words = min(1.0, max(0.0, float(share))), words
        for listener in list(self.listeners):
            listener(self.share, words)


@dataclass(frozen=True)
class Paused:
    """The last run that was stopped and can go on: whose it is, and the model it belongs to, which may be gone by then."""

    visitor: str
    request: Request
    run: Any  # a Run with a method `resume`
    model: Model

    def wrote(self, trace: Trace) -> bool:
        """Whether a trace is this run's, as it was stopped."""
        mine: Trace = self.run.trace
        known = (mine.prompt, mine.settings, mine.branch, len(mine.frames), mine.final_ids)
        return known == (trace.prompt, trace.settings, trace.branch, len(trace.frames), trace.final_ids)


def typed(error: BaseException, doing: str, otherwise: type[PlaygroundError] | None = None) -> BaseException:
    """Return the error a visitor may read, or the error itself; whatever is not for visitors is logged."""
    if isinstance(error, PlaygroundError):
        return error
    name = type(error).__name__
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or "out of memory" in str(error).lower():
        return OutOfMemory(f"Memory ran out while {doing}: lower the length or the steps, or choose a smaller model.")
    log.error(
        "%s failed: %s", doing, f"{name}: {error}" if otherwise else places(error)
    )  # a run's error may quote its text
    return otherwise(f"{doing.capitalize()} failed ({name}); the log has the details.") if otherwise else error
