"""How it works: the words of a tour of about a minute. `assets/page/tour.js` shows each scene on the recorded run, by its name.

What stands in braces is read from that run; a scene whose facts do not occur in it is left out.
"""

from __future__ import annotations

from typing import NamedTuple


class Scene(NamedTuple):
    """One caption. name: what the player does meanwhile; seconds: how long it stays when nobody presses anything."""

    name: str
    seconds: int
    title: str
    text: str


SCENES = (
    Scene("empty", 7, "It starts with an empty canvas",
          "There are {places} places. Each blot is a mask: room for one token, a word or a piece of one, that is not decided yet."),
    Scene("step", 9, "A step guesses every place at once",
          "In each step the network runs once over the outlined block. The faint words are its guesses, all made together; "
          "the line beneath each shows how sure it is."),
    Scene("first", 9, "What it is surest of comes first",
          "Sure tokens are committed wherever they stand. \u201c{word}\u201d was decided in step {step} with probability {probability}, "
          "while a place to its left was still open."),
    Scene("change", 9, "The rest may still change",
          "Every step sees more neighbours and guesses anew. In step {before_step} this place read \u201c{before}\u201d; "
          "it was decided as \u201c{after}\u201d in step {after_step}."),
    Scene("check", 9, "A second look takes some back",
          "A finished block is read once from left to right, as an autoregressive model would read it. \u201c{taken}\u201d did not stand "
          "up to that: it was taken back in step {taken_step}, and its place was decided anew."),
    Scene("whole", 8, "And so on, until the text stands",
          "This run took {forwards} passes through the network for {tokens} tokens: {rate} a pass. More at once is faster, and riskier."),
    Scene("typed", 8, "Left to right, for comparison",
          "An autoregressive model would write one token a pass, always the next one, and never look at what follows. "
          "(Drawn from the same text; on the Race page it really runs.)"),
    Scene("honest", 7, "Do not believe what it says",
          "At {millions} million parameters this model writes fluently and makes things up. Watch how the text comes about; "
          "do not take it for facts."),
)  # fmt: skip


def scenes() -> list[dict[str, object]]:
    """Return the scenes as the page's script wants them, JSON-ready."""
    return [scene._asdict() for scene in SCENES]
