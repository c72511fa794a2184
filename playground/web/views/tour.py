"""How it works: the words of a tour of a minute and a half. `assets/page/tour.js` shows each scene on the recorded run, by its name.

What stands in braces is read from that run, and from more of the same model: one in too few passes, one from left to right, three in
which a word was changed by hand. A scene whose facts do not occur in them is left out.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from playground.web.views.recorded import FOLDER
from playground.web.views.talk import SHIPPED


class Scene(NamedTuple):
    """One caption. name: what the player does meanwhile; seconds: how long it stays when nobody presses anything."""

    name: str
    seconds: int
    title: str
    text: str


SCENES = (
    Scene(
        "empty",
        7,
        "It starts with an empty canvas",
        "There are {places} places. Each blot is a mask: room for one token, a word or a piece of one, that is not decided yet.",
    ),
    Scene(
        "step",
        9,
        "A step guesses every place at once",
        "In each step the network runs once over the outlined block. The faint words are its guesses, all made together; "
        "the line beneath each shows how sure it is.",
    ),
    Scene(
        "first",
        9,
        "What it is surest of comes first",
        "Sure tokens are committed wherever they stand. \u201c{word}\u201d was decided in step {step} with probability {probability}, "
        "while a place to its left was still open.",
    ),
    Scene(
        "change",
        9,
        "The rest may still change",
        "Every step sees more neighbours and guesses anew. In step {before_step} this place read \u201c{before}\u201d; "
        "it was decided as \u201c{after}\u201d in step {after_step}.",
    ),
    Scene(
        "check",
        9,
        "A second look takes some back",
        "A finished block is read once from left to right, as an autoregressive model would read it. \u201c{taken}\u201d did not stand "
        "up to that: it was taken back in step {taken_step}, and its place was decided anew.",
    ),
    Scene(
        "doubt",
        8,
        "What no longer fits is taken back",
        "In step {doubted_from} \u201c{doubted}\u201d seemed right. With more words around it, it did not: the network took it back in "
        "step {doubted_step} and decided \u201c{instead}\u201d.",
    ),
    Scene(
        "whole",
        7,
        "And so on, until the text stands",
        "This run took {forwards} passes through the network for {tokens} tokens: {rate} a pass. More at once is faster, and riskier.",
    ),
    Scene(
        "hasty",
        8,
        "Too much at once contradicts itself",
        "The same network in {hasty_passes} passes: words that must agree were decided side by side, none knowing of the "
        "others. A checker finds it: {fault}",
    ),
    Scene(
        "who",
        8,
        "Change a word, and the rest follows",
        "One press, on the first run\u2019s text: {who} Then only what was erased is written, with all the rest in view: {who_after}",
    ),
    Scene("many", 5, "A number that is said twice", "{many} It was written anew: {many_after}"),
    Scene(
        "when", 5, "A place that comes back", "{when} It was written anew: {when_after} The buttons are under the text."
    ),
    Scene(
        "twin",
        7,
        "From left to right, for comparison",
        "A twin of the same size, trained on as many texts, writes the next word, always: {twin_passes} passes here. It never looks at "
        "what follows, and changes nothing. On the Race page both are timed.",
    ),
    Scene(
        "typed",
        8,
        "Left to right, for comparison",
        "An autoregressive model would write one token a pass, always the next one, and never look at what follows. "
        "(Drawn from {drawn}; on the Race page it really runs.)",
    ),
    Scene(
        "honest",
        7,
        "Do not believe what it says",
        "At {millions} million parameters this model writes fluently and makes things up. Watch how the text comes about; "
        "do not take it for facts.",
    ),
    Scene(
        "yours",
        6,
        "Now you",
        "This model has {small} million parameters and knows its small worlds, nothing else. Press Run for another text, or choose "
        "Fast first and see how often it contradicts itself. A word of the text can be clicked, erased, replaced.",
    ),
)


def scenes() -> list[dict[str, object]]:
    """Return the scenes as the page's script wants them, JSON-ready."""
    return [scene._asdict() for scene in SCENES]


def others() -> dict[str, Any]:
    """Return the runs that the tour lays beside the recorded one, by the name of their scene; those that are there."""
    files = {"hasty": SHIPPED / "02-four-steps.json", "twin": SHIPPED / "05-race" / "2-left-to-right.json"}
    files |= {name: FOLDER / "hands" / f"{name}.json" for name in ("who", "many", "when")}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.is_file()}
