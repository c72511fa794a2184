"""Measurements, each a command whose last line of stdout is one JSON object: `python -m bench`, `bench.replay`, `bench.diffusiongemma`."""
