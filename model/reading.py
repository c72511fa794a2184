"""How a form is read: the distribution over each slot's choices, from one or a few denoising passes over the text around it.

A choice of several tokens has the joint probability of its tokens by the chain rule: p(first token) in a canvas with as many open places
as the choice has tokens, times p(second) with the first in place, and so on. What is shown is that probability divided by the sum over all
choices. Choices of one token cost no pass of their own: one pass reads all such slots. In each round the surest slots are settled, and the
others are read again with those in place; with one pass all are settled as they were first read.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from model.errors import SettingError
from model.holes import Hole, asked_of
from model.loops.stopwatch import Clock
from model.request import Request
from model.settings import LOCAL, Limits
from model.slots import Answer, Form, Reading, Slot, parse_form, settled

BEAM = 4  # beginnings of free text that are followed, and how many of them are shown
Ids = tuple[int, ...]


class Reads(Protocol):
    """What is asked of a network; see `model.loops.reading`. forwards: forward passes so far."""

    forwards: int

    def open(self, canvas: list[int]) -> int: ...

    def log_p(self, canvas: list[int], places: list[int]) -> np.ndarray: ...


@dataclass(frozen=True)
class Place:
    """A slot as tokens: the ids of each choice (none for free text), and how many places it has while it is open."""

    slot: Slot
    choices: tuple[Ids, ...]
    width: int

    @property
    def widest(self) -> int:
        return max((len(ids) for ids in self.choices), default=self.width)

    @property
    def passes(self) -> int:
        """Forward passes that reading it takes at most."""
        if not self.choices:
            return 1 + BEAM * (self.width - 1)
        return len({len(ids) for ids in self.choices}) + len(
            {(len(c), c[:k]) for c in self.choices for k in range(1, len(c))}
        )


class Layout:
    """A form in a model's tokens. One space before a slot is left to the slot's first word, as tokenizers cut text."""

    def __init__(self, model: Any, form: Form):
        self.model, self.spec, self.form = model, model.spec, form
        self.parts: list[list[int] | Place] = []
        space = ""
        for i, part in enumerate(form.parts):
            if isinstance(part, Slot):
                self.parts.append(self._place(model, part, space))
                space = ""
                continue
            before_slot = i + 1 < len(form.parts) and part.endswith(" ") and part != " " * len(part)
            text, space = (part[:-1], " ") if before_slot else (part, "")
            self.parts.append(self._ids(model, text) if text else [])
        self.places = {part.slot.name: part for part in self.parts if isinstance(part, Place)}

    def _ids(self, model: Any, text: str, slot: str = "") -> list[int]:
        try:
            ids: list[int] = model.tokens(text)
        except SettingError as error:
            where = f"A choice of the slot '{slot}'" if slot else "The form's text"
            raise SettingError(f"{where} cannot be written: {error}", "slots" if slot else "text") from None
        if slot and not ids:
            raise SettingError(
                f"The choice '{text.strip()}' of the slot '{slot}' is no word to {model.spec.name}.", "slots"
            )
        return ids

    def _place(self, model: Any, slot: Slot, space: str) -> Place:
        ids = tuple(tuple(self._ids(model, space + text, slot.name)) for text in slot.choices)
        for i, one in enumerate(ids):
            if one in ids[:i]:
                same = f"'{slot.choices[ids.index(one)]}' and '{slot.choices[i]}'"
                raise SettingError(
                    f"The choices {same} of the slot '{slot.name}' are the same to {model.spec.name}.", "slots"
                )
        common = Counter(map(len, ids)).most_common()
        return Place(slot, ids, min(size for size, count in common if count == common[0][1]) if ids else slot.tokens)

    @property
    def length(self) -> int:
        """Tokens that the form takes at most."""
        return sum(part.widest if isinstance(part, Place) else len(part) for part in self.parts) + bool(
            self.spec.eos_ids
        )

    def lay(
        self, filled: Mapping[str, Ids], widths: Mapping[str, int] | None = None
    ) -> tuple[list[int], dict[str, int]]:
        """Return the canvas (-1: open), whole, and where each slot begins. widths: of open slots that differ from their own."""
        ids: list[int] = []
        at: dict[str, int] = {}
        for part in self.parts:
            if not isinstance(part, Place):
                ids += part
                continue
            name = part.slot.name
            at[name] = len(ids)
            ids += filled[name] if name in filled else [-1] * (widths or {}).get(name, part.width)
        end = self.spec.eos_ids[0] if self.spec.eos_ids else 0
        ids += [end] * (self.spec.canvas - len(ids) if self.spec.canvas else bool(self.spec.eos_ids))
        return ids, at

    def words(self, ids: Ids) -> str:
        """Return tokens as text, without the space before."""
        return b"".join(map(self.model.piece, ids)).decode("utf-8", errors="replace").strip()

    def check(self, prompt_tokens: int, limits: Limits) -> None:
        """Refuse a form that does not fit the model or the limits; raise SettingError."""
        spec, length = self.spec, self.length
        most = spec.canvas or limits.new_tokens
        if length > most:
            raise SettingError(
                f"A form may have at most {most} tokens on {spec.name}; this one takes {length}.", "text"
            )
        if prompt_tokens > limits.prompt_tokens:
            raise SettingError(
                f"The prompt may have at most {limits.prompt_tokens} tokens; it has {prompt_tokens}.", "prompt"
            )
        if spec.max_tokens and prompt_tokens + length > spec.max_tokens:
            raise SettingError(
                f"Prompt and form together may have at most {spec.max_tokens} tokens on {spec.name}; they have "
                f"{prompt_tokens + length}.",
                "text",
            )
        passes = min(self.form.passes, len(self.places)) * sum(place.passes for place in self.places.values())
        cost = passes * ((spec.canvas or length) + (0 if spec.causal_prefix else prompt_tokens))
        if cost > limits.cost:
            raise SettingError(
                f"Reading this form may compute at most {limits.cost:,} positions; it asks for {cost:,}. "
                "Fewer passes, or fewer choices of several tokens, ask for less.",
                "slots",
            )


class FormRun(Iterator[Reading]):
    """Reads a form round by round, yielding what is settled after each. Nothing is computed before the first is asked for."""

    trace = None  # a form is no run over one canvas: what it says is its readings

    def __init__(
        self,
        model: Any,
        form: Form,
        prompt: str = "",
        *,
        seed: int = 0,
        limits: Limits = LOCAL,
        clock: Clock = time.perf_counter,
        cancelled: threading.Event | None = None,
        deadline: float | None = None,
    ):
        prompt = prompt or asked_of(model.spec, [part if isinstance(part, str) else Hole() for part in form.parts])
        if not hasattr(model, "reader"):
            raise SettingError(f"{model.spec.name} cannot read a form.", "model")
        self.model, self.form, self.prompt, self.layout = model, form, prompt, Layout(model, form)
        self.layout.check(len(model.encode(prompt)), limits)
        self.cancelled, self.deadline, self.clock = cancelled or threading.Event(), deadline, clock
        self._rounds, self.reading = self._read(seed), Reading(model.spec.id, settled(form.parts, {}))

    @classmethod
    def of(cls, model: Any, asked: Request, limits: Limits, clock: Clock, cancelled: threading.Event) -> FormRun:
        """Return the run that a checked request asks for."""
        rest: dict[str, Any] = {"clock": clock, "cancelled": cancelled, "deadline": limits.seconds}
        return cls(model, asked.form, asked.prompt, seed=asked.settings.seed, limits=limits, **rest)

    def __next__(self) -> Reading:
        self.reading = next(self._rounds)
        return self.reading

    def finish(self) -> Reading:
        """Read to the end and return the last reading."""
        for _ in self:
            pass
        return self.reading

    def steer(self, **values: Any) -> None:
        """Refuse: a form has no knob that could be changed under way."""
        raise SettingError("A form that is being read has no knob to change.", "settings")

    def close(self) -> None:
        """End now."""
        self._rounds.close()

    def _read(self, seed: int) -> Any:
        began, layout, form = self.clock(), self.layout, self.form
        answers, filled = self._given()
        rounds = 0
        reader: Reads = self.model.reader(self.prompt, len(layout.lay(filled)[0]), seed)
        while len(answers) < len(layout.places):
            if why := self._stop(began):
                yield self._told(answers, filled, reader, began, why)
                return
            read = _Round(layout, reader, filled).read()
            rounds += 1
            open_slots = len(layout.places) - len(answers)
            take = math.ceil(open_slots / max(1, form.passes - rounds + 1))
            surest = sorted(read, key=lambda name: -read[name][1][0][1])[:take]
            for name in surest:
                ids, shares = read[name]
                filled[name] = ids
                kind = "choices" if layout.places[name].choices else "free"
                answers[name] = Answer(name, shares[0][0], shares[0][1], shares, kind, rounds)
            yield self._told(answers, filled, reader, began)
        if not rounds:
            yield self._told(answers, filled, reader, began)

    def _given(self) -> tuple[dict[str, Answer], dict[str, Ids]]:
        answers, filled = {}, {}
        for name, place in self.layout.places.items():
            if given := place.slot.given:
                answers[name] = Answer(name, given, 1.0, ((given, 1.0),), "given", 0)
                filled[name] = place.choices[place.slot.choices.index(given)]
        return answers, filled

    def _stop(self, began: float) -> str:
        if self.cancelled.is_set():
            return "cancelled"
        return "deadline" if self.deadline is not None and self.clock() - began > self.deadline else ""

    def _told(
        self, answers: Mapping[str, Answer], filled: Mapping[str, Ids], reader: Reads, began: float, why: str = ""
    ) -> Reading:
        known = {slot.name: answers[slot.name] for slot in self.form.slots if slot.name in answers}
        done = len(known) == len(self.layout.places)
        faults = None
        if done and hasattr(self.model, "verdict"):
            found = self.model.verdict(self.prompt, self.layout.lay(filled)[0])
            faults = None if found is None else tuple(sentence for sentence, _ in found)
        text = settled(self.form.parts, known)
        seconds = round(self.clock() - began, 4)
        weights = getattr(self.model, "weights_sha256", "")
        return Reading(self.model.spec.id, text, known, reader.forwards, seconds, done, why, faults, weights)


class _Round:
    """One reading of all slots that can be read now, each with the others open."""

    def __init__(self, layout: Layout, reader: Reads, filled: dict[str, Ids]):
        self.layout, self.reader, self.filled = layout, reader, filled
        self.canvas, self.at = layout.lay(filled)

    def read(self) -> dict[str, tuple[Ids, tuple[tuple[str, float], ...]]]:
        """Return for each slot the ids of its likeliest filling, and (text, probability) of all, likeliest first."""
        stop = self.reader.open(self.canvas)
        names = [name for name in self.layout.places if name not in self.filled]
        here = [name for name in names if self.at[name] + self.layout.places[name].widest <= stop] or names[:1]
        rows = self.reader.log_p(self.canvas, [self.at[name] for name in here])
        return {name: self._slot(name, row) for name, row in zip(here, rows, strict=True)}

    def _slot(self, name: str, row: np.ndarray) -> tuple[Ids, tuple[tuple[str, float], ...]]:
        place = self.layout.places[name]
        if not place.choices:
            return self._free(name, place, row)
        scores: dict[Ids, float] = {}
        for size in sorted({len(ids) for ids in place.choices}):
            canvas, first = self.canvas, row
            if size != place.width:
                canvas = self.layout.lay(self.filled, {name: size})[0]
                first = self.reader.log_p(canvas, [self.at[name]])[0]
            self._descend(
                canvas, self.at[name], first, [ids for ids in place.choices if len(ids) == size], 0, 0.0, scores
            )
        best = max(scores.values())
        total = sum(math.exp(score - best) for score in scores.values())
        shares = [
            (text, math.exp(scores[ids] - best) / total, ids)
            for text, ids in zip(place.slot.choices, place.choices, strict=True)
        ]
        shares.sort(key=lambda share: -share[1])
        return shares[0][2], tuple((text, p) for text, p, _ in shares)

    def _descend(
        self,
        canvas: list[int],
        at: int,
        row: np.ndarray,
        group: Sequence[Ids],
        depth: int,
        sofar: float,
        scores: dict[Ids, float],
    ) -> None:
        """Add up log p of a group of choices of one length that share `depth` tokens, which stand on the canvas."""
        for token in dict.fromkeys(ids[depth] for ids in group):
            same = [ids for ids in group if ids[depth] == token]
            score = sofar + float(row[token])
            if depth + 1 == len(same[0]):
                scores[same[0]] = score
                continue
            longer = [*canvas[: at + depth], token, *canvas[at + depth + 1 :]]
            next_row = self.reader.log_p(longer, [at + depth + 1])[0]
            self._descend(longer, at, next_row, same, depth + 1, score, scores)

    def _free(self, name: str, place: Place, row: np.ndarray) -> tuple[Ids, tuple[tuple[str, float], ...]]:
        """Follow the likeliest few beginnings of free text, never beyond the end of the text."""
        at, ends = self.at[name], list(self.layout.spec.eos_ids)
        beams: list[tuple[float, Ids]] = [(0.0, ())]
        for depth in range(place.width):
            longer = []
            for score, ids in beams:
                if depth:
                    canvas = [*self.canvas[:at], *ids, *self.canvas[at + depth :]]
                    row = self.reader.log_p(canvas, [at + depth])[0]
                row = row.copy()
                row[ends] = -math.inf
                best = np.argsort(-row, kind="stable")[:BEAM].tolist()
                longer += [(score + float(row[token]), (*ids, token)) for token in best]
            beams = sorted(longer, key=lambda beam: -beam[0])[:BEAM]
        return beams[0][1], tuple((self.layout.words(ids), math.exp(score)) for score, ids in beams)


def read_slots(
    model: Any, form: Mapping[str, Any], limits: Limits = LOCAL, clock: Callable[[], float] = time.perf_counter
) -> Reading:
    """Return what a loaded model reads in the slots of a form ({'text': ..., 'slots': ..., 'prompt': ...}); raise SettingError."""
    parsed, said = parse_form(form, limits)
    prompt = said.get("prompt", "")
    return FormRun(model, parsed, prompt, seed=said.get("seed", 0), limits=limits, clock=clock).finish()
