"""What is asked of a run from outside while it computes: to stop, and knobs that change from the next step on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from model.errors import SettingError
from model.settings import FIELD, LOCAL, Settings, parse_value

STEERED = ("temperature", "threshold", "entropy_bound", "t_max", "t_min")  # knobs that may change under way
NOTE = "set_"  # a frame's note 'set_temperature' says that this knob changed for it, and to what
Script = Mapping[int, Mapping[str, float]]  # {step: {knob: value}}


class Steering:
    """Knobs that change under way; set from any thread. script: changes by the step of the frame that they are first in."""

    def __init__(self, script: Script | None = None):
        self._script, self._new = {step: dict(values) for step, values in (script or {}).items()}, dict[str, float]()
        self._lock = threading.Lock()

    def set(self, values: Mapping[str, object], family: str, now: Settings) -> None:
        """Change knobs from the next step on; raise SettingError and change none where one cannot. now: the settings it began with."""
        new: dict[str, float] = {}
        for name, value in values.items():
            if name not in STEERED:
                known = ", ".join(STEERED)
                raise SettingError(
                    f"While a run is under way only {known} can be changed; it was {str(name)[:40]!r}.", "settings"
                )
            field = FIELD[name]
            if family not in field.families:
                raise SettingError(f"{field.label} means nothing to this way of writing.", name)
            new[name] = parse_value(field, value, LOCAL)
        with self._lock:
            merged = self._new | new
            if family == "uniform":
                replace(now, **merged).check_ramp()  # type: ignore[arg-type]
            self._new = merged

    def __deepcopy__(self, memo: object) -> Steering:
        """Return one without changes: those that were asked for are the other run's."""
        return Steering()

    def take(self, settings: Settings, step: int) -> tuple[Settings, dict[str, float]]:
        """Return the settings from this step on, and notes on what changed for its frame."""
        if not self._new and not self._script:
            return settings, {}
        with self._lock:
            new, self._new = self._script.pop(step, {}) | self._new, {}
        changed = {name: value for name, value in new.items() if getattr(settings, name) != value}
        return replace(settings, **changed), {NOTE + name: value for name, value in changed.items()}  # type: ignore[arg-type]


class Control:
    """Called, it says why a run must stop now, '' where it need not; `take` says what changed. deadline: seconds from here."""

    def __init__(self, cancelled: threading.Event, deadline: float | None, steering: Steering | None = None):
        self._cancelled, self._deadline, self._began = cancelled, deadline, time.monotonic()
        self.take = (steering or Steering()).take

    def __call__(self) -> str:
        if self._cancelled.is_set():
            return "cancelled"
        return "deadline" if self._deadline is not None and time.monotonic() - self._began > self._deadline else ""


def steered(control: Callable[[], str], settings: Settings, step: int) -> tuple[Settings, dict[str, float]]:
    """Return what `Steering.take` says, of a run that can be steered."""
    return control.take(settings, step) if isinstance(control, Control) else (settings, {})
