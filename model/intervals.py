"""How sure a share is."""

from __future__ import annotations

import math

Z = 1.96  # standard deviations of a 95 % interval


def wilson(right: float, of: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of `right` among `of`."""
    p, d = right / of, 1 + Z * Z / of
    centre, half = (p + Z * Z / (2 * of)) / d, Z * math.sqrt(p * (1 - p) / of + Z * Z / (4 * of * of)) / d
    return min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half))
