"""A canvas to begin with: what stands on it, what a visitor changed by hand, and what of it may never change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.errors import SettingError
from model.loops.steering import NOTE
from model.spec import ModelSpec
from model.text import normalise
from model.trace.frame import AFTER_END, PINNED, PROMPT, UNDECIDED
from model.trace.trace import Trace

DEEDS = ("erase", "pin", "type", "put")
MOST_EDITS, MOST_WORDS = 256, 2_000


@dataclass(frozen=True)
class Edit:
    """One change of the positions [start, stop): 'erase' (undecided again), 'pin' (never changes), 'type' (other words), 'put' (one id)."""

    start: int
    stop: int
    do: str
    text: str = ""
    token: int = -1


@dataclass(frozen=True)
class Draft:
    """A canvas to begin with. ids: -1 where undecided; pinned, kept: positions that never change, shown as pinned or as given text.

    edits are made to `ids` first, by position as `ids` has them. keep: whatever stands after that never changes either; else a rule may
    take it back. about: where the canvas came from, for the trace; weights: the fingerprint of those it was written by, '' if unknown.
    spaced: positions whose word must bring the space before it. says: a sentence for the visitor, for the trace. steered: knobs that
    change under way, {step: {knob: value}}.
    """

    ids: tuple[int, ...] = ()
    pinned: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    edits: tuple[Edit, ...] = ()
    keep: bool = False
    about: str = "a partly filled canvas"
    weights: str = ""
    spaced: tuple[int, ...] = ()
    says: str = ""
    steered: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    @property
    def grows(self) -> bool:
        """Whether the canvas is as long as the draft once its edits are made."""
        return bool(self.edits)

    def made(self, tokens: Callable[[str], list[int]], spec: ModelSpec) -> Draft:
        """Return the draft with its edits made; raise SettingError. tokens: from typed words to ids.

        A canvas of fixed length gives its ends behind the text for words that are added, and gets ends for those that go.
        """
        ids, fixed_length, end = list(self.ids), spec.canvas, next(iter(spec.eos_ids), None)
        pinned, kept = set(self.pinned), set(self.kept)
        marks: list[tuple[int, str]] = [
            (token, "pin" if i in pinned else "keep" if i in kept else "") for i, token in enumerate(ids)
        ]
        for edit in sorted(self.edits, key=lambda e: -e.start):
            if edit.stop > len(marks):
                last = len(ids) - 1
                raise SettingError(
                    f"An edit must lie within the canvas, between 0 and {last}; it ended at {edit.stop - 1}.", "edits"
                )
            if edit.do == "put" and (edit.token >= spec.vocab_size or edit.token == spec.mask_id):
                raise SettingError(f"{spec.name} has no word with the id {edit.token}.", "edits")
            marks[edit.start : edit.stop] = _changed(edit, marks[edit.start : edit.stop], tokens)
        if fixed_length and len(marks) != len(ids):
            while len(marks) > fixed_length and marks[-1][0] in (end, -1):
                marks.pop()
            if len(marks) > fixed_length:
                raise SettingError(
                    f"This canvas has {fixed_length} positions and cannot grow; the text now takes {len(marks)}.",
                    "edits",
                )
            marks += [(-1 if end is None else end, "")] * (len(ids) - len(marks))
        return Draft(
            tuple(token for token, _ in marks),
            tuple(i for i, (_, mark) in enumerate(marks) if mark == "pin"),
            tuple(
                i
                for i, (token, mark) in enumerate(marks)
                if mark == "keep" or (self.keep and token >= 0 and not mark and token != end)
            ),
            about=self.about,
            says=self.says,
        )


def _changed(edit: Edit, marks: list[tuple[int, str]], tokens: Callable[[str], list[int]]) -> list[tuple[int, str]]:
    """Return what an edit leaves of (id, mark) pairs."""
    if edit.do == "erase":
        return [(-1, "")] * len(marks)
    if edit.do == "pin":
        if any(token < 0 for token, _ in marks):
            raise SettingError(
                "Only words that stand can be pinned; type one there, or choose one of its candidates.", "edits"
            )
        return [(token, "pin") for token, _ in marks]
    if edit.do == "put":
        return [(edit.token, "pin")] * len(marks)
    return [(token, "pin") for token in tokens(edit.text)]


def parse_edits(value: Any) -> tuple[Edit, ...]:
    """Return edits from untrusted values, a list of {"at": [start, stop], "do": ..., "text" or "id": ...}; raise SettingError."""
    if value in (None, ""):
        return ()
    if not isinstance(value, list) or len(value) > MOST_EDITS:
        raise SettingError(f"Edits must be a list of at most {MOST_EDITS}.", "edits")
    edits = [_edit(item) for item in value]
    for before, after in zip(ordered := sorted(edits, key=lambda e: e.start), ordered[1:], strict=False):
        if after.start < before.stop:
            raise SettingError(f"Two edits change position {after.start}; give one of them.", "edits")
    return tuple(edits)


def _edit(item: Any) -> Edit:
    where: Any = item.get("at") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or item.get("do") not in DEEDS:
        raise SettingError(
            f"An edit must be like {{'at': [5, 7], 'do': 'erase'}}, where 'do' is one of {', '.join(DEEDS)}.", "edits"
        )
    whole = (
        isinstance(where, list | tuple)
        and len(where) == 2
        and all(isinstance(n, int) and not isinstance(n, bool) for n in where)
    )
    if not whole or not 0 <= where[0] < where[1] <= 1 << 20:
        raise SettingError(
            f"An edit is made at [start, stop), two positions; this one was at {str(where)[:40]}.", "edits"
        )
    text, token = item.get("text", ""), item.get("id", -1)
    if item["do"] == "type" and (not isinstance(text, str) or not text.strip() or len(text) > MOST_WORDS):
        raise SettingError(f"What is typed on the canvas must have between 1 and {MOST_WORDS:,} characters.", "edits")
    if item["do"] == "put" and (
        not isinstance(token, int) or isinstance(token, bool) or token < 0 or where[1] != where[0] + 1
    ):
        raise SettingError("'put' takes one position and the id of a candidate.", "edits")
    return Edit(
        where[0],
        where[1],
        item["do"],
        normalise(text) if isinstance(text, str) else "",
        token if isinstance(token, int) else -1,
    )


def draft_of(trace: Trace, step: Any, edits: Any, keep: Any) -> Draft:
    """Return the canvas of one frame of a trace, with edits to be made; raise SettingError. step: index of the frame."""
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < len(trace.frames):
        raise SettingError(
            f"The step to go on from must be between 0 and {len(trace.frames) - 1}; it was {str(step)[:20]}.", "step"
        )
    if keep not in (True, False, None):
        raise SettingError(f"'keep' must be true or false; it was {str(keep)[:20]!r}.", "keep")
    frame = trace.frames[step]
    gone = (*UNDECIDED, AFTER_END)
    ids = [
        -1 if state in gone else token for token, state in zip(frame.ids.tolist(), frame.states.tolist(), strict=True)
    ]
    if frame.step == trace.frames[-1].step:  # a finished text keeps its end where its canvas has one
        ids = [
            token if state == AFTER_END and token in trace.spec.eos_ids else known
            for known, token, state in zip(ids, frame.ids.tolist(), frame.states.tolist(), strict=True)
        ]
    pinned, kept = (
        tuple(i for i, state in enumerate(frame.states.tolist()) if state == kind) for kind in (PINNED, PROMPT)
    )
    return Draft(tuple(ids), pinned, kept, edits=parse_edits(edits), keep=bool(keep), about=f"step {frame.step}")


def steered_of(trace: Trace, last: int | None = None) -> dict[int, dict[str, float]]:
    """Return which knobs were changed under way, by step, up to a frame of a trace."""
    found = {
        frame.step: {name.removeprefix(NOTE): value for name, value in frame.notes.items() if name.startswith(NOTE)}
        for frame in trace.frames[: None if last is None else last + 1]
    }
    return {step: values for step, values in found.items() if values}


def start_of(ids: Sequence[int]) -> Draft | None:
    """Return the draft of plain ids, None where there are none."""
    return Draft(tuple(ids)) if len(ids) else None
