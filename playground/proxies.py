"""Variables that name a proxy, kept away from what this machine says to itself. No Gradio here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy", "ws_proxy", "wss_proxy")


@contextmanager
def unproxied() -> Iterator[None]:
    """Ask no proxy for anything inside: a page that starts calls itself, and a library that reads such variables may choke on them.

    Afterwards they are as they were, for downloads.
    """
    kept = {name: value for name, value in os.environ.items() if name.lower() in NAMES}
    for name in kept:
        del os.environ[name]
    os.environ["no_proxy"] = "*"  # a system's own settings count only where no variable is set at all
    try:
        yield
    finally:
        del os.environ["no_proxy"]
        os.environ.update(kept)
