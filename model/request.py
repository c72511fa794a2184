"""What a visitor asks for, parsed and checked once, the same for page, API and command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from model import pictures
from model.draft import Draft
from model.errors import SettingError
from model.settings import FIELD, Limits, Settings, nearest, parse_value
from model.spec import ModelSpec
from model.text import normalise

LINE_ENDS = re.compile("\r\n|\r|\n")  # no form feed, no U+2028: those may be part of a word


@dataclass(frozen=True)
class Request:
    """What a visitor asks for. `pinned` maps a canvas position to the text that must stand from there on; `images` are
    picture files, in order.

    draft: a canvas to begin with, None for an empty one. asked: the knobs that were given by name; the others are the model's to set once
    it is loaded. None: all are as they are. form: a `model.slots.Form` to be read instead of a canvas to be written.
    """

    prompt: str
    model: str = "builtin"
    mode: str = "diffusion"
    settings: Settings = field(default_factory=Settings)
    system: str = ""
    pinned: Mapping[int, str] = field(default_factory=dict)
    images: tuple[bytes, ...] = field(default=(), repr=False)
    draft: Draft | None = None
    asked: tuple[str, ...] | None = field(default=None, compare=False)
    form: Any = None

    def on(self, own: Settings | None, limits: Limits) -> Request:
        """Return the request as a loaded checkpoint completes it: knobs nobody asked for are its own, as far as the limits go."""
        if own is None or self.asked is None:
            return self
        values = own.as_dict() | {name: getattr(self.settings, name) for name in self.asked}
        for name in values.keys() - set(self.asked):
            values[name] = nearest(name, values[name], limits)
        return replace(self, settings=Settings(**values))

    def check(self, spec: ModelSpec, prompt_tokens: int, limits: Limits) -> None:
        """Refuse what this model, or this profile of limits, cannot run; raise SettingError with one sentence."""
        s = self.settings
        if self.mode not in spec.modes:
            raise SettingError(f"{spec.name} runs in mode {' or '.join(spec.modes)}; the mode was {self.mode}.", "mode")
        pictures.check(self.images, spec, limits)
        self.check_pinned(spec)
        talk = getattr(self.prompt, "before", ())
        if talk and (spec.checked or spec.view):
            raise SettingError(f"{spec.name} answers one prompt at a time; it holds no conversation.", "messages")
        what = "The conversation" if talk else "The prompt"
        if prompt_tokens > limits.prompt_tokens:
            raise SettingError(
                f"{what} may have at most {limits.prompt_tokens} tokens; it has {prompt_tokens}.", "prompt"
            )
        if self.mode == "diffusion" and spec.family == "uniform":
            s.check_ramp()
        total = prompt_tokens + self.length(spec)
        if spec.max_tokens and total > spec.max_tokens:
            raise SettingError(
                f"{'The conversation' if talk else 'Prompt'} and length together may have at most {spec.max_tokens} tokens on {spec.name}; "
                f"they have {total}.",
                "new_tokens",
            )
        if self.mode == "diffusion" and spec.family == "masked":
            self._check_masked(spec)
        cost = self.cost(spec, prompt_tokens)
        if cost > limits.cost:
            raise SettingError(
                f"Steps, length, prompt and guidance together may compute at most {limits.cost:,} positions; they ask for {cost:,}. "
                "Lower the steps or the length.",
                "steps",
            )
        if not spec.canvas:  # typed words, or a text with holes, may have made it longer than was asked for
            parse_value(FIELD["new_tokens"], s.new_tokens, limits)

    def check_pinned(self, spec: ModelSpec) -> None:
        """Refuse words pinned beyond what the model writes; raise SettingError."""
        last = self.length(spec) - 1
        if beyond := [position for position in self.pinned if position > last]:
            raise SettingError(f"A pinned position must be between 0 and {last}; it was {max(beyond)}.", "pinned")

    def _check_masked(self, spec: ModelSpec) -> None:
        s, block = self.settings, self.block_length(spec)
        if spec.block_lengths and s.block_length and s.block_length not in spec.block_lengths:
            known = ", ".join(map(str, spec.block_lengths))
            raise SettingError(
                f"Block length must be one of {known} on {spec.name}; it was {s.block_length}.", "block_length"
            )
        if s.guidance and not spec.guidance:
            raise SettingError(
                f"Guidance must be 0 on {spec.name}, where it is untested; it was {s.guidance:g}.", "guidance"
            )
        if s.remasking == "verify" and not spec.verify:
            raise SettingError(
                f"Taking back cannot be 'verify' on {spec.name}: it has no causal pass to check with.", "remasking"
            )
        if s.remasking == "recheck" and not spec.recheck:
            raise SettingError(
                f"Taking back cannot be 'recheck' on {spec.name}: it never learned to doubt what it reads.", "remasking"
            )
        if spec.canvas and s.new_tokens > spec.canvas:
            most = f"at most {spec.canvas} on {spec.name}, the size of its canvas"
            raise SettingError(f"Length must be {most}; it was {s.new_tokens}.", "new_tokens")
        if s.remasking not in ("none", "verify", "recheck") and s.rule != "schedule":
            raise SettingError(
                f"Taking back by {s.remasking} needs the commit rule 'schedule'; the rule was '{s.rule}'.", "remasking"
            )
        blocks = -(-s.new_tokens // block)
        if s.steps < blocks and block > 1:
            raise SettingError(
                f"Steps must be at least {blocks}, one for each block of {block} in {s.new_tokens} tokens; it was {s.steps}.",
                "steps",
            )

    def cost(self, spec: ModelSpec, prompt_tokens: int) -> int:
        """At most how many positions all forward passes of this request compute together: what `Limits.cost` bounds.

        Where finished text comes from a cache, a pass computes one block; elsewhere prompt and canvas, again and again.
        """
        s, n, block = self.settings, self.length(spec), self.block_length(spec)
        whole = prompt_tokens + n
        if self.mode == "ar":
            return whole
        if spec.family == "uniform":
            passes = s.steps * s.canvas_count(spec.canvas)
            return whole + passes * spec.canvas if spec.causal_prefix else passes * whole
        if s.remasking == "verify":
            return whole + self._cost_of_checking(n, block, spec)
        steps = s.steps
        if spec.causal_prefix and spec.block_lengths:  # the last trained block is filled whole and cut afterwards
            filled = n + spec.block_lengths[0] - 1
            steps = max(steps, filled) if steps >= n else steps
            n, whole = filled, prompt_tokens + filled
        blocks = -(-n // block) + spec.causal_prefix  # the prompt may reach into the first
        # every block has a pass at least; where tokens are taken back, the shares of the blocks are rounded one by one
        passes = max(steps, blocks) if s.remasking == "none" else steps + blocks
        passes *= 2 if s.guidance else 1
        # a block that was trained whole is computed whole, however narrow the parts are in which it is filled
        return whole + passes * max(block, spec.default_block) if spec.causal_prefix else passes * whole

    def _cost_of_checking(self, n: int, block: int, spec: ModelSpec) -> int:
        """Positions computed beside prompt and text where a causal pass checks each block: it may keep just one token of it.

        Ahead, a pass over the b tokens of a block has b - 1 masks behind each of them:  t1 m m m  t2 m m m  t3 m m m  t4 m m m
        """
        steps = self.settings.steps if spec.shift else self.settings.steps + n
        rounds = min(n, steps) + 1
        if self.settings.one_guess and block <= spec.ahead:
            return rounds * block**2
        return steps * max(block, spec.default_block) + rounds * block

    def length(self, spec: ModelSpec) -> int:
        """At most how many positions are written: the setting, or as many whole canvases where a model's canvas has a fixed length."""
        s = self.settings
        if not spec.canvas or (self.mode == "ar" and spec.family != "masked"):
            return s.new_tokens
        return spec.canvas if spec.family == "masked" else s.canvas_count(spec.canvas) * spec.canvas

    def block_length(self, spec: ModelSpec) -> int:
        """Positions denoised together: the setting, the model's own, or the whole canvas."""
        if spec.canvas and self.mode == "diffusion":
            return spec.canvas
        return min(
            self.settings.block_length or spec.default_block or self.settings.new_tokens, self.settings.new_tokens
        )


