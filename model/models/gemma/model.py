"""A loaded DiffusionGemma: prompts, images, pinned words and start texts become runs of the one loop for random canvases."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from model import pictures
from model.aliases import ALIASES, ours
from model.entry import Progress
from model.errors import SettingError
from model.loops.hooks import Hooks
from model.loops.reading import NoiseReader
from model.loops.steering import Control, Steering
from model.loops.stopwatch import Clock, Stopwatch
from model.loops.uniform import Loop, State, defaults
from model.loops.uniform_frames import denoise
from model.models import hub
from model.models.answers import answer_only, text_of, without_thought
from model.models.base import hardware, inputs_device, versions
from model.models.chat import Chat, ChatModel
from model.models.gemma.decoder import Decoder, fixed_cache
from model.models.placement import Placement
from model.request import Request
from model.run import PAUSED, Run, replayed
from model.settings import LOCAL, Limits, Settings
from model.spec import ModelSpec
from model.trace.frame import Frame
from model.trace.trace import Trace

CONFIGURED = (*ALIASES, "t_max", "t_min", "confidence_threshold")  # what a generation config sets of a run


class DiffusionRun(Run):
    """A run that can be paused: stop asking for frames (or stop it), then `resume` it, or branch from a `snapshot`, once or often.

    play: given a trace, a loop, notes, a clock, an event that cancels, a deadline and what steers, it yields the loop's frames.
    """

    def __init__(
        self,
        trace: Trace,
        loop: Loop,
        piece: Callable[[int], bytes],
        cancelled: threading.Event,
        play: Callable[..., Iterator[Frame]],
        frames: Iterator[Frame],
    ):
        super().__init__(trace, frames, piece, cancelled)
        self._loop: Loop | None = loop
        self._play = play

    @property
    def _paused(self) -> Loop:
        if (
            self._loop is None
            or self._loop.state.frame is None
            or (self.trace.result and self.trace.result.stopped not in PAUSED)
        ):
            raise SettingError("A run can be continued from its first frame until it is finished or closed.", "frame")
        return self._loop

    def snapshot(self) -> State:
        """Return all the run holds after its last frame; raise SettingError where there is nothing to continue from."""
        return self._paused.snapshot()

    def resume(
        self, clock: Clock = time.perf_counter, cancelled: threading.Event | None = None, deadline: float | None = None
    ) -> DiffusionRun:
        """Return a run that yields this one's frames again and goes on behind them; raise SettingError as `snapshot` does."""
        loop, cancelled = self._paused.fork(), cancelled or threading.Event()
        trace = replace(self.trace, frames=[], pieces={}, result=None)
        steering = Steering()
        frames = replayed(self.trace.frames, self._play(trace, loop, {}, clock, cancelled, deadline, steering))
        run = DiffusionRun(trace, loop, self._piece, cancelled, self._play, frames)
        run.steering, run.model = steering, self.model
        return run

    def close(self) -> None:
        """End the run now and free what it holds."""
        super().close()
        self._loop = None


