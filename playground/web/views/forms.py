"""A form as HTML: its text with what was read in the slots, and under it each slot's probabilities as bars."""

from __future__ import annotations

from html import escape

from model.slots import Answer, Form, Reading, Slot
from playground.calibration import trusted

EMPTY = """<div class="ink-form"><p class="ink-form-none">Press Read: the words that the model finds likely in each slot,
and how likely, will stand here.</p></div>"""
HOW = """A choice of several words has the probability of its tokens one after the other, in as many open places as it has tokens; what
is shown is its share among the choices. A longer choice has more tokens to be likely in."""


def form_html(form: Form, reading: Reading) -> str:
    """Return the form as far as it is read."""
    text = "".join(_part(part, reading) for part in form.parts)
    bars = "".join(_slot(answer) for answer in reading.answers.values())
    return (
        f'<div class="ink-form"><p class="ink-form-text">{text}</p>{_verdict(reading)}<div class="ink-form-slots">{bars}</div>'
        f'<p class="ink-small">{_cost(reading)} {escape(trusted(reading.model, reading.weights_sha256))} {HOW}</p></div>'
    )


def _part(part: str | Slot, reading: Reading) -> str:
    if isinstance(part, str):
        return escape(part)
    answer = reading.answers.get(part.name)
    name = escape(part.name, quote=True)
    return f'<mark title="{name}">{escape(answer.text)}</mark>' if answer else f'<mark class="ink-open">{name}</mark>'


def _slot(answer: Answer) -> str:
    if answer.kind == "given":
        rows = f"<li><span>{escape(answer.text)}</span><small>given</small></li>"
    else:
        rows = "".join(_bar(text, p, i == 0) for i, (text, p) in enumerate(answer.choices))
        rest = 1 - sum(p for _, p in answer.choices)
        if answer.kind == "free" and rest > 0.0005:
            rows += _bar("anything else", rest, False, " ink-rest")
    when = f" <small>round {answer.round}</small>" if answer.round > 1 else ""
    return f"<section><h4>{escape(answer.name)}{when}</h4><ul>{rows}</ul></section>"


def _bar(text: str, p: float, chosen: bool, more: str = "") -> str:
    shown = "< 0.1 %" if p < 0.001 else "> 99.9 %" if p > 0.999 else f"{100 * p:.1f} %"
    kind = ("ink-chosen" if chosen else "") + more
    return (
        f'<li class="{kind}"><span>{escape(text)}</span><small>{escape(shown)}</small>'
        f'<i style="inline-size:{100 * p:.2f}%"></i></li>'
    )


def _verdict(reading: Reading) -> str:
    if reading.faults is None:
        return ""
    if not reading.faults:
        return '<p class="ink-form-verdict ink-good">&#10003; Consistent: the checker finds no contradiction.</p>'
    return f'<p class="ink-form-verdict ink-bad">&#10007; {escape(" ".join(reading.faults[:3]))}</p>'


def _cost(reading: Reading) -> str:
    passes = "1 forward pass" if reading.forwards == 1 else f"{reading.forwards} forward passes"
    return f"{passes}, {reading.seconds:.2f} s."
