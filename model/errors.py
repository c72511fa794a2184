"""The errors a visitor may read: each message is one sentence naming the knob, the bound and the value."""

from __future__ import annotations

import traceback


class PlaygroundError(Exception):
    """Base of every error whose text is meant for the visitor; anything else stays in the log."""


class SettingError(PlaygroundError, ValueError):
    """A knob, a prompt or a combination of knobs is outside what is allowed."""

    def __init__(self, message: str, knob: str = ""):
        super().__init__(message)
        self.knob = knob


class TraceError(PlaygroundError, ValueError):
    """A trace document is malformed, too large or of another version."""


class ModelUnavailable(PlaygroundError):
    """A model cannot be used here: unknown id, missing weights, no GPU, too little memory, offline."""


class WeightsError(ModelUnavailable):
    """A weight file is missing, corrupt, of the wrong shape or not finite."""


class NumericsError(PlaygroundError):
    """The model returned NaN or infinite logits."""


class BusyError(PlaygroundError):
    """No place is free for another run."""


class OutOfMemory(PlaygroundError):
    """The run did not fit into memory."""


def places(error: BaseException) -> str:
    """Return what kind of error it is and where it was raised, for the log: never its message, which may quote what a visitor typed."""
    told, seen = [], set[int]()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        told.append("".join(traceback.format_tb(one.__traceback__)) + type(one).__name__)
        one = one.__cause__ or one.__context__
    return "\nfrom ".join(told)
