"""How long a test waits for what must come: one factor for every limit, so that a loaded machine is slow and not wrong.

The factor is 3 on an idle machine, where a limit is what it needs at most, and grows with the load that was there when the tests began.
A test that passes never waits this long. What a test lets pass by, to see that nothing happens, is no limit and stays as it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any


def measured() -> float:
    """Return the factor for the load of this machine: processes that want a core, for each core there is."""
    try:
        load = os.getloadavg()[0]
    except OSError:  # no such thing on this system
        load = 0.0
    return 3.0 * max(1.0, load / (os.cpu_count() or 1))


FACTOR = float(os.environ.get("PATIENCE") or measured())


def patience(limit: float) -> float:
    """Return a limit, in whatever unit, as long as this machine needs."""
    return limit * FACTOR


def soon(truth: Callable[[], Any], seconds: float = 5.0) -> bool:
    """Whether something becomes true within `seconds` of an idle machine."""
    until = time.monotonic() + patience(seconds)
    while not truth() and time.monotonic() < until:
        time.sleep(0.01)
    return bool(truth())
