"""Every model by id: what it is, what it needs, whether it can run here, and how to load it.

The table is data. A family adds itself by exposing `ENTRIES` in a module named in `SOURCES`; such a module must be cheap to import
(heavy libraries inside functions), because listing the models imports all of them and loads none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ModelUnavailable
from .settings import Settings
from .trace import ModelSpec

if TYPE_CHECKING:
    from .run import Model

Progress = Callable[[float, str], None]  # share done in [0, 1], and what is being done, in words
SOURCES = ("model.backends.diffusion_gemma", "model.backends.families", "model.backends.fake")
WEIGHTS = Path(__file__).resolve().parent.parent / "assets" / "weights"


def always() -> tuple[bool, str]:
    """A model that runs anywhere."""
    return True, ""


def weights_shipped() -> tuple[bool, str]:
    """The built-in model needs its weight files."""
    here = (WEIGHTS / "manifest.json").is_file()
    return here, "" if here else "its weight files are missing from assets/weights."


@dataclass(frozen=True)
class Entry:
    """One model. `loader` is 'module:function', called as function(progress=..., **options) -> Model.

    available, fetched: answer, without loading anything heavy, whether it can run here (if not, why, in one sentence) and whether its
    weights are on this machine. defaults: the knobs that its own generation config, or its authors, set; the rest are ours. tuned: the
    page's presets were measured on it (or it only plays a script).
    """

    spec: ModelSpec
    loader: str
    needs: str = ""
    available: Callable[[], tuple[bool, str]] = always
    options: dict[str, Any] = field(default_factory=dict)
    fetched: Callable[[], bool] = lambda: True
    defaults: dict[str, Any] = field(default_factory=dict)
    tuned: bool = False

    @property
    def settings(self) -> Settings:
        """What a run of this model starts from."""
        return Settings(**self.defaults)

    def standing(self) -> tuple[str, str]:
        """Return 'ready', 'download' or 'unavailable', and the same in words."""
        usable, reason = self.available()
        if not usable:
            return "unavailable", f"not available here: {reason}"
        if not self.fetched():
            return "download", f"can be downloaded ({self.spec.memory_bytes / 1e9:.1f} GB)"
        return "ready", "ready"


BUILTIN = ModelSpec(
    id="builtin", name="Inkblot 135M (built in)", family="masked", vocab_size=49_152, eos_ids=(2, 0), mask_id=16, shift=True,
    causal_prefix=True, block_lengths=(1, 4, 8, 16, 32), default_block=16, verify=True, ahead=4, modes=("diffusion", "ar"), twin="builtin",
    max_tokens=2_048, parameters=134_515_008, memory_bytes=700_000_000, license="Apache-2.0",
    url="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
    note="SmolLM2-135M-Instruct, taught to denoise. A model this small makes things up.",
)  # fmt: skip


@cache
def _table() -> dict[str, Entry]:
    builtin = Entry(BUILTIN, "model.backends.builtin:load", "any CPU, 1 GB of memory", weights_shipped, tuned=True)
    return {BUILTIN.id: builtin} | {entry.spec.id: entry for source in SOURCES for entry in import_module(source).ENTRIES}


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
        own: Entry = import_module("model.backends.own").entry(model_id)
        return own
    if model_id not in _table():
        known = ", ".join(_table())
        raise ModelUnavailable(f"There is no model called '{model_id[:60]}'; known are {known}.")
    return _table()[model_id]


def known(model_id: str) -> Entry | None:
    """Return the entry of a model of the table; None for an own checkpoint, whose files have to be read, and for an unknown id."""
    return _table().get(model_id)


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
