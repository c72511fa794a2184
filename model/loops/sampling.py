"""Draw tokens from logits: temperature, top-k, top-p."""

from __future__ import annotations

import torch

from model.loops.plan import Plan

CHUNK = 256
HEAD, WIDER = (
    64,
    16,
)  # likeliest tokens looked at for top-p, and how many times more for the rows where those do not reach it


def sample(logits: torch.Tensor, plan: Plan) -> torch.Tensor:
    """Draw one token a row at the temperature, within top-k, then within top-p (the token that crosses it included).

    By the inverse of the distribution function in float64: 32-bit Gumbel noise would act like a lower temperature (arXiv 2409.02908).
    """
    settings, n = plan.settings, len(logits)
    scaled = logits / settings.temperature
    uniform = torch.rand(n, generator=plan.generator, dtype=torch.float64)
    if settings.top_k:
        values, ids = scaled.topk(min(settings.top_k, scaled.shape[-1]), dim=-1)
        return _within(values.softmax(-1), ids, settings.top_p, uniform)
    if settings.top_p == 1:
        return _draw(scaled.softmax(-1), uniform)
    return _nucleus(scaled, scaled.logsumexp(-1, keepdim=True), settings.top_p, uniform, HEAD)


def _nucleus(scaled: torch.Tensor, total: torch.Tensor, top_p: float, uniform: torch.Tensor, size: int) -> torch.Tensor:
    """Draw within top-p from the `size` likeliest tokens of every row (n, V), from more of them in the rows where those are too few."""
    values, ids = scaled.topk(min(size, scaled.shape[-1]), dim=-1)
    weights = (values - total).exp()
    token = _within(weights, ids, top_p, uniform)
    short = weights.sum(-1) < top_p
    if size < scaled.shape[-1] and bool(short.any()):
        token[short] = _nucleus(scaled[short], total[short], top_p, uniform[short], WIDER * size)
    return token


def _within(weights: torch.Tensor, ids: torch.Tensor, top_p: float, uniform: torch.Tensor) -> torch.Tensor:
    """Draw one of ids (n, m) a row by weights in falling order, those behind the one that crosses top-p left out."""
    kept = weights.masked_fill(weights.cumsum(-1) - weights >= top_p, 0.0)
    return ids.gather(1, _draw(kept, uniform)[:, None])[:, 0]


def _draw(weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Return one index per row of weights (n, m), drawn in proportion, uniform (n,) in [0, 1); chunk first, then inside it."""
    n, m = weights.shape
    if m % CHUNK or m == CHUNK:
        return _invert(weights, uniform)[0]
    chunks = weights.view(n, -1, CHUNK)
    chunk, rest = _invert(chunks.sum(-1, dtype=torch.float64), uniform)
    inside = chunks.gather(1, chunk[:, None, None].expand(-1, 1, CHUNK))[:, 0]
    return chunk * CHUNK + _invert(inside, rest)[0]


def _invert(weights: torch.Tensor, uniform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (index, how far into that index's own share the draw fell, in [0, 1)); an index of weight 0 is never drawn."""
    edges = weights.double().cumsum(-1)
    aim = (uniform * edges[:, -1])[:, None]
    last = edges.argmax(-1, keepdim=True)  # the last index with weight: argmax takes the first of equal edges
    index = torch.minimum(torch.searchsorted(edges, aim, right=True), last)
    width = weights.double().gather(1, index)
    rest = (aim - edges.gather(1, index) + width) / width
    return index[:, 0], rest[:, 0].clamp(0, 1 - 1e-12)
