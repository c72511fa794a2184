"""Write the tables of `assets/weights/small/MODEL_CARD.md` from what was measured: `python -m training.worlds.card`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from model.intervals import wilson
from model.models.worlds.record import FOLDER

RESULTS = Path("training/results")
CARD = FOLDER / "MODEL_CARD.md"


def percent(cell: dict[str, Any], name: str = "consistent") -> str:
    """Return a share with its 95 % interval."""
    return f"{100 * cell[name]:.1f} % ({100 * cell['low']:.0f} to {100 * cell['high']:.0f})"


def worlds_table(cells: dict[str, Any]) -> str:
    """Return the table of the small worlds, one row a way of decoding."""
    lines = ["| decoding | passes | consistent (95 % interval) | Kendall tau | texts |", "|---|---|---|---|---|"]
    for name, cell in cells.items():
        tau = f"{cell['tau']:.2f}" if "tau" in cell else "1.00"
        lines.append(f"| {name} | {cell['passes']:.1f} | {percent(cell)} | {tau} | {cell['texts']:.0f} |")
    return "\n".join(lines)


def sudoku_table(table: list[dict[str, Any]], puzzles: int) -> str:
    """Return the table of Sudoku: rows are orders, columns are difficulties."""
    levels = list(dict.fromkeys(cell["level"] for cell in table))
    rows = list(dict.fromkeys((cell["order"], cell["at_once"]) for cell in table))

    def again(cell: dict[str, Any]) -> dict[str, Any]:  # a bootstrap of nothing but right boards has no width
        low, high = wilson(round(cell["solved"] * puzzles), puzzles)
        return cell | {"low": low, "high": high}

    lines = [f"| order ({puzzles} puzzles a cell) | " + " | ".join(levels) + " |", "|---" * (len(levels) + 1) + "|"]
    for order, at_once in rows:
        found = {cell["level"]: cell for cell in table if (cell["order"], cell["at_once"]) == (order, at_once)}
        name = (
            "autoregressive twin"
            if order == "twin"
            else order.replace("_", " ") + (f", {at_once} cells a pass" if at_once > 1 else "")
        )
        lines.append(
            f"| {name} | "
            + " | ".join(percent(again(found[lv]), "solved") if lv in found else "" for lv in levels)
            + " |"
        )
    return "\n".join(lines)


def filled(card: str, name: str, text: str) -> str:
    """Return the card with the part between the marks of a name replaced."""
    return re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: f"{m[1]}{text}\n{m[2]}", card, flags=re.S)


def main() -> None:
    """Fill in the card's tables."""
    card = CARD.read_text(encoding="utf-8")
    if (path := RESULTS / "worlds.json").exists():
        card = filled(card, "worlds", worlds_table(json.loads(path.read_text())["cells"]))
    if (path := RESULTS / "sudoku.json").exists():
        found = json.loads(path.read_text())
        card = filled(card, "sudoku", sudoku_table(found["table"], found["puzzles"]))
    CARD.write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
