"""What a network says of the open places of a canvas, without writing there: the readers that `model.reading` asks, for both families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from model.errors import NumericsError
from model.loops.masked import OnGrid, Predictor
from model.loops.readout import FORBIDDEN
from model.loops.uniform import Loop
from model.spec import ModelSpec


def log_shares(logits: torch.Tensor, forbidden: Sequence[int]) -> np.ndarray:
    """Return log p (n, V) of raw logits, what a text never holds ruled out; raise NumericsError on what is no number."""
    logits = logits.float()
    logits[:, list(forbidden)] = FORBIDDEN
    out = logits.log_softmax(-1)
    if not bool(torch.isfinite(out).all()):
        raise NumericsError("The model returned values that are not numbers; run again, or reload the model.")
    return out.cpu().numpy()


class MaskedReader:
    """Reads open places as masks. With a causal prefix only those of one block at a time, behind finished text: `open` says which.

    width: of a block. A shifted network never predicts a block's first place from within, so the block begins one place before the first
    open one, which is given text; where that is the prompt, the causal pass over it reads the place.
    """

    def __init__(self, predictor: Predictor, spec: ModelSpec, width: int, forbidden: Sequence[int]):
        self.predictor, self.spec, self.width, self.forbidden = predictor, spec, width, forbidden
        self.grid = predictor if isinstance(predictor, OnGrid) else None
        self.start, self.stop, self.forwards = 0, 0, 0
        self.cached = -1
        self.clean: torch.Tensor | None = None  # logits of the place `start` by the pass over all before it

    def open(self, canvas: list[int]) -> int:
        """Set to work on a canvas (ids, -1: open); return where what can be read now ends."""
        self.start, self.stop = 0, len(canvas)
        if self.spec.causal_prefix:
            self.start, self.stop = self._block(canvas.index(-1))
            self._read_on(canvas)
        return min(self.stop, len(canvas))

    def _block(self, first: int) -> tuple[int, int]:
        start = max(0, first - 1) if self.spec.shift else first
        stop = start + self.width
        if self.grid:
            start, stop = self.grid.span(first, self.width)
        return max(0, start), stop  # which may lie behind the canvas

    def _read_on(self, canvas: list[int]) -> None:
        """Append what stands before the block to the cache."""
        first = max(0, self.cached)
        if self.cached < 0 or first < self.start:
            ids = canvas[first : self.start]
            self.clean = self.predictor.advance(first, ids, [len(ids) - 1])
            self.forwards += self.predictor.passes
            self.cached = self.start

    def log_p(self, canvas: list[int], places: list[int]) -> np.ndarray:
        """Return log p (len(places), V) of what may stand at open places of this block; the canvas may differ from there on."""
        if self.spec.causal_prefix and places[-1] >= self.stop:
            return self._beyond(canvas, places)
        inside = [place for place in places if not self._is_clean(place)]
        rows = [self.clean] if len(inside) < len(places) and self.clean is not None else []
        if inside:
            rows.append(self.predictor.predict(canvas[:], (self.start, min(self.stop, len(canvas))), inside))
            self.forwards += self.predictor.passes
        return log_shares(torch.cat([row.clone() for row in rows]), self.forbidden)

    def _is_clean(self, place: int) -> bool:
        return place == self.start and self.spec.shift and self.clean is not None

    def _beyond(self, canvas: list[int], places: list[int]) -> np.ndarray:
        """Read places of a later block, all before which is filled in for the moment."""
        kept = self.start, self.stop, self.cached, self.clean
        self.start, self.stop = self._block(places[0])
        self._read_on(canvas)
        out = self.log_p(canvas, places)
        self.start, self.stop, self.cached, self.clean = kept
        self.predictor.crop(self.cached)
        return out


class NoiseReader:
    """Reads open places as random tokens: the first pass of a run on a random canvas, given text held, one draw for the whole form."""

    def __init__(self, loop: Loop, forbidden: Sequence[int]):
        self.loop, self.forbidden, self.forwards = loop, forbidden, 0
        loop.open_canvas()
        loop.encode()
        self.noise: list[int] = loop.state.canvas[0].tolist()
        self.forwards = loop.denoiser.ahead

    def open(self, canvas: list[int]) -> int:
        """Return where what can be read now ends: behind the canvas."""
        return len(canvas)

    @torch.inference_mode()
    def log_p(self, canvas: list[int], places: list[int]) -> np.ndarray:
        """Return log p (len(places), V) of what may stand at open places."""
        seen = [token if token >= 0 else noise for token, noise in zip(canvas, self.noise, strict=True)]
        state = self.loop.state
        self.loop.state = replace(state, canvas=torch.tensor([seen], device=state.canvas.device))
        logits = self.loop.forward()[0, places]
        self.forwards += 1
        return log_shares(logits, self.forbidden)
