"""One word changed by hand, and the words that hang on it: a name and its pronouns, a number said twice, a day and the day after."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from .check import _closest, check
from .forms import FORMS
from .grammar import KINDS, SUBJECT, Part, Structure, article, derived

# What a visitor may ask for, by the kinds of words it changes, in order of preference.
CHANGES = {
    "who": ("name", "stranger", "relative", "he_name", "guests", "title", "animal"),
    "how many": ("number", "thing", "dish", "object", "herb", "parts", "tool"),
    "where or when": ("place", "day", "Day", "weather"),
}


@dataclass(frozen=True)
class Ripple:
    """position of the word that changes, `old` and `new`; free: positions of the words that hang on it; faults: until they follow."""

    position: int
    old: str
    new: str
    free: tuple[int, ...]
    faults: tuple[str, ...]


def ripple(words: Sequence[str], form: str | None, change: str, seed: int = 0) -> Ripple | None:
    """Return one change of a word that others hang on, of another kind where the text has none of this; None where it has none at all.

    The new word is of another gender where there is one, so that pronouns have to follow.
    """
    structure = _closest(words, [form] if form else list(FORMS))
    if len(words) != len(structure):
        return None
    for kind in dict.fromkeys((*CHANGES[change], *(kind for kinds in CHANGES.values() for kind in kinds))):
        for part in structure.parts:
            free = hanging(structure, part)
            if (
                part.kind != kind
                or part.length != 1
                or not part.name
                or not any(p.of == part.name for p in structure.parts)
            ):
                continue
            old = words[part.start]
            options = [option[0] for option in KINDS[kind] if len(option) == 1 and option[0] != old]
            random.Random(seed).shuffle(options)
            options.sort(key=lambda word: SUBJECT.get(word) == SUBJECT.get(old) is not None)
            for new in options:
                changed = list(words)
                changed[part.start] = new
                if not check(_followed(structure, part, changed), structure.form):
                    faults = tuple(fault.sentence for fault in check(changed, structure.form))
                    return Ripple(part.start, old, new, free, faults)
    return None


def hanging(structure: Structure, part: Part) -> tuple[int, ...]:
    """Return the positions of what follows from a part, the article before it included."""
    return tuple(
        other.start
        for other in structure.parts
        if (part.name and other.of == part.name) or (other.kind == "a" and other.start + 1 == part.start)
    )


def _followed(structure: Structure, part: Part, words: list[str]) -> list[str]:
    """Return words in which everything that hangs on a part follows from it."""
    out, new = list(words), words[part.start]
    for other in structure.parts:
        if other.of == part.name and other.length == 1:
            out[other.start] = new if other.kind == "again" else derived(other.kind, new)
    for other in structure.parts:
        if other.kind == "a":
            out[other.start] = article(out[other.start + 1])
    return out
