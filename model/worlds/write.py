"""The writer: fresh texts of a form, each consistent by construction."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from functools import cache

from .forms import FORMS
from .grammar import KINDS, Part, Structure, article, derived, structures

SALIENT = (
    "place",
    "animal",
    "name",
    "thing",
    "day",
    "Day",
    "herb",
    "dish",
    "tool",
    "object",
    "relative",
    "stranger",
    "food",
    "garment",
    "weather",
    "boat",
    "guests",
    "title",
)
HELD_OUT = (
    ("place", "animal"),
    ("place", "herb"),
    ("place", "object"),
    ("place", "thing"),
    ("animal", "stranger"),
    ("object", "relative"),
    ("dish", "guests"),
    ("animal", "boat"),
)


@dataclass(frozen=True)
class Text:
    """A written text: its form, words, the parts they came from, and what a prompt could name of it, each word once."""

    form: str
    words: tuple[str, ...]
    structure: Structure
    topics: tuple[str, ...]


@cache
def held_out(one: str, other: str) -> bool:
    """Whether two words are one of the pairs, a tenth of all, that training never shows together."""
    return hashlib.sha256(f"{one} {other}".encode()).digest()[0] < 26


def held_out_pairs(structure: Structure, words: tuple[str, ...]) -> int:
    """Return how many pairs of a text's first words of their kinds are held out."""
    first: dict[str, str] = {}
    for part in structure.parts:
        if part.free and part.length == 1:
            first.setdefault(part.kind, words[part.start])
    return sum(held_out(first[a], first[b]) for a, b in HELD_OUT if a in first and b in first)


@cache
def _by_count(form: str) -> tuple[tuple[Structure, ...], ...]:
    """Structures of a form by length of text, so that the longer ones, of which there are more, do not crowd out the others."""
    found: dict[int, list[Structure]] = {}
    for structure in structures(form):
        found.setdefault(sum(part.word in ".!?" for part in structure.parts if part.kind == "literal"), []).append(
            structure
        )
    return tuple(tuple(group) for group in found.values())


def write(r: random.Random, form: str | None = None, held_out: bool | None = False) -> Text:
    """Return a fresh text. held_out: False: without held-out pairs, True: with one at least, None: as it comes."""
    while True:
        name = form or r.choice(tuple(FORMS))
        structure = r.choice(r.choice(_by_count(name)))
        words = _fill(r, structure)
        if held_out is None or bool(held_out_pairs(structure, words)) == held_out:
            topics = [words[part.start] for part in structure.parts if part.kind in SALIENT]
            return Text(name, words, structure, tuple(dict.fromkeys(topics)))


def _fill(r: random.Random, structure: Structure) -> tuple[str, ...]:
    words: list[str] = []
    values: dict[str, str] = {}
    used: set[tuple[str, tuple[str, ...]]] = set()
    for part in structure.parts:
        words += _words(r, part, values, used)
    for part in structure.parts:
        if part.kind == "a":
            words[part.start] = article(words[part.start + 1])
    return tuple(words)


def _words(
    r: random.Random, part: Part, values: dict[str, str], used: set[tuple[str, tuple[str, ...]]]
) -> tuple[str, ...]:
    if part.kind in ("literal", "a"):
        return (part.word or "a",)
    if part.kind == "again":
        return (values[part.of],)
    if not part.free:
        return (derived(part.kind, values[part.of]),)
    while True:
        option = r.choice(KINDS[part.kind])
        if (part.kind, option) not in used and option[0] not in [values.get(name) for name in part.nots]:
            used.add((part.kind, option))
            if part.name:
                values[part.name] = option[0]
            return option
