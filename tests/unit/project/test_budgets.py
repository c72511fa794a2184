"""Files and functions stay short, and the check that says so can fail."""

from pathlib import Path

import pytest

from scripts import budgets


def test_every_file_and_function_is_within_its_lines():
    assert [
        line for path in budgets.sources() for line in budgets.excesses(path, path.relative_to(budgets.ROOT).as_posix())
    ] == []


def test_it_looks_at_the_whole_repository():
    seen = {path.relative_to(budgets.ROOT).as_posix() for path in budgets.sources()}
    assert {"model/trace/trace.py", "scripts/budgets.py", "tests/unit/project/test_budgets.py"} <= seen
    assert not any(name.startswith((".venv", ".git")) for name in seen)


@pytest.mark.parametrize(
    ("name", "text", "refused"),
    [
        ("long.py", "x = 1\n" * 401, "at most 400 lines; it has 401"),
        ("fits.py", "x = 1\n" * 400, None),
        ("player.js", "x;\n" * 401, "at most 400 lines; it has 401"),
        ("app.py", "x = 1\n" * 41, "at most 40 lines; it has 41"),
        ("deep.py", "class A:\n    def f(self):\n" + "        x = 1\n" * 60, "at most 60 lines; f has 61"),
        ("flat.py", "async def g():\n" + "    x = 1\n" * 59, None),
    ],
)
def test_an_excess_is_named(tmp_path: Path, name: str, text: str, refused: str | None):
    (tmp_path / name).write_text(text)
    found = [line for path in budgets.sources(tmp_path) for line in budgets.excesses(path, name)]
    assert len(found) == (refused is not None)
    if refused is not None:
        assert refused in found[0] and found[0].startswith(name)


def test_third_party_and_hidden_files_do_not_count(tmp_path: Path):
    (tmp_path / ".venv").mkdir()
    for name in (".venv/a.py", "axe.min.js"):
        (tmp_path / name).write_text("x\n" * 500)
    assert budgets.sources(tmp_path) == []


def test_two_test_files_of_one_name_are_named(tmp_path: Path):
    for folder in ("unit", "e2e"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test_link.py").write_text("x = 1\n")
        (tmp_path / folder / "helpers.py").write_text("x = 1\n")
    found = list(budgets.namesakes(budgets.sources(tmp_path), tmp_path))
    assert found == ["unit/test_link.py:1: e2e/test_link.py has the same name, and pytest would take neither."]
