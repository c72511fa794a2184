"""Words as numbers, and text as it is shown. A word's number is its line in `vocabulary.txt`: append there, never insert."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from .forms import FORMS
from .write import Text

MASK, END, NONE, ANY, SPARE = range(5)
FORM_IDS = {form: 5 + i for i, form in enumerate(FORMS)}
FIRST_WORD = 5 + len(FORMS)
PROMPT, TOPICS, CANVAS = 6, 5, 72
VOCABULARY = (
    "<mask>",
    "<end>",
    "<none>",
    "<any>",
    "<spare>",
    *(f"<{form}>" for form in FORMS),
    *(Path(__file__).with_name("vocabulary.txt").read_text(encoding="utf-8").split()),
)
IDS = {word: i for i, word in enumerate(VOCABULARY)}
JOINED = frozenset(".,:;!?")  # these follow a word without a space


def encode(words: Iterable[str]) -> list[int]:
    """Return the ids of words that are in the vocabulary; raise KeyError for one that is not."""
    return [IDS[word] for word in words]


def decode(ids: Iterable[int]) -> list[str]:
    """Return the words of ids."""
    return [VOCABULARY[i] for i in ids]


def piece(token: int) -> str:
    """Return a token as it stands in running text, the space before it included; nothing for the end."""
    word = VOCABULARY[token]
    return "" if token == END else word if word in JOINED else f" {word}"


def display(words: Sequence[str]) -> str:
    """Return words as running text."""
    return "".join(word if word in JOINED else f" {word}" for word in words).strip()


def tokens(text: str) -> list[int]:
    """Return the ids of typed words; raise ValueError naming the first that the world does not know."""
    out = []
    for word in re.findall(r"[\w-]+|[^\w\s]", text):
        found = next((form for form in (word, word.lower(), word.capitalize()) if form in IDS), None)
        if found is None:
            raise ValueError(word)
        out.append(IDS[found])
    return out


def prompt_ids(form: str | None, topics: Sequence[str]) -> list[int]:
    """Return the PROMPT ids that stand before the canvas: the form, then up to TOPICS words."""
    named = encode(topics[:TOPICS])
    return [FORM_IDS.get(form or "", ANY), *named, *[NONE] * (TOPICS - len(named))]


def training_prompt(text: Text, r: random.Random) -> list[int]:
    """Return a prompt that a text answers: some of its topics in any order; one in twenty does not name the form."""
    count = r.choice((0, 0, 1, 1, 2, 3, 4, 5))
    topics = r.sample(text.topics, min(count, len(text.topics)))
    return prompt_ids(None if r.random() < 0.05 else text.form, topics)
