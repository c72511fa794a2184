"""Text with holes: `___` stands for one to a few words, `[5]` for exactly five tokens; only the holes are written.

Everything else stands on the canvas as given text. A backslash before a hole keeps it as it is. How long an open hole is, is tried:
the whole text is written at each length, and the one with the highest mean confidence wins (`attempts`, `confidence`).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np

from model import worlds
from model.draft import Draft
from model.errors import SettingError
from model.request import visible_text
from model.run import PAUSED
from model.settings import LOCAL, Limits, Settings
from model.spec import ModelSpec
from model.trace.frame import PINNED, PROMPT
from model.trace.trace import Trace

LENGTHS = (1, 2, 3, 5, 8)  # tokens that an open hole is tried at
BEHIND = 8  # tokens behind a hole that say whether its length was right
MOST_HOLES, MOST_OPEN, LONGEST = 16, 4, 64
_HOLE = re.compile(r"(\\?)(_{3,}|\[(\d{1,9})\])")
ASK, BLANK = "Fill in the blanks (___) of this text:\n", "___"


@dataclass(frozen=True)
class Hole:
    """A place to be written. tokens: exactly so many; 0: open."""

    tokens: int = 0


Part = str | Hole
Lengths = tuple[int, ...]


def ending(parts: Sequence[Part]) -> bool:
    """Whether a hole without a length ends the text: then a model ends it by its own end token."""
    return len(parts) > 1 and parts[-2] == Hole() and not str(parts[-1]).strip()


def parse_holes(text: Any, limits: Limits) -> tuple[Part, ...]:
    """Return a text's parts in order, given text and holes; raise SettingError with one sentence."""
    text, at = visible_text("The text", text, limits.prompt_chars - len(ASK)), 0
    found: list[Part] = [""]
    for match in _HOLE.finditer(text):
        found[-1] = str(found[-1]) + text[at : match.start()]
        at = match.end()
        if match[1]:
            found[-1] = str(found[-1]) + match[2]
            continue
        if match[3] and not 1 <= int(match[3]) <= LONGEST:
            raise SettingError(f"A hole may have between 1 and {LONGEST} tokens; this one was {match[2]}.", "text")
        if len(found) > 1 and not found[-1]:
            raise SettingError(f"Two holes need text between them; make one of them, like [{LENGTHS[-1]}].", "text")
        found += [Hole(int(match[3] or 0)), ""]
    found[-1] = str(found[-1]) + text[at:]
    holes = [part for part in found if isinstance(part, Hole)]
    if not holes:
        raise SettingError(
            "The text has no hole yet: write ___ for one to a few words, or [5] for exactly five tokens.", "text"
        )
    if len(holes) > MOST_HOLES or sum(not hole.tokens for hole in holes) > MOST_OPEN:
        raise SettingError(
            f"A text may have at most {MOST_HOLES} holes, of which {MOST_OPEN} without a length.", "text"
        )
    return tuple(found)


@dataclass(frozen=True)
class Filling(Draft):
    """A canvas whose text is given but for its holes. parts: text and holes in turn; lengths: tokens of each hole."""

    parts: tuple[Part, ...] = ()
    lengths: Lengths = ()
    about: str = ""

    def made(self, tokens: Callable[[str], list[int]], spec: ModelSpec) -> Draft:
        """Return the draft with its text tokenised; raise SettingError where it does not fit.

        One space before a hole is left to the hole's first word, as tokenizers cut text; which then has to begin with it (`spaced`).
        """
        ids: list[int] = []
        kept: list[int] = []
        spaced: list[int] = []
        lengths = iter(self.lengths)
        ends = ending(self.parts) and bool(spec.eos_ids)
        for i, part in enumerate(self.parts[:-1] if ends else self.parts):
            if isinstance(part, Hole):
                ids += [-1] * next(lengths)
                continue
            text = part
            if i + 1 < len(self.parts) and part.endswith(" ") and part.strip():
                text = part[:-1]
            given = tokens(text) if text else []
            kept += range(len(ids), len(ids) + len(given))
            ids += given
            if len(text) < len(part):
                spaced.append(len(ids))
        if ends and spec.canvas:  # as much as there is room for
            while len(ids) > spec.canvas and ids[-2:] == [-1, -1]:
                ids.pop()
        elif spec.eos_ids and not ends:  # nothing comes behind the text, so that no hole ends it
            kept.append(len(ids))
            ids.append(spec.eos_ids[0])
        if spec.canvas and len(ids) > spec.canvas:
            raise SettingError(f"{spec.name} has a canvas of {spec.canvas} tokens; this text takes {len(ids)}.", "text")
        if spec.canvas:
            ids += [spec.eos_ids[0] if spec.eos_ids else -1] * (spec.canvas - len(ids))
        return Draft(tuple(ids), kept=tuple(kept), about=self.about, spaced=tuple(spaced))

    @property
    def grows(self) -> bool:
        """Whether the canvas is as long as the draft."""
        return True


