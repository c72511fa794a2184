"""A request, checked once; a run, which yields frames and keeps the trace; and what a loaded model must offer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from . import catalog
from .errors import SettingError
from .settings import FIELD, LOCAL, MODES, Limits, Settings, bounds
from .text import normalise
from .trace import Frame, ModelSpec, Trace

Clock = Callable[[], float]
PAUSED = ("cancelled", "deadline")  # ways to stop after which a run could go on


@dataclass(frozen=True)
class Request:
    """What a visitor asks for. `pinned` maps a canvas position to the text that must stand from there on; `image` is a picture file.

    asked: the knobs that were given by name; the others are the model's to set once it is loaded. None: all are as they are.
    """

    prompt: str
    model: str = "builtin"
    mode: str = "diffusion"
    settings: Settings = field(default_factory=Settings)
    system: str = ""
    pinned: Mapping[int, str] = field(default_factory=dict)
    image: bytes = field(default=b"", repr=False)
    asked: tuple[str, ...] | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, prompt: Any, settings: Mapping[str, Any] | None = None, *, model: Any = "builtin", mode: Any = "diffusion",
              system: Any = "", pinned: Any = "", image: bytes = b"", limits: Limits = LOCAL) -> Request:  # fmt: skip
        """Return a request from untrusted values, the same for page, API and command line; raise SettingError.

        Knobs that are not given are the model's own (see `catalog.Entry.defaults`). pinned: text of lines 'position: words', or a mapping.
        """
        prompt = _text("The prompt", prompt, limits.prompt_chars)
        if not prompt.strip():
            raise SettingError("Write a prompt first: it must have at least 1 character.", "prompt")
        if mode not in MODES:
            raise SettingError(f"Mode must be one of {', '.join(MODES)}; it was {str(mode)[:40]!r}.", "mode")
        if not isinstance(model, str) or len(model) > 300:
            raise SettingError("Model must be a name of at most 300 characters.", "model")
        entry, given = catalog.known(model), {} if settings is None else settings
        parsed = Settings.parse({**entry.defaults, **given} if entry and isinstance(given, Mapping) else given, limits)
        asked = cls(prompt, model, mode, parsed, _text("The system prompt", system or "", limits.prompt_chars), parse_pinned(pinned), image,
                    tuple(given))  # fmt: skip
        asked.check_image(entry.spec if entry else None, limits)
        if entry:  # what is wrong for this model whatever its files say is said before it loads
            asked.check_pinned(entry.spec)
        return asked

    def on(self, own: Settings | None, limits: Limits) -> Request:
        """Return the request as a loaded checkpoint completes it: knobs nobody asked for are its own, as far as the limits go."""
        if own is None or self.asked is None:
            return self
        values = own.as_dict() | {name: getattr(self.settings, name) for name in self.asked}
        for name in values.keys() - set(self.asked):
            if FIELD[name].kind != "choice":
                values[name] = min(values[name], bounds(FIELD[name], limits)[1])
        return replace(self, settings=Settings(**values))

    def check(self, spec: ModelSpec, prompt_tokens: int, limits: Limits) -> None:
        """Refuse what this model, or this profile of limits, cannot run; raise SettingError with one sentence."""
        s = self.settings
        if self.mode not in spec.modes:
            raise SettingError(f"{spec.name} runs in mode {' or '.join(spec.modes)}; the mode was {self.mode}.", "mode")
        self.check_image(spec, limits)
        self.check_pinned(spec)
        if prompt_tokens > limits.prompt_tokens:
            raise SettingError(f"The prompt may have at most {limits.prompt_tokens} tokens; it has {prompt_tokens}.", "prompt")
        if self.mode == "diffusion" and spec.family == "uniform":
            s.check_ramp()
        total = prompt_tokens + self.length(spec)
        if spec.max_tokens and total > spec.max_tokens:
            raise SettingError(
                f"Prompt and length together may have at most {spec.max_tokens} tokens on {spec.name}; they have {total}.", "new_tokens")
        if self.mode == "diffusion" and spec.family == "masked":
            self._check_masked(spec)
        block = self.block_length(spec)
        family = "autoregressive" if self.mode == "ar" else spec.family
        ahead = s.one_guess and block <= spec.ahead  # masks stand behind every token of the block
        cost = s.cost(prompt_tokens, block**2 if ahead else block, family, spec.causal_prefix)
        if cost > limits.cost:
            raise SettingError(
                f"Steps, length, prompt and guidance together may compute at most {limits.cost:,} positions; they ask for {cost:,}. "
                "Lower the steps or the length.", "steps")  # fmt: skip

    def check_image(self, spec: ModelSpec | None, limits: Limits) -> None:
        """Refuse a picture that is too large, or that the model cannot see (spec None: not known yet); raise SettingError."""
        size, most = len(self.image), limits.image_bytes
        if size and not most:
            raise SettingError("An image with the prompt is taken only by a playground of your own, not on a public page.", "image")
        if size > most:
            raise SettingError(f"An image may have at most {most / 1e6:g} MB; it has {size / 1e6:.1f} MB.", "image")
        if size and spec is not None and not spec.vision:
            raise SettingError(f"{spec.name} takes no image: it has no vision tower.", "image")

    def check_pinned(self, spec: ModelSpec) -> None:
        """Refuse words pinned beyond what the model writes; raise SettingError."""
        last = self.length(spec) - 1
        if beyond := [position for position in self.pinned if position > last]:
            raise SettingError(f"A pinned position must be between 0 and {last}; it was {max(beyond)}.", "pinned")

    def _check_masked(self, spec: ModelSpec) -> None:
        s, block = self.settings, self.block_length(spec)
        if spec.block_lengths and s.block_length and s.block_length not in spec.block_lengths:
            known = ", ".join(map(str, spec.block_lengths))
            raise SettingError(f"Block length must be one of {known} on {spec.name}; it was {s.block_length}.", "block_length")
        if s.guidance and not spec.guidance:
            raise SettingError(f"Guidance must be 0 on {spec.name}, where it is untested; it was {s.guidance:g}.", "guidance")
        if s.remasking == "verify" and not spec.verify:
            raise SettingError(f"Taking back cannot be 'verify' on {spec.name}: it has no causal pass to check with.", "remasking")
        if s.remasking not in ("none", "verify") and s.rule != "schedule":
            raise SettingError(f"Taking back by {s.remasking} needs the commit rule 'schedule'; the rule was '{s.rule}'.", "remasking")
        blocks = -(-s.new_tokens // block)
        if s.steps < blocks and block > 1:
            raise SettingError(
                f"Steps must be at least {blocks}, one for each block of {block} in {s.new_tokens} tokens; it was {s.steps}.",
                "steps")  # fmt: skip

    def length(self, spec: ModelSpec) -> int:
        """At most how many positions are written: the setting, or as many whole canvases where a model's canvas has a fixed length."""
        s = self.settings
        return s.canvas_count(spec.canvas) * spec.canvas if spec.canvas and self.mode == "diffusion" else s.new_tokens

    def block_length(self, spec: ModelSpec) -> int:
        """Positions denoised together: the setting, the model's own, or the whole canvas."""
        if spec.canvas and self.mode == "diffusion":
            return spec.canvas
        return min(self.settings.block_length or spec.default_block or self.settings.new_tokens, self.settings.new_tokens)


