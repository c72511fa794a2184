"""Traces and sweeps as Plotly figures. Colours can be told apart by colour-blind eyes and come with a dash or a shape of their own.

Backgrounds are transparent and text takes the page's colour (`assets/chart/chart.js` fills it in), so that a figure fits light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from model.trace.frame import AFTER_END, PINNED, UNDECIDED, Frame, unpack_entropy
from model.trace.trace import Trace
from playground.compare.figures import FIGURES, figures
from playground.compare.sweep import REFERENCE, Point

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLOURS = ("#0a6cb8", "#c65a11", "#0b8a66", "#a3478f")  # readable on paper and on night, see tests
DASHES = ("solid", "dash", "dot", "dashdot")
SHAPES = ("circle", "square", "diamond", "triangle-up")
CLOCKS = {"seconds": "seconds of computing", "forwards": "forward passes"}
HEATS = {"confidence": "confidence", "entropy": "entropy (nats)", "commit step": "step of the decision"}
LABEL = {figure.name: figure.label for figure in FIGURES}


def _layout(figure: Figure, x: str, y: str, **more: Any) -> Figure:
    """Give a figure the look all of them share."""
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 64, "r": 16, "t": 12, "b": 52},
        hovermode="closest",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        uirevision="kept",
        **more,
    )
    figure.update_xaxes(title_text=x, zeroline=False, automargin=True)
    figure.update_yaxes(title_text=y, zeroline=False, automargin=True)
    return figure


# ---------------------------------------------------------------- races
def written(frame: Frame, tokens: int) -> int:
    """Return how many of the text's `tokens` positions stand in this frame, given words aside."""
    states = frame.states[:tokens]
    return int((~np.isin(states, (*UNDECIDED, AFTER_END, PINNED))).sum())


