"""What a visitor typed, as far as the worlds know it: a form, words that can be topics, and the words that mean nothing here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .forms import FORMS, Form
from .lexicon import HE, ONE, PLACES, RELATIVES, SHE, SOUNDS, STRANGERS
from .vocabulary import IDS, TOPICS
from .write import SALIENT

SYNONYMS = {
    "notice": "notice lost missing poster notices",
    "postcard": "postcard card holiday vacation greetings travel postcards",
    "recipe": "recipe cook cooking dish meal bake recipes kitchen",
    "weather": "weather forecast report climate weathers",
    "museum": "museum label exhibit exhibition art museums",
    "diary": "diary journal entry today diaries",
    "letter": "letter complaint complain complaints letters",
    "horoscope": "horoscope stars zodiac fortune future horoscopes",
}
WORDS_OF = {word: form for form, words in SYNONYMS.items() for word in words.split()}
STOP = frozenset(  # words that ask for nothing
    "a an the of for from to at in on with and or but about by my me i you your it its is are be was were who which that this please "
    "write tell give make show some any one text short story small little lost-and-found called named near where when what why how do "
    "does can could would should let us we they he she his her him as into against after before during like get have has had not no "
    "new report entry card animal place strange world worlds something somebody someone create generate describe say sing".split()
)
TOPIC_WORDS = {
    word.lower(): word
    for kind in ("place", "animal", "name", "day", "stranger", "relative", *SALIENT)
    for word in {
        "place": PLACES,
        "animal": list(SOUNDS),
        "name": SHE + HE,
        "stranger": list(STRANGERS),
        "relative": list(RELATIVES),
        "day": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
        **ONE,
    }.get(kind, [])
    if word in IDS
}


@dataclass(frozen=True)
class Asked:
    """form: None where none was named; topics: at most TOPICS words; unknown: words that mean nothing here; dropped: topics too many."""

    form: str | None
    topics: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Return what to tell the visitor of words that were not used; empty where all were."""
        if self.unknown:
            names = ", ".join(f"'{word}'" for word in self.unknown[:4])
            verb = "is" if len(self.unknown) == 1 else "are"
            return f"I know {len(FORMS)} forms of text, {len(PLACES)} places and {len(SOUNDS)} animals; {names} {verb} not among my words."
        if self.dropped:
            return f"I can hold on to {TOPICS} words of a prompt; I left out {', '.join(self.dropped[:4])}."
        return ""


def read_prompt(text: str) -> Asked:
    """Return what the worlds know of a typed prompt: its form, by name or synonym, and its topics in order."""
    form: str | None = None
    topics: list[str] = []
    unknown: list[str] = []
    for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", text.lower()):
        topic = _topic(word)
        if topic is None and word in WORDS_OF:
            form = form or WORDS_OF[word]
        elif topic and not (word in WORDS_OF and form is None):
            topics += [topic] if topic not in topics else []
        elif word in WORDS_OF:
            form = WORDS_OF[word]
        elif word not in STOP and word not in unknown:
            unknown.append(word)
    return Asked(form, tuple(topics[:TOPICS]), tuple(unknown), tuple(topics[TOPICS:]))


def _topic(word: str) -> str | None:
    """Return the topic that a typed word means: itself, its singular or its plural."""
    singular = [
        word[: -len(end)] + new
        for end, new in (("ies", "y"), ("es", ""), ("s", ""), ("ves", "f"))
        if word.endswith(end)
    ]
    return next((TOPIC_WORDS[form] for form in (word, *singular, word + "s", word + "es") if form in TOPIC_WORDS), None)


def form_of(text: str) -> str:
    """Return the name of the form whose fixed words a piece of text has most of: a prompt for its kind."""
    words = set(re.findall(r"[\w-]+", text))

    def score(form: Form) -> float:
        fixed = set(
            re.findall(r"[\w-]+", re.sub(r"\{[^}]*\}", " ", " ".join((form.head, *form.middle.values(), form.tail))))
        )
        return len(words & fixed) / len(fixed) ** 0.5

    return max(FORMS.values(), key=score).name
