"""From templates to structures: for every position of every possible text, which words may stand there and what they must agree with."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from functools import cache, cached_property

from .forms import FORMS, Form
from .lexicon import DAYS, HE, MANY, NUMBERS, ONE, PLACES, RELATIVES, SHE, SOUNDS, STRANGERS

SUBJECT = {
    **dict.fromkeys(SHE, "she"),
    **dict.fromkeys(HE, "he"),
    **STRANGERS,
    **{who: {"her": "she", "his": "he"}[his] for who, his in RELATIVES.items()},
}
CASES = {"he": {"he": "he", "she": "she"}, "his": {"he": "his", "she": "her"}, "him": {"he": "him", "she": "her"}}
SINGLE: dict[str, list[str]] = {
    "name": SHE + HE,
    "he_name": HE,
    "day": DAYS,
    "Day": DAYS,
    "number": NUMBERS[2:],
    "place": PLACES,
    "animal": list(SOUNDS),
    "relative": list(RELATIVES),
    "stranger": list(STRANGERS),
    **ONE,
    "Guests": [word.capitalize() for word in ONE["guests"]],
}
KINDS: dict[str, list[tuple[str, ...]]] = {
    **{kind: [(word,) for word in words] for kind, words in SINGLE.items()},
    **{kind: [tuple(phrase.split()) for phrase in phrases] for kind, phrases in MANY.items()},
}
OPTIONS = {kind: frozenset(options) for kind, options in KINDS.items()}
_SLOT = re.compile(
    r"\{(?:(?P<fn>\w+)\((?P<of>\w+)\)|=(?P<again>\w+)|(?P<kind>\w+)(?:=(?P<name>\w+))?(?P<nots>(?:!\w+)*))\}"
)
VOWELS = "aeiou"
LONGEST = 71  # words of a text: the canvas holds an end behind them


@dataclass(frozen=True)
class Part:
    """A stretch of a text: fixed words, a slot, or a word that follows from another slot.

    kind: 'literal', 'a' (article), 'again' (a variable once more), a function's name, or a kind of words. of: the variable it repeats or
    follows from. name: the variable it sets. nots: variables it must differ from. start, length: where it stands.
    """

    kind: str
    start: int
    length: int = 1
    word: str = ""
    name: str = ""
    of: str = ""
    nots: tuple[str, ...] = ()

    @property
    def free(self) -> bool:
        """Whether it is a slot of its own."""
        return self.kind in KINDS


def derived(kind: str, word: str) -> str:
    """Return what follows from a word: its pronoun ('he', 'His', ...), the day after it, one less, the animal's sound."""
    if kind == "sound":
        return SOUNDS[word]
    if kind == "next":
        return DAYS[(DAYS.index(word) + 1) % 7]
    if kind == "less":
        return NUMBERS[NUMBERS.index(word) - 1]
    found = CASES[kind.lower()][SUBJECT[word]]
    return found.capitalize() if kind[0].isupper() else found


DERIVED = {
    "sound": frozenset(SOUNDS.values()),
    "next": frozenset(DAYS),
    "less": frozenset(NUMBERS),
    **{case: frozenset(forms.values()) for case, forms in CASES.items()},
    **{case.capitalize(): frozenset(word.capitalize() for word in forms.values()) for case, forms in CASES.items()},
}


@dataclass(frozen=True)
class Structure:
    """One way a form can be built: its parts in order. allowed: per position, the words that some text of this structure has there."""

    form: str
    parts: tuple[Part, ...]
    kinds: dict[str, str]
    allowed: tuple[frozenset[str], ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.allowed)

    @cached_property
    def linked(self) -> tuple[int, ...]:
        """Positions of words that must agree with another one: repeated, derived, or what those follow from; articles too."""
        sources = {part.of for part in self.parts if part.of}
        return tuple(
            part.start for part in self.parts if part.of or part.kind == "a" or (part.name and part.name in sources)
        )


def parts_of(template: str) -> tuple[Part, ...]:
    """Return a template's parts in order; a capital kind such as {Day} starts a sentence."""
    parts, at = [], 0
    for token in template.split():
        slot = _SLOT.fullmatch(token)
        if slot is None:
            part = Part("literal", at, word=token)
        elif slot["fn"]:
            part = Part(slot["fn"], at, of=slot["of"])
        elif slot["again"]:
            part = Part("again", at, of=slot["again"])
        elif slot["kind"] == "a":
            part = Part("a", at)
        else:
            length = len(KINDS[slot["kind"]][0])
            part = Part(
                slot["kind"], at, length, name=slot["name"] or "", nots=tuple(filter(None, slot["nots"].split("!")))
            )
        parts.append(part)
        at += part.length
    return tuple(parts)


def _allowed(part: Part, kinds: dict[str, str]) -> list[frozenset[str]]:
    if part.kind == "literal":
        return [frozenset((part.word,))]
    if part.kind == "a":
        return [frozenset(("a", "an"))]
    if part.kind == "again":
        return [frozenset(word for (word,) in KINDS[kinds[part.of]])]
    if part.kind in DERIVED:
        return [DERIVED[part.kind]]
    return [frozenset(option[i] for option in KINDS[part.kind]) for i in range(part.length)]


def _structure(form: Form, middle: tuple[str, ...]) -> Structure:
    parts = parts_of(" ".join((form.head, *(form.middle[name] for name in middle), form.tail)))
    kinds = {part.name: part.kind for part in parts if part.name}
    return Structure(form.name, parts, kinds, tuple(words for part in parts for words in _allowed(part, kinds)))


@cache
def structures(form: str) -> tuple[Structure, ...]:
    """Return every structure of a form that fits the canvas; those whose variables are used before they are set are left out."""
    found, what = [], FORMS[form]
    for count in what.counts:
        for middle in itertools.permutations(what.middle, count):
            if set(what.must) <= set(middle):
                structure = _structure(what, middle)
                if len(structure) <= LONGEST and _in_order(structure):
                    found.append(structure)
    return tuple(found)


def _in_order(structure: Structure) -> bool:
    known: set[str] = set()
    for part in structure.parts:
        if (part.of and part.of not in known) or not set(part.nots) <= known | ({*part.nots} - {*structure.kinds}):
            return False
        known |= {part.name}
    return True


def article(word: str) -> str:
    """Return 'a' or 'an' for the next word."""
    return "an" if word[0].lower() in VOWELS and not word.lower().startswith(("one", "uni", "use", "eu")) else "a"
