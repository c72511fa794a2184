"""A form: text with named slots, each of which takes one of its choices, or a few free tokens. What a visitor sends becomes a `Form` here.

`{animal}` in the text is the place of the slot 'animal', `{animal: owl | cat}` describes one where it stands, `{word: 2}` is two tokens
of free text, and a backslash keeps a brace. How a form is read is in `model.reading`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.errors import SettingError
from model.request import visible_text
from model.settings import FIELD, Limits, parse_value
from model.text import normalise

MOST_SLOTS, MOST_CHOICES, MOST_CHARS, LONGEST, MOST_PASSES = 16, 24, 80, 4, 8
KEYS = ("text", "slots", "prompt", "model", "passes", "seed")
OF_A_SLOT = ("name", "choices", "tokens", "given")
_BRACES = re.compile(r"(\\?)\{([^{}]*)\}")
_NAME = re.compile(r"[\w -]{1,40}")


@dataclass(frozen=True)
class Slot:
    """A place to be read. choices: one of them stands there; tokens: else so many of free text; given: a choice that is already made."""

    name: str
    choices: tuple[str, ...] = ()
    tokens: int = 0
    given: str = ""


@dataclass(frozen=True)
class Form:
    """parts: read-only text and slots, in order; passes: in how many rounds the slots are settled, the surest first."""

    parts: tuple[str | Slot, ...]
    passes: int = 1

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots in order."""
        return tuple(part for part in self.parts if isinstance(part, Slot))


@dataclass(frozen=True)
class Answer:
    """What one slot was read as. probability: of `text` among the choices (of free text: among all); 1 where it was given.

    choices: (text, probability), likeliest first; of free text the likeliest few, which leave a rest. round: in which it was settled,
    from 1; 0: given.
    """

    name: str
    text: str
    probability: float
    choices: tuple[tuple[str, float], ...]
    kind: str = "choices"
    round: int = 1


@dataclass(frozen=True)
class Reading:
    """A form as far as it is read: one answer a slot that is settled, by name. forwards: forward passes; stopped: why it is not whole.

    faults: what an exact check says of the finished text, a sentence each; None: nothing can tell.
    """

    model: str
    text: str
    answers: Mapping[str, Answer] = field(default_factory=dict)
    forwards: int = 0
    seconds: float = 0.0
    done: bool = False
    stopped: str = ""
    faults: tuple[str, ...] | None = None
    weights_sha256: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        answers = [
            {"name": a.name, "text": a.text, "probability": round(a.probability, 4), "kind": a.kind, "round": a.round}
            | {"choices": [{"text": text, "probability": round(p, 4)} for text, p in a.choices]}
            for a in self.answers.values()
        ]
        rest = {
            name: getattr(self, name)
            for name in ("model", "weights_sha256", "text", "forwards", "seconds", "done", "stopped")
        }
        return rest | {"faults": None if self.faults is None else list(self.faults), "slots": answers}


def parse_form(document: Any, limits: Limits) -> tuple[Form, dict[str, Any]]:
    """Return a form, and what else was said ('prompt', 'model', 'seed'); raise SettingError with one sentence."""
    if not isinstance(document, Mapping):
        raise SettingError("A form must be an object like {'text': 'It is {mood}.', 'slots': [...]}.", "text")
    if unknown := [str(key)[:40] for key in document if key not in KEYS]:
        raise SettingError(f"A form holds {', '.join(KEYS)}; it had {unknown[0]!r}.", "text")
    said = {key: value for key, value in document.items() if value is not None}
    text = visible_text("The form's text", said.pop("text", ""), limits.prompt_chars)
    listed = _listed(said.pop("slots", []))
    passes = said.pop("passes", 1)
    if isinstance(passes, bool) or not isinstance(passes, int) or not 1 <= passes <= MOST_PASSES:
        raise SettingError(f"Passes must be between 1 and {MOST_PASSES}; it was {str(passes)[:20]}.", "passes")
    said["prompt"] = visible_text("The prompt", said.get("prompt", ""), limits.prompt_chars)
    if "seed" in said:
        said["seed"] = parse_value(FIELD["seed"], said["seed"], limits)
    return Form(_parts(text, listed), passes), said


