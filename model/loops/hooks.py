"""Who else listens to a run on random canvases: a streamer like `generate()`'s, a callback like diffusers'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from model.errors import SettingError
from model.loops.uniform import Loop, Step

TENSORS = ("canvas", "logits")


class Hooks:
    """streamer: `put(prompt ids)`, after every pass `put_draft(value=likeliest ids)` where it has that (or `logits=`, the tempered ones,
    where it says `_takes_logits`), `put(ids)` for a finished canvas, `end()`.

    callback: called after every pass with (owner, pass of the run, pass of the canvas, tensors by name) and returns a mapping; a 'canvas'
    in it is what the network sees next. tensors: which of TENSORS it is given; a callback's own `tensor_inputs` go before.
    """

    def __init__(self, owner: Any, streamer: Any = None, callback: Any = None, tensors: Sequence[str] = ("canvas",)):
        self.owner, self.streamer, self.callback, self.passes = owner, streamer, callback, 0
        self.tensors = tuple(getattr(callback, "tensor_inputs", None) or tensors)
        if unknown := [name for name in self.tensors if name not in TENSORS]:
            raise SettingError(
                f"A callback's tensors are {' and '.join(TENSORS)}; it asked for '{str(unknown[0])[:40]}'.", "callback"
            )
        self._put: Callable[[torch.Tensor], Any] = getattr(streamer, "put", lambda ids: None)

    def begun(self, loop: Loop) -> None:
        """Tell the prompt."""
        self._put(loop.state.sequence.cpu())

    def stepped(self, loop: Loop, step: Step, raw: torch.Tensor) -> Step:
        """Tell a pass, and return it with the canvas that the callback put in its place; raise SettingError where that is none."""
        if hasattr(self.streamer, "put_draft"):
            takes = getattr(self.streamer, "_takes_logits", False)
            assert loop.state.belief is not None
            told = {"logits": loop.state.belief.cpu()} if takes else {"value": step.guess.cpu()}
            self.streamer.put_draft(**told)
        if self.callback is None:
            return step
        known = {"canvas": step.canvas, "logits": raw}
        at = loop.settings.steps - loop.state.left - 1
        said = self.callback(self.owner, self.passes, at, {name: known[name].clone() for name in self.tensors})
        self.passes += 1
        canvas = said.get("canvas") if isinstance(said, dict) else None
        if canvas is None:
            return step
        return replace(step, canvas=_put(loop, canvas))

    def written(self, loop: Loop) -> None:
        """Tell a finished canvas."""
        self._put(loop.state.sequence[:, -loop.length :].cpu())

    def ended(self) -> None:
        """Tell that the run is over, stopped or finished."""
        if self.streamer is not None:
            self.streamer.end()


def _put(loop: Loop, canvas: Any) -> torch.Tensor:
    """Let the network see another canvas (B, L) next; return it. Pinned positions stay; raise SettingError where it is none."""
    state, shape = loop.state, tuple(loop.state.canvas.shape)
    if not isinstance(canvas, torch.Tensor) or tuple(canvas.shape) != shape or canvas.is_floating_point():
        raise SettingError(f"A callback's canvas must be a tensor of whole numbers of the shape {shape}.", "callback")
    if not 0 <= int(canvas.min()) <= int(canvas.max()) < loop.vocab:
        raise SettingError(f"A callback's canvas holds ids from 0 to {loop.vocab - 1}.", "callback")
    state.canvas = loop.clamp(canvas.to(loop.device, torch.long, copy=True))
    return state.canvas
