"""Many runs of a small model whose passes are made together, as one batch: what a sweep or an evaluation of hundreds of texts needs.

The loop stays what it is. Every run has a thread of its own and waits at its pass until all others have come to theirs, or ended.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

import torch
from torch import Tensor

from .model import Worlds
from .session import Passes

Out = TypeVar("Out")


class Gathered:
    """Stands in for `Passes`: `run` waits for the passes of the other runs and makes them all in one."""

    def __init__(self, passes: Passes, runs: int):
        self.passes, self.runs = passes, runs
        self.came = threading.Condition()
        self.asked: list[tuple[Tensor, Tensor | None]] = []
        self.made: Tensor | Exception | None = None
        self.number = 0  # of the batch that is being gathered

    def run(self, ids: Tensor, start: int = 0, cache: Tensor | None = None, guess: Tensor | None = None) -> Tensor:
        """Return features (1, T, width) of one run's ids (1, T); a run over a cache of its own makes its passes alone."""
        if cache is not None:
            return self.passes.run(ids, start, cache, guess)
        with self.came:
            place, number = len(self.asked), self.number
            self.asked.append((ids, guess))
            self._go()
            self.came.wait_for(lambda: self.number > number)
            made = self.made
        if isinstance(made, Exception):
            raise made.with_traceback(None)
        assert made is not None
        return made[place : place + 1]

    def logits(self, features: Tensor) -> Tensor:
        """Return scores of one run's features."""
        return self.passes.logits(features)

    def leave(self) -> None:
        """Note that a run has ended."""
        with self.came:
            self.runs -= 1
            self._go()

    def _go(self) -> None:
        """Make the passes once every run that is under way has asked; the caller holds the condition."""
        if not self.asked or len(self.asked) < self.runs:
            return
        try:
            ids, guesses = zip(*self.asked, strict=True)
            read = next((guess for guess in guesses if guess is not None), None)
            guess = None if read is None else torch.cat([torch.zeros_like(read) if g is None else g for g in guesses])
            self.made = self.passes.run(torch.cat(ids), guess=guess)
        except Exception as error:
            self.made = error
        self.asked, self.number = [], self.number + 1
        self.came.notify_all()


def together(model: Worlds, jobs: Sequence[Callable[[Worlds], Out]]) -> list[Out]:
    """Return what each job returns, given a stand-in for the model; each may make one run of it."""
    shared = Gathered(model.networks["diffusion"], len(jobs))
    threads, clone = torch.get_num_threads(), copy.copy(model)
    clone.networks = {**model.networks, "diffusion": cast("Passes", shared)}

    def done(job: Callable[[Worlds], Out]) -> Out:
        torch.set_num_threads(threads)
        try:
            return job(clone)
        finally:
            shared.leave()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(done, jobs))
