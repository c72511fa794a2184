"""Going on from a step of a run, as it was or with words changed: what the page, the API, the command line and Python share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from model.aliases import ours
from model.draft import Draft, draft_of, steered_of
from model.errors import SettingError
from model.settings import FIELD, LOCAL, Settings
from model.trace.trace import Trace

if TYPE_CHECKING:
    from model.run import Run

_SPAN = re.compile(r"(\d{1,7})(?:-(\d{1,7}))?")


def continued(trace: Trace, step: Any, edits: Any, keep: Any, settings: Any) -> tuple[dict[str, Any], Draft]:
    """Return the knobs and the canvas to go on from a frame of a trace with; raise SettingError with one sentence.

    settings: knobs that differ from the trace's. Without edits and other knobs it is the trace's own run again from its first frame:
    what follows `step` is what followed then, or would have, had it not been stopped.
    """
    if not isinstance(settings, Mapping | None):
        raise SettingError("'settings' must map names to values, like {'steps': 16}.", "settings")
    if not trace.frames:
        raise SettingError("This run has no step yet to go on from.", "step")
    settings = ours(settings or {})
    given = {**trace.settings, **settings}
    draft = draft_of(trace, step, edits, keep)
    late = trace.result is not None and trace.result.stopped == "deadline"  # the same run again would come no further
    if not draft.edits and given == trace.settings and not late:
        draft = replace(draft_of(trace, 0, None, False), about=trace.branch, steered=steered_of(trace))
    else:
        steered = {name: value for values in steered_of(trace, step).values() for name, value in values.items()}
        given |= steered | settings
    known = {name: value for name, value in given.items() if name in FIELD}
    return known, replace(draft, weights=trace.weights_sha256)


def edits_of(erase: str | Sequence[str] = (), pin: str | Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return edits as `parse_edits` takes them; raise SettingError. erase: positions like '5' or '5-9', both ends included; pin: the
    same, or a position and the words to stand there, like '12: Otto'."""
    edits: list[dict[str, Any]] = [{"at": span(text, "erase"), "do": "erase"} for text in _each(erase)]
    for text in _each(pin):
        where, colon, words = text.partition(":")
        done = {"do": "type", "text": words.strip()} if colon else {"do": "pin"}
        edits.append({"at": span(where, "pin")} | done)
    return edits


def span(text: str, option: str) -> list[int]:
    """Return [start, stop) of positions '5' or '5-9', both ends included; raise SettingError."""
    found = _SPAN.fullmatch(text.strip())
    if not found or int(found[2] or found[1]) < int(found[1]):
        like = "5, 5-9 or '12: Otto'" if option == "pin" else "5 or 5-9"
        raise SettingError(f"{option.capitalize()} must name positions like {like}; it was {text[:40]!r}.", option)
    return [int(found[1]), int(found[2] or found[1]) + 1]


def _each(texts: str | Sequence[str]) -> Sequence[str]:
    return [texts] if isinstance(texts, str) else [str(text) for text in texts]


def edit(
    model: Any,
    trace: Trace,
    *,
    step: int | None = None,
    erase: str | Sequence[str] = (),
    pin: str | Sequence[str] = (),
    edits: Sequence[Mapping[str, Any]] = (),
    keep: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> Run:
    """Return the run of a loaded model that goes on from a frame of a trace (`step`, its index; default the last): a branch.

    erase, pin: see `edits_of`; edits: the same as the API takes them. keep: all other words stay. settings: knobs that differ. With none
    of these it is the trace's own run again, which goes on behind where it was stopped. Raise SettingError with one sentence.
    """
    if trace.spec.id != model.spec.id:
        raise SettingError(f"This run was written by {trace.spec.name}; the model here is {model.spec.name}.", "trace")
    last = len(trace.frames) - 1
    changes = [*edits_of(erase, pin), *edits]
    knobs, draft = continued(trace, last if step is None else step, changes, keep, settings)
    if not model.spec.canvas:
        knobs["new_tokens"] = max(1, len(draft.ids))
    run: Run = model.denoise(
        trace.prompt, Settings.parse(knobs, LOCAL), mode=trace.mode, system=trace.system, draft=draft
    )
    return run
