"""Rows from the network's own runs: its half-decided canvases and its finished texts, mistakes and all, and what they should become.

Noise from the grammar's texts never shows what a run really meets: the same sentence begun twice, a phrase one word too long for its
place, a word that was asked for and has nowhere left to go. So the network writes by the product's own loop, with knobs drawn anew for
every text, and the grammar says what each canvas should have become (`expert`): imitation of an expert on the learner's own states
(DAgger, arXiv 1011.0686).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model import worlds
from model.models.worlds.model import Worlds
from model.models.worlds.network import Network
from model.models.worlds.session import Passes
from model.models.worlds.together import together
from model.settings import Settings
from model.trace.frame import TAKEN_BACK
from training.small import Batch

from . import noise
from .expert import meant
from .train import fresh, texts

AT_ONCE = 32  # texts of one round of runs
STATES = 4  # canvases of one run that are learnt from, the finished one among them
WIDE = worlds.PROMPT + worlds.CANVAS
PINNED = 0.3  # share of the runs that hold one to four words


@dataclass(frozen=True)
class Asked:
    """What one run is asked for."""

    form: str
    topics: tuple[str, ...]
    pinned: dict[int, str]
    settings: Settings


def asked(r: random.Random) -> Asked:
    """Return what a run is asked for: words and pins of some text, and knobs near those that the page has."""
    text = fresh(r)
    topics = r.sample(text.topics, min(r.choice((0, 1, 1, 2, 3, 4)), len(text.topics)))
    pins = r.sample(range(len(text.words)), r.randint(1, 4)) if r.random() < PINNED else []
    settings = Settings(
        new_tokens=worlds.CANVAS,
        block_length=0,
        steps=40,
        temperature=r.choice((0.8, 1.0)),
        top_p=r.choice((0.9, 1.0)),
        rule="independent",
        entropy_bound=r.choice((0.1, 0.3, 0.5)),
        remasking="recheck",
        remask_strength=r.choice((0.1, 0.2, 0.3)),
        seed=r.randrange(2**31),
    )
    return Asked(text.form, tuple(topics), {i: text.words[i] for i in pins}, settings)


def written(model: Worlds, what: Asked) -> list[np.ndarray]:
    """Return the canvases that one run gave its network to read, -1 where undecided, and the finished one."""
    prompt = " ".join((what.form, *what.topics))
    trace = model.denoise(prompt, what.settings, pinned=what.pinned).finish()
    seen = [np.where(frame.states == TAKEN_BACK, -1, frame.ids) for frame in trace.frames]
    seen[-1] = np.where(seen[-1] < 0, worlds.END, seen[-1])
    return seen


def rows(model: Worlds, r: random.Random) -> tuple[Tensor, Tensor]:
    """Return canvases of AT_ONCE runs behind their prompts, masks where undecided, and what they should become.

    Both (N, PROMPT + CANVAS).
    """
    what = [asked(r) for _ in range(AT_ONCE)]
    runs = together(model, [lambda stand_in, one=one: written(stand_in, one) for one in what])  # type: ignore[misc]
    seen: list[list[int]] = []
    wanted: list[list[int]] = []
    for one, canvases in zip(what, runs, strict=True):
        before = worlds.prompt_ids(one.form, one.topics)
        middle = r.sample(canvases[1:-1], min(STATES - 1, len(canvases) - 2))
        for canvas in (*middle, canvases[-1]):
            target = meant(canvas.tolist(), one.form, one.topics, r, list(one.pinned))
            text = worlds.decode(token for token in target if token != worlds.END)
            if any(text[at : at + 1] != [word] for at, word in one.pinned.items()):
                continue
            if not worlds.check(text, one.form, one.topics):
                seen.append(before + [worlds.MASK if token < 0 else token for token in canvas.tolist()])
                wanted.append(before + target)
    return torch.tensor(seen), torch.tensor(wanted)


def batches(network: Network, r: random.Random, rng: torch.Generator, batch: int) -> Iterator[Batch]:
    """Yield batches without end: half of the rows from the network's own runs, half from noise."""
    model = Worlds()
    half, kept = batch // 2, (torch.empty(0, WIDE, dtype=torch.long), torch.empty(0, WIDE, dtype=torch.long))
    while True:
        while len(kept[0]) < half:
            with torch.no_grad():
                model.networks["diffusion"] = Passes(network, dtype=network.dtype)
            new = rows(model, r)
            mixed = torch.randperm(len(new[0]), generator=rng)
            kept = torch.cat((kept[0], new[0][mixed])), torch.cat((kept[1], new[1][mixed]))
        seen, wanted = kept[0][:half], kept[1][:half]
        kept = kept[0][half:], kept[1][half:]
        own = noise.corrected(seen, wanted)
        usual = noise.masked(*texts(r, batch - half), rng)
        yield joined(own, usual, seen.numel())


def joined(one: Batch, other: Batch, before: int) -> Batch:
    """Return two batches as one; before: positions of the first."""
    return {
        name: torch.cat((one[name], other[name] + before * (name == "rows")))
        for name in ("seen", "rows", "wanted", "weight")
    }
