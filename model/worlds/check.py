"""The checker, made from the grammar the writer uses: is a text one that the grammar can write, and if not, what is wrong with it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .forms import FORMS
from .grammar import DERIVED, KINDS, OPTIONS, Part, Structure, article, derived, structures

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
KIND_NAMES = {  # how a kind reads after "no"
    "name": "name",
    "he_name": "man's name",
    "day": "day",
    "Day": "day",
    "number": "number",
    "place": "place",
    "animal": "animal",
    "relative": "relative",
    "stranger": "stranger",
    "weather": "weather",
    "colour": "colour",
    "thing": "thing to count",
    "food": "food",
    "boat": "way to travel",
    "tool": "tool",
    "garment": "garment",
    "object": "object",
    "dish": "dish",
    "herb": "ingredient",
}


@dataclass(frozen=True)
class Fault:
    """One thing that does not fit: a sentence for a reader, and the positions of the words that disagree."""

    sentence: str
    positions: tuple[int, ...]


def check(words: Sequence[str], form: str | None = None, topics: Sequence[str] = ()) -> list[Fault]:
    """Return what is wrong with a text, in reading order; nothing: it is consistent.

    words: without the end; form: the one that was asked for (None: whichever fits best); topics: words that were asked for.
    """
    structure = _closest(words, [form] if form else list(FORMS))
    faults = _read(structure, words)
    missing = [topic for topic in dict.fromkeys(topics) if not {topic, topic.capitalize()} & set(words)]
    return faults + [Fault(f"The prompt asked for '{topic}', which is nowhere in the text.", ()) for topic in missing]


def _closest(words: Sequence[str], forms: Sequence[str]) -> Structure:
    """Return the structure with the fewest words that may not stand where they stand, a length that differs counted too."""

    def misfits(structure: Structure) -> int:
        if len(words) != len(structure):
            begin, end = _fitting(structure, words)
            return max(len(words), len(structure)) - begin - end
        return sum(word not in allowed for word, allowed in zip(words, structure.allowed, strict=True))

    return min((structure for form in forms for structure in structures(form)), key=misfits)


def _fitting(structure: Structure, words: Sequence[str]) -> tuple[int, int]:
    """Return how many words fit a structure from its start, and how many of the rest from its end."""
    most = min(len(words), len(structure))
    begin = next((i for i in range(most) if words[i] not in structure.allowed[i]), most)
    end = next((i for i in range(most - begin) if words[-1 - i] not in structure.allowed[-1 - i]), most - begin)
    return begin, end


def _read(structure: Structure, words: Sequence[str]) -> list[Fault]:
    begin, end = _fitting(structure, words)
    if end >= 4 and len(words) != len(
        structure
    ):  # the text goes on behind a hole, or behind something that does not belong
        where = f"in the {_sentence(structure, begin)} sentence"
        more = len(words) > len(structure)
        sentence = (
            f"There is a word too many {where}." if more else f"A word is missing {where}, before '{words[begin]}'."
        )
        return [Fault(sentence, tuple(range(begin, max(begin + 1, len(words) - end))))]
    faults: list[Fault] = []
    values: dict[str, tuple[str, int]] = {}
    for part in structure.parts:
        found = tuple(words[part.start : part.start + part.length])
        where = f"in the {_sentence(structure, part.start)} sentence"
        if len(found) < part.length:
            faults.append(
                Fault(
                    f"The {FORMS[structure.form].title} breaks off {where}.",
                    tuple(range(max(0, len(words) - 3), len(words))),
                )
            )
            return faults
        if fault := _misfit(part, found, words, values, where):
            faults.append(fault)
        if part.name:
            values[part.name] = (found[0], part.start)
    if len(words) > len(structure):
        faults.append(Fault("The text goes on where it should have ended.", tuple(range(len(structure), len(words)))))
    return faults


def _misfit(
    part: Part, found: tuple[str, ...], words: Sequence[str], values: dict[str, tuple[str, int]], where: str
) -> Fault | None:
    """Return what is wrong with one part, None where nothing is. values: of the variables set so far, with their positions."""
    here, shown = tuple(range(part.start, part.start + part.length)), " ".join(found)
    if part.kind == "literal":
        return None if found[0] == part.word else Fault(f"'{shown}' {where} stands where '{part.word}' belongs.", here)
    if part.kind == "a":
        after = words[part.start + 1] if part.start + 1 < len(words) else "?"
        right = article(after)
        sentence = f"'{shown}' {where} should be '{right}' before '{after}'."
        return None if found[0] == right else Fault(sentence, (part.start, part.start + 1))
    if part.kind == "again":
        value, at = values[part.of]
        return None if found[0] == value else Fault(f"'{shown}' {where} should be '{value}', as before.", (at, *here))
    if part.kind not in KINDS:
        value, at = values[part.of]
        try:
            right = derived(part.kind, value)
        except (KeyError, ValueError, IndexError):  # what it follows from is wrong, and was named
            return None
        return (
            None
            if found[0] == right
            else Fault(f"'{shown}' {where} does not fit {value}: it should be '{right}'.", (at, *here))
        )
    if found not in OPTIONS[part.kind]:
        named = KIND_NAMES.get(part.kind)
        what = f"is no {named}" if named else "does not belong there"
        return Fault(f"'{shown}' {where} {what}.", here)
    same = [at for value, at in (values[name] for name in part.nots if name in values) if value == found[0]]
    return Fault(f"'{shown}' {where} stands twice where two different words belong.", (*same, *here)) if same else None


def _sentence(structure: Structure, position: int) -> str:
    """Return which sentence of a structure a position lies in, as an ordinal."""
    ends = sum(
        part.kind == "literal" and part.word in (".", "!", "?") and part.start < position for part in structure.parts
    )
    return ORDINALS[min(ends, len(ORDINALS) - 1)]


def unholdable(pins: Mapping[int, str]) -> str:
    """Return why no text can hold these words at these positions, in one sentence; empty where one can."""
    fitting = [
        s for form in FORMS for s in structures(form) if all(p < len(s) and w in s.allowed[p] for p, w in pins.items())
    ]
    if not fitting:
        alone = next(
            (
                p
                for p, w in pins.items()
                if not any(p < len(s) and w in s.allowed[p] for f in FORMS for s in structures(f))
            ),
            None,
        )
        if alone is not None:
            return f"No text of the small worlds has '{pins[alone]}' at position {alone}."
        return "No text of the small worlds has all these words at these positions."
    clashes = [_clash(structure, pins) for structure in fitting]
    return "" if "" in clashes else clashes[0]


def _clash(structure: Structure, pins: Mapping[int, str]) -> str:
    """Return which two pinned words contradict each other in a structure; empty where none do."""
    roles: dict[str, list[tuple[str, str]]] = {}  # variable -> (how it is used, the word pinned there)
    for part in structure.parts:
        if part.start in pins and part.length == 1 and (part.name or part.of):
            roles.setdefault(part.name or part.of, []).append(
                (part.kind if part.kind in DERIVED else "", pins[part.start])
            )
    for variable, uses in roles.items():
        values = [option[0] for option in KINDS[structure.kinds[variable]]]
        if not any(all(word == (derived(kind, value) if kind else value) for kind, word in uses) for value in values):
            return f"'{uses[0][1]}' and '{uses[-1][1]}' are pinned where one text cannot hold both."
    return ""
