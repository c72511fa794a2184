"""Write a trained network as it ships: `python -m training.worlds.export RUN assets/weights/small/worlds.safetensors`."""

from __future__ import annotations

import argparse
from pathlib import Path

from model.models.worlds.weights import save
from training.small import load_average


def main(argv: list[str] | None = None) -> None:
    """Write one network."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("run", type=Path, help="the folder that training wrote")
    cli.add_argument("file", type=Path)
    args = cli.parse_args(argv)
    network, about = load_average(args.run)
    save(args.file, network, {"rows": about["rows"], "steps": about["step"], "seconds": round(about["spent"])})
    print(f"{args.file}: {args.file.stat().st_size / 1e6:.2f} MB, {about['rows']:,} texts seen")


if __name__ == "__main__":
    main()
