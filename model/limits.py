"""What one visitor may ask for, on this machine and on a public server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask for. `cost` bounds the combination: positions computed, summed over all forward passes.

    lanes, runs: those of one race, and the runs of one race or sweep together. image_bytes: of a picture with the prompt; 0: none.
    downloads: whether a visitor may have a model fetched, or name a checkpoint of the owner's.
    """

    name: str
    prompt_chars: int
    prompt_tokens: int
    new_tokens: int
    steps: int
    cost: int
    seconds: float
    waiting_per_visitor: int
    trace_bytes: int
    lanes: int
    runs: int
    image_bytes: int = 0
    downloads: bool = False


LOCAL = Limits("local", 16_000, 8_192, 1_024, 1_024, 524_288, 300.0, 8, 4_000_000, 4, 240, 8_000_000, True)
PUBLIC = Limits("public", 2_000, 512, 256, 256, 65_536, 30.0, 2, 1_000_000, 4, 24)
PROFILES = {"local": LOCAL, "public": PUBLIC}
