"""Checkpoints from a folder or the Hugging Face hub: found, measured and loaded, and every failure told in one sentence.

Weights come from safetensors only, remote code never runs, and a hub id is pinned to a revision before anything is read from it.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from model.errors import ModelUnavailable, WeightsError
from model.models import files
from model.models.placement import Placement

log = logging.getLogger("inkblot")
Progress = Callable[[float, str], None]
_COMMIT = re.compile(r"[0-9a-f]{40}")
UNREACHABLE = {
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionError",
    "ProxyError",
    "ReadTimeout",
}
_HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this disk. config, generation: its config.json and generation_config.json; weights: bytes of its safetensors;
    revision: 40 hex digits, '' for a folder."""

    folder: Path
    config: dict[str, Any]
    weights: int
    revision: str = ""
    generation: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The model type its config names."""
        return str(self.config.get("model_type", ""))


def find(
    where: str,
    revision: str = "",
    name: str = "",
    progress: Progress | None = None,
    fits: Callable[[int], Any] = lambda weights: None,
) -> Checkpoint:
    """Return a folder's checkpoint, or fetch 'owner/name' (or 'owner/name@revision') from the hub; raise ModelUnavailable.

    revision: 40 hex digits; '' takes the newest one, and what is returned says which that was. fits: called with the bytes of the weights
    before they are downloaded; it raises if there is no point.
    """
    name = name or where
    folder = Path(where).expanduser()
    if folder.is_dir():
        return measure(folder, name)
    where, _, at = where.partition("@")
    if not _HUB_ID.fullmatch(where):
        raise ModelUnavailable(f"'{where[:80]}' is neither a folder here nor a hub id like 'owner/name'.")
    revision = at or revision
    if revision and not _COMMIT.fullmatch(revision):  # a branch or a tag may mean something else tomorrow
        wanted = "40 hex digits, as in the hub's list of commits; leave it out for the newest"
        raise ModelUnavailable(f"{name} cannot be loaded: its revision must be {wanted}; it was '{revision[:50]}'.")
    with told(name):
        from huggingface_hub import HfApi, snapshot_download

        info = _info(HfApi(), where, revision)
        # Pin it: what is read must be what the trace names.
        revision = info.sha if info is not None else _cached_commit(where, revision)
        wanted = list(files.FILES)
        if info is not None:
            sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
            wanted = _wanted(where, revision, list(sizes), name)
            fits(sum(size for file, size in sizes.items() if file in wanted and file.endswith(".safetensors")))
        bar = _reporting_bar(progress, f"Downloading {where}") if progress else None
        path = snapshot_download(
            where, revision=revision, allow_patterns=wanted, ignore_patterns=["*/*"], tqdm_class=bar
        )
    return measure(Path(path), name, revision)


def _wanted(where: str, revision: str, there: list[str], name: str) -> list[str]:
    """Return which files of a repository to fetch: of the weights only what the index names; raise ModelUnavailable where none are read.

    Config and index come first, so that what is refused is refused before its weights are downloaded.
    """
    from huggingface_hub import hf_hub_download

    top = [file for file in there if "/" not in file]
    first = [
        Path(hf_hub_download(where, file, revision=revision)).parent
        for file in (files.CONFIG, files.INDEX)
        if file in top
    ]
    if first:
        config = files.read(first[0], files.CONFIG, name) or {}
        files.check_format(config, name)
        files.check_quantization(config, name)
    weights = [file for file in top if file.endswith(".safetensors")]
    if top and not weights:
        raise WeightsError(
            f"{name} cannot be loaded: there are no .safetensors weights in {where}{files.other_format(there)}."
        )
    if files.INDEX in top:
        named = files.index_files(files.read(first[-1], files.INDEX, name) or {}) or weights
        weights = [files.WHOLE] if files.WHOLE in weights and files.WHOLE not in named else named
    elif files.WHOLE in weights:
        weights = [files.WHOLE]
    return [
        *weights,
        *(
            file
            for file in top
            if not file.endswith(".safetensors") and any(fnmatch(file, each) for each in files.FILES)
        ),
    ]


def _info(api: Any, where: str, revision: str) -> Any:
    """Return what the hub says about a revision, or None where it cannot be reached."""
    try:
        return api.model_info(where, revision=revision or None, files_metadata=True)
    except Exception as error:
        if names_of(error) & UNREACHABLE:
            return None
        raise


def _cached_commit(where: str, revision: str) -> str:
    """Return the commit, or the newest one in the local cache where none is asked for."""
    from huggingface_hub.constants import HF_HUB_CACHE

    ref = Path(HF_HUB_CACHE) / f"models--{where.replace('/', '--')}" / "refs" / "main"
    return ref.read_text().strip() if not revision and ref.is_file() else revision


def measure(folder: Path, name: str, revision: str = "") -> Checkpoint:
    """Read a folder's config and the size of its weights; raise ModelUnavailable naming what is missing."""
    config = files.read(folder, files.CONFIG, name)
    if config is None:
        lacks = f"{folder.name}/{files.CONFIG} is missing{files.other_format(files.names(folder))}"
        raise ModelUnavailable(f"{name} cannot be loaded: {lacks}.")
    weights = files.weight_files(folder, name)
    if not weights:
        lacks = f"there are no .safetensors weights in {folder.name}{files.other_format(files.names(folder))}"
        raise WeightsError(f"{name} cannot be loaded: {lacks}.")
    files.check_format(config, name)
    size = sum((folder / file).stat().st_size for file in weights)
    return Checkpoint(folder, config, size, revision, files.read(folder, "generation_config.json", name) or {})


