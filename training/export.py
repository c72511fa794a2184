"""Write the weights that ship: base and decoder in 8-bit rows, tokenizer, licence and manifest, in files a repository can hold.

    python -m training.export --base HF_FOLDER --adapter adapter.safetensors --out assets/weights --version v1
    python -m training.export --base HF_FOLDER --full latest.safetensors --out assets/weights --version v2

--base: SmolLM2-135M-Instruct as a Hugging Face folder. --adapter: what `train --mode lora` saves. --full: what `train --mode full`
saves: one set of weights for both modes. Where --base is a folder that this wrote, an adapter's base files are copied as they are: a
new decoder changes no other file. What was written is read back and checked at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from model.models.chat135m.weights import FORMAT, LINEARS, Config, load_builtin, seal

from .network import EOS, MASK, read_adapter, read_base

MAX_FILE = 90_000_000
BLOCK_LENGTHS = (4, 8, 16, 32, 64)
CARD = Path(__file__).parent / "card"
CURVE = Path(__file__).parent / "results" / "curve.md"  # written by training.evaluate


def rows_to_int8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (int8 [R, C], bfloat16 scale [R]) with weight ~ int8 * scale; raise ValueError if the weight is not finite.

    The scale is rounded up to bfloat16 first: no row overflows, and int8 * scale is the stored value exactly.
    """
    if not torch.isfinite(weight).all():
        raise ValueError("a weight is not finite")
    weight = weight.float()
    scale = (weight.abs().amax(1) / 127).clamp_min(1e-12)
    rounded = scale.bfloat16()
    rounded = torch.where(
        rounded.float() < scale, torch.nextafter(rounded, torch.full_like(rounded, torch.inf)), rounded
    )
    return (weight / rounded.float()[:, None]).round().clamp_(-127, 127).to(torch.int8), rounded


def pack(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors as stored: matrices as `.int8` and `.scale`, vectors in bfloat16."""
    packed = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            packed[f"{name}.int8"], packed[f"{name}.scale"] = rows_to_int8(tensor)
        else:
            packed[name] = tensor.bfloat16().contiguous()
    return packed


def adapter_tensors(adapter: dict[str, torch.Tensor], config: Config) -> tuple[int, dict[str, torch.Tensor]]:
    """Return (rank, tensors named as in `model.weights`) of a saved adapter: `{i}.{linear}.A`, `.B`, `mask` and `follow.A`, `.B`."""
    tensors = {"mask_row": adapter["mask"]}
    for i in range(config.layers):
        for name in LINEARS:
            tensors |= {f"decoder.{i}.{name}.{half}": adapter[f"{i}.{name}.{half}"] for half in "AB"}
    return adapter["0.qkv.A"].shape[0], tensors | {name: t for name, t in adapter.items() if name.startswith("follow.")}


def shards(
    tensors: dict[str, torch.Tensor], stem: str, max_bytes: int = MAX_FILE
) -> dict[str, dict[str, torch.Tensor]]:
    """Return {file name: tensors}, in order, in files of similar size below `max_bytes`."""
    size = sum(t.nbytes for t in tensors.values())
    count = -(-size // max_bytes)
    files: list[dict[str, torch.Tensor]] = [{} for _ in range(count)]
    done = 0
    for name, tensor in tensors.items():
        files[min(count - 1, done * count // size)][name] = tensor
        done += tensor.nbytes
    return {
        f"{stem}.safetensors" if count == 1 else f"{stem}-{i + 1}-of-{count}.safetensors": file
        for i, file in enumerate(files)
    }


def tokenizer_files(folder: Path) -> dict[str, bytes]:
    """Return the tokenizer in compact JSON, and the chat template, by file name."""
    table = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    compact = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    template = folder / "chat_template.jinja"
    text = (
        template.read_text()
        if template.exists()
        else json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
    )
    return {"tokenizer.json": compact, "chat_template.jinja": text.encode()}


def card_files(version: str, tokens: int, rank: int) -> dict[str, bytes]:
    """Return licence, notice and model card by file name, the card filled in."""
    files = {path.name: path.read_bytes() for path in sorted(CARD.iterdir())}
    curve = CURVE.read_text().strip() if CURVE.exists() else "Not measured yet: `python -m training.evaluate`."
    card = files["MODEL_CARD.md"].decode()
    values = {
        "version": version,
        "tokens": f"{tokens:,}" if tokens else "an unrecorded number of",
        "rank": str(rank),
        "curve": curve,
    }
    for name, value in values.items():
        card = card.replace(f"{{{name}}}", value)
    files["MODEL_CARD.md"] = card.encode()
    return files


def listing(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what the manifest says of each file: its sha256 and its size."""
    found = {name: (folder / name).read_bytes() for name in names}
    return {name: {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)} for name, raw in found.items()}


def packed(tensors: dict[str, torch.Tensor], stem: str) -> dict[str, bytes]:
    """Return the files of tensors by name, matrices at 8 bits a weight."""
    return {name: save(part) for name, part in shards(pack(tensors), stem).items()}


def write(
    out: Path,
    config: Config,
    files: dict[str, bytes],
    adapter: dict[str, torch.Tensor] | None,
    texts: dict[str, bytes],
    version: str,
    about: dict[str, Any],
) -> Path:
    """Write every file, then the manifest; read the result back. files: the base's. Returns the manifest's path."""
    out.mkdir(parents=True, exist_ok=True)
    rank, extra = adapter_tensors(adapter, config) if adapter else (0, {})
    if extra:
        files = files | packed(extra, "decoder")
    for stale in [*out.glob("*.safetensors"), out / "manifest.json"]:
        stale.unlink(missing_ok=True)
    for name, raw in (files | texts).items():
        (out / name).write_bytes(raw)
    listed = listing(out, [*files, *(name for name in texts if name.endswith((".json", ".jinja")))])
    manifest = {
        "format": FORMAT,
        "version": version,
        "config": vars(config),
        "rank": rank,
        "mask_id": MASK,
        "eos_id": EOS,
        "block_lengths": BLOCK_LENGTHS,
        "files": listed,
        "about": about,
    }
    manifest = json.loads(json.dumps(manifest))
    path = out / "manifest.json"
    path.write_text(json.dumps(manifest | {"seal": seal(manifest)}, indent=1) + "\n")
    load_builtin(out)
    return path


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--base", type=Path, required=True)
    source = cli.add_mutually_exclusive_group(required=True)
    source.add_argument("--adapter", type=Path)
    source.add_argument("--full", type=Path)
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--version", required=True, help="a name for these weights, such as v1")
    cli.add_argument(
        "--tokens", type=int, default=0, help="answer tokens seen in training, all runs together; kept in the manifest"
    )
    args = cli.parse_args(argv)
    config, base = read_base(args.base)
    if args.full:
        base |= load_file(args.full)
    adapter = read_adapter(args.adapter) if args.adapter else None
    rank = adapter["0.qkv.A"].shape[0] if adapter else 0
    texts = tokenizer_files(args.base) | card_files(args.version, args.tokens, rank)
    about = {"base": "HuggingFaceTB/SmolLM2-135M-Instruct", "license": "Apache-2.0", "training_tokens": args.tokens}
    exported = (args.base / "manifest.json").is_file() and not args.full
    files = (
        {path.name: path.read_bytes() for path in args.base.glob("base*.safetensors")}
        if exported
        else packed(base, "base")
    )
    path = write(args.out, config, files, adapter, texts, args.version, about)
    total = sum(file.stat().st_size for file in args.out.iterdir())
    print(
        f"{path}: {total / 1e6:.1f} MB in all, largest {max(f.stat().st_size for f in args.out.iterdir()) / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
