"""Text in a terminal: made harmless, and drawn while it is being written."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from model.text import normalise
from model.trace.frame import AFTER_END, COMMITTED, PINNED, TAKEN_BACK, UNDECIDED, Frame
from model.trace.trace import Trace

if TYPE_CHECKING:
    from rich.text import Text

BLOT = " \u2591\u2591"  # one undecided position
STYLES = {COMMITTED: "bold", PINNED: "underline", TAKEN_BACK: "strike"}
_DIRECTION = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """Return `text` as a terminal may print it: no control or escape characters, direction overrides spelt out."""
    return _DIRECTION.sub(lambda match: f"\u27e8U+{ord(match[0]):04X}\u27e9", normalise(text))


def final(trace: Trace) -> str:
    """Return a run's text as it is printed: harmless, a board as nine lines."""
    text = harmless(trace.final_text)
    if trace.spec.view != "board":
        return text
    cells = [str(token) if token > 0 else "." for token in trace.frames[-1].ids.tolist()] if trace.frames else []
    return "\n".join(" ".join(cells[row : row + 9]) for row in range(0, len(cells), 9))


def checked(trace: Trace) -> str:
    """Return what an exact check says of a finished run: fine, or the first of what is wrong; '' where nothing checks it."""
    faults = trace.result.faults if trace.result else None
    if faults is None:
        return ""
    if not faults:
        return "Solved." if trace.spec.view == "board" else "Consistent."
    count = "1 contradiction" if len(faults) == 1 else f"{len(faults)} contradictions"
    return harmless(f"{count}: {faults[0][0]}")


def canvas(trace: Trace, frame: Frame) -> Text:
    """Return the frame as styled text: undecided positions as blots, what was decided in this step bold."""
    from rich.text import Text

    out = Text(overflow="fold")
    if trace.spec.view == "board":
        for i, (state, token) in enumerate(zip(frame.states.tolist(), frame.ids.tolist(), strict=True)):
            out.append("." if state in UNDECIDED else str(token), style=STYLES.get(state, ""))
            out.append("\n" if i % 9 == 8 else " ")
        return out
    places = [
        (int(state), int(token)) for state, token in zip(frame.states, frame.ids, strict=True) if state != AFTER_END
    ]
    for state, group in groupby(places, key=lambda place: place[0]):
        tokens = [token for _, token in group]
        if state in UNDECIDED and state != TAKEN_BACK:
            out.append(BLOT * len(tokens), style="dim")
            continue
        said = b"".join(trace.pieces.get(token, b"") for token in tokens if token not in trace.spec.eos_ids)
        out.append(harmless(said.decode("utf-8", "replace")), style=STYLES.get(state, ""))
    return out


def watch(frames: Iterable[Frame], trace: Trace) -> Iterator[Frame]:
    """Pass the frames on, drawing each on stderr while it is a terminal; what was drawn is wiped at the end."""
    if not sys.stderr.isatty():
        yield from frames
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:
        for frame in frames:
            live.update(canvas(trace, frame), refresh=True)
            yield frame