def load_tokenizer(checkpoint: Checkpoint, name: str) -> Any:
    """Return the checkpoint's tokenizer; raise ModelUnavailable."""
    from transformers import AutoTokenizer

    files.check_tokenizer(checkpoint, name)
    with told(name, "its tokenizer"):
        # False, not left out: left out, a checkpoint that brings code along stops everything to ask on the terminal.
        return AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)


def load_image_processor(checkpoint: Checkpoint, name: str) -> Any:
    """Return the checkpoint's image processor; raise ModelUnavailable. (The whole processor would also need a video library.)"""
    from transformers import AutoImageProcessor

    with told(name, "its image processor"):
        return AutoImageProcessor.from_pretrained(checkpoint.folder, local_files_only=True)


def load_model(
    cls: Any,
    checkpoint: Checkpoint,
    place: Placement,
    name: str,
    progress: Progress | None = None,
    keep: tuple[str, ...] = (),
) -> Any:
    """Return the weights in `cls`, placed as planned, ready to run; raise ModelUnavailable. keep: modules FP8 must leave alone."""
    options: dict[str, Any] = {
        "dtype": "auto",
        "device_map": place.device_map,
        "local_files_only": True,
        "use_safetensors": True,
        "trust_remote_code": False,
    }
    if place.max_memory:
        options["max_memory"] = place.max_memory
    files.check_quantization(checkpoint.config, name)
    with told(name, "its weights"), _weights_progress(progress, f"Loading {name} {place.words}"):
        if place.way == "fp8":
            from transformers import FineGrainedFP8Config

            options["quantization_config"] = FineGrainedFP8Config(modules_to_not_convert=list(keep))
        model, report = cls.from_pretrained(
            checkpoint.folder, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
        files.check_report(report, name)
    model = model.eval()
    left = left_on_meta(model)
    if left:
        model.tie_weights()
        left = left_on_meta(model)
    if left:
        count = f"{len(left)} weights have no memory, {left[0]} among them"
        raise ModelUnavailable(f"{name} was not loaded whole: {count}; try it on one GPU or with CPU offload.")
    return model


def left_on_meta(model: Any) -> list[str]:
    """Return the names of weights that hold nothing. Weights that accelerate brings in for each pass are not among them."""
    left = []
    for path, module in model.named_modules():
        hook = getattr(module, "_hf_hook", None)
        hooks = getattr(hook, "hooks", (hook,))
        if any(getattr(h, "offload", False) for h in hooks):
            continue
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        left += [f"{path}.{name}" for name, tensor in own if tensor.is_meta]
    return left


# ---------------------------------------------------------------- progress
def _reporting_bar(progress: Progress, words: str) -> type:
    """Return a progress bar class for huggingface_hub that reports instead of drawing."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any):
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": False, "file": _Nowhere()})

        def update(self, n: float | None = 1) -> bool | None:
            done = super().update(n)
            if self.total:
                progress(min(1.0, self.n / self.total), words)
            return done

    return Bar


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


@contextlib.contextmanager
def _weights_progress(progress: Progress | None, words: str) -> Iterator[None]:
    """Report transformers' 'Loading weights' bar, where this version lets one hook it."""
    from transformers.utils import logging as transformers_logging

    set_hook = getattr(transformers_logging, "set_tqdm_hook", None)
    if progress is None:
        yield
        return
    progress(0.0, words)
    previous = (
        set_hook(lambda factory, args, kwargs: _reporting_bar(progress, words)(*args, **kwargs)) if set_hook else None
    )
    try:
        yield
    finally:
        if set_hook:
            set_hook(previous)
    progress(1.0, words)


# ---------------------------------------------------------------- failures
@contextlib.contextmanager
def told(name: str, what: str = "it") -> Iterator[None]:
    """Turn what libraries raise into a sentence for the visitor; the log keeps the rest. Memory errors pass, the engine knows them."""
    try:
        yield
    except (ModelUnavailable, MemoryError):
        raise
    except Exception as error:
        if "out of memory" in str(error).lower():
            raise
        log.error("loading %s of %s failed: %s: %s", what, name, type(error).__name__, error)
        sentence = _sentence(error, name, what)
        kind = WeightsError if "damaged" in sentence else ModelUnavailable
        raise kind(sentence) from None


def _sentence(error: BaseException, name: str, what: str) -> str:
    names = names_of(error)
    if "GatedRepoError" in names:
        return f"{name} is gated: accept its licence on its hub page, then log in with 'hf auth login' and try again."
    if names & {"RepositoryNotFoundError", "RevisionNotFoundError"}:
        return f"{name} was not found on the hub; check the id and the revision, or log in with 'hf auth login' if it is private."
    if names & UNREACHABLE:
        return f"{name} is not on this machine and the hub cannot be reached; connect once, or give a local folder."
    if names & {"SafetensorError", "JSONDecodeError", "UnicodeDecodeError"} or "header" in str(error).lower():
        return f"{name} cannot be loaded: a file of {what} is damaged ({str(error)[:100]}); download it again."
    if "No space left" in str(error):
        return f"{name} cannot be loaded: the disk is full."
    if isinstance(error, ImportError):
        return f"{name} cannot be loaded: {what} needs a package that is not installed ({_brief(error, 100)})."
    return f"{name} cannot be loaded: {what} could not be read ({type(error).__name__}: {_brief(error, 140)})."


def _brief(error: BaseException, most: int) -> str:
    """Return the first line of an error, cut between two words where it is long."""
    first = next(iter(str(error).strip().splitlines()), "").rstrip(".")
    return first if len(first) <= most else first[:most].rsplit(" ", 1)[0] + " ..."


def names_of(error: BaseException | None) -> set[str]:
    """Return the class names of an error, its bases, and what caused it: libraries need not be imported to be recognised."""
    names: set[str] = set()
    while error is not None:
        names |= {cls.__name__ for cls in type(error).__mro__}
        error = error.__cause__ or error.__context__
    return names
