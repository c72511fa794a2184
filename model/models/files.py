"""The files of a checkpoint: which are read, which weights belong to it, and what is refused by name before or after they are loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import ModelUnavailable, WeightsError

if TYPE_CHECKING:
    from model.models.hub import Checkpoint

CONFIG, INDEX, WHOLE = "config.json", "model.safetensors.index.json", "model.safetensors"
TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
FILES = ("*.json", "*.jinja", "*.safetensors", "*.model", "*.txt")
# buffers that older files carry, a head tied to the embedding, heads of an encoder that write no text
NOT_NEEDED = re.compile(r"inv_freq$|^lm_head\.weight$|(^|\.)(pooler|seq_relationship|sop_classifier)\.|position_ids$")
QUANTIZERS = {
    "compressed-tensors": "compressed-tensors",
    "bitsandbytes": "bitsandbytes",
    "awq": "gptqmodel",
    "gptq": "gptqmodel",
    "aqlm": "aqlm",
    "hqq": "hqq",
    "quanto": "optimum-quanto",
    "torchao": "torchao",
    "vptq": "vptq",
    "auto-round": "auto-round",
}

UNREAD = {  # methods whose stored weights transformers does not read, and who does
    "nvfp4": "which transformers makes from bfloat16 weights on a Blackwell GPU but does not read yet",
    "modelopt": "which vLLM and TensorRT-LLM read but transformers does not",
    "modelopt_fp4": "which vLLM and TensorRT-LLM read but transformers does not",
}


# ---------------------------------------------------------------- reading
def read(folder: Path, file: str, name: str) -> dict[str, Any] | None:
    """Return a JSON file's mapping, None where there is none; raise WeightsError where it is damaged."""
    try:
        said = json.loads((folder / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{name} cannot be loaded: {folder.name}/{file} is damaged ({str(error)[:80]}).") from None
    if not isinstance(said, dict):
        raise WeightsError(f"{name} cannot be loaded: {folder.name}/{file} is damaged (it holds no mapping).")
    return said


def weight_files(folder: Path, name: str) -> list[str]:
    """Return the weight files that a checkpoint's index names, or its one file; other copies of the weights beside them are none of it.

    Raises WeightsError where the index is damaged or a file is missing. Without an index every file of the folder counts.
    """
    index = read(folder, INDEX, name)
    if index is None:
        return [WHOLE] if (folder / WHOLE).is_file() else sorted(file.name for file in folder.glob("*.safetensors"))
    wanted = index_files(index)
    if wanted is None:
        raise WeightsError(f"{name} cannot be loaded: {folder.name}/{INDEX} is damaged (it names no files).")
    if WHOLE not in wanted and (folder / WHOLE).is_file():
        return [WHOLE]  # which is what transformers reads then
    if missing := [file for file in wanted if not (folder / file).is_file()]:
        count = f"{len(missing)} of {len(wanted)} weight files are missing"
        raise WeightsError(f"{name} cannot be loaded: {count}, {missing[0]} among them.")
    return wanted


def index_files(index: Mapping[str, Any]) -> list[str] | None:
    """Return the files that an index names, in order; None where it names none, or one outside its folder."""
    named = index.get("weight_map")
    files = sorted({str(file) for file in named.values()}) if isinstance(named, Mapping) else []
    return files if files and all(Path(file).name == file and file.endswith(".safetensors") for file in files) else None


def check_format(config: Mapping[str, Any], name: str) -> None:
    """Refuse weights that MLX quantized, whose names are the stock ones; raise ModelUnavailable."""
    said = config.get("quantization")
    if isinstance(said, Mapping) and "group_size" in said:
        raise ModelUnavailable(
            f"{name} cannot be loaded: its weights are quantized for MLX, which is not read here; take the original."
        )


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()] if folder.is_dir() else []


def other_format(files: list[str]) -> str:
    """Say what of these files is not read here, in words that go on a sentence."""
    for ending, words in ((".gguf", "GGUF"), (".npz", "MLX"), (".bin", "pickled PyTorch"), (".pth", "pickled PyTorch")):
        if any(file.endswith(ending) for file in files):
            return f"; it holds {words} weights, which are not read here: take the original in safetensors"
    return ""


def check_tokenizer(checkpoint: Checkpoint, name: str) -> None:
    """Refuse a checkpoint without any file that a tokenizer is read from; raise ModelUnavailable."""
    if not any((checkpoint.folder / file).is_file() for file in TOKENIZERS):
        lacks = (
            f"its tokenizer is missing: there is no tokenizer.json in {checkpoint.folder.name}, nor another vocabulary"
        )
        raise ModelUnavailable(f"{name} cannot be loaded: {lacks}.")


# ---------------------------------------------------------------- refusing
def check_report(report: Any, name: str) -> None:
    """Refuse what transformers would fill with random numbers, leave out or leave as it was made; raise WeightsError naming the first."""
    shapes = {
        key: f"has the shape {tuple(there)}, not {tuple(wanted)}" for key, there, wanted in report["mismatched_keys"]
    }
    unknown = [key for key in report["unexpected_keys"] if not NOT_NEEDED.search(key)]
    for keys, one, many in (
        (report["missing_keys"], "is missing", "are missing"),
        (shapes, "", "are of another shape"),
        (unknown, "is not known", "are not known"),
    ):
        if keys:
            first = min(map(str, keys))
            count = "" if len(keys) == 1 else f"{len(keys)} weights {many}; "
            raise WeightsError(f"{name} cannot be loaded: {count}the weight {first} {one or shapes[first]}.")


def method_of(config: Mapping[str, Any]) -> str:
    """Return how a checkpoint's weights are quantized, '' where they are not, or where the config does not say how."""
    said = config.get("quantization_config") or config.get("compression_config")
    if isinstance(said, Mapping) and (said.get("load_in_8bit") or said.get("load_in_4bit")):
        return "bitsandbytes"
    return str(said.get("quant_method") or "") if isinstance(said, Mapping) else ""


def check_quantization(config: Mapping[str, Any], name: str) -> None:
    """Refuse a quantization that transformers would skip with a warning, or whose package is missing; raise ModelUnavailable."""
    said = config.get("quantization_config") or config.get("compression_config")
    if not said:
        return
    from importlib.metadata import PackageNotFoundError, version

    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as KNOWN

    method = method_of(config)
    if config.get("model_type") == "diffusion_gemma" and method == "bitsandbytes":
        why = "which shrinks 1.7 of its 25.8 billion parameters and which transformers does not read back for it"
        needs = "take the unquantized checkpoint: it fits 31 GB of GPU memory in FP8"
        raise ModelUnavailable(f"{name} cannot be loaded: its weights are quantized by bitsandbytes, {why}; {needs}.")
    if why := UNREAD.get(method):
        raise ModelUnavailable(
            f"{name} cannot be loaded: its weights are quantized as '{method}', {why}; take the unquantized checkpoint."
        )
    if method not in KNOWN and method != "bitsandbytes":
        named = f"by a method that is not known here, '{method[:40]}'" if method else "and its config does not say how"
        raise ModelUnavailable(
            f"{name} cannot be loaded: its weights are quantized {named}; take the unquantized checkpoint."
        )
    if package := QUANTIZERS.get(method, ""):
        try:
            version(package)
        except PackageNotFoundError:
            needs = f"which needs the package {package}; install it, or take the unquantized checkpoint"
            raise ModelUnavailable(
                f"{name} cannot be loaded: its weights are quantized as '{method}', {needs}."
            ) from None
