"""Streams of any encoding, and files that cannot be written: what was computed is never lost."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.models.scripted import SCRIPT
from model.request import parse_pinned
from model.trace.trace import Trace
from playground.cli import main as cli
from playground.cli import output
from scripts.budgets import ROOT
from tests.patience import patience

RUN = ["run", "--model", "fake", "--prompt", "hello"]
SWEEP = ["sweep", "--model", "fake", "--knob", "steps", "--values", "4, 8", "--prompt", "hello"]
RACE = ["race", "--model", "fake", "--prompt", "hello", "--lane", "steps=16", "--lane", "steps=32"]


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    status = cli.main(arguments)
    return (status, *capsys.readouterr())


@pytest.fixture
def idle(monkeypatch):
    """Whatever would compute fails the test."""
    from model.engine.engine import Engine

    monkeypatch.setattr(Engine, "run", lambda *_, **__: pytest.fail("something was computed"))


# ---------------------------------------------------------------- streams
COMMANDS = [
    [*RUN, "--json"],
    [*RACE, "--json"],
    [*SWEEP, "--json"],
    ["models"],
    ["models", "--json"],
    ["run", "--model", "n\u00f6", "--prompt", "x"],
]
WORDS = "import sys; from dataclasses import replace; from model.engine import catalog; from playground.cli.main import main; "
WORDS += "table = catalog._table(); table['fake'] = replace(table['fake'], options={'emit': ['\u65e5\u672c', ' \u2192', ' na\u00efve']}); "
WORDS += "sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda a: " ".join(a[:2] + a[-1:]))
def test_every_command_prints_on_any_terminal(encoding, arguments):
    env = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", WORDS, *arguments], cwd=ROOT, env=env, capture_output=True, timeout=patience(120)
    )
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert "Traceback" not in err and done.returncode == (2 if "n\u00f6" in arguments else 0), err
    if arguments[0] == "run" and done.returncode == 0:
        assert "\\u65e5\\u672c" in out
    if "--json" in arguments:
        assert json.loads(out.splitlines()[-1])


# ---------------------------------------------------------------- files
@pytest.mark.parametrize(("arguments", "option"), [(RUN, "trace"), (SWEEP, "csv")])
def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(capsys, idle, tmp_path, arguments, option):
    for path, said in (
        (tmp_path, f"--{option} must name a file; {tmp_path} is a folder."),
        (tmp_path / "no" / "x", f"--{option} cannot be written: there is no folder {tmp_path / 'no'}."),
    ):
        assert call(capsys, *arguments, f"--{option}", str(path)) == (2, "", said + "\n")


def test_a_folder_for_traces_that_is_a_file_is_refused_before_anything_runs(capsys, idle, tmp_path):
    (tmp_path / "file").write_text("x")
    status, out, err = call(capsys, *RACE, "--traces", str(tmp_path / "file"))
    assert (status, out) == (2, "") and err.startswith("--traces must name a folder;") and err.count("\n") == 1


@pytest.mark.parametrize(("arguments", "option"), [(RUN, "trace"), (SWEEP, "csv"), (RACE, "traces")])
def test_a_full_disk_says_so_and_what_was_computed_is_printed(capsys, tmp_path, monkeypatch, arguments, option):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output.os, "replace", full)
    target = tmp_path / "out"
    if option != "traces":
        target.write_text("what was there before")
    status, out, err = call(capsys, *arguments, f"--{option}", str(target), "--json")
    assert status == 1 and err.strip().endswith("was not written: the disk is full.") and "Traceback" not in err
    assert json.loads(out.splitlines()[-1]) and len(out.splitlines()) > 1
    if option != "traces":
        assert target.read_text() == "what was there before"
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]  # nothing half written is left


def test_a_file_is_replaced_whole_and_keeps_its_rights(capsys, tmp_path):
    target, link = tmp_path / "run.json", tmp_path / "link.json"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    assert call(capsys, *RUN, "--trace", str(link))[0] == 0
    assert link.is_symlink() and target.stat().st_mode & 0o777 == 0o640
    assert Trace.from_json(target.read_text()).final_text == SCRIPT
    assert call(capsys, *RUN, "--trace", "/dev/null")[0] == 0 and not Path("/dev/null").is_file()


# ---------------------------------------------------------------- lines
def test_only_line_ends_end_a_line(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_bytes("\ufeffone\u2028still one\r\ntwo\x0cstill two\rthree\x85\x1d\n\n".encode())
    assert output.lines_of(file) == ["one\u2028still one", "two\x0cstill two", "three\x85\x1d"]
    assert parse_pinned("5: a\u2028b\n7: c") == {5: " a\u2028b", 7: " c"}
