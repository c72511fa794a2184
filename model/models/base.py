"""What every torch model shares: from a prompt to a `Run`, through the one loop of its family."""

from __future__ import annotations

import functools
import platform
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from model.draft import Draft
from model.errors import SettingError
from model.loops.autoregressive import decode
from model.loops.canvas import Canvas
from model.loops.masked import Predictor, denoise
from model.loops.plan import Plan
from model.loops.readout import FORBIDDEN
from model.loops.steering import Control, Steering
from model.loops.stopwatch import Clock, Stopwatch
from model.request import Request
from model.run import PAUSED, Model, Run
from model.settings import LOCAL, Limits, Settings
from model.spec import ModelSpec
from model.trace.frame import Frame
from model.trace.trace import Trace

SCORED_AT_ONCE = 128  # answer tokens whose logits are held at a time: 128 rows of 49,152 are 25 MB


@dataclass(frozen=True)
class Standing:
    """What stands on a canvas before a run: {position: id} pinned and kept, which never change, and ids to begin with, -1: undecided.

    spaced: positions whose word must bring the space before it.
    """

    pinned: dict[int, int]
    kept: dict[int, int] = field(default_factory=dict)
    start: Sequence[int] = ()
    spaced: tuple[int, ...] = ()


class TorchModel(Model):
    """A loaded masked or autoregressive model; subclasses say how to tokenize and how to predict."""

    spec: ModelSpec
    dtype = "float32"
    device = "cpu"
    weights_sha256 = ""

    @functools.cached_property
    def unwritten(self) -> tuple[int, ...]:
        """Rows of the network's output that the tokenizer has no token for: a text never holds them."""
        return ()

    @functools.cached_property
    def word_starts(self) -> torch.Tensor:
        """Which ids (V,) bring a space and then something else."""
        pieces = [self.piece(token) for token in range(self.spec.vocab_size)]
        return torch.tensor([piece[:1] == b" " and not piece[1:2].isspace() and len(piece) > 1 for piece in pieces])

    @abstractmethod
    def predictor(
        self, prompt: str, system: str, ids: list[int], length: int, settings: Settings, mode: str
    ) -> Predictor:
        """Return what the loop asks, for one run."""

    def fingerprint(self, mode: str) -> str:
        """Return the SHA-256 of the weights that write in a mode, '' where it is not known."""
        return self.weights_sha256

    def faults(self, trace: Trace) -> tuple[tuple[str, tuple[int, ...]], ...] | None:
        """Return what is wrong with a finished text, (a sentence, positions) each; None: nothing can tell."""
        return None

    def verdict(self, prompt: str, ids: Sequence[int]) -> tuple[tuple[str, tuple[int, ...]], ...] | None:
        """Return what is wrong with a whole canvas, (a sentence, positions) each; None: nothing can tell."""
        return None

    def reader(self, prompt: str, length: int, seed: int = 0) -> Any:
        """Return what reads open places of a canvas of `length` for one form; see `model.loops.reading`."""
        from model.loops.reading import MaskedReader

        spec = self.spec
        settings = Settings(seed=seed, block_length=max(spec.block_lengths, default=0))
        predictor = self.predictor(prompt, "", self.encode(prompt), length, settings, "diffusion")
        width = max(spec.block_lengths, default=spec.default_block or length)
        return MaskedReader(predictor, spec, width, self.forbidden)

    @property
    def forbidden(self) -> tuple[int, ...]:
        """Ids that a text never holds: the mask, and rows of the output without a token."""
        return (*(() if self.spec.mask_id is None else (self.spec.mask_id,)), *self.unwritten)

    def notice(self, prompt: str) -> str:
        """Return what of a prompt this model does not use, in one sentence; '' where it reads all of it."""
        return ""

    def close(self) -> None:
        """Free the model's memory."""
        self.__dict__.clear()

    def begin(
        self,
        request: Request,
        *,
        limits: Limits = LOCAL,
        clock: Clock = time.perf_counter,
        cancelled: threading.Event | None = None,
        deadline: float | None = None,
    ) -> Run:
        """See `run.Model.begin`."""
        draft, (request, made) = request.draft, self.drafted(request)
        ids = self.encode(request.prompt, request.system)
        request.check(self.spec, len(ids), limits)
        known = self.standing(request, made)
        trace = Trace(
            self.spec,
            request.mode,
            request.settings.as_dict(),
            request.prompt,
            tuple(ids),
            request.system,
            self.dtype,
            self.device,
            hardware(),
            self.fingerprint(request.mode),
            versions(),
            branch=made.about if made else "",
            notice=" ".join(filter(None, (self.notice(request.prompt), made.says if made else ""))),
        )
        cancelled = cancelled or threading.Event()
        steering = Steering(draft.steered if draft else None)
        run = Run(
            trace, self._frames(trace, request, ids, known, clock, cancelled, deadline, steering), self.piece, cancelled
        )
        run.steering, run.model = steering, self
        return run

    @torch.inference_mode()
    def score(self, prompt: str, ids: Sequence[int], system: str = "") -> list[float] | None:
        """Return -ln p (nats) of each answer id under the autoregressive mode, after the same prompt; None where there is no such mode."""
        if "ar" not in self.spec.modes:
            return None
        predictor = self.predictor(prompt, system, self.encode(prompt, system), len(ids), Settings(), "ar")
        nats: list[float] = []
        for start in range(0, len(ids), SCORED_AT_ONCE):
            stop, first = min(start + SCORED_AT_ONCE, len(ids)), max(0, start - 1)
            given = list(ids[first : stop - 1])  # the last id of each chunk predicts nothing in it
            logits = predictor.advance(first, given, list(range(len(given) - (stop - start), len(given))))
            assert logits is not None
            logits = logits.float()
            if self.unwritten:
                logits[:, list(self.unwritten)] = FORBIDDEN
            log_p = logits.log_softmax(-1)
            nats += (-log_p.gather(1, torch.tensor(ids[start:stop], device=log_p.device)[:, None])[:, 0]).tolist()
        return nats

    def given(self, pinned: Mapping[int, str], length: int) -> dict[int, int]:
        """Return {position: id} of pinned words; raise SettingError where they run off the canvas or into each other."""
        out: dict[int, int] = {}
        for position, words in sorted(pinned.items()):
            for offset, token in enumerate(self.tokens(words)):
                if position + offset >= length or position + offset in out:
                    where = "run over the end of the canvas" if position + offset >= length else "overlap"
                    raise SettingError(
                        f"Pinned words must fit between 0 and {length - 1}; those at {position} {where}.", "pinned"
                    )
                out[position + offset] = token
        return out

    def drafted(self, request: Request) -> tuple[Request, Draft | None]:
        """Return the request on its draft's length, and the draft with its edits made; raise SettingError."""
        draft = request.draft
        if draft is None:
            return request, None
        ours = self.fingerprint(request.mode)
        if draft.weights and ours and draft.weights != ours:
            raise SettingError(
                f"This run was written by other weights of {self.spec.name} than those loaded here.", "trace"
            )
        made = draft.made(self.tokens, self.spec)
        if draft.grows and not self.spec.canvas:
            request = replace(request, settings=replace(request.settings, new_tokens=len(made.ids)))
        return request, made

    def standing(self, request: Request, made: Draft | None) -> Standing:
        """Return what stands on the canvas before anything is computed; raise SettingError where it cannot."""
        length = request.length(self.spec)
        pinned = self.given(request.pinned, length)
        if made is None:
            return Standing(pinned)
        self._check_start(made.ids, length)
        pinned = {p: made.ids[p] for p in made.pinned} | pinned
        return Standing(pinned, {p: made.ids[p] for p in made.kept if p not in pinned}, made.ids, made.spaced)

    def _check_start(self, start: Sequence[int], length: int) -> None:
        if len(start) > length:
            raise SettingError(
                f"A canvas to start from may have at most {length} positions; it has {len(start)}.", "start"
            )
        for token in start:
            if not -1 <= token < self.spec.vocab_size or token == self.spec.mask_id:
                most = self.spec.vocab_size - 1
                raise SettingError(
                    f"A canvas to start from holds ids from 0 to {most}, or -1; it held {token}.", "start"
                )

    def _frames(
        self,
        trace: Trace,
        request: Request,
        ids: list[int],
        known: Standing,
        clock: Clock,
        cancelled: threading.Event,
        deadline: float | None,
        steering: Steering,
    ) -> Generator[Frame, None, None]:
        """Write, then say how it ended and what an exact check finds; an error is noted in the trace."""
        try:
            control = Control(cancelled, deadline, steering)
            result = trace.finish((yield from self._written(request, ids, known, Stopwatch(clock), control)))
            trace.result = replace(result, faults=self.faults(trace))
        except GeneratorExit:
            raise
        except Exception:
            trace.finish("error")
            raise

    def _written(
        self, request: Request, ids: list[int], known: Standing, watch: Stopwatch, should_stop: Callable[[], str]
    ) -> Generator[Frame, None, str]:
        """Yield the frames of this model's loop; return why it stopped."""
        settings, spec = request.settings, self.spec
        asked = request.length(spec)
        filled = self.whole(asked, len(ids)) if request.mode == "diffusion" else asked
        if filled > asked and settings.steps >= asked:  # a step a token, those that are cut off included
            settings = replace(settings, steps=max(settings.steps, min(filled, LOCAL.steps)))
        canvas = Canvas(filled, spec.vocab_size, spec.eos_ids, known.pinned, start=known.start, kept=known.kept)
        plan = Plan(
            settings,
            spec,
            request.block_length(spec),
            torch.Generator().manual_seed(settings.seed),
            self.forbidden,
            should_stop,
            known.spaced,
            self.word_starts if known.spaced else None,
        )
        watch.resume()
        predictor = self.predictor(request.prompt, request.system, ids, len(canvas), settings, request.mode)
        loop = decode if request.mode == "ar" else denoise
        why = yield from loop(predictor, canvas, plan, watch)
        if filled == asked or why in PAUSED or 0 <= canvas.end < asked:
            return why
        canvas.age()
        canvas.close(asked - 1)
        yield canvas.frame(*canvas.place, watch)
        return "full"

    def whole(self, length: int, prompt: int) -> int:
        """Return how many positions are filled for an answer of `length` behind a prompt of so many tokens; what is more is cut off."""
        return length


def inputs_device(embedding: Any) -> torch.device:
    """Return where a loaded network takes its ids: where its embedding lies, or will be brought to for each pass."""
    device: torch.device = embedding.weight.device
    if device.type == "meta":  # offloaded: accelerate moves inputs to the GPU itself
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    return device


@functools.cache
def hardware() -> str:
    """Return the processor's name and the threads torch uses, as far as the system tells."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions a trace should remember."""
    return {"python": platform.python_version(), "torch": torch.__version__}