def asked_of(spec: ModelSpec | None, parts: Sequence[Part], prompt: str = "") -> str:
    """Return the prompt that a text with holes is written for; raise SettingError where none can be.

    prompt: of a visitor; the text that is quoted stands behind it. spec: None where it is not known yet.
    """
    if spec and spec.view:
        raise SettingError(f"{spec.name} writes no text that could have holes; type the puzzle as a prompt.", "model")
    if spec and "diffusion" not in spec.modes:
        raise SettingError(f"{spec.name} writes from left to right only, never around what stands.", "model")
    if spec and spec.checked:
        return prompt if prompt.strip() else worlds.form_of(" ".join(part for part in parts if isinstance(part, str)))
    return f"{prompt}\n\n{quoted(parts)}" if prompt.strip() else quoted(parts)


def quoted(parts: Sequence[Part]) -> str:
    """Return the prompt that quotes a text with holes, for a model that reads its prompt first: so it knows what follows a hole."""
    return ASK + "".join(part if isinstance(part, str) else BLANK for part in parts)


def reach(spec: ModelSpec) -> str:
    """Say what of a text the model can use for a hole; '' where it fills none."""
    if spec.view or "diffusion" not in spec.modes:
        return ""
    if not spec.causal_prefix:
        return f"{spec.name} reads what stands on both sides of a hole."
    if spec.infills:
        return (
            f"{spec.name} was trained for holes: it reads the whole text first, what follows a hole included, and then writes it "
            "from left to right."
        )
    return (
        f"{spec.name} writes in blocks from left to right: for a hole it uses all that stands before it, the rest of the hole's own "
        "block, and the text as its prompt quotes it."
    )


def attempts(
    parts: Sequence[Part], enough: Callable[[Lengths], bool]
) -> Generator[Lengths, Sequence[float], tuple[Lengths, str]]:
    """Yield lengths of all holes to be tried, and be sent the confidence in each hole; return the best, and a sentence on the choice.

    Open holes are settled one after the other, the others at their best so far; one that ends the text is long enough for the model to
    end it. enough: whether there is no time or room for this try.
    """
    holes = [part for part in parts if isinstance(part, Hole)]
    tried = holes[:-1] if ending(parts) else holes
    best = tuple(hole.tokens or LENGTHS[1] for hole in holes)
    known: dict[Lengths, Sequence[float]] = {}
    said = []
    for number, hole in enumerate(tried):
        tries: dict[int, float] = {}
        for length in LENGTHS if not hole.tokens else ():
            lengths = (*best[:number], length, *best[number + 1 :])
            if lengths not in known and not (known and enough(lengths)):
                known[lengths] = yield lengths
            if lengths in known:
                tries[length] = known[lengths][number]
        if tries:
            chosen = max(tries, key=lambda length: (tries[length], -length))
            best = (*best[:number], chosen, *best[number + 1 :])
            said.append(_told(number + 1, chosen, tries, len(holes)))
    if ending(parts):
        best = (*best[:-1], LONGEST)
    if best not in known:
        yield best
    return best, " ".join(said)


def _told(number: int, chosen: int, tries: dict[int, float], holes: int) -> str:
    which = f"Hole {number}" if holes > 1 else "The hole"
    others = ", ".join(f"{length}: {value:.2f}" for length, value in tries.items() if length != chosen)
    return f"{which} takes {_size(chosen)}: mean confidence {tries[chosen]:.2f} ({others or 'no time or room for others'})."


def _ended(trace: Trace, lengths: Lengths) -> str:
    """Say where the model ended a hole that ends the text."""
    hole = [int(trace.frames[-1].ids[i]) for i in places(trace, lengths)[-1]]
    ends = [k for k, token in enumerate(hole) if token in trace.spec.eos_ids]
    if ends:
        return f"The last hole was ended by the model itself, after {_size(ends[0])}."
    return f"The last hole took all of its {_size(len(hole))}."


def _size(tokens: int) -> str:
    return "1 token" if tokens == 1 else f"{tokens} tokens"


