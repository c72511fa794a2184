"""The command line on the fake: what it prints, what it refuses, and that no escape sequence gets through."""

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from model.models.scripted import SCRIPT, Fake
from model.settings import FIELDS
from model.trace.trace import Trace
from playground.cli import main as cli
from playground.cli.terminal import canvas, harmless
from scripts.budgets import ROOT
from tests.patience import patience

WANTED = {
    "text",
    "ids",
    "mode",
    "tokens",
    "forwards",
    "tokens_per_forward",
    "seconds",
    "tokens_per_second",
    "first_frame_seconds",
    "stopped",
    "seed",
    "model",
    "prompt",
}
RUN = ["run", "--model", "fake", "--prompt", "hello"]


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    """Return (status, stdout, stderr) of the command line, in this process."""
    try:
        status = cli.main(arguments)
    except SystemExit as error:
        status = error.code
    out, err = capsys.readouterr()
    return status, out, err


def test_it_prints_the_text(capsys):
    assert call(capsys, *RUN) == (0, SCRIPT + "\n", "")


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (None, ""),
        ((), "Consistent.\n"),
        ((("'his' does not fit.", (0,)), ("More.", (1,))), "2 contradictions: 'his' does not fit.\n"),
    ],
)
def test_what_an_exact_check_found_is_said_beside_the_text(capsys, monkeypatch, faults, said):
    made = cli.finished

    def found(requests, *where):
        for trace in made(requests, *where):
            trace.result = replace(trace.result, faults=faults)
            yield trace

    monkeypatch.setattr(cli, "finished", found)
    assert call(capsys, *RUN) == (0, SCRIPT + "\n", said)


@pytest.mark.parametrize("mode", ["diffusion", "ar"])
def test_json_is_the_last_line_and_whole(capsys, mode):
    status, out, _ = call(capsys, *RUN, "--mode", mode, "--steps", "8", "--seed", "7", "--json")
    told = json.loads(out.splitlines()[-1])
    assert status == 0 and set(told) >= WANTED
    assert told["text"] == SCRIPT and told["mode"] == mode and told["seed"] == 7 and told["model"] == "fake"
    assert told["forwards"] == (8 if mode == "diffusion" else len(told["ids"])) and told["stopped"] == "end"
    assert told["tokens"] == len(told["ids"]) and told["tokens_per_forward"] == pytest.approx(
        told["tokens"] / told["forwards"], abs=1e-3
    )
    assert 0 < told["first_frame_seconds"] <= told["seconds"]


def test_a_file_of_prompts_gives_one_object_a_line(capsys, tmp_path: Path):
    (tmp_path / "prompts.txt").write_text("one\n\n  two ü  \nthree\n", encoding="utf-8")
    status, out, _ = call(capsys, "run", "--model", "fake", "--prompts", str(tmp_path / "prompts.txt"))
    told = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and [one["prompt"] for one in told] == ["one", "  two ü  ", "three"]
    assert all(set(one) >= WANTED for one in told)


def test_the_trace_it_writes_is_the_run(capsys, tmp_path: Path):
    status, out, _ = call(capsys, *RUN, "--trace", str(tmp_path / "run.json"), "--pinned", "3: upon\\n9: time")
    trace = Trace.from_json((tmp_path / "run.json").read_text())
    assert status == 0 and trace.final_text + "\n" == out and " upon" in out and " time" in out


def test_every_knob_is_an_option():
    options = {action.dest for action in _options("run")}
    assert {field.name for field in FIELDS} <= options


def _options(name: str):
    import argparse

    parser = argparse.ArgumentParser()
    cli.COMMANDS[name].add_options(parser)
    return parser._actions


