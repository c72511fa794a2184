"""Weights on disk: 8-bit rows in safetensors files beside a manifest, read and checked in one go.

A folder holds `manifest.json`, the files it names (sha256 and size each), and nothing that could run code: pickled files are
never opened. A matrix `name` [R, C] is stored as `name.int8` [R, C] and `name.scale` [R] (bfloat16); weight = int8 * scale. The
scales were rounded before the rows were, so the product is exact in float32 and rounds once to bfloat16.

Tensors, D width, I inner width, V vocabulary: `embedding` [V, D], `norm` [D], per layer i `layers.{i}.` `qkv` [(H + 2 KV) * 64, D],
`o` [D, D], `gate_up` [2 I, D], `down` [D, I], `norm1`, `norm2` [D]: the autoregressive weights, tied embedding. The denoising
decoder differs by a low-rank product per matrix, layers + B A (LoRA, arXiv:2106.09685), stored as
`decoder.{i}.{linear}.A` [rank, columns] and `.B` [rows, rank], and by `mask_row` [D], the embedding of the mask token; both are
absent where one set of weights serves both modes. `follow.A` [2 D, 3 D] and `follow.B` [D, 2 D], where they exist, weigh a mask's guesses
again once the tokens before them are known. `fill.safetensors`, where it exists, holds another low-rank product per matrix,
`{i}.{linear}.A` and `.B`, for the rows of the causal pass over a text with holes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import WeightsError
from model.paths import ASSETS

if TYPE_CHECKING:
    import torch

FOLDER = ASSETS / "weights"
FORMAT = "inkblot-weights"
FILL = "fill.safetensors"  # used for text with holes alone: no part of the fingerprint of what writes all else
LINEARS = ("qkv", "o", "gate_up", "down")
_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Config:
    """Sizes of the transformer: a Llama with grouped-query attention and a tied embedding."""

    layers: int = 30
    width: int = 576
    heads: int = 9
    kv_heads: int = 3
    head_dim: int = 64
    inner: int = 1536
    vocab: int = 49152
    rope_theta: float = 100_000.0
    norm_eps: float = 1e-5

    def linear(self, name: str) -> tuple[int, int]:
        """Return (rows, columns) of one of `LINEARS`."""
        return {
            "qkv": ((self.heads + 2 * self.kv_heads) * self.head_dim, self.width),
            "o": (self.width, self.heads * self.head_dim),
            "gate_up": (2 * self.inner, self.width),
            "down": (self.width, self.inner),
        }[name]


@dataclass(frozen=True)
class Manifest:
    """What a folder of weights promises. rank 0: no decoder of its own. sha256: one fingerprint over all files but `FILL`."""

    config: Config
    files: dict[str, dict[str, Any]]
    rank: int
    mask_id: int
    eos_id: int
    block_lengths: tuple[int, ...]
    version: str
    sha256: str
    about: dict[str, Any] = field(default_factory=dict)


def read_manifest(folder: Path | str = FOLDER) -> Manifest:
    """Return the folder's manifest; raise WeightsError if it is missing or malformed. Reads no weights."""
    path = Path(folder) / "manifest.json"
    try:
        raw = path.read_bytes()
        found = json.loads(raw)
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}, not {FORMAT!r}")
        files = {
            str(name): {"sha256": str(row["sha256"]), "bytes": int(row["bytes"])}
            for name, row in found["files"].items()
        }
        if any(Path(name).name != name for name in files):
            raise ValueError("it names a file outside its folder")
        everything = "".join(f"{name}:{files[name]['sha256']};" for name in sorted(files) if name != FILL)
        _check(found)
        return Manifest(
            Config(**found["config"]),
            files,
            found["rank"],
            found["mask_id"],
            found["eos_id"],
            tuple(found["block_lengths"]),
            str(found["version"]),
            hashlib.sha256(everything.encode()).hexdigest(),
            dict(found.get("about", {})),
        )
    except FileNotFoundError:
        raise WeightsError(f"The built-in weights are missing: there is no {path}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read: {error}.") from error


