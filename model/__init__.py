"""Text diffusion: models, samplers and traces. Names are resolved on first use, so importing this package loads nothing heavy."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "load": "engine.catalog",
    "Engine": "engine.engine",
    "Run": "run",
    "Request": "request",
    "Settings": "settings",
    "Limits": "settings",
    "LOCAL": "settings",
    "PUBLIC": "settings",
    "Trace": "trace.trace",
    "Frame": "trace.frame",
    "ModelSpec": "spec",
    "PlaygroundError": "errors",
    "fill": "holes",
    "edit": "branch",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'model' has no attribute '{name}'")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