BAD = [
    (["--steps", "abc"], "Steps must be a number; it was 'abc'."),
    (["--steps", "nan"], "Steps must be a finite number; it was nan."),
    (["--steps", "-inf"], "expected one argument"),
    (["--steps=-inf"], "Steps must be a finite number; it was -inf."),
    (["--steps", "1e9"], "Steps must be between 1 and 1024"),
    (["--steps", "-1"], "Steps must be between 1 and 1024; it was -1."),
    (["--steps", "0"], "Steps must be between 1 and 1024; it was 0."),
    (["--steps", "2.5"], "Steps must be a whole number; it was 2.5."),
    (["--steps", ""], "Steps must be a number; it was ''."),
    (["--steps", "1" * 5000], "Steps must be"),
    (["--temperature", "3"], "Temperature must be between 0 and 2; it was 3."),
    (["--top-p", "0"], "Top-p must be above 0"),
    (["--rule", "best"], "Commit rule must be one of schedule"),
    (["--order", "\x1b[31m"], "Order must be one of"),
    (["--mode", "sideways"], "Mode must be one of diffusion, ar; it was 'sideways'."),
    (["--model", "nope"], "There is no model called 'nope'; `playground models` lists"),
    (["--pinned", "first: word"], "Pinned words must be lines like '5: upon'"),
    (["--pinned", "99: word"], "A pinned position must be between 0 and 63; it was 99."),
    (["--pinned", "62: much too long to fit"], "position 63"),
    (["--prompt", " "], "Write a prompt first"),
    (["--prompt", "x" * 17000], "may have at most 16,000 characters; it has 17,000."),
    (["--guidance", "2"], "Guidance must be 0 on Fake"),
    (["--steps", "1", "--new-tokens", "64", "--block-length", "8"], "Steps must be at least 8"),
    (["--step", "4"], "unrecognized arguments: --step 4"),
    (["--nonsense"], "unrecognized arguments: --nonsense"),
    (["--prompts", "/nowhere/prompts.txt"], "not allowed with argument --prompt"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD, ids=[" ".join(arguments)[:30] for arguments, _ in BAD])
def test_a_bad_value_ends_with_status_2_and_one_sentence(capsys, arguments, sentence):
    status, out, err = call(capsys, *RUN, *arguments)
    assert status == 2 and out == "" and sentence in err
    assert err.count("\n") == 1 and "\x1b" not in err and "Traceback" not in err


def test_an_unreadable_file_of_prompts_is_named(capsys, tmp_path: Path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").write_text("\n \n")
    for name, word in (("missing", "cannot be read"), ("bytes", "cannot be read"), ("empty", "at least 1 line")):
        status, out, err = call(capsys, "run", "--model", "fake", "--prompts", str(tmp_path / name))
        assert status == 2 and out == "" and word in err and err.count("\n") == 1


def test_a_command_is_needed_and_help_names_all(capsys):
    assert call(capsys)[0] == 2
    status, out, _ = call(capsys, "--help")
    assert status == 0 and all(name in out for name in ("run", "models", "serve"))
    assert call(capsys, "run", "--help")[0] == 0


def test_models_lists_all_and_why_not(capsys):
    _, out, _ = call(capsys, "models")
    assert "builtin" in out and "Fake (scripted, not a model): ready" in out
    _, out, _ = call(capsys, "models", "--json")
    rows = {row["id"]: row for row in map(json.loads, out.splitlines())}
    assert rows["fake"]["available"] and rows["fake"]["modes"] == ["diffusion", "ar"]
    assert all(row["available"] != bool(row["reason"]) for row in rows.values())


# ---------------------------------------------------------------- hostile text
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\x00\ud800 ok\n"


def test_harmless_leaves_no_control_character():
    shown = harmless(HOSTILE)
    assert not {c for c in shown if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160}
    assert "\u202e" not in shown and "U+202E" in shown and shown.endswith(" ok\n")


def test_hostile_tokens_stay_text_in_every_output(capsys, monkeypatch):
    emit = ["\x1b[31m", "\u202e", "[bold red]x[/]", "\x9b2J"]
    monkeypatch.setattr("model.models.scripted.load", lambda progress: Fake(emit=emit))
    status, out, _ = call(capsys, *RUN, "--json", "--new-tokens", "4")
    assert status == 0 and not {"\x1b", "\x9b", "\u202e"} & set(out)
    assert json.loads(out.splitlines()[-1])["text"] == "\x1b[31m\u202e[bold red]x[/]\x9b2J"
    trace = Fake(emit=emit).denoise("x").finish()
    assert (
        "[bold red]x[/]" in canvas(trace, trace.frames[-1]).plain
        and "\x1b" not in canvas(trace, trace.frames[-1]).plain
    )


def test_the_canvas_shows_what_is_undecided():
    trace = Fake().denoise("x").finish()
    first, last = canvas(trace, trace.frames[0]).plain, canvas(trace, trace.frames[-1]).plain
    assert first.count("\u2591") == 2 * 64 and last == SCRIPT


# ---------------------------------------------------------------- as a process
def test_in_a_terminal_it_draws_and_leaves_the_text():
    drawn = bytearray()

    def read(fd: int) -> bytes:
        data = os.read(fd, 4096)
        drawn.extend(data)
        return data

    saved = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            status = pty.spawn([sys.executable, "-m", "playground", *RUN, "--steps", "4"], read)
        finally:
            os.dup2(saved, 1)
            os.close(saved)
    text = drawn.decode()
    assert status == 0 and "\u2591\u2591" in text and text.rstrip().endswith("may watch it appear.")


def test_the_process_says_the_same_and_loads_nothing_heavy():
    heavy = "print(sorted({'torch', 'gradio', 'rich'} & set(sys.modules)))"
    code = f"import sys, playground.cli.main as c; status = c.main(sys.argv[1:]); {heavy}; sys.exit(status)"
    done = subprocess.run(
        [sys.executable, "-c", code, *RUN], cwd=ROOT, capture_output=True, text=True, timeout=patience(60)
    )
    assert done.returncode == 0 and done.stdout == SCRIPT + "\n[]\n" and done.stderr == ""


def test_a_reader_who_leaves_is_no_error():
    command = f"'{sys.executable}' -m playground models | head -1"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=patience(60))
    assert "Traceback" not in done.stderr and done.stdout.count("\n") == 1


def test_without_knobs_a_model_with_presets_begins_as_the_page_does():
    from argparse import Namespace

    from model.settings import FIELDS
    from playground.cli.main import settings_of
    from playground.presets import start_of

    nothing = {field.name: None for field in FIELDS}
    assert settings_of(Namespace(model="builtin", **nothing)) == start_of("builtin")
    assert settings_of(Namespace(model="builtin", **(nothing | {"seed": "3"}))) == start_of("builtin") | {"seed": 3}
    assert settings_of(Namespace(model="builtin", **(nothing | {"steps": "16"}))) == {"steps": 16}
    assert settings_of(Namespace(model="llada-8b", **nothing)) == {}


# ---------------------------------------------------------------- replay
def test_a_trace_is_replayed_and_written_as_a_page(tmp_path, capsys):
    trace, page = tmp_path / "run.json", tmp_path / "run.html"
    assert cli.main(["run", "--model", "fake", "--prompt", "hi", "--trace", str(trace)]) == 0
    written = capsys.readouterr().out
    assert cli.main(["replay", str(trace), "--speed", "1000", "--json"]) == 0
    out = capsys.readouterr().out.rstrip("\n").rpartition("\n")
    assert out[0] + "\n" == written and json.loads(out[2])["model"] == "fake"
    assert cli.main(["replay", str(trace), "--html", str(page)]) == 0
    assert "mountPlayer" in page.read_text(encoding="utf-8") and "text-diffusion-trace" in page.read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere/run.json"], "cannot be replayed"),
        (["{folder}/bad.json"], "cannot be replayed"),
        (["{folder}/bad.json", "--speed", "0"], "Speed must be above 0"),
        (["{folder}/bad.json", "--speed", "nan"], "Speed must be above 0"),
        (["{folder}"], "cannot be replayed"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path, capsys, arguments, said):
    (tmp_path / "bad.json").write_text('{"format": "text-diffusion-trace", "frames": [1]}')
    assert cli.main(["replay", *(part.format(folder=tmp_path) for part in arguments)]) == 2
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err and len(err.strip().splitlines()) == 1


# ---------------------------------------------------------------- going on from a trace
@pytest.mark.parametrize("given", [["--pin", "1: Otto"], ["--erase", "0"], ["--keep"], ["--frame", "0"]])
def test_edits_without_a_trace_to_go_on_from_are_refused(capsys, given):
    status, out, error = call(capsys, *RUN, *given)
    assert (status, out) == (2, "") and error.startswith(f"{given[0]} changes a run that --from goes on from")


def test_a_run_goes_on_from_a_trace_with_words_erased_and_pinned(tmp_path, capsys):
    trace, after = tmp_path / "run.json", tmp_path / "after.json"
    assert cli.main(["run", "--model", "fake", "--prompt", "hi", "--trace", str(trace)]) == 0
    capsys.readouterr()
    asked = ["--erase", "1-2", "--pin", "4", "--pin", "6: upon", "--keep", "--steps", "19", "--trace", str(after)]
    assert cli.main(["run", "--from", str(trace), *asked]) == 0
    first = Trace.from_json(after.read_text(encoding="utf-8")).frames[0]
    assert [int(state) for state in first.states[[0, 1, 2, 4, 6]]] == [0, 2, 2, 1, 1]  # given, masks, pinned
    assert Trace.from_json(after.read_text(encoding="utf-8")).settings["steps"] == 19


def test_going_on_unedited_is_the_same_run(tmp_path, capsys):
    trace = tmp_path / "run.json"
    assert cli.main(["run", "--model", "fake", "--prompt", "hi", "--trace", str(trace), "--json"]) == 0
    before = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert cli.main(["run", "--from", str(trace), "--frame", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["ids"] == before["ids"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--erase", "9-5"], "Erase must name positions like 5 or 5-9"),
        (["--pin", "x"], "Pin must name positions"),
        (["--pin", "x: Otto"], "Pin must name positions like 5, 5-9 or '12: Otto'"),
        (["--frame", "999"], "The step to go on from must be between 0 and"),
        (["--erase", "5000"], "An edit must lie within the canvas"),
    ],
)
def test_edits_that_cannot_be_made_are_refused(tmp_path, capsys, options, said):
    trace = tmp_path / "run.json"
    assert cli.main(["run", "--model", "fake", "--prompt", "hi", "--trace", str(trace)]) == 0
    capsys.readouterr()
    assert cli.main(["run", "--from", str(trace), *options]) == 2
    assert said in capsys.readouterr().err
