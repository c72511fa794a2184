"""`worker`: an engine without a page, for pages and command lines elsewhere (`--engine URL`)."""

from __future__ import annotations

import argparse
import os

from model.engine.catalog import entry
from model.errors import PlaygroundError
from model.limits import PROFILES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `worker`."""
    about = (
        "address to listen on (default 127.0.0.1); where others can reach it, set INKBLOT_ENGINE_TOKEN on both sides"
    )
    parser.add_argument("--host", default="127.0.0.1", help=about)
    parser.add_argument("--port", type=int, default=7870, help="port (default 7870)")
    parser.add_argument("--model", default="worlds", metavar="ID", help="model to load at the start (default worlds)")
    parser.add_argument("--limits", choices=sorted(PROFILES), default="local", help="what may be asked of it")


def work(args: argparse.Namespace) -> int:
    """Serve runs until interrupted."""
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as the page does, before torch is imported
    if not 1 <= args.port <= 65_535:
        raise PlaygroundError(f"The port must be between 1 and 65535; it was {args.port}.")
    entry(args.model)
    from model.engine.engine import Engine
    from playground.worker import serve

    return serve(Engine(PROFILES[args.limits]), args.host, args.port, args.model)
