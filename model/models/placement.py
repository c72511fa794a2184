"""Where a large model can go on this machine: one GPU, one GPU in FP8, several, with the processor's help, or nowhere, and why not.

A decision, not an attempt: `plan` is a function of sizes, so that every refusal can be tested without the hardware it speaks of.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from model.errors import ModelUnavailable

WAYS = ("auto", "gpu", "fp8", "gpus", "offload", "cpu")
SMALL = 8e9  # bytes of weights that a processor alone can be expected to carry
GB = 1e9


@dataclass(frozen=True)
class GPU:
    """One accelerator: free and total memory in bytes; fp8: whether it computes with 8-bit floats (compute capability 8.9 or later)."""

    name: str
    free: int
    total: int
    fp8: bool


@dataclass(frozen=True)
class Hardware:
    """What this machine has free right now, in bytes."""

    gpus: tuple[GPU, ...]
    ram: int


@dataclass(frozen=True)
class Placement:
    """A decision. way: one of WAYS but 'auto'; words: for the visitor; device_map and max_memory: as transformers takes them."""

    way: str
    words: str
    device_map: str | dict[str, str]
    max_memory: dict[int | str, int] | None = None


@dataclass(frozen=True)
class Needs:
    """Bytes a model takes: its weights as stored, in FP8 (0: not possible), and what a run takes beside them."""

    name: str
    weights: int
    fp8: int = 0
    working: int = 2_000_000_000


def survey() -> Hardware:
    """Look at the machine (imports torch)."""
    import torch

    gpus = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(index)
        gpus.append(
            GPU(torch.cuda.get_device_name(index), free, total, torch.cuda.get_device_capability(index) >= (8, 9))
        )
    return Hardware(tuple(gpus), free_ram())


def free_ram() -> int:
    """Bytes of memory the system could give away now."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0


def fetched(hub_id: str) -> bool:
    """Whether the hub's cache has weights of this id; cheap, imports nothing."""
    return next((_cache(hub_id) / "snapshots").glob("*/*.safetensors"), None) is not None


def cached(hub_id: str, *revisions: str) -> Path | None:
    """Return the hub's cache of an id at the first revision that is given, or at its newest; None where there is none."""
    cache = _cache(hub_id)
    revision = next(filter(None, revisions), "")
    with contextlib.suppress(OSError, ValueError):
        folder = cache / "snapshots" / (revision or (cache / "refs" / "main").read_text().strip())
        return folder if folder.is_dir() else None
    return None


def _cache(hub_id: str) -> Path:
    home = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub"
    return Path(home).expanduser() / f"models--{hub_id.replace('/', '--')}"


def gpu_seen() -> bool:
    """Whether an NVIDIA driver is here; cheap, imports nothing."""
    return Path("/dev/nvidiactl").exists() or Path("/proc/driver/nvidia").exists() or Path("/dev/dxg").exists()


def plan(needs: Needs, hardware: Hardware, way: str = "auto") -> Placement:
    """Return where the model goes; raise ModelUnavailable with the numbers, and what would fit, where it cannot."""
    if way not in WAYS:
        raise ModelUnavailable(f"A model's place must be one of {', '.join(WAYS)}; it was '{way[:20]}'.")
    able = {
        name: place for name in ("gpu", "fp8", "gpus", "offload", "cpu") if (place := _place(name, needs, hardware))
    }
    if way != "auto":
        if way in able:
            return able[way]
        raise ModelUnavailable(_why_not(needs, hardware, [way], able))
    for name in ("gpu", "fp8", "gpus"):
        if name in able:
            return able[name]
    if "cpu" in able and (needs.weights <= SMALL and not hardware.gpus):
        return able["cpu"]
    raise ModelUnavailable(_why_not(needs, hardware, ["gpu", "fp8"], able))


def _place(way: str, needs: Needs, hardware: Hardware) -> Placement | None:
    """Return the placement if it fits."""
    best = max(hardware.gpus, key=lambda gpu: gpu.free, default=None)
    index = hardware.gpus.index(best) if best else 0
    if way == "gpu" and best and best.free >= needs.weights + needs.working:
        return Placement(way, f"on {best.name}, {_gb(needs.weights)} of weights", {"": f"cuda:{index}"})
    if way == "fp8" and best and needs.fp8 and best.fp8 and best.free >= needs.fp8 + needs.working:
        return Placement(way, f"on {best.name} in FP8, {_gb(needs.fp8)} of weights", {"": f"cuda:{index}"})
    room: dict[int | str, int] = {
        i: int(gpu.free - needs.working) for i, gpu in enumerate(hardware.gpus) if gpu.free > needs.working
    }
    if way == "gpus" and len(room) > 1 and sum(room.values()) >= needs.weights:
        # 'auto' and 'balanced' may leave tied weights on the meta device; filling one GPU after the other does not.
        return Placement(way, f"over {len(room)} GPUs", "sequential", {**room})
    if way == "offload" and room and sum(room.values()) + hardware.ram * 0.8 >= needs.weights:
        memory: dict[int | str, int] = {**room, "cpu": int(hardware.ram * 0.8)}
        return Placement(way, "partly on the GPU, the rest in main memory, seconds a step", "auto", memory)
    if way == "cpu" and hardware.ram * 0.8 >= needs.weights + needs.working / 2:
        return Placement(way, "on the processor", {"": "cpu"})
    return None


def _why_not(needs: Needs, hardware: Hardware, tried: list[str], able: dict[str, Placement]) -> str:
    wanted = {"gpu": needs.weights + needs.working, "fp8": needs.fp8 + needs.working}
    size = " or ".join(
        _gb(wanted[way]) + " in FP8" * (way == "fp8") for way in tried if way in wanted and (way != "fp8" or needs.fp8)
    )
    if not hardware.gpus:
        what, have = f"a GPU with {size} of free memory" if size else "a GPU", "this machine has none"
    else:
        best = max(hardware.gpus, key=lambda gpu: gpu.free)
        have = f"{best.name} has {_gb(best.free)} free of {_gb(best.total)}"
        if tried == ["fp8"] and not best.fp8:
            have += " and cannot compute in FP8"
        what = f"{size} of GPU memory" if size else f"{_gb(needs.weights + needs.working)} over all GPUs"
    if tried == ["cpu"]:
        what, have = f"{_gb(needs.weights / 0.8)} of main memory", f"{_gb(hardware.ram)} are free"
    if tried == ["offload"] and hardware.gpus:
        what, have = (
            f"{_gb(needs.weights)} of GPU and main memory together",
            f"{have}, and {_gb(hardware.ram)} of main memory are free",
        )
    fits = [f"'{name}' ({place.words})" for name, place in able.items() if name not in tried]
    return f"{needs.name} needs {what}; {have}. " + (
        f"What would fit: {', '.join(fits)}." if fits else "A smaller model would fit."
    )


def _gb(size: float) -> str:
    return f"{size / GB:.1f} GB"