def parse_pinned(pinned: Any) -> dict[int, str]:
    """Return {position: words} from lines '5: upon' (or a mapping); raise SettingError naming the line."""
    lines = "" if pinned is None else pinned
    if isinstance(pinned, Mapping):
        lines = [f"{where}: {words}" if isinstance(words, str) else words for where, words in pinned.items()]
    if isinstance(lines, str):
        lines = [line for line in LINE_ENDS.split(lines) if line.strip()]
    if not isinstance(lines, list) or len(lines) > 64:
        raise SettingError("Pinned words must be at most 64 lines like '5: upon'.", "pinned")
    out: dict[int, str] = {}
    for line in lines:
        where, colon, words = line.partition(":") if isinstance(line, str) else ("", "", "")
        if not colon or not where.strip().isdecimal() or len(where) > 20 or not words.strip() or len(words) > 200:
            raise SettingError(
                f"Pinned words must be lines like '5: upon'; this one was {repr(str(line)[:40])[:60]}.", "pinned"
            )
        if int(where) in out:
            raise SettingError(f"Position {int(where)} is pinned twice.", "pinned")
        out[int(where)] = normalise(words.rstrip("\n"))
    return out


def visible_text(what: str, value: Any, most: int) -> str:
    """Return untrusted text without control characters; raise SettingError where it is no text, or too long."""
    if not isinstance(value, str):
        raise SettingError(f"{what} must be text.", "prompt")
    if len(value) > most:
        raise SettingError(f"{what} may have at most {most:,} characters; it has {len(value):,}.", "prompt")
    return normalise(value)
