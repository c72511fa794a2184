"""What a half-written canvas should become: the consistent text that keeps most of the words that stand on it.

A network that is trained on the grammar's own texts never sees its own mistakes. Here the grammar says what they should have been: the
structure that most words fit, for every variable the value that most of its mentions agree with, and fresh words where nothing stands.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

import numpy as np

from model import worlds
from model.worlds.grammar import KINDS, Part, Structure, article, derived, structures

CLOSEST = 3  # structures that fit equally well and are filled; the text that keeps most words is taken
ASKED = 1.5  # how many words a word that was asked for may displace
PINNED = 20.0  # and how many a pinned one
EARLIER = 0.1  # of two words that contradict each other the later one is to blame: the first of a canvas weighs so much more than the last


@cache
def _table(form: str) -> tuple[tuple[Structure, ...], np.ndarray, np.ndarray]:
    """Return a form's structures, for each the set of words at every position (S, CANVAS), and the words of each set (U, V)."""
    sets: dict[frozenset[str], int] = {frozenset(): 0}
    found = structures(form)
    which = np.zeros((len(found), worlds.CANVAS), np.int32)
    for row, structure in enumerate(found):
        for position, allowed in enumerate(structure.allowed):
            which[row, position] = sets.setdefault(allowed, len(sets))
    fits = np.zeros((len(sets), len(worlds.VOCABULARY)), bool)
    for allowed, number in sets.items():
        fits[number, worlds.encode(sorted(allowed))] = True
    fits[0, worlds.END] = True
    return found, which, fits


def _closest(
    form: str, ids: np.ndarray, weight: np.ndarray, topics: Sequence[str], r: random.Random
) -> list[Structure]:
    """Return up to CLOSEST structures that the decided ids (CANVAS, -1: undecided) fit best, words that were asked for counted too."""
    found, which, fits = _table(form)
    decided = np.flatnonzero(ids >= 0)
    misfits = ~fits[which[:, decided], ids[decided]] @ weight[decided]
    for word in worlds.encode(topics):
        misfits += ASKED * ~fits[:, word][which].any(1)
    best = np.flatnonzero(misfits <= misfits.min() + 1e-6).tolist()
    ends: dict[int, list[int]] = {}
    for row in best:  # as the writer does: first how many sentences, then which
        count = sum(part.word in (".", "!", "?") for part in found[row].parts if part.kind == "literal")
        ends.setdefault(count, []).append(row)
    return [found[r.choice(ends[r.choice(list(ends))])] for _ in range(CLOSEST if len(best) > 1 else 1)]


def _implied(part: Part, word: str, values: Sequence[str]) -> list[str]:
    """Return the values of a part's variable that a word in its place agrees with."""
    if part.kind == "again":
        return [word] if word in values else []
    return [value for value in values if derived(part.kind, value) == word]


def _votes(structure: Structure, part: Part, words: Sequence[str], weight: np.ndarray) -> dict[str, float]:
    """Return how much the words that stand there agree with each value of a part's variable ('': none stands)."""
    values = [option[0] for option in KINDS[part.kind]]
    votes = {words[part.start]: float(weight[part.start])} if words[part.start] in values else {}
    for other in structure.parts:
        if part.name and other.of == part.name and words[other.start]:
            for value in _implied(other, words[other.start], values):
                votes[value] = votes.get(value, 0.0) + float(weight[other.start])
    return votes


def filled(
    structure: Structure, words: Sequence[str], weight: np.ndarray, topics: Sequence[str], r: random.Random
) -> list[str]:
    """Return the words of a text of this structure that keeps most of `words` ('' where none stands)."""
    out: list[str] = []
    values: dict[str, str] = {}
    used: set[tuple[str, tuple[str, ...]]] = set()
    asked = [topic for topic in topics if topic not in words and topic.capitalize() not in words]
    for part in structure.parts:
        if part.kind in ("literal", "a"):
            out.append(part.word or "a")
        elif part.kind == "again":
            out.append(values[part.of])
        elif not part.free:
            out.append(derived(part.kind, values[part.of]))
        else:
            barred = {values.get(name, "") for name in part.nots} | _held(structure, part, words, weight)
            score = _score(structure, part, words, weight, asked)
            open_ = [option for option in KINDS[part.kind] if option[0] not in barred]
            most = max(score.get(option, 0.0) for option in open_)
            fresh = [option for option in open_ if (part.kind, option) not in used] or open_
            option = r.choice([o for o in open_ if score.get(o, 0.0) == most] if most > 0 else fresh)
            used.add((part.kind, option))
            asked = [topic for topic in asked if option[0] not in (topic, topic.capitalize())]
            if part.name:
                values[part.name] = option[0]
            out += option
    for part in structure.parts:
        if part.kind == "a":
            out[part.start] = article(out[part.start + 1])
    return out


def _held(structure: Structure, part: Part, words: Sequence[str], weight: np.ndarray) -> set[str]:
    """Return what a part may not be because a pinned word further on must differ from it."""
    later = [other for other in structure.parts if part.name and part.name in other.nots]
    return {words[other.start] for other in later if weight[other.start] >= PINNED}


def _score(
    structure: Structure, part: Part, words: Sequence[str], weight: np.ndarray, asked: Sequence[str]
) -> dict[tuple[str, ...], float]:
    """Return how well the words that stand there agree with each option of a free part, words that were asked for counted too."""
    if part.length > 1:
        places = range(part.start, part.start + part.length)
        return {
            option: sum(float(weight[at]) for word, at in zip(option, places, strict=True) if word == words[at])
            for option in KINDS[part.kind]
        }
    votes = _votes(structure, part, words, weight)
    wanted = {word for topic in asked for word in (topic, topic.capitalize())}
    return {option: votes.get(option[0], 0.0) + ASKED * (option[0] in wanted) for option in KINDS[part.kind]}


def meant(
    ids: Sequence[int], form: str, topics: Sequence[str], r: random.Random, pinned: Sequence[int] = ()
) -> list[int]:
    """Return the canvas that a half-written one (CANVAS ids, -1 where undecided) should become: a consistent text, ends behind it."""
    canvas = np.asarray(ids)
    words = ["" if token < worlds.FIRST_WORD else worlds.VOCABULARY[token] for token in canvas.tolist()]
    weight = np.linspace(1 + EARLIER, 1, worlds.CANVAS)
    weight[list(pinned)] = PINNED
    best: list[int] = []
    most = -1.0
    for structure in _closest(form, canvas, weight, topics, r):
        text = worlds.encode(filled(structure, words, weight, topics, r))
        text += [worlds.END] * (worlds.CANVAS - len(text))
        kept = float((np.asarray(text) == canvas) @ weight)
        if kept > most:
            best, most = text, kept
    return best
