"""8-bit products: weights stay the 8-bit rows they are on disk, for CPUs that multiply bytes much faster than floats.

y = x W' with W = values * scale, one scale a row of W. Each row of x is divided by its largest value and rounded to 127 steps (torch's
fbgemm kernels, without VNNI, add pairs of byte products in 16 bits: 7 bits on this side are what never saturates); what that leaves is
rounded once more, 126 times finer, and multiplied in the same call. These 14 bits are needed: with torch's own dynamic 8-bit linears, or
one rounding a row, the network's NLL of its own text rose by 0.68 and 0.19 nats a token, with two by 0.001. A few rows cost what one does.
A row's result depends on no other row.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F

STEPS, MIDDLE = 63, 64  # a row's numbers become bytes from MIDDLE - STEPS to MIDDLE + STEPS
FINER = 2 * STEPS  # what a rounding leaves is at most half a step
TINY = 1e-30  # a row of zeros is divided by this
PROBED = (1, 16)  # rows whose time decides: token by token, and a block
Product = Callable[[torch.Tensor], torch.Tensor]


class Rows(NamedTuple):
    """A matrix as it is stored: values (rows, columns) int8 and scale (rows,) float32, whose product it is."""

    values: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, weight: torch.Tensor) -> Rows:
        """Return the rows nearest to weight (rows, columns)."""
        scale = (weight.float().abs().amax(1) / 127).clamp_min(1e-12)
        return cls((weight.float() / scale[:, None]).round().to(torch.int8), scale)

    def expanded(self) -> torch.Tensor:
        """Return the whole matrix as float32."""
        return self.values.float() * self.scale[:, None]

    def take(self, ids: torch.Tensor) -> torch.Tensor:
        """Return rows by ids (...,) as float32 (..., columns)."""
        return self.values[ids].float() * self.scale[ids][..., None]


def stacked(above: Rows, below: Rows) -> Rows:
    """Return one matrix with the rows of both."""
    return Rows(torch.cat([above.values, below.values]), torch.cat([above.scale, below.scale]))


def product8(weight: Rows) -> Product:
    """Return x (n, columns) float32 -> (n, rows) float32. Raise RuntimeError where this build of torch has no such product."""
    before = torch.backends.quantized.engine
    with warnings.catch_warnings():  # torch says that the tensors it packs are to be replaced one day
        warnings.simplefilter("ignore")
        torch.backends.quantized.engine = "fbgemm"  # onednn's takes twice the time
        try:
            zeros = torch.zeros(len(weight.scale), dtype=torch.long)
            matrix = torch._make_per_channel_quantized_tensor(weight.values, weight.scale.double(), zeros, 0)
            packed = torch.ops.quantized.linear_prepack(matrix, None)
        finally:
            torch.backends.quantized.engine = before
    multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32

    def own(x: torch.Tensor) -> torch.Tensor:
        n, largest = len(x), x.abs().amax(1, True).add_(TINY)  # a third of vector_norm's time, and less
        both = x.new_empty(2 * n, x.shape[1])
        whole, rest = both[:n], both[n:]
        torch.mul(x, STEPS / largest, out=rest)
        torch.round(rest, out=whole)
        rest.sub_(whole).mul_(FINER)
        y = multiply(both, 1.0, MIDDLE, packed)
        return torch.add(y[:n], y[n:], alpha=1 / FINER).mul_(largest.div_(STEPS))

    return own


@torch.inference_mode()
def faster(rows: int = 3072, columns: int = 576, seconds: float = 0.03) -> bool:
    """Return whether this CPU computes `product8` faster than float32, by trying both on one matrix for about 0.1 s."""
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    try:
        ours = product8(Rows.of(weight))
        inputs = [torch.ones(n, columns) for n in PROBED]
        return all(_time(partial(ours, x), seconds) < _time(partial(F.linear, x, weight), seconds) for x in inputs)
    except (AttributeError, RuntimeError):  # a build without fbgemm, or a later torch without these operators
        return False


def _time(call: Callable[[], object], seconds: float) -> float:
    """Return the median time of a call, tried for `seconds`."""
    call()
    times: list[float] = []
    while sum(times) < seconds:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)
