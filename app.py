"""Entry point of `make run` and of the Space: flags, then serve."""

from __future__ import annotations

import argparse
import sys

from playground.cli import add_serve, serve


def main() -> int:
    """Read the flags and serve the page until interrupted."""
    parser = argparse.ArgumentParser(description="Inkblot: watch a language model write by denoising.")
    add_serve(parser)
    return serve(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
