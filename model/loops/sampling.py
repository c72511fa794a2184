"""Draw tokens from logits: temperature, top-k, top-p."""

from __future__ import annotations

import torch

from model.loops.plan import Plan

CHUNK = 256


HEAD = 1024  # likeliest tokens looked at for top-p; all of them where those do not reach it


def sample(logits: torch.Tensor, plan: Plan) -> torch.Tensor:
    """Draw one token a row at the temperature, within top-k, then within top-p (the token that crosses it included).

    By the inverse of the distribution function in float64: 32-bit Gumbel noise would act like a lower temperature (arXiv 2409.02908).
    """
    settings, n = plan.settings, len(logits)
    scaled = logits / settings.temperature
    uniform = torch.rand(n, generator=plan.generator, dtype=torch.float64)
    if not settings.top_k and settings.top_p == 1:
        return _draw(scaled.softmax(-1), uniform)
    size = min(settings.top_k or HEAD, scaled.shape[-1])
    values, ids = scaled.topk(size, dim=-1)
    weights = values.softmax(-1) if settings.top_k else (values - scaled.logsumexp(-1, keepdim=True)).exp()
    if not settings.top_k and bool((weights.sum(-1) < settings.top_p).any()):
        weights, ids = scaled.softmax(-1).sort(dim=-1, descending=True)
    weights = weights.masked_fill(weights.cumsum(-1) - weights >= settings.top_p, 0.0)
    return ids.gather(1, _draw(weights, uniform)[:, None])[:, 0]


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
