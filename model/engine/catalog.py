"""Every model by id: what it is, what it needs, whether it can run here, and how to load it.

The table is data. A family adds itself by exposing `ENTRIES` in a module named in `SOURCES`; such a module must be cheap to import
(heavy libraries inside functions), because listing the models imports all of them and loads none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import ModelUnavailable
from model.settings import Limits

if TYPE_CHECKING:
    from model.run import Model
from model.entry import Entry, Progress
from model.models.chat135m.record import BUILTIN, weights_shipped

SOURCES = (
    "model.models.worlds.record",
    "model.models.sudoku.record",
    "model.models.gemma.record",
    "model.models.masked.records",
    "model.models.scripted",
)


@cache
def _table() -> dict[str, Entry]:
    builtin = Entry(BUILTIN, "model.models.chat135m.model:load", "any CPU, 1 GB of memory", weights_shipped)
    return {BUILTIN.id: builtin} | {
        entry.spec.id: entry for source in SOURCES for entry in import_module(source).ENTRIES
    }


def entries() -> tuple[Entry, ...]:
    """Return every known model, the built-in one first."""
    return tuple(_table().values())


def is_own(model_id: str) -> bool:
    """Whether an id means a checkpoint of the owner's: a folder's path, or 'hf:owner/name'. Not for visitors of a public page."""
    if model_id in _table() or not ("/" in model_id or model_id.startswith("~")):
        return False
    try:
        return model_id.startswith("hf:") or Path(model_id).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):  # no path at all: too long, a NUL in it, nobody's home
        return False


def entry(model_id: str) -> Entry:
    """Return one model's entry, or that of an own checkpoint; raise ModelUnavailable naming the id."""
    if is_own(model_id):
        own: Entry = import_module("model.models.own").entry(model_id)
        return own
    if model_id not in _table():
        raise ModelUnavailable(
            f"There is no model called '{model_id[:60]}'; `playground models` lists those there are."
        )
    return _table()[model_id]


def peek(model_id: str) -> None:
    """Fetch the small files of an own checkpoint on the hub, where they can be had, so that its entry tells what it is."""
    import_module("model.models.own").peek(model_id)


def known(model_id: str) -> Entry | None:
    """Return the entry of a model of the table; None for an own checkpoint, whose files have to be read, and for an unknown id."""
    return _table().get(model_id)


def add(entry: Entry) -> None:
    """Put a model into the table that only this process knows of."""
    _table()[entry.spec.id] = entry


def elsewhere(told: Mapping[str, Sequence[Any]]) -> None:
    """Let every model's entry say what an engine on another machine can do: {id: (usable, why not, weights there)} of those it has."""
    for name, entry in list(_table().items()):
        usable, reason, fetched = told.get(name, (False, "the engine does not have it.", False))
        answer = (bool(usable), str(reason)[:300])
        _table()[name] = replace(entry, available=partial(_same, answer), fetched=partial(_same, bool(fetched)))


def _same(value: Any) -> Any:
    return value


def offered(model_id: str, limits: Limits) -> None:
    """Refuse, without looking at the disk, a model that a page of these limits does not offer; raise ModelUnavailable."""
    if limits.downloads:
        return
    wanted = known(model_id)
    if wanted is None:
        raise ModelUnavailable(f"There is no model called '{model_id[:60]}' on this page.")
    if wanted.standing()[0] == "download":
        raise ModelUnavailable(
            f"{wanted.spec.name} is not on this machine, and this page downloads no models for its visitors."
        )


def check(wanted: Entry) -> None:
    """Raise ModelUnavailable with one sentence where a model cannot run here."""
    usable, reason = wanted.available()
    if not usable:
        raise ModelUnavailable(f"{wanted.spec.name} cannot be loaded here: {reason}")


def load(model_id: str = "builtin", progress: Progress | None = None, **options: Any) -> Model:
    """Load a model and return it; raise ModelUnavailable with one sentence where it cannot run here."""
    found = entry(model_id)
    check(found)
    module, _, function = found.loader.partition(":")
    return getattr(import_module(module), function)(progress=progress, **(found.options | options))
