"""What training minimises, and the masked cross-entropy on held-out answers by which runs are compared."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from .data import AHEAD, IGNORED, Batch, Noise, Row, collate
from .network import Network, causal

TEMPERATURE = 0.8  # the answers were sampled at this temperature, so the teacher speaks at it too
CANDIDATES = 64  # likeliest tokens of a mask that are weighed again once the token before it is known
CHUNK = 8_192  # masked tokens whose logits are in memory at once
CELLS = ((8, 1.0), (16, 0.5), (32, 1.0))  # (block length, masked) of the held-out measure


@dataclass(frozen=True)
class Loss:
    """total: what is minimised. masked, next_token, following: mean cross-entropies in nats (0 where it is not trained); following: of
    masks alone behind a token, once the tokens before each are known (`Network.follow`)."""

    total: torch.Tensor
    masked: torch.Tensor
    accuracy: torch.Tensor
    next_token: torch.Tensor
    following: torch.Tensor


def losses(network: Network, batch: Batch, kl_share: float = 0.5, next_token: float = 0.0) -> Loss:
    """Return the losses of a batch, per masked token.

    Cross-entropy on masked tokens. Where nothing to the right in the block is known, `kl_share` of it is replaced by the KL divergence
    to the clean stream's own next-token distribution (lower variance, and exact there; elsewhere it would teach the decoder to ignore
    what follows). next_token: weight of the clean stream's own cross-entropy, which keeps one set of weights able to write
    token by token; 0 where the base is frozen, and then nothing of the clean stream needs gradients.
    """
    length = batch.clean.shape[1]
    frozen = network.adapter is not None
    with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
        positions = torch.arange(length, device=batch.clean.device)
        spoken, past = network.run(batch.clean, positions, causal(0, length, batch.clean.device))
    hidden, _ = network.run(batch.noised, batch.positions, batch.mask, past, decoder=True)
    chosen = batch.target != IGNORED
    row = torch.arange(len(hidden), device=hidden.device)[:, None].expand_as(batch.target)[chosen]
    teacher = spoken.detach()[
        row, batch.positions[chosen]
    ]  # the clean output at the same token predicts the same next one
    parts = [torch.zeros((), device=hidden.device) for _ in range(4)]
    alone = batch.depth[chosen] >= 0
    told = _told(network, hidden, batch)[chosen]
    columns = (hidden[chosen], batch.target[chosen], batch.taught[chosen], teacher, told, alone)
    for piece in zip(*(t.split(CHUNK) for t in columns), strict=True):
        for i, value in enumerate(_run_checkpointed(network, *piece, kl_share)):
            parts[i] = parts[i] + value
    count = chosen.sum().clamp_min(1)
    total, entropy, correct = (part / count for part in parts[:3])
    following = parts[3] / alone.sum().clamp_min(1)
    clean_entropy = torch.zeros((), device=hidden.device)
    if next_token:
        told = batch.next_token != IGNORED
        clean_entropy = F.cross_entropy(network.logits(spoken[told]), batch.next_token[told])
        total = total + next_token * clean_entropy
    return Loss(total, entropy.detach(), correct.detach(), clean_entropy.detach(), following.detach())


def _told(network: Network, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the hidden states (B, M, D) of masks alone behind a token, told what stands between it and their guess; zeros elsewhere."""
    told = torch.zeros_like(hidden)
    if network.adapter is None:
        return told
    before = batch.clean.gather(1, batch.positions)  # what the mask itself hides
    for depth in range(int(batch.depth.max()) + 1):
        here = batch.depth == depth
        carried = told.roll(1, 1)[here]  # of the mask before it, which stands one column to the left
        told = told.index_put(
            (here,), network.follow(hidden[here], before[here], carried if depth else torch.zeros_like(carried))
        )
    return told


def _run_checkpointed(network: Network, *piece: object) -> tuple[torch.Tensor, ...]:
    """Keep logits for the backward pass only where they are few: they are 49,152 wide."""
    if torch.is_grad_enabled() and len(piece[0]) == CHUNK:  # type: ignore[arg-type]
        return checkpoint(_masked_loss, network, *piece, use_reentrant=False)
    return _masked_loss(network, *piece)  # type: ignore[arg-type]


def _masked_loss(
    network: Network,
    hidden: torch.Tensor,
    target: torch.Tensor,
    taught: torch.Tensor,
    teacher: torch.Tensor,
    told: torch.Tensor,
    alone: torch.Tensor,
    kl_share: float,
) -> tuple[torch.Tensor, ...]:
    """Sums over masked tokens: training loss, cross-entropy, correct guesses, cross-entropy with the tokens before known.

    hidden, teacher, told (n, D); target, taught, alone (n,).
    """
    logits = network.logits(hidden)
    entropy = F.cross_entropy(logits, target, reduction="none")
    total = entropy.sum()
    if kl_share and taught.any():
        with torch.no_grad():
            said = (network.logits(teacher[taught]) / TEMPERATURE).log_softmax(-1)
        divergence = (said.exp() * (said - logits[taught].log_softmax(-1))).sum(-1)
        total = total + kl_share * (divergence - entropy[taught]).sum()
    following = torch.zeros((), device=hidden.device)
    if alone.any():
        following = _following(network, told[alone], target[alone], logits.detach()[alone])
        total = total + following
    return total, entropy.detach().sum(), (logits.argmax(-1) == target).sum(), following.detach()


def _following(network: Network, told: torch.Tensor, target: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Sum of cross-entropies among each mask's likeliest tokens (and the true one) by what it says once the tokens before are known."""
    likely = logits.topk(CANDIDATES, -1).indices
    rows = F.embedding(torch.cat([target[:, None], likely], 1), network.base["embedding"]).to(told.dtype)
    scores = torch.einsum("nd,nkd->nk", told, rows).float()
    twice = F.pad(likely == target[:, None], (1, 0))
    return F.cross_entropy(scores.masked_fill(twice, -torch.inf), torch.zeros_like(target), reduction="sum")


@torch.no_grad()
def held_out_cells(network: Network, rows: Sequence[Row], ahead: bool = False, batch: int = 16) -> dict[str, float]:
    """Return masked cross-entropy (nats) per cell of `CELLS` on held-out rows, the same masks in every call.

    ahead: with two cells for masks alone behind every token, without and with the token before each known.
    """
    cells = {}
    for length, ratio in CELLS:
        cells[f"block {length}, {ratio:.0%} masked"] = _held_out(network, rows, batch, Noise(), length, ratio)[0]
    if ahead:
        cells["ahead"], cells["ahead, one known"] = _held_out(network, rows, 4, Noise(ahead=1.0), AHEAD, None)
    return cells


def _held_out(
    network: Network, rows: Sequence[Row], batch: int, noise: Noise, length: int, ratio: float | None
) -> tuple[float, float]:
    """Return mean `masked` and `following` over all masks."""
    sums, count, rng = [0.0, 0.0], 0, random.Random(0)
    for i in range(0, len(rows), batch):
        part = collate(rows[i : i + batch], noise, [length], rng, ratio).to(network.device)
        n, loss = int((part.target != IGNORED).sum()), losses(network, part, 0.0)
        sums, count = [sums[0] + float(loss.masked) * n, sums[1] + float(loss.following) * n], count + n
    return sums[0] / max(1, count), sums[1] / max(1, count)
