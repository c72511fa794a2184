"""/race and /sweep as a program sees them, and both on the command line."""

from __future__ import annotations

import csv
import json

import pytest
from gradio_client import Client

from model.trace.trace import Trace
from playground.cli.main import main


@pytest.fixture
def client(server):
    client = Client(server.url, verbose=False)
    yield client
    client.close()


def test_race_streams_progress_and_ends_with_lanes_verdict_and_traces(client):
    lanes = [{"mode": "diffusion"}, {"mode": "ar", "label": "typist"}]
    job = client.submit(prompt="hi", lanes=lanes, settings={"model": "fake", "steps": 16}, repeats=2, api_name="/race")
    said = list(job)
    assert len(said) > 3 and all("progress" in one for one in said[:-1])
    last = said[-1]
    assert [lane["label"] for lane in last["lanes"]] == ["Diffusion", "typist"] and last["stopped"] == ""
    for lane, document in zip(last["lanes"], last["traces"], strict=True):
        trace = Trace.from_json(json.dumps(document))
        assert lane["text"] == trace.final_text and lane["finished"] == 2 and lane["ids"] == trace.final_ids
        assert {
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
        } <= set(lane)
    assert " on a script, not on hardware" in last["verdict"]


def test_race_by_preset(client):
    last = client.predict(prompt="hi", preset="orders", settings={"model": "fake"}, api_name="/race")
    assert [lane["label"] for lane in last["lanes"]] == [
        "Order margin",
        "Order confidence",
        "Order random",
        "Order left to right",
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"prompt": ""}, "Write a prompt first"),
        ({"lanes": [{}] * 5}, "between 1 and 4 lanes; it has 5"),
        ({"lanes": {"mode": "ar"}}, "between 1 and 4 lanes"),
        ({"lanes": [3]}, "A lane must map names to values"),
        ({"lanes": [{"steps": "many"}]}, "Steps must be a number"),
        ({"settings": [1]}, "'settings' must map names to values"),
        ({"settings": {"model": 7}}, "Model must be a name"),
        ({"repeats": 0}, "Repeats must be between 1 and 20"),
        ({"repeats": 1.5}, "Repeats must be a whole number; it was 1.5."),
        ({"repeats": "x"}, "Repeats must be a whole number; it was x."),
        ({"preset": "nope"}, "The preset of a race must be one of"),
        ({"preset": "models", "settings": {"model": ["x"]}}, "Model must be a name"),
    ],
)
def test_race_refuses_in_one_sentence(client, server, values, words):
    given = {"prompt": "hi", "settings": {"model": "fake"}, "api_name": "/race"} | values
    with pytest.raises(Exception) as caught:
        client.predict(**given)
    assert words in str(caught.value) and "Traceback" not in str(caught.value)
    assert server.idle()


def test_sweep_streams_points_and_ends_with_every_run(client):
    asked = {
        "knob": "steps",
        "values": "8, 16",
        "prompts": ["a", "b"],
        "settings": {"model": "fake"},
        "reference": False,
    }
    said = list(client.submit(**asked, api_name="/sweep"))
    assert any("points" in one for one in said[:-1])
    assert [point["value"] for point in said[-1]["points"]] == [8, 16] and len(said[-1]["runs"]) == 4


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"prompts": []}, "between 1 and 16 prompts; it has 0"),
        ({"knob": "speed"}, "The knob of a sweep must be one of"),
        ({"values": ""}, "between 1 and 16 values"),
        ({"seeds": 99}, "Seeds must be between 1 and 64"),
        ({"seeds": None}, "Seeds must be between 1 and 64"),
        ({"values": "1..64/16", "prompts": ["x"] * 16, "seeds": 16}, "at most 240 runs"),
    ],
)
def test_sweep_refuses_in_one_sentence(client, server, values, words):
    given = {
        "knob": "steps",
        "values": "8",
        "prompts": ["hi"],
        "settings": {"model": "fake"},
        "api_name": "/sweep",
    } | values
    with pytest.raises(Exception) as caught:
        client.predict(**given)
    assert words in str(caught.value) and server.idle()


