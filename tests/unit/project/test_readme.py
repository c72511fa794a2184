"""The README's examples run, and what it names exists."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.budgets import ROOT
from tests.patience import patience

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
PYTHON = [code for language, code in BLOCKS if language == "python" and "gradio_client" not in code]
SHELL = [line.partition("#")[0].strip() for language, code in BLOCKS if language == "sh" for line in code.splitlines()]
COMMANDS = [line.removeprefix(".venv/bin/python -m ") for line in SHELL if line.startswith(".venv/bin/python -m ")]


def execute(*arguments: str, folder: Path) -> subprocess.CompletedProcess:
    environment = {
        "PYTHONPATH": str(ROOT),
        "PATH": "",
        "HOME": str(folder),
        "COLUMNS": "100",
        "PYTHONIOENCODING": "utf-8",
    }
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=patience(120)
    )


def test_there_are_examples_of_every_kind():
    assert len(PYTHON) >= 2 and len(COMMANDS) >= 3
    assert all(line.startswith(("make ", ".venv/bin/python -m ")) for line in SHELL if line)


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_a_python_example_runs(code: str, tmp_path: Path):
    assert 'load("builtin")' in code
    done = execute("-W", "error", "-c", code.replace('"builtin"', '"fake"'), folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_line_example_runs(command: str, tmp_path: Path):
    arguments = shlex.split(command)
    if "models" not in arguments:
        arguments += ["--model", "fake"]
    if "--from" in arguments:  # the run it goes on from
        written = ["--prompt", "hi", "--model", "fake", "--new-tokens", "32"]
        execute(
            "-m", "playground", "run", *written, "--trace", arguments[arguments.index("--from") + 1], folder=tmp_path
        )
    done = execute("-m", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
    if "--trace" in arguments:
        assert (tmp_path / arguments[arguments.index("--trace") + 1]).is_file()


def test_every_make_target_it_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.M))
    assert {"run", "test", "check", "bench"} <= named <= targets


def test_every_file_it_names_exists():
    named = set(re.findall(r"`((?:model|playground|assets|training|bench|scripts|tests)/[\w./-]*)`", README))
    named |= set(re.findall(r"\]\((?!http)([^)#]+)\)", README))
    assert len(named) > 8
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_the_layout_lists_every_folder():
    tree = next(code for language, code in BLOCKS if not language and "model/" in code)
    listed = {line.split("/")[0] for line in tree.splitlines() if re.match(r"\w+/", line)}
    there = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith((".", "__")) and "-output" not in path.name
    }
    assert listed == there


def test_the_space_starts_what_is_tested():
    head = README.split("---")[1]
    assert "sdk: gradio" in head and "app_file: app.py" in head and (ROOT / "app.py").is_file()
    version = tuple(map(int, re.search(r"sdk_version: ([\d.]+)", head)[1].split(".")))
    assert version >= (6, 31)