def text_over_time(lanes: Sequence[tuple[str, Trace]], clock: str = "seconds") -> Figure:
    """Return how many tokens of each lane's text stood, over one of `CLOCKS`: a staircase, one step a frame."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for i, (label, trace) in enumerate(lanes):
        tokens = trace.result.tokens if trace.result else trace.length
        times = [getattr(frame, clock) for frame in trace.frames]
        counts = [written(frame, tokens) for frame in trace.frames]
        unit = "s" if clock == "seconds" else "passes"
        line = {"color": COLOURS[i % 4], "dash": DASHES[i % 4], "width": 3, "shape": "hv"}
        figure.add_trace(
            Scatter(
                x=times,
                y=counts,
                name=_plain(label),
                mode="lines",
                line=line,
                hovertemplate="%{y} tokens after %{x:.4~r} " + unit + "<extra>" + _plain(label) + "</extra>",
            )
        )
        if times:
            end = {"symbol": SHAPES[i % 4], "size": 11, "color": COLOURS[i % 4]}
            figure.add_trace(
                Scatter(x=times[-1:], y=counts[-1:], mode="markers", marker=end, showlegend=False, hoverinfo="skip")
            )
    return _layout(figure, CLOCKS[clock], "tokens of the text", height=320)


# ---------------------------------------------------------------- sweeps
def frontier(points: Sequence[Point], knob: str, quality: str = "nll") -> Figure:
    """Return speed against a quality figure of a sweep: a marker with its interval for each value, a dot for each run.

    customdata is [index of the point, index of its run or -1], for opening what was clicked.
    """
    from plotly.graph_objects import Figure, Scatter

    figure, colour = Figure(), COLOURS[0]
    swept = [(i, p) for i, p in enumerate(points) if p.value != REFERENCE]
    reference = [(i, p) for i, p in enumerate(points) if p.value == REFERENCE]
    for name, group, paint, symbol in ((knob, swept, colour, "circle"), (REFERENCE, reference, COLOURS[1], "diamond")):
        known = [(i, p, x, y) for i, p in group if (x := p.spread("tokens_per_second")) and (y := p.spread(quality))]
        if not known:
            continue
        share = quality == "consistent"  # of texts: a single one is on neither side of it
        dots = [] if share else [(i, n, run) for i, p, _, _ in known for n, run in enumerate(_pairs(p, quality)) if run]
        figure.add_trace(
            Scatter(
                x=[run[0] for _, _, run in dots],
                y=[run[1] for _, _, run in dots],
                customdata=[[i, n] for i, n, _ in dots],
                mode="markers",
                marker={"size": 6, "color": paint, "opacity": 0.35, "symbol": symbol},
                showlegend=False,
                hovertemplate="one run: %{x:.1f} tokens/s, %{y:.2f}<extra>click to play it</extra>",
            )
        )
        figure.add_trace(
            Scatter(
                x=[x.median for _, _, x, _ in known],
                y=[y.median for _, _, _, y in known],
                text=[_plain(p.label) for _, p, _, _ in known],
                customdata=[[i, -1] for i, _, _, _ in known],
                name=_plain(name.replace("_", " ")),
                textposition="top center",
                mode="markers"
                if name == REFERENCE
                else "markers+text"
                if isinstance(known[0][1].value, str)
                else "lines+markers+text",
                line={"color": paint, "width": 1.5, "dash": "dot"},
                marker={"size": 12, "color": paint, "symbol": symbol},
                error_x=_bars([x for _, _, x, _ in known], paint),
                error_y=_bars([y for _, _, _, y in known], paint),
                hovertemplate=f"%{{text}}: %{{x:.1f}} tokens/s, %{{y:{'.0%' if share else '.2f'}}}"
                "<extra>click to play its median run</extra>",
            )
        )
    unit = {"nll": " (nats a token)", "consistent": " texts"}.get(quality, "")
    figure = _layout(figure, "tokens per second", LABEL[quality] + unit, height=380)
    figure.update_yaxes(rangemode="nonnegative")
    if quality == "consistent":
        figure.update_yaxes(range=[-0.03, 1.12], tickformat=".0%")
    if not figure.data:
        figure.add_annotation(
            text="not computed: the twin is not there", showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper"
        )
    return figure


def _pairs(point: Point, quality: str) -> list[tuple[float, float] | None]:
    """Return (speed, quality) of each run of a point, None where it did not finish or has no such figure."""
    out: list[tuple[float, float] | None] = []
    for run in point.runs:
        found = figures(run)
        speed, good = found["tokens_per_second"], found[quality]
        out.append((speed, good) if run.finished and speed is not None and good is not None else None)
    return out


def _bars(spreads: Sequence[Any], colour: str) -> dict[str, Any]:
    up, down = [s.high - s.median for s in spreads], [s.median - s.low for s in spreads]
    return {"type": "data", "array": up, "arrayminus": down, "color": colour, "thickness": 1.2, "width": 4}


# ---------------------------------------------------------------- one run
def heat(trace: Trace, of: str = "confidence") -> np.ndarray:
    """Return one of `HEATS` as floats (positions, frames).

    NaN where there is nothing: behind the end, given words, what no step has looked at yet (later blocks; left to right, what follows).
    """
    if not trace.frames:
        return np.zeros((0, 0))
    out = np.full((trace.length, len(trace.frames)), np.nan)
    decided = np.full(trace.length, np.nan)
    for column, frame in enumerate(trace.frames):
        n, undecided = len(frame.ids), np.isin(frame.states, UNDECIDED)
        unseen = undecided & ((np.arange(n) >= frame.span[1]) | (trace.mode == "ar"))
        shown = ~np.isin(frame.states, (AFTER_END, PINNED)) & ~unseen
        if of == "commit step":
            decided[list(frame.committed)] = frame.step
            decided[np.flatnonzero(undecided)] = np.nan
            out[:n, column] = np.where(shown, decided[:n], np.nan)
        else:
            values = (
                frame.confidence / 255 if of == "confidence" else unpack_entropy(frame.entropy, trace.spec.vocab_size)
            )
            out[:n, column] = np.where(shown & (frame.forwards > 0), values, np.nan)
    return out


def heatmap(trace: Trace, of: str = "confidence", step: int | None = None) -> Figure:
    """Return position x step of one of `HEATS`; a line marks the frame `step` in view (the chart moves it while the player plays)."""
    from plotly.graph_objects import Figure, Heatmap

    values = heat(trace, of)
    scale = "Viridis" if of != "entropy" else "Cividis"
    top = {"confidence": 1.0}.get(of)
    figure = Figure(
        Heatmap(
            z=values,
            x=list(range(values.shape[1])),
            y=list(range(len(values))),
            colorscale=scale,
            zmin=0,
            zmax=top,
            reversescale=of == "entropy",
            hoverongaps=False,
            colorbar={"title": {"text": HEATS[of], "side": "right"}, "thickness": 12, "outlinewidth": 0},
            hovertemplate="position %{y}<br>step %{x}<br>" + HEATS[of] + " %{z:.3~r}<extra></extra>",
        )
    )
    figure = _layout(figure, "step", "position", height=360)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False)
    at = values.shape[1] - 1 if step is None else step
    figure.add_shape(
        type="line", name="in view", x0=at, x1=at, y0=0, y1=1, yref="paper", line={"color": "#d43d51", "width": 2.5}
    )
    return figure


def _plain(text: str) -> str:
    """Return text that Plotly shows as it is: its labels understand a few HTML tags and %{...}."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("%{", "% {")
