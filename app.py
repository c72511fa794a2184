"""Entry point of `make run` and of the Space: the same flags and the same server as `python -m playground serve`."""

import sys

from playground.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