def parse_pinned(pinned: Any) -> dict[int, str]:
    """Return {position: words} from lines '5: upon' (or a mapping); raise SettingError naming the line."""
    lines = [f"{k}: {v}" for k, v in pinned.items()] if isinstance(pinned, Mapping) else "" if pinned is None else pinned
    if isinstance(lines, str):
        lines = [line for line in lines.splitlines() if line.strip()]
    if not isinstance(lines, list) or len(lines) > 64:
        raise SettingError("Pinned words must be at most 64 lines like '5: upon'.", "pinned")
    out: dict[int, str] = {}
    for line in lines:
        where, colon, words = str(line).partition(":")
        if not colon or not where.strip().isdecimal() or len(where) > 20 or not words.strip() or len(words) > 200:
            raise SettingError(f"Pinned words must be lines like '5: upon'; this one was {repr(str(line)[:40])[:60]}.", "pinned")
        out[int(where)] = normalise(words.rstrip("\n"))
    return out


def _text(what: str, value: Any, most: int) -> str:
    if not isinstance(value, str):
        raise SettingError(f"{what} must be text.", "prompt")
    if len(value) > most:
        raise SettingError(f"{what} may have at most {most:,} characters; it has {len(value):,}.", "prompt")
    return normalise(value)


class Stopwatch:
    """Compute time of one run: drawing and waiting between steps excluded. `clock` returns seconds."""

    def __init__(self, clock: Clock = time.perf_counter):
        self._clock, self._before = clock, 0.0
        self._since: float | None = None
        self.forward_seconds = 0.0
        self.forwards = 0

    def continue_from(self, frame: Frame) -> None:
        """Take over what a paused run had counted."""
        self._before, self.forward_seconds, self.forwards = frame.seconds, frame.forward_seconds, frame.forwards

    def resume(self) -> None:
        """Start counting (again)."""
        self._since = self._clock()

    def pause(self) -> float:
        """Stop counting; return the seconds counted so far."""
        if self._since is not None:
            self._before += self._clock() - self._since
            self._since = None
        return self._before

    def forward(self, call: Callable[..., Any], *args: Any, passes: int = 1) -> Any:
        """Return call(*args), timed and counted as `passes` forward passes."""
        begin = self._clock()
        try:
            return call(*args)
        finally:
            self.forward_seconds += self._clock() - begin
            self.forwards += passes