def seal(manifest: dict[str, Any]) -> str:
    """Return a manifest's own checksum: what no shape shows (how many heads a matrix is of, the rotary base) was not edited either."""
    told = {name: value for name, value in manifest.items() if name != "seal"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _check(found: dict[str, Any]) -> None:
    """Raise ValueError where a manifest's numbers are none, contradict each other, or are not those it was sealed with."""
    config = found["config"]
    sizes = [name for name in config if name not in ("rope_theta", "norm_eps")]
    counts = {name: config[name] for name in sizes} | {name: found[name] for name in ("rank", "mask_id", "eos_id")}
    counts |= {f"block_lengths[{i}]": length for i, length in enumerate(found["block_lengths"])}
    for name, value in counts.items():
        if type(value) is not int or value < (name not in ("rank", "mask_id", "eos_id")) or value > 10_000_000:
            raise ValueError(f"its {name} is {str(value)[:40]!r}, which is no such number")
    for name in ("rope_theta", "norm_eps"):
        value = config[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
            raise ValueError(f"its {name} is {str(value)[:40]!r}, which is no such number")
    if config["heads"] % config["kv_heads"] or config["head_dim"] % 2:
        raise ValueError(f"{config['heads']} heads of {config['head_dim']} do not share {config['kv_heads']} keys")
    if max(found["mask_id"], found["eos_id"]) >= config["vocab"] or found["mask_id"] == found["eos_id"]:
        raise ValueError(
            f"mask_id {found['mask_id']} and eos_id {found['eos_id']} are not two tokens of {config['vocab']}"
        )
    if found.get("seal") != seal(found):
        raise ValueError("it was edited after it was written; fetch it again")


def read_file(folder: Path | str, name: str, manifest: Manifest) -> bytes:
    """Return the bytes of one listed file, its size and sha256 checked; raise WeightsError naming the file and the cause."""
    path = Path(folder) / name
    promised = manifest.files.get(name)
    if promised is None:
        raise WeightsError(f"{path} is not listed in its manifest.")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    if raw.startswith(_LFS):
        raise WeightsError(f"{path} is a Git LFS pointer, not the file itself: run 'git lfs pull'.")
    if len(raw) != promised["bytes"]:
        raise WeightsError(f"{path} is incomplete: it has {len(raw):,} bytes, its manifest says {promised['bytes']:,}.")
    if hashlib.sha256(raw).hexdigest() != promised["sha256"]:
        raise WeightsError(f"{path} is damaged: its sha256 differs from its manifest.")
    return raw


def load_builtin(folder: Path | str = FOLDER, dtype: torch.dtype | None = None) -> dict[str, Any]:
    """Return every tensor of the folder by the names above, in `dtype` (default bfloat16); int8: matrices that a product or the
    embedding needs as they are stored (`int8.Rows`), the rest in float32.

    Row `mask_id` of `embedding` already is the mask row (its logit is never wanted and no clean text holds it). Raise WeightsError on
    any missing, damaged, renamed, misshapen or non-finite tensor.
    """
    import torch

    from model.models.chat135m.int8 import Rows

    manifest = read_manifest(folder)
    dtype = dtype or torch.bfloat16
    stored = _read_tensors(folder, manifest, [name for name in manifest.files if name != FILL])
    tensors = {}
    for name, shape in _base_shapes(manifest.config).items():
        tensors[name] = _take(stored, name, shape, dtype)
    for i in range(manifest.config.layers):
        for linear in LINEARS if manifest.rank else ():
            (rows, columns), key = manifest.config.linear(linear), f"decoder.{i}.{linear}"
            tensors[f"{key}.A"] = _take(stored, f"{key}.A", (manifest.rank, columns), dtype)
            up = _take(stored, f"{key}.B", (rows, manifest.rank), dtype)
            tensors[f"{key}.B"] = up.expanded() if isinstance(up, Rows) else up
    width, table, mask = manifest.config.width, tensors["embedding"], manifest.mask_id
    if manifest.rank:
        tensors["mask_row"] = _take(stored, "mask_row", (width,), dtype)
    else:
        tensors["mask_row"] = table.take(torch.tensor(mask)) if isinstance(table, Rows) else table[mask].clone()
    if isinstance(table, Rows):
        for part, row in zip(table, Rows.of(tensors["mask_row"][None]), strict=True):
            part[mask] = row[0]
    else:
        table[mask] = tensors["mask_row"]
    for half, rows, columns in (("A", 2 * width, 3 * width), ("B", width, 2 * width)):
        if f"follow.{half}.int8" in stored:
            tensors[f"follow.{half}"] = _take(stored, f"follow.{half}", (rows, columns), dtype)
    if stored:
        raise WeightsError(f"The weights in {folder} hold a tensor that does not belong there: {sorted(stored)[0]}.")
    return tensors


def load_fill(folder: Path | str, config: Config, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return the tensors of `FILL` in a dtype; none where the folder has no such file. Raise WeightsError as `load_builtin` does."""
    manifest = read_manifest(folder)
    stored = _read_tensors(folder, manifest, [name for name in manifest.files if name == FILL])
    out = {}
    for i in range(config.layers):
        for linear in LINEARS:
            low = stored.get(f"{i}.{linear}.A.int8")
            if low is not None:
                rows, columns = config.linear(linear)
                out[f"{i}.{linear}.A"] = _take(stored, f"{i}.{linear}.A", (len(low), columns), dtype)
                out[f"{i}.{linear}.B"] = _take(stored, f"{i}.{linear}.B", (rows, len(low)), dtype)
    if stored:
        raise WeightsError(f"The weights in {folder} hold a tensor that does not belong there: {sorted(stored)[0]}.")
    return out


def _base_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"embedding": (config.vocab, config.width), "norm": (config.width,)}
    for i in range(config.layers):
        shapes |= {f"layers.{i}.{name}": config.linear(name) for name in LINEARS}
        shapes |= {f"layers.{i}.norm1": (config.width,), f"layers.{i}.norm2": (config.width,)}
    return shapes


def _read_tensors(folder: Path | str, manifest: Manifest, names: Iterable[str]) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    stored: dict[str, torch.Tensor] = {}
    for name in names:
        if name.endswith(".safetensors"):
            raw = read_file(folder, name, manifest)
            try:
                stored |= load(raw)
            except (SafetensorError, ValueError, KeyError) as error:
                raise WeightsError(f"{Path(folder) / name} is not a valid safetensors file: {error}.") from error
    return stored


def _take(stored: dict[str, torch.Tensor], name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Any:
    """Remove `name` from `stored` and return it expanded to `dtype` (int8: as its rows), its shape and values checked."""
    import torch

    from model.models.chat135m.int8 import Rows

    scale = None
    values = stored.pop(name, None)
    if values is None:
        values, scale = stored.pop(f"{name}.int8", None), stored.pop(f"{name}.scale", None)
        if values is None or scale is None:
            raise WeightsError(f"The weights lack the tensor {name}.")
        if values.dtype != torch.int8 or tuple(scale.shape) != shape[:1]:
            raise WeightsError(
                f"The tensor {name} is stored as {values.dtype} with scales {tuple(scale.shape)}, not as 8-bit rows."
            )
    if tuple(values.shape) != shape:
        raise WeightsError(f"The tensor {name} has shape {tuple(values.shape)}, not {shape}.")
    if not torch.isfinite(values if scale is None else scale).all():
        raise WeightsError(f"The tensor {name} holds values that are not finite.")
    if dtype == torch.int8:
        return values.float() if scale is None else Rows(values, scale.float())
    expanded = values.to(dtype)
    return expanded if scale is None else expanded.mul_(scale.to(dtype)[:, None])
