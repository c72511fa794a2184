"""Keep files and functions short: no source file over 400 lines, no Python function over 60, app.py at most 40. Test files have names of
their own: pytest would collect none of two with the same.

`python -m scripts.budgets` prints each excess as path:line: sentence and ends with 1 if there is one.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES, FUNCTION_LINES, ENTRY_LINES = 400, 60, 40
SUFFIXES = (".py", ".js", ".css", ".html", ".sh")


def sources(root: Path = ROOT) -> list[Path]:
    """Return the hand-written source files under `root`: no hidden folders, no minified third-party files."""
    found = (
        path for path in root.rglob("*") if path.suffix in SUFFIXES and ".min." not in path.name and path.is_file()
    )
    hidden = lambda path: any(part.startswith(".") or part.endswith("-output") for part in path.relative_to(root).parts)  # noqa: E731
    return sorted(path for path in found if not hidden(path))


def excesses(path: Path, name: str) -> Iterator[str]:
    """Yield one sentence for every budget that the file at `path`, shown as `name`, exceeds."""
    text = path.read_text(encoding="utf-8")
    lines, most = len(text.splitlines()), ENTRY_LINES if name == "app.py" else FILE_LINES
    if lines > most:
        yield f"{name}:1: a file may have at most {most} lines; it has {lines}."
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text, name)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    yield f"{name}:{node.lineno}: a function may have at most {FUNCTION_LINES} lines; {node.name} has {length}."


def namesakes(paths: list[Path], root: Path) -> Iterator[str]:
    """Yield one sentence for every test file that has the name of another."""
    seen: dict[str, Path] = {}
    for path in paths:
        if path.name.startswith("test_") and path.suffix == ".py" and seen.setdefault(path.name, path) != path:
            here, there = (one.relative_to(root).as_posix() for one in (path, seen[path.name]))
            yield f"{here}:1: {there} has the same name, and pytest would take neither."


def main(root: Path = ROOT) -> int:
    """Print every excess; return 1 if there is one."""
    paths = sources(root)
    found = [line for path in paths for line in excesses(path, path.relative_to(root).as_posix())] + list(
        namesakes(paths, root)
    )
    print("\n".join(found) if found else "budgets: all files and functions are within their lines")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