class Run(Iterator[Frame]):
    """An iterator over frames that keeps them in `trace`. Stop it with `stop()`, or close it; both free its tensors."""

    def __init__(self, trace: Trace, frames: Iterator[Frame], piece: Callable[[int], bytes], cancelled: threading.Event | None = None):
        self.trace, self._frames, self._piece = trace, frames, piece
        self.cancelled = cancelled or threading.Event()

    def __next__(self) -> Frame:
        """Return the next frame; the loop itself sets `trace.result` before it ends."""
        frame = next(self._frames)
        pieces = self.trace.pieces
        for token in {*frame.ids.tolist(), *(frame.candidates[0].ravel().tolist() if frame.candidates else ())}:
            if token >= 0 and token not in pieces:
                pieces[token] = self._piece(token)
        self.trace.frames.append(frame)
        return frame

    def stop(self) -> None:
        """Ask the loop to end before its next step (safe from any thread)."""
        self.cancelled.set()

    def close(self) -> None:
        """End the run now and free what it holds."""
        close = getattr(self._frames, "close", None)
        if close:
            close()
        if self.trace.result is None and self.trace.frames:
            self.trace.finish("cancelled")

    def finish(self) -> Trace:
        """Run to the end and return the trace."""
        for _ in self:
            pass
        return self.trace


def stopper(cancelled: threading.Event, deadline: float | None) -> Callable[[], str]:
    """Return a function that says why a run must stop now, '' where it need not; deadline: seconds from here, waiting included."""
    began = time.monotonic()

    def why() -> str:
        if cancelled.is_set():
            return "cancelled"
        return "deadline" if deadline is not None and time.monotonic() - began > deadline else ""

    return why


def replayed(before: Sequence[Frame], rest: Iterator[Frame]) -> Generator[Frame, None, None]:
    """Yield the frames of a run that was paused, all but its last, which the resumed loop yields first; then the loop's."""
    yield from before[:-1]
    yield from rest


class Model(Protocol):
    """A loaded model: what the engine, the command line and the API use. `model.catalog.load(id)` returns one."""

    spec: ModelSpec

    def encode(self, prompt: str, system: str = "") -> list[int]:
        """Return the ids of the whole templated prompt; special tokens typed by the visitor stay text."""
        ...

    def tokens(self, text: str) -> list[int]:
        """Return the ids of plain text (pinned words, gaps), special tokens kept as text."""
        ...

    def piece(self, token: int) -> bytes:
        """Return the bytes of one token."""
        ...

    def denoise(self, prompt: str, settings: Settings | None = None, *, mode: str = "diffusion", system: str = "",
                pinned: Mapping[int, str] | None = None, limits: Limits = LOCAL, clock: Clock = time.perf_counter,
                cancelled: threading.Event | None = None, deadline: float | None = None) -> Run:  # fmt: skip
        """Return a run; nothing is computed before its first frame is asked for. Both modes ('diffusion', 'ar')."""
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...
