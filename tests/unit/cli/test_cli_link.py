"""`--link`: the page's own string, both ways."""

from __future__ import annotations

import json

import pytest

from model.engine.catalog import entry
from model.errors import SettingError
from model.settings import FIELD
from playground.cli.main import main
from playground.links import link_of, read_link
from playground.presets import start_values

OTHER = {
    "int": lambda field, now: now + 1 if now < field.high else now - 1,
    "float": lambda field, now: round((field.low + field.high) / 2 + 0.0125, 4),
    "choice": lambda field, now: next(one for one in field.choices if one != now),
}


@pytest.mark.parametrize("name", FIELD)
def test_every_knob_comes_back(name):
    start = start_values(entry=entry("worlds"))
    values = start | {name: OTHER[FIELD[name].kind](FIELD[name], start[name])}
    assert values != start
    told = read_link(
        "http://127.0.0.1:7860/"
        + link_of("worlds", "diffusion", "ein \u201eTest\u201c \U0001f600", "", "3: x\n5: y", values)
    )
    assert (told.model, told.mode, told.prompt, told.pinned) == (
        "worlds",
        "diffusion",
        "ein \u201eTest\u201c \U0001f600",
        "3: x\n5: y",
    )
    assert told.knobs == values


@pytest.mark.parametrize(
    "bad", ["", "hello", "#v1=", "#v1=!!!", "#v1=bnVsbA", "#v9=e30", "#v1=W10", "#v1=eyJtIjoibm8tc3VjaCJ9"]
)
def test_what_is_no_link_is_refused_in_a_sentence(bad, capsys):
    with pytest.raises(SettingError):
        read_link(bad)
    assert main(["run", "--link", bad]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_says_its_link_and_runs_from_it_again(capsys):
    assert (
        main(
            [
                "run",
                "--model",
                "fake",
                "--prompt",
                "hello",
                "--steps",
                "7",
                "--rule",
                "schedule",
                "--seed",
                "5",
                "--json",
            ]
        )
        == 0
    )
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert read_link(first["link"]).knobs["steps"] == 7
    assert main(["run", "--link", first["link"], "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {key: again[key] for key in ("text", "ids", "forwards", "seed", "link", "prompt")} == {
        key: first[key] for key in ("text", "ids", "forwards", "seed", "link", "prompt")
    }
    assert main(["run", "--link", first["link"], "--seed", "6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["seed"] == 6
