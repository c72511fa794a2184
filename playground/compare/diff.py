"""Two runs token by token: what they share, in order, and where they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from html import escape

from model.trace.trace import Trace

TELLING = 3  # a stretch of fewer shared tokens after the parting is chance
Span = tuple[
    int, int, int, int, bool
]  # [start, stop) in the first run and in the second, and whether they are the same


@dataclass(frozen=True)
class Stretch:
    """Neighbouring tokens that both runs have (`same`), or that one has in the other's place; texts are ready to read."""

    same: bool
    first: str
    second: str
    first_tokens: int
    second_tokens: int


@dataclass(frozen=True)
class Comparison:
    """Two runs aligned. parting: tokens both begin with; shared: tokens both have, in order; steps: when each decided its parting token."""

    stretches: tuple[Stretch, ...]
    parting: int
    shared: int
    tokens: tuple[int, int]
    steps: tuple[int | None, int | None]

    @property
    def sentence(self) -> str:
        """Say where they part."""
        a, b = self.tokens
        if self.parting == a == b:
            return f"Both runs wrote the same {a} tokens."
        share = f"{self.shared} of {max(a, b)} tokens stand in both, in the same order."
        if not self.parting:
            return f"They part at the very first token; {share}"
        if self.parting == min(a, b):
            return f"The shorter one is how the longer one begins: both start with the same {self.parting} tokens, then one ends; {share}"
        when = f" (decided in step {self.steps[0]} and in step {self.steps[1]})" if None not in self.steps else ""
        return f"They share their first {self.parting} tokens and part at position {self.parting}{when}; {share}"


def compare(first: Trace, second: Trace) -> Comparison:
    """Align the final texts of two runs by their token ids, or by their tokens' bytes where the models differ."""
    one, other = first.final_ids, second.final_ids
    a, b = [first.pieces.get(t, b"") for t in one], [second.pieces.get(t, b"") for t in other]
    keys: tuple[Sequence[object], Sequence[object]] = (one, other) if first.spec.id == second.spec.id else (a, b)
    parting = next((i for i, (x, y) in enumerate(zip(*keys, strict=False)) if x != y), min(len(one), len(other)))
    # From the parting on, so that the shared beginning is never torn apart by a cleverer alignment.
    matcher = SequenceMatcher(None, keys[0][parting:], keys[1][parting:], autojunk=False)
    spans: list[Span] = [(0, parting, 0, parting, True)] if parting else []
    spans += [
        (i + parting, j + parting, k + parting, m + parting, tag == "equal")
        for tag, i, j, k, m in matcher.get_opcodes()
    ]
    shared = sum(j - i for i, j, _, _, same in spans if same)
    stretches = tuple(Stretch(same, _text(a[i:j]), _text(b[k:m]), j - i, m - k) for i, j, k, m, same in _joined(spans))
    return Comparison(
        stretches, parting, shared, (len(one), len(other)), (_step(first, parting), _step(second, parting))
    )


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Join differing neighbours, and shared stretches too short to say anything with those around them."""
    out: list[Span] = []
    for i, j, k, m, same in spans:
        same = same and (i == 0 or j - i >= TELLING)
        if out and not same and not out[-1][4]:
            out[-1] = (out[-1][0], j, out[-1][2], m, False)
        else:
            out.append((i, j, k, m, same))
    return out


def _text(pieces: Sequence[bytes]) -> str:
    return b"".join(pieces).decode("utf-8", errors="replace")


def _step(trace: Trace, position: int) -> int | None:
    """Return the step in which a position was decided for the last time."""
    return next((frame.step for frame in reversed(trace.frames) if position in frame.committed), None)


def comparison_html(found: Comparison, labels: tuple[str, str]) -> str:
    """Return the two texts one under the other, stretch by stretch; whatever a model or a visitor wrote is escaped."""
    columns = []
    for stretch in found.stretches:
        kind = "same" if stretch.same else "part"
        cells = "".join(f"<span>{escape(_visible(text))}</span>" for text in (stretch.first, stretch.second))
        columns.append(f'<span class="ink-{kind}">{cells}</span>')
    names = "".join(f"<b>{escape(label)}</b>" for label in labels)
    return (
        f'<div class="ink-compare"><p>{escape(found.sentence)}</p><div class="ink-compare-names">{names}</div>'
        f'<div class="ink-compare-rows">{"".join(columns)}</div></div>'
    )


def _visible(text: str) -> str:
    """Newlines as a sign, so that the two rows stay beneath each other; nothing as a gap."""
    return text.replace("\n", "\u21b5 ") if text else "\u2205"