def places(trace: Trace, lengths: Lengths) -> list[list[int]]:
    """Return the positions of each hole on the canvas of a run that filled them."""
    free = np.flatnonzero(~np.isin(trace.frames[0].states, (PROMPT, PINNED))).tolist()
    ends = list(accumulate(lengths))
    return [free[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def confidence(trace: Trace, lengths: Lengths, nats: Sequence[float] | None = None) -> list[float]:
    """Return the mean confidence in what fills each hole, from 0 to 1.

    nats: -ln p of every token, read from left to right. With them it is the geometric mean over a hole and up to BEHIND tokens after it:
    a hole of the wrong length is a surprise there, while its own tokens, copied from around it, are often sure. Without them it is the
    mean over the hole's tokens as they were decided.
    """
    last, out = trace.frames[-1], []
    for where in places(trace, lengths):
        if nats is None:
            out.append(float(last.confidence[where].mean()) / 255)
        else:
            counted = nats[where[0] : where[-1] + 1 + BEHIND]
            out.append(math.exp(-sum(counted) / len(counted)) if counted else 0.0)
    return out


def written(trace: Trace, parts: Sequence[Part], lengths: Lengths) -> tuple[str, list[str]]:
    """Return the whole text and what was written into each hole. Given text stands in it to the letter, white space included."""
    ids, out, words = trace.frames[-1].ids.tolist(), "", []
    holes = iter(places(trace, lengths))
    for part in parts:
        if isinstance(part, str):
            out += part
            continue
        hole = [ids[i] for i in next(holes)]
        ends = [k for k, token in enumerate(hole) if token in trace.spec.eos_ids]
        text = b"".join(trace.pieces.get(token, b"") for token in hole[: min(ends, default=None)])
        said = text.decode("utf-8", errors="replace")
        words.append(said.removeprefix(" ") if not out or out[-1].isspace() else said)
        out += words[-1]
    return out, words


class Tries(Iterator[Any]):
    """The runs that fill a text, one after the other: each is to be run to its end before the next is asked for.

    begin: from the holes' lengths to a run (a context manager that has `trace`). score: from a prompt and a text's ids to -ln p of each,
    read from left to right, None where the model does not. seconds: after so long no further length is tried. Behind the last one,
    `trace` is the best, with its text to the letter and a notice of the choice, and `words` what stands in each hole.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        begin: Callable[[Lengths], Any],
        score: Callable[[str, list[int]], Sequence[float] | None],
        seconds: float = float("inf"),
    ):
        self.parts = parts
        self.lengths: Lengths = ()
        self.trace: Trace | None = None
        self.words: list[str] = []
        self._room, until = math.inf, time.monotonic() + seconds  # tokens that all holes may take together
        self._runs = self._all(
            begin, score, attempts(parts, lambda tried: time.monotonic() > until or sum(tried) > self._room)
        )

    @property
    def open(self) -> bool:
        """Whether any hole has no length, so that several are tried."""
        return Hole() in (self.parts[:-2] if ending(self.parts) else self.parts)

    def __next__(self) -> Any:
        return next(self._runs)

    def _all(
        self,
        begin: Callable[[Lengths], Any],
        score: Callable[[str, list[int]], Sequence[float] | None],
        policy: Generator[Lengths, Sequence[float], tuple[Lengths, str]],
    ) -> Iterator[Any]:
        made: dict[Lengths, Trace] = {}
        self.lengths, sentence = next(policy), ""
        while True:
            with begin(self.lengths) as run:
                yield run
            if run.trace is None or not run.trace.frames:
                return
            made[self.lengths] = trace = run.trace
            if trace.spec.canvas:
                self._room = trace.spec.canvas - len(trace.final_ids) + sum(self.lengths)
            if (
                trace.frames[-1].undecided or trace.result is None or trace.result.stopped in PAUSED
            ):  # nothing better will come
                break
            try:
                self.lengths = policy.send(
                    confidence(trace, self.lengths, score(trace.prompt, trace.final_ids) if self.open else None)
                )
            except StopIteration as over:
                self.lengths, sentence = over.value
                break
        self.trace = trace = made[self.lengths]
        trace.notice = " ".join(filter(None, (trace.notice, sentence)))
        if trace.result is not None and not trace.frames[-1].undecided:
            if ending(self.parts):
                trace.notice = f"{trace.notice} {_ended(trace, self.lengths)}".strip()
            text, self.words = written(trace, self.parts, self.lengths)
            trace.result = replace(trace.result, text=text)


def fill(model: Any, text: str, settings: Settings | None = None, prompt: str = "") -> Trace:
    """Return the trace of a loaded model that wrote the holes of a text; raise SettingError with one sentence.

    Its result's text is the text to the letter; its notice says which lengths were chosen for open holes.
    """
    parts = parse_holes(text, LOCAL)
    asked = asked_of(model.spec, parts, prompt)
    begin = lambda lengths: closing(model.denoise(asked, settings, draft=Filling(parts=parts, lengths=lengths)))  # noqa: E731
    tries = Tries(parts, begin, model.score)
    for run in tries:
        run.finish()
    assert tries.trace is not None
    return tries.trace
