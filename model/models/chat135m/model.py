"""The model that ships: SmolLM2-135M-Instruct, adapted to block diffusion. Runs on any CPU, offline, from `assets/weights/`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from model.errors import WeightsError
from model.holes import ASK
from model.loops.masked import Predictor
from model.models.base import TorchModel
from model.models.chat135m import int8
from model.models.chat135m.fill import filling
from model.models.chat135m.network import Network, Session
from model.models.chat135m.record import BUILTIN
from model.models.chat135m.weights import FOLDER, Manifest, load_builtin, read_file, read_manifest
from model.settings import Settings
from model.text import before

START, END = 1, 2  # <|im_start|>, <|im_end|>
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def fast_dtype() -> torch.dtype:
    """Return bfloat16 where this CPU multiplies it fast (AMX, AVX512-BF16, Arm BF16), else float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        flags = ""
    fast = any(flag in flags for flag in ("amx_bf16", "avx512_bf16", " bf16"))
    return torch.bfloat16 if fast and torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def chosen_dtype() -> torch.dtype:
    """Return what the built-in network computes in here: bfloat16 where that is fast, else 8-bit products where they are, else float32."""
    known = fast_dtype()
    return torch.int8 if known == torch.float32 and int8.faster() else known


class Builtin(TorchModel):
    """The built-in network with its tokenizer. dtype: None chooses by the CPU, int8 keeps the weights as they are stored."""

    def __init__(
        self,
        folder: Path | str = FOLDER,
        dtype: torch.dtype | None = None,
        progress: Callable[[float, str], None] | None = None,
    ):
        report = progress or (lambda share, what: None)
        report(0.05, "Checking the weights")
        manifest, self._folder = read_manifest(folder), folder
        self.spec = replace(BUILTIN, block_lengths=(1, *manifest.block_lengths), revision=manifest.version)
        self.weights_sha256 = manifest.sha256
        raw = read_file(folder, "tokenizer.json", manifest)
        try:
            self._tokenizer = Tokenizer.from_str(raw.decode())
        except Exception as error:  # the tokenizers library raises bare Exception
            raise WeightsError(f"{Path(folder) / 'tokenizer.json'} cannot be read: {str(error)[:100]}.") from error
        dtype = dtype or chosen_dtype()
        self.dtype = str(dtype).removeprefix("torch.")
        report(0.2, "Reading the weights")
        self.network = self._load(folder, dtype, manifest)
        self._bytes = _byte_pieces(self._tokenizer)
        report(0.9, "Warming up")
        self._prefix = self._system_cache()
        self._said: tuple[list[int], torch.Tensor] | None = (
            None  # of the last conversation, up to its last turn but one
        )
        report(1.0, "Ready")

    def _load(self, folder: Path | str, dtype: torch.dtype, manifest: Manifest) -> Network:
        """Return the network of a folder; a subclass may have another one that a session can ask."""
        return Network(load_builtin(folder, dtype), manifest.config, self.spec.max_tokens)

    def _system_cache(self) -> tuple[list[int], torch.Tensor] | None:
        """Compute the default system turn's cache once; every prompt begins with it. Doubles as the warm-up."""
        ids = self._turn("system", SYSTEM)
        cache = self.network.new_cache(len(ids))
        hidden = self.network.forward(torch.tensor(ids), 0, cache, causal=True)
        self.network.logits(hidden[-1:])
        return ids, cache

    def _turn(self, role: str, text: str) -> list[int]:
        return [START, *self.tokens(f"{role}\n{text}"), END, *self.tokens("\n")]

    def encode(self, prompt: str, system: str = "") -> list[int]:
        """Return SmolLM2's chat template around the prompt (system turn, user turn, start of the answer)."""
        ids = self._turn("system", system or SYSTEM)
        for role, text in before(prompt):
            ids += (
                self._turn(role, text)
                if role == "user"
                else [*self._opening, *self.tokens(text), END, *self.tokens("\n")]
            )
        return [*ids, *self._turn("user", prompt), *self._opening]

    @functools.cached_property
    def _opening(self) -> list[int]:
        """What the template puts before an answer."""
        return [START, *self.tokens("assistant\n")]

    def _turns(self, ids: list[int]) -> list[int]:
        """Return where each turn of a conversation's prompt ends, the last left out: right behind what opens an answer."""
        size = len(self._opening)
        ends = [at + size for at in range(len(ids)) if ids[at : at + size] == self._opening]
        return [end for end in ends if end < len(ids)]

    def tokens(self, text: str) -> list[int]:
        """Return ids of plain text: '<|im_end|>' or '<empty_output>' typed by a visitor stay ordinary text."""
        return self._plain.encode(text, add_special_tokens=False).ids

    @functools.cached_property
    def _plain(self) -> Tokenizer:
        """The tokenizer with its special tokens treated as text."""
        plain = Tokenizer.from_str(self._tokenizer.to_str())
        plain.encode_special_tokens = True
        return plain

    def piece(self, token: int) -> bytes:
        """Return the bytes of one token."""
        return self._bytes[token] if 0 <= token < len(self._bytes) else b""

    def predictor(
        self, prompt: str, system: str, ids: list[int], length: int, settings: Settings, mode: str
    ) -> Predictor:
        """Return a session over the network; guidance is not offered for this model."""
        assert self.spec.mask_id is not None
        network = self.filler if ASK in prompt else self.network
        turns = self._turns(ids) if before(prompt) else []
        kept = self._said if turns and self._said and ids[: len(self._said[0])] == self._said[0] else self._prefix
        session = Session(network, ids, length, self.spec.mask_id, kept)
        session.turns = [end for end in turns if end > session.ready]
        session.keep = self._keep if turns and network is self.network else None
        return session

    def _keep(self, ids: list[int], cache: torch.Tensor) -> None:
        """Remember the cache of a conversation's earlier turns.

        Each is read in a pass of its own, so going on from it equals reading it anew, to the bit.
        """
        self._said = (ids, cache)

    @functools.cached_property
    def filler(self) -> Network:
        """The network as it writes text with holes."""
        return filling(self.network, self._folder)

    @functools.cached_property
    def unwritten(self) -> tuple[int, ...]:
        """Control tokens, which no text holds: the beginning of a turn, names of files; not its ends."""
        marks = self._tokenizer.get_added_tokens_decoder()
        return tuple(sorted(set(marks) - {self.spec.mask_id} - set(self.spec.eos_ids)))


def _byte_pieces(tokenizer: Tokenizer) -> list[bytes]:
    """Bytes of every id of a byte-level BPE vocabulary (GPT-2's printable stand-ins undone)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    table = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(rest)}
    pieces = []
    for token in range(tokenizer.get_vocab_size()):
        text = tokenizer.id_to_token(token) or ""
        pieces.append(bytes(table[c] for c in text) if all(c in table for c in text) else text.encode())
    return pieces


def load(progress: Callable[[float, str], None] | None = None, **options: Any) -> Builtin:
    """Load the built-in model; raise WeightsError if its files are missing or damaged."""
    return Builtin(progress=progress, **options)
