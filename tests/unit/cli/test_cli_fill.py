"""`fill` in the terminal: text, JSON, a file, a trace, and what it refuses."""

from __future__ import annotations

import json

import pytest

from model.trace.trace import Trace
from playground.cli.main import main


def call(capsys, *arguments):
    status = main(["fill", "--model", "fake", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_text_goes_to_stdout_and_what_is_to_be_known_to_stderr(capsys):
    status, out, err = call(capsys, "--text", "Only  ___ is written, [2] too.")
    assert status == 0 and out.startswith("Only  ") and out.rstrip("\n").endswith(" too.")
    assert "writes in blocks from left to right" in err.splitlines()[0] and "Hole 1 takes" in err


def test_json_a_file_and_a_trace(capsys, tmp_path):
    (tmp_path / "text").write_text("Dear [2],\n\nyours [1]\n", encoding="utf-8")
    status, out, _ = call(
        capsys, "--file", str(tmp_path / "text"), "--json", "--trace", str(tmp_path / "run.json"), "--seed", "4"
    )
    told = json.loads(out.splitlines()[-1])
    trace = Trace.from_json((tmp_path / "run.json").read_text())
    assert status == 0 and told["text"] == trace.final_text and len(told["holes"]) == 2 and trace.seed == 4
    assert told["text"] == f"Dear {told['holes'][0]},\n\nyours {told['holes'][1]}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--text", "no hole"], "The text has no hole yet"),
        (["--file", "/no/such/file"], "The file of the text cannot be read"),
        (["--text", "___", "--steps", "0"], "Steps must be between"),
        (["--text", "___", "--model", "nothing"], "nothing"),
        (["--text", "___", "--model", "sudoku"], "writes no text that could have holes"),
    ],
)
def test_what_cannot_be_filled_ends_with_status_2_and_one_sentence(capsys, arguments, said):
    status, out, err = call(capsys, *arguments)
    assert status == 2 and said in err.splitlines()[-1] and not out
