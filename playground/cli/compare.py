"""`python -m playground race | sweep`: the same races and sweeps as on the page, in the terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from model.engine.catalog import entry
from model.errors import ModelUnavailable, SettingError
from model.settings import FIELD, LOCAL
from playground.cli.main import add_engine, add_settings, note, print_json, settings_of, value_of
from playground.cli.output import check_file, lines_of, make_folder, write
from playground.cli.terminal import harmless
from playground.compare.figures import FIGURES
from playground.compare.lanes import PRESETS, make_lanes, preset_lanes
from playground.compare.race import Race
from playground.compare.series import Progress
from playground.compare.sweep import KNOBS, REFERENCE, Sweep, csv_text, offered, plan


def add_race(parser: argparse.ArgumentParser) -> None:
    """Add the options of `race`."""
    parser.add_argument("--prompt", metavar="TEXT", required=True, help="what every lane answers")
    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default="modes",
        help="who races (default modes: diffusion and autoregressive)",
    )
    parser.add_argument(
        "--lane",
        metavar="'mode=ar'",
        action="append",
        default=[],
        help="a lane by what it changes, like 'steps=8 order=random' or 'model=ID mode=ar'; give it two or three times",
    )
    _add_common(parser)
    parser.add_argument(
        "--repeats", metavar="N", type=int, default=1, help="runs of each lane: medians and ranges (default 1)"
    )
    parser.add_argument("--new-seeds", action="store_true", help="a new seed for each repeat")
    parser.add_argument("--traces", metavar="FOLDER", type=Path, help="write each lane's median run as JSON")
    add_engine(parser)
    add_settings(parser)


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sweep`."""
    parser.add_argument("--knob", choices=tuple(KNOBS), required=True, help="what changes")
    parser.add_argument(
        "--values", metavar="LIST", help="like '8, 16, 32' or '8..64/4' (four values); each knob has a default"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--prompt", metavar="TEXT", help="what to answer")
    source.add_argument("--prompts", metavar="FILE", type=Path, help="a file with one prompt a line")
    _add_common(parser)
    parser.add_argument(
        "--seeds", metavar="N", type=int, default=1, help="seeds for each value and prompt, from --seed up (default 1)"
    )
    parser.add_argument("--no-reference", action="store_true", help="leave out the autoregressive mode as a reference")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write one row a run")
    add_engine(parser)
    add_settings(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="builtin", metavar="ID", help="see `models` (default builtin)")
    parser.add_argument("--system", default="", metavar="TEXT", help="system prompt")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line of stdout")


def lane_of(text: str) -> dict[str, Any]:
    """Return what a lane changes from 'mode=ar' or 'steps=8, order=random'; raise SettingError."""
    out: dict[str, Any] = {}
    for part in text.replace(",", " ").split():
        name, equals, value = part.partition("=")
        if not equals:
            raise SettingError(
                f"A lane must be like 'mode=ar' or 'steps=8 order=random'; this part was {part[:40]!r}.", "lane"
            )
        name = name.replace("-", "_")
        out[name] = value_of(FIELD[name], value) if name in FIELD else value
    return out


def race(args: argparse.Namespace) -> int:
    """Race the lanes; print a table and who won."""
    from model.engine.remote import engine_at

    base = _base(args)
    changes = [lane_of(text) for text in args.lane] or preset_lanes(args.preset, args.model)
    for change in changes:
        _known(change.get("model", args.model))
    lanes = make_lanes(args.prompt, base, changes, LOCAL, args.system)
    make_folder(args.traces, "traces")
    with closing(engine_at(args.engine)) as engine:
        made = Race(engine, lanes, args.repeats, args.new_seeds)
        _go(made)
    print(_table([result.label for result in made.results], _rows(made)))
    print(harmless(made.verdict), flush=True)
    if args.json:
        print_json(made.record())
    if args.traces:
        for number, result in enumerate(made.results, 1):
            if result.shown and result.shown.trace:
                write(args.traces / f"lane-{number}.json", result.shown.trace.to_json())
    return _status(made)


def sweep(args: argparse.Namespace) -> int:
    """Sweep one knob; print its points."""
    from model.engine.remote import engine_at

    _known(args.model)
    prompts = [args.prompt] if args.prompts is None else lines_of(args.prompts)
    values = offered(args.knob, entry(args.model).spec) if args.values is None else args.values
    what = plan(
        args.knob, values, prompts, args.seeds, _base(args) | {"system": args.system}, LOCAL, not args.no_reference
    )
    check_file(args.csv, "csv")
    with closing(engine_at(args.engine)) as engine:
        made = Sweep(engine, what)
        _go(made)
    names = ("tokens_per_second", "tokens_per_forward", "consistent", "nll", "distinct_2")
    rows = [[FIELD[args.knob].label, *(figure.label for figure in FIGURES if figure.name in names), "Runs"]]
    for point in made.points:
        spreads = [point.spread(figure.name) for figure in FIGURES if figure.name in names]
        cells = [f"{s.median:.2f}" if s else point.error or "not computed" for s in spreads]
        rows.append(
            [
                REFERENCE if point.value == REFERENCE else point.label,
                *cells,
                str(sum(run.finished for run in point.runs)),
            ]
        )
    print(_table(rows[0][1:], rows[1:], rows[0][0]), flush=True)
    if args.json:
        print_json(made.record())
    if args.csv:
        write(args.csv, csv_text(made))
    return _status(made)


def _base(args: argparse.Namespace) -> dict[str, Any]:
    return settings_of(args) | {"model": args.model}


def _known(model: Any) -> None:
    try:
        entry(str(model))
    except ModelUnavailable as error:
        raise SettingError(str(error), "model") from None


def _go(made: Race | Sweep) -> None:
    """Run it, showing where it stands on a terminal; Ctrl+C ends it and keeps what was finished."""
    steps = iter(made)
    while True:
        try:
            now: Progress = next(steps)
        except StopIteration:
            break
        except KeyboardInterrupt:
            made.stop()
            made.series.stopped = "cancelled"
            break
        note(harmless(f"run {now.job + 1} of {now.jobs}: {now.label}, {now.words}"))
        if now.phase == "failed":
            print(harmless(f"{now.label}: {now.words}"), file=sys.stderr)
    note("")


def _status(made: Race | Sweep) -> int:
    """0 where anything was finished, 1 where nothing was, 130 where it was interrupted."""
    if made.series.stopped == "cancelled":
        return 130
    return 0 if any(run.finished for run in made.series.written) else 1


def _rows(made: Race) -> list[list[str]]:
    """Return one row a figure: its label, then each lane's median, with its range where there were several runs."""
    rows = []
    for figure in FIGURES:
        cells = []
        for result in made.results:
            values, median = result.values(figure.name), result.median(figure.name)
            spread = (
                f" ({min(values):,.{figure.digits}f} to {max(values):,.{figure.digits}f})" if len(values) > 1 else ""
            )
            cells.append("not computed" if median is None else f"{median:,.{figure.digits}f}{spread}")
        rows.append([figure.label + (f" ({figure.unit})" if figure.unit else ""), *cells])
    return rows


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], corner: str = "") -> str:
    """Return rows of words beneath their heads."""
    whole = [[corner, *map(harmless, heads)], *rows]
    widths = [max(len(row[i]) for row in whole) for i in range(len(whole[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in whole
    )
