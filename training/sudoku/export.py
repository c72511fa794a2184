"""Write a trained network as it ships: `python -m training.sudoku.export RUN assets/weights/small/sudoku.safetensors`."""

from __future__ import annotations

from training.worlds.export import main

if __name__ == "__main__":
    main()