def test_a_cancelled_race_frees_the_engine(serve):
    server = serve(delay=0.05)
    client = Client(server.url, verbose=False)
    job = client.submit(prompt="hi", settings={"model": "fake"}, api_name="/race")
    while not server.engine.busy:
        assert not job.done()
    job.cancel()
    assert server.idle(20)
    client.close()


# ---------------------------------------------------------------- command line
def run_cli(capsys, *arguments):
    status = main([*arguments])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


def test_cli_race_ends_with_one_json_line(capsys, tmp_path):
    status, out, _ = run_cli(
        capsys, "race", "--prompt", "hi", "--model", "fake", "--repeats", "2", "--traces", str(tmp_path), "--json"
    )
    record = json.loads(out[-1])
    assert status == 0 and [lane["label"] for lane in record["lanes"]] == ["Diffusion", "Autoregressive"]
    assert out[-2] == record["verdict"] and out[1].startswith("Tokens per second")
    assert Trace.from_json((tmp_path / "lane-2.json").read_text()).final_text == record["lanes"][1]["text"]


def test_cli_lanes_are_given_by_what_they_change(capsys):
    lanes = ["--lane", "steps=8 rule=schedule", "--lane", "mode=ar, temperature=0.5"]
    status, out, _ = run_cli(capsys, "race", "--prompt", "hi", "--model", "fake", *lanes, "--json")
    one, other = json.loads(out[-1])["lanes"]
    assert (
        status == 0
        and one["settings"]["steps"] == 8
        and other["mode"] == "ar"
        and other["settings"]["temperature"] == 0.5
    )


def test_cli_sweep_prints_points_writes_csv_and_ends_with_json(capsys, tmp_path):
    path = tmp_path / "sweep.csv"
    asked = ["--knob", "steps", "--values", "8..32/3", "--prompt", "hi", "--model", "fake"]
    status, out, _ = run_cli(capsys, "sweep", *asked, "--csv", str(path), "--json")
    record = json.loads(out[-1])
    assert status == 0 and [point["value"] for point in record["points"]] == [8, 16, 32, "autoregressive"]
    assert len(list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))) >= 4 and out[1].split()[0] == "8"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["race", "--prompt", "hi", "--lane", "ar"], "A lane must be like 'mode=ar'"),
        (["race", "--prompt", "hi", "--lane", "speed=8"], "There is no setting called 'speed'."),
        (["race", "--prompt", "hi", "--lane", "model=nope"], "There is no model called 'nope'"),
        (["race", "--prompt", " ", "--model", "fake"], "Write a prompt first"),
        (["race", "--prompt", "hi", "--model", "fake", "--repeats", "0"], "Repeats must be between 1 and 20"),
        (
            ["sweep", "--knob", "steps", "--prompt", "hi", "--model", "fake", "--values", "0"],
            "Steps must be between 1 and",
        ),
        (["sweep", "--knob", "steps", "--prompt", "hi", "--model", "nope"], "There is no model called 'nope'"),
        (["sweep", "--knob", "steps", "--prompts", "/nowhere/x"], "The file of prompts cannot be read"),
    ],
)
def test_cli_refuses_with_status_2_and_one_sentence(capsys, arguments, words):
    status, out, err = run_cli(capsys, *arguments)
    assert status == 2 and words in err and len(err.strip().splitlines()) == 1 and not out


def test_cli_says_what_failed_and_ends_with_1(capsys, monkeypatch):
    from model.engine import engine
    from model.models.scripted import Fake

    usual = engine.Engine.__init__.__kwdefaults__
    monkeypatch.setattr(
        engine.Engine.__init__, "__kwdefaults__", {**usual, "loader": lambda model_id, progress: Fake(fail_at=1)}
    )
    status, out, err = run_cli(capsys, "race", "--prompt", "hi", "--model", "fake")
    assert (
        status == 1
        and out[-1].startswith("No lane reached its end, so nobody won")
        and "Diffusion: An unexpected error" in err
    )
