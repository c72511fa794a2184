"""What the three worlds networks are shown, and what they are asked: masks, random words, or what comes next."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model.worlds import PROMPT
from training.small import drawn

Batch = dict[str, Tensor]
MASK = 0
LINKED = 3.0  # how much a word counts that must agree with another
WORKED_OUT = 12.0  # and one that must be worked out from another: without this weight the day after was never learnt
KEPT = 0.1  # share of the disturbed words that make room for undisturbed ones, which teach the network what fits

STAYS = 0.7  # how much a word of the network's own counts that may stay, beside one that has to go


def masked(ids: Tensor, linked: Tensor, rng: torch.Generator) -> Batch:
    """Mask each row's canvas at its own rate (8 % of the rows: all; half: below 0.4); in 30 % of the rows replace up to a tenth.

    Words that must agree are learnt from canvases that show most of what they agree with, hence so many low rates; in a third of the rows
    the words that must be worked out are masked, some of those that must agree, and few others. ids, linked (B, T): `linked` words must
    agree with another one (1) and count LINKED times, or be worked out from it (2): WORKED_OUT times. Returned: seen (B, T), rows: flat
    positions whose loss counts, wanted: their ids, weight; always as many, so that a compiled network sees one shape.
    """
    b, t = ids.shape
    canvas = torch.arange(t, device=ids.device) >= PROMPT
    u, kind = drawn(rng, b, 1), drawn(rng, b, 1)
    rate = torch.where(kind < 0.08, torch.ones_like(u), torch.where(kind < 0.5, u, 0.4 * u))
    row = torch.arange(b, device=ids.device)[:, None]
    focus = torch.stack((0.1 * u, 0.3 * torch.ones_like(u), torch.ones_like(u)))[linked.long(), row, 0]
    rate = torch.where(drawn(rng, b, 1) < 0.33, focus, rate)
    gone = (drawn(rng, b, t) < rate) & canvas
    share = 0.1 * drawn(rng, b, 1) * (drawn(rng, b, 1) < 0.3)
    wrong = (drawn(rng, b, t) < share) & canvas & ~gone
    seen = torch.where(wrong, _others(ids, rng), ids).masked_fill(gone, MASK)
    return _asked(seen, ids, gone | wrong, linked, rng)


def corrected(seen: Tensor, wanted: Tensor) -> Batch:
    """Ask what canvases (B, T) of the network's own runs should become, at every position.

    A word that may stay counts STAYS: at a tenth of one that has to go, as in `masked`, the network doubted so much that runs took twice
    the passes.
    """
    rows = (torch.arange(seen.shape[1]) >= PROMPT).expand(seen.shape).flatten().nonzero()[:, 0]
    weight = torch.where(seen == wanted, STAYS, 1.0).flatten()[rows]
    return {"seen": seen, "rows": rows, "wanted": wanted.flatten()[rows], "weight": weight}


def _others(ids: Tensor, rng: torch.Generator) -> Tensor:
    """Return words to put in place of others: of another row at the same position, or from anywhere in this row's canvas."""
    b, t = ids.shape
    across = ids[torch.randperm(b, generator=rng, device=rng.device)]
    within = ids.gather(1, torch.randint(PROMPT, t, (b, t), generator=rng, device=rng.device))
    return torch.where(drawn(rng, b, t) < 0.5, across, within)


def _asked(seen: Tensor, ids: Tensor, disturbed: Tensor, linked: Tensor, rng: torch.Generator) -> Batch:
    """Ask for half of all canvas positions: first the disturbed ones, a tenth of the places for those that kept their word."""
    b, t = ids.shape
    canvas = torch.arange(t, device=ids.device) >= PROMPT
    urgent = drawn(rng, b, t) + disturbed * (drawn(rng, b, t) > KEPT) + disturbed * linked
    rows = (urgent + 4 * canvas).flatten().topk(b * (t - PROMPT) // 2).indices
    weight = torch.where(disturbed, 1.0, KEPT) * weight_of(linked)
    return {"seen": seen, "rows": rows, "wanted": ids.flatten()[rows], "weight": weight.flatten()[rows]}


def weight_of(linked: Tensor) -> Tensor:
    """Return how much each word counts."""
    return torch.tensor([1.0, LINKED, WORKED_OUT], device=linked.device)[linked.long()]


def random_words(ids: Tensor, linked: Tensor, rng: torch.Generator, words: Tensor) -> Batch:
    """Replace each row's canvas by random `words` at its own rate (10 % of the rows: all); every position of the canvas is asked for.

    Words that kept their place count as much as others: asked for less, the network would doubt them, and no run would ever settle.
    conditioned: there in half of the batches, which also see the network's own first guess.
    """
    b, t = ids.shape
    canvas = torch.arange(t, device=ids.device) >= PROMPT
    u = drawn(rng, b, 1)
    rate = torch.where(drawn(rng, b, 1) < 0.1, torch.ones_like(u), u)
    wrong = (drawn(rng, b, t) < rate) & canvas
    noise = words[torch.randint(len(words), (b, t), generator=rng, device=rng.device)]
    rows = canvas.expand(b, t).flatten().nonzero()[:, 0]
    weight = weight_of(linked).flatten()[rows]
    batch = {"seen": torch.where(wrong, noise, ids), "rows": rows, "wanted": ids.flatten()[rows], "weight": weight}
    return batch | ({"conditioned": torch.tensor(True)} if drawn(rng) < 0.5 else {})


def next_words(ids: Tensor, linked: Tensor, end: int, rng: torch.Generator) -> Batch:
    """Ask for each word from those before it, up to and including the first end."""
    wanted = ids[:, 1:]
    ended = (ids == end).cumsum(1)[:, :-1] > 0
    counted = (torch.arange(1, ids.shape[1], device=ids.device) >= PROMPT) & ~ended
    order = counted.flatten().float() + drawn(rng, counted.numel())
    rows = order.topk(
        int(0.6 * counted.numel())
    ).indices  # always as many: a few positions behind the end may be among them
    weight = weight_of(linked[:, 1:]).flatten()[rows]
    return {"seen": ids[:, :-1].contiguous(), "rows": rows, "wanted": wanted.flatten()[rows], "weight": weight}


def loss(network: Any, batch: Batch) -> Tensor:
    """Return the weighted mean cross-entropy (nats) of the rows that count."""
    guess = None
    if "conditioned" in batch:
        with torch.no_grad():
            guess = network.logits(network(batch["seen"])).softmax(-1)
            guess[:, :PROMPT] = 0  # the prompt is never guessed
    features = network(batch["seen"], guess)
    nats = F.cross_entropy(network.logits(features.flatten(0, 1)[batch["rows"]]), batch["wanted"], reduction="none")
    return (nats * batch["weight"]).sum() / batch["weight"].sum()
