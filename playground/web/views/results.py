"""A race's figures as a table, and its sentence: our own words and numbers, with every label escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from model.engine.quality import CAVEAT
from playground.compare.figures import FIGURES, Figure, LaneResult
from playground.compare.verdict import NOISE

BETTER = {
    "tokens_per_second": max,
    "seconds": min,
    "first_token_seconds": min,
}  # where one end of the scale simply is the better one


def verdict_html(sentence: str) -> str:
    """Return the sentence, big enough for the last row."""
    return f'<p class="ink-verdict" role="status">{escape(sentence)}</p>'


def table_html(results: Sequence[LaneResult]) -> str:
    """Return the figures of all lanes: medians, and ranges where there were several runs."""
    heads = "".join(f'<th scope="col">{escape(result.label)}</th>' for result in results)
    rows = [
        figure for figure in FIGURES if not figure.of_texts or any(result.values(figure.name) for result in results)
    ]
    body = "".join(_row(figure, results) for figure in rows)
    loaded = [
        f"{escape(result.label)} {result.load_seconds:.1f} s" for result in results if result.load_seconds >= 0.05
    ]
    counts = {len(result.finished) for result in results}
    runs = f"Medians of {max(counts)} runs, ranges below them. " if max(counts, default=0) > 1 else ""
    load = f"Loading a model is in no figure; it took: {', '.join(loaded)}. " if loaded else ""
    terms = "".join(f"<dt>{figure.label}</dt><dd>{escape(figure.help)}</dd>" for figure in rows)
    return (
        f'<div class="ink-figures"><div class="ink-figures-scroll" tabindex="0" role="region" aria-label="Figures of the race"><table>'
        f'<thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table></div><p class="ink-small">{runs}{load}{escape(CAVEAT)}</p>'
        f"<details><summary>What these figures mean</summary><dl>{terms}</dl></details></div>"
    )


def _row(figure: Figure, results: Sequence[LaneResult]) -> str:
    medians = [result.median(figure.name) for result in results]
    known = [value for value in medians if value is not None]
    best = BETTER[figure.name](known) if figure.name in BETTER and len(known) > 1 else None
    if best is not None and sum(max(best, value) < NOISE * min(best, value) for value in known) > 1:
        best = None  # another lane is as good, within noise
    cells = "".join(
        _cell(figure, r, value, value is not None and value == best) for r, value in zip(results, medians, strict=True)
    )
    unit = f" <small>{figure.unit}</small>" if figure.unit else ""
    return f'<tr data-figure="{figure.name}"><th scope="row">{figure.label}{unit}</th>{cells}</tr>'


def _cell(figure: Figure, result: LaneResult, value: float | None, best: bool) -> str:
    if value is None:
        missing = "not computed" if result.finished else "failed" if result.error else "not finished"
        return f'<td class="ink-none">{missing}</td>'
    values = result.values(figure.name)
    if figure.of_texts:
        return f"<td><b>{round(sum(values))} of {len(values)}</b></td>"
    spread = (
        f"<small>{_number(figure, min(values))} to {_number(figure, max(values))}</small>" if len(values) > 1 else ""
    )
    return f"<td{' class=ink-best' if best else ''}><b>{_number(figure, value)}</b>{spread}</td>"


def _number(figure: Figure, value: float) -> str:
    return f"{value:,.{figure.digits}f}"