def _parts(text: str, listed: Mapping[str, Slot]) -> tuple[str | Slot, ...]:
    found: list[str | Slot] = []
    at, plain, seen = 0, "", dict[str, Slot]()
    for match in _BRACES.finditer(text):
        plain += text[at : match.start()]
        at = match.end()
        if match[1]:
            plain += match[0][1:]
            continue
        name, colon, described = (part.strip() for part in match[2].partition(":"))
        if name in seen:
            raise SettingError(f"Two slots are called '{name}': give each a name of its own.", "text")
        if colon and name in listed:
            raise SettingError(f"The slot '{name}' is described twice, in the text and in 'slots'.", "slots")
        if not colon and name not in listed:
            raise SettingError(
                f"The slot '{name[:40]}' has no choices: write {{{name[:40] or 'name'}: one | other}}.", "text"
            )
        seen[name] = slot = _inline(name, described) if colon else listed[name]
        if plain:
            found.append(plain)
        found.append(slot)
        plain = ""
    if rest := plain + text[at:]:
        found.append(rest)
    if missing := [name for name in listed if name not in seen]:
        raise SettingError(f"The slot '{missing[0]}' is nowhere in the text; put {{{missing[0]}}} there.", "text")
    if not seen:
        raise SettingError("The form has no slot yet: write one like {mood: happy | sad} into its text.", "text")
    if len(seen) > MOST_SLOTS:
        raise SettingError(f"A form may have at most {MOST_SLOTS} slots; it has {len(seen)}.", "slots")
    if not any(isinstance(part, str) and part.strip() for part in found):
        raise SettingError("A form needs some text around its slots.", "text")
    return tuple(found)


def _inline(name: str, described: str) -> Slot:
    if described.isdecimal():
        return _slot({"name": name, "tokens": int(described[:9])})
    return _slot({"name": name, "choices": described.split("|")})


def _listed(slots: Any) -> dict[str, Slot]:
    if not isinstance(slots, Sequence) or isinstance(slots, str) or len(slots) > MOST_SLOTS:
        raise SettingError(f"'slots' must be a list of at most {MOST_SLOTS} slots.", "slots")
    out: dict[str, Slot] = {}
    for one in slots:
        slot = _slot(one)
        if slot.name in out:
            raise SettingError(f"Two slots are called '{slot.name}': give each a name of its own.", "slots")
        out[slot.name] = slot
    return out


def _slot(one: Any) -> Slot:
    """Return one slot from an untrusted value; raise SettingError."""
    if not isinstance(one, Mapping) or any(key not in OF_A_SLOT for key in one):
        raise SettingError(f"A slot is an object of {', '.join(OF_A_SLOT)}.", "slots")
    name, choices, tokens, given = one.get("name"), one.get("choices"), one.get("tokens"), one.get("given")
    if not isinstance(name, str) or not _NAME.fullmatch(name := name.strip()):
        raise SettingError(
            f"A slot's name is 1 to 40 letters, digits, spaces or dashes; it was {str(name)[:40]!r}.", "slots"
        )
    if (choices is None) == (tokens is None):
        raise SettingError(f"The slot '{name}' needs either choices or a number of tokens, and not both.", "slots")
    if choices is None:
        if isinstance(tokens, bool) or not isinstance(tokens, int) or not 1 <= tokens <= LONGEST:
            raise SettingError(f"The slot '{name}' may take 1 to {LONGEST} free tokens; it was {tokens}.", "slots")
        if given is not None:
            raise SettingError(f"The slot '{name}' is free text and given: write it into the text instead.", "slots")
        return Slot(name, tokens=tokens)
    texts = _choices(name, choices)
    if given is not None and given not in texts:
        raise SettingError(f"The slot '{name}' is given as {str(given)[:40]!r}, which is none of its choices.", "slots")
    return Slot(name, texts, given=given or "")


def _choices(name: str, choices: Any) -> tuple[str, ...]:
    if not isinstance(choices, Sequence) or isinstance(choices, str) or not all(isinstance(c, str) for c in choices):
        raise SettingError(f"The choices of '{name}' must be a list of words.", "slots")
    texts = tuple(normalise(choice).strip() for choice in choices)
    if not 2 <= len(texts) <= MOST_CHOICES:
        raise SettingError(f"The slot '{name}' needs 2 to {MOST_CHOICES} choices; it has {len(texts)}.", "slots")
    if empty := [text for text in texts if not text or len(text) > MOST_CHARS]:
        what = f"is longer than {MOST_CHARS} characters" if empty[0] else "is empty"
        raise SettingError(f"A choice of the slot '{name}' {what}.", "slots")
    if twice := next((text for i, text in enumerate(texts) if text in texts[:i]), ""):
        raise SettingError(f"The slot '{name}' has the choice '{twice}' twice.", "slots")
    return texts


def settled(parts: Sequence[str | Slot], answers: Mapping[str, Answer]) -> str:
    """Return the text with what was read in its slots; '...' where a slot is still open."""
    return "".join(
        part if isinstance(part, str) else answers[part.name].text if part.name in answers else "..." for part in parts
    )
