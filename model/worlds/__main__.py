"""Print texts of the small worlds: `python -m model.worlds --form notice --count 10`."""

from __future__ import annotations

import argparse
import random

from . import FORMS, check, display, write


def main() -> None:
    """Print what was asked for, each text with its verdict."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--form", choices=list(FORMS))
    cli.add_argument("--count", type=int, default=8)
    cli.add_argument("--seed", type=int, default=0)
    args = cli.parse_args()
    r = random.Random(args.seed)
    for _ in range(args.count):
        text = write(r, args.form)
        faults = check(text.words, text.form)
        print(
            f"[{text.form}, {len(text.words)} words{', ' + faults[0].sentence if faults else ''}]\n{display(text.words)}\n"
        )


if __name__ == "__main__":
    main()
