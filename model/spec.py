"""What differs between models, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSpec:
    """What differs between models, as data.

    family: 'masked', 'uniform' (random canvas, no mask token) or 'autoregressive'. shift: the output at position i - 1 predicts
    position i. causal_prefix: finished text enters through an exact cache and is computed once. block_lengths: those it was
    trained for (empty: any). canvas: fixed canvas length, 0 where the length is free. ahead: longest block that one pass can guess
    while it checks the block before; 0: none. recheck: it learned to doubt wrong words that it reads. checked: its texts can be
    checked exactly. infills: it was trained to write holes with what follows in view, though it writes from left to right. spaced: its
    first word brings a space that is no part of the text. shares: how its authors share tokens over steps that do not
    divide them (`schedules.own_counts`), '' where they do not say. first_byte: the id of byte 0 where the vocabulary has a token for every
    byte of characters it lacks, in order. modes: what it can run. vision: takes an
    image. view: how its canvas is drawn, '' as text or 'board' as a square of cells.
    """

    id: str
    name: str
    family: str
    vocab_size: int
    eos_ids: tuple[int, ...]
    mask_id: int | None = None
    shift: bool = False
    causal_prefix: bool = False
    block_lengths: tuple[int, ...] = ()
    default_block: int = 0
    canvas: int = 0
    self_conditioning: bool = False
    guidance: bool = False
    verify: bool = False
    recheck: bool = False
    checked: bool = False
    infills: bool = False
    spaced: bool = False
    first_byte: int = 0
    shares: str = ""
    ahead: int = 0
    vision: bool = False
    view: str = ""
    modes: tuple[str, ...] = ("diffusion",)
    twin: str = ""
    max_tokens: int = 1024
    parameters: int = 0
    memory_bytes: int = 0
    license: str = ""
    url: str = ""
    revision: str = ""
    note: str = ""
