"""The time of a run: inside its steps and passes, drawing and waiting left out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from model.trace.frame import Frame

Clock = Callable[[], float]


class Stopwatch:
    """Compute time of one run: drawing and waiting between steps excluded. `clock` returns seconds."""

    def __init__(self, clock: Clock = time.perf_counter):
        self._clock, self._before = clock, 0.0
        self._since: float | None = None
        self.forward_seconds = 0.0
        self.forwards = 0

    def continue_from(self, frame: Frame) -> None:
        """Take over what a paused run had counted."""
        self._before, self.forward_seconds, self.forwards = frame.seconds, frame.forward_seconds, frame.forwards

    def resume(self) -> None:
        """Start counting (again)."""
        self._since = self._clock()

    def pause(self) -> float:
        """Stop counting; return the seconds counted so far."""
        if self._since is not None:
            self._before += self._clock() - self._since
            self._since = None
        return self._before

    def forward(self, call: Callable[..., Any], *args: Any, passes: int = 1) -> Any:
        """Return call(*args), timed and counted as `passes` forward passes."""
        begin = self._clock()
        try:
            return call(*args)
        finally:
            self.forward_seconds += self._clock() - begin
            self.forwards += passes