class DiffusionGemma(ChatModel):
    """See the module docstring. `defaults` are the knobs as the checkpoint's generation config sets them."""

    def __init__(self, model: Any, chat: Chat, spec: ModelSpec, image_processor: Any = None, compiled: bool = False):
        self.model, self.chat, self.spec, self._image_processor = model, chat, spec, image_processor
        self.defaults = defaults(model.generation_config, spec.canvas)
        self.pad_id = model.generation_config.pad_token_id
        self.torch_device = inputs_device(model.model.decoder.embed_tokens)
        self.device, self.dtype = str(self.torch_device), str(model.dtype).removeprefix("torch.")
        self._decode = torch.compile(model.forward, mode="reduce-overhead") if compiled else None
        self._cache, self._room = None, 0

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: hub.Checkpoint,
        spec: ModelSpec,
        place: Placement,
        progress: Progress | None = None,
        *,
        thinking: bool = False,
        compiled: bool = False,
    ) -> DiffusionGemma:
        """Load tokenizer and weights; raise ModelUnavailable. An image processor is looked for when the first image comes."""
        from transformers import DiffusionGemmaForBlockDiffusion

        from model.models.gemma.record import KEEP

        chat = Chat(hub.load_tokenizer(checkpoint, spec.name), thinking)
        model = hub.load_model(DiffusionGemmaForBlockDiffusion, checkpoint, place, spec.name, progress, KEEP)
        text, length = model.config.text_config, model.config.canvas_length
        known = replace(
            spec,
            family="uniform",
            vocab_size=text.vocab_size,
            causal_prefix=True,
            self_conditioning=True,
            canvas=length,
            vision=model.config.vision_config is not None,
            default_block=length,
            block_lengths=(length,),
            max_tokens=text.max_position_embeddings,
            parameters=sum(p.numel() for p in model.parameters()),
            eos_ids=chat.ends(model.generation_config.to_dict()),
            spaced=chat.pieces.leads,
            first_byte=chat.pieces.first_byte,
        )
        out = cls(model, chat, known, compiled=compiled)
        out._find_image_processor = lambda: hub.load_image_processor(checkpoint, spec.name)
        if place.way == "fp8":
            out.dtype = "fp8"
        return out

    _find_image_processor: Any = None

    # ------------------------------------------------------------ text
    def predictor(self, *_: Any, **__: Any) -> Any:
        """Nothing: this family has a loop of its own."""
        raise NotImplementedError

    # ------------------------------------------------------------ runs
    @property
    def usual(self) -> Settings:
        """The knobs as the checkpoint's generation config sets them."""
        return self.defaults

    def denoise(self, prompt: str | Request, settings: Any = None, **asked: Any) -> Run:
        """Return a run; see `Model.denoise`. settings: a mapping, or a generation config of transformers', changes the checkpoint's own
        knobs, under our names or its own."""
        return super().denoise(prompt, None if settings is None else self._knobs(settings), **asked)

    def begin(
        self,
        request: Request,
        *,
        limits: Limits = LOCAL,
        clock: Clock = time.perf_counter,
        cancelled: threading.Event | None = None,
        deadline: float | None = None,
        state: State | None = None,
        thinking: bool | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
        streamer: Any = None,
        callback_on_step_end: Any = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("canvas",),
    ) -> DiffusionRun:
        """Return a run; see `Model.begin`.

        state: a snapshot of another run with the same prompt and settings, which this one continues as a branch; thinking: whether the
        template asks for a thought first (None: as loaded); tools: JSON schemas of functions for the template; streamer and the
        callback: as `loops.hooks` says; a run that is resumed has neither.
        """
        draft, images = request.draft, request.images
        request, made = self.drafted(request)
        self.chat.check_asked(self.spec.name, thinking, tools)
        told: dict[str, Any] = {"thinking": thinking, "tools": list(tools)}
        ids = self.chat.encode(request.prompt, request.system, **told)
        extra: dict[str, Any] = {}
        notes: dict[str, Any] = {}
        if images:
            pictures.check(images, self.spec, limits)
            ids, extra = self._with_images(request.prompt, request.system, images, **told)
            notes["image_sha256"] = " ".join(hashlib.sha256(each).hexdigest() for each in images)
            notes["image_processor"] = type(self._image_processor).__name__
        request.check(self.spec, len(ids), limits)
        known = self.standing(request, made)
        trace = self._trace(request, ids)
        trace.branch = made.about if made else ""
        if state is not None and state.frame is not None:
            trace.branch = f"step {state.frame.step}"
        cancelled = cancelled or threading.Event()
        hooks = Hooks(self, streamer, callback_on_step_end, callback_on_step_end_tensor_inputs)
        loop = self._loop(request.settings, ids, known.pinned | known.kept, self._start_canvas(known.start), extra)
        if state is not None:
            loop.resume(state)
        steering = Steering(draft.steered if draft else None)
        frames = self._run(trace, loop, notes, clock, cancelled, deadline, steering, hooks)
        run = DiffusionRun(trace, loop, self.piece, cancelled, self._run, frames)
        run.steering, run.model = steering, self
        return run

    def _trace(self, request: Request, ids: list[int]) -> Trace:
        knobs, where = request.settings.as_dict(), (self.dtype, self.device, self.hardware)
        return Trace(
            self.spec, request.mode, knobs, request.prompt, tuple(ids), request.system, *where, versions=_versions()
        )

    def _knobs(self, settings: Any) -> Settings:
        """Return knobs from what `denoise` takes; raise SettingError."""
        if isinstance(settings, Settings):
            return settings
        if not isinstance(settings, Mapping):
            settings = {name: value for name in CONFIGURED if (value := getattr(settings, name, None)) is not None}
        return Settings.parse(self.defaults.as_dict() | ours(settings))

    def write(
        self, prompts: Sequence[str], settings: Any = None, system: str = "", limits: Limits = LOCAL
    ) -> list[str]:
        """Return the answers to several prompts, written together without frames: for a seed what `generate()` writes for that batch.

        Raises SettingError before anything is computed. A batch's answers differ from those of its prompts alone, as there.
        """
        knobs, encoded = self._knobs(settings), [self.encode(prompt, system) for prompt in prompts]
        for prompt, ids in zip(prompts, encoded, strict=True):
            Request(prompt, self.spec.id, settings=knobs, system=system).check(self.spec, len(ids), limits)
        if not encoded:
            return []
        width = max(map(len, encoded))
        rows = [[self.pad_id or 0] * (width - len(ids)) + ids for ids in encoded]
        told = [[0] * (width - len(ids)) + [1] * len(ids) for ids in encoded]
        inputs, seen = (torch.tensor(each, device=self.torch_device) for each in (rows, told))
        common: dict[str, Any] = {"eos_ids": self.spec.eos_ids, "pad_id": self.pad_id, "barred": self.unwritten}
        loop = Loop(Decoder(self.model), knobs, inputs, attention=seen, **common)
        answers = loop.finish()[:, width:].tolist()
        loop.release()
        return [self._answer(ids) for ids in answers]

    def _answer(self, ids: list[int]) -> str:
        """Return the text of written ids up to their end, without a thought."""
        end = next((at for at, token in enumerate(ids) if token in self.spec.eos_ids), len(ids))
        return text_of(without_thought(ids[:end], self.chat), self.chat, self.spec)

    def reader(self, prompt: str, length: int, seed: int = 0) -> NoiseReader:
        """Return what reads a form's open places as random tokens."""
        settings = Settings(seed=seed, canvases=1)
        return NoiseReader(self._loop(settings, self.encode(prompt), {}, None, {}), self.forbidden)

    @property
    def hardware(self) -> str:
        """The GPU's name, or the processor's."""
        return torch.cuda.get_device_name(self.torch_device) if self.torch_device.type == "cuda" else hardware()

    def _loop(
        self,
        settings: Settings,
        ids: list[int],
        given: dict[int, int],
        start: torch.Tensor | None,
        extra: dict[str, Any],
    ) -> Loop:
        prompt = torch.tensor([ids], device=self.torch_device)
        tokens = len(ids) + settings.canvas_count(self.spec.canvas) * self.spec.canvas
        if self._decode and tokens > self._room:
            self._room = 1 << (tokens - 1).bit_length()  # few sizes, for each is compiled anew
            self._cache = fixed_cache(self.model, self._room)
        extra = {name: value.to(self.torch_device) for name, value in extra.items()}
        start = None if start is None else start.to(self.torch_device)
        passes = Decoder(self.model, extra, self._decode, self._cache)
        return Loop(
            passes,
            settings,
            prompt,
            eos_ids=self.spec.eos_ids,
            pad_id=self.pad_id,
            pinned=given,
            start=start,
            thinking=self.chat.thinking,
            barred=self.unwritten,
        )

    def _run(
        self,
        trace: Trace,
        loop: Loop,
        notes: dict[str, Any],
        clock: Clock,
        cancelled: threading.Event,
        deadline: float | None,
        steering: Steering,
        hooks: Hooks | None = None,
    ) -> Generator[Frame, None, None]:
        try:
            if hooks:
                hooks.begun(loop)
            why = yield from denoise(loop, Stopwatch(clock), Control(cancelled, deadline, steering), notes, hooks)
        except GeneratorExit:
            raise
        except Exception:
            trace.finish("error")
            raise
        finally:
            if hooks:
                hooks.ended()
        trace.finish(why)
        answer_only(trace, self.chat)
        if why in PAUSED:
            loop.resume(loop.snapshot())  # apart from a cache of fixed size, which the next run writes to
        else:
            loop.release()

    def _start_canvas(self, start: Sequence[int]) -> torch.Tensor | None:
        """Return (1, L) ids that the first canvas begins with, or None; raise SettingError if they do not fit."""
        self._check_start(start, self.spec.canvas)
        return torch.tensor([[*start, *[-1] * (self.spec.canvas - len(start))]]) if len(start) else None

    # ------------------------------------------------------------ images before the prompt
    def _with_images(
        self, prompt: str, system: str, images: Sequence[bytes], **told: Any
    ) -> tuple[list[int], dict[str, Any]]:
        """Return the prompt's ids with the images' places in them, and the encoder's inputs for them; raise SettingError.

        Pixels stay float32, whatever the model's numbers are: its tower scales them first and rounds them then.
        """
        seen = self._seen([pictures.opened(each) for each in images])
        config = self.model.config
        ids = self.chat.encode(prompt, system, images=len(images), **told)
        if ids.count(config.image_token_id) != len(images):
            raise SettingError(
                f"{self.spec.name} takes no such images: its chat template has no place for {len(images)}.", "image"
            )
        for count in seen["num_soft_tokens_per_image"]:
            at = ids.index(config.image_token_id)  # places before this one are marked as done
            ids[at : at + 1] = [config.boi_token_id, *[-1] * int(count), config.eoi_token_id]
        ids = [config.image_token_id if token == -1 else token for token in ids]
        kinds = torch.tensor([[int(token == config.image_token_id) for token in ids]])
        return ids, {
            "pixel_values": seen["pixel_values"],
            "image_position_ids": seen["image_position_ids"],
            "mm_token_type_ids": kinds,
        }

    def _seen(self, pictures_: list[Any]) -> Any:
        """Return what the checkpoint's own image processor makes of pictures; raise SettingError where it refuses them."""
        if self._image_processor is None:
            if self._find_image_processor is None:
                raise SettingError(f"{self.spec.name} takes no image: it came without an image processor.", "image")
            self._image_processor = self._find_image_processor()
        sizes = ", ".join(f"{each.width} x {each.height}" for each in pictures_)
        try:
            seen = self._image_processor(images=pictures_, return_tensors="pt")
        except ValueError as error:
            why = str(error)[:80].rstrip(".")
            raise SettingError(f"The image processor refuses a picture of {sizes} ({why}).", "image") from None
        if int(seen["image_position_ids"].max()) >= self.model.config.vision_config.position_embedding_size:
            raise SettingError(f"{self.spec.name} has no places for a picture so long: {sizes}.", "image")
        return seen

    def close(self) -> None:
        """Free the model's memory, the GPU's too."""
        on_gpu = self.torch_device.type == "cuda"
        super().close()
        if on_gpu:
            import gc

            gc.collect()
            torch.cuda.empty_cache()


def _versions() -> dict[str, str]:
    import transformers

    return versions() | {"transformers": transformers.__version__}
