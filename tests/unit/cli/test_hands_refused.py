"""What cannot be changed by hand is refused in one sentence, the same from the API and the page, the command line and Python."""

from __future__ import annotations

import json

import pytest

from model.branch import edit, edits_of
from model.engine.engine import Engine
from model.engine.parsing import parse_continuation, parse_fill
from model.errors import PlaygroundError
from model.paths import ASSETS
from model.trace.trace import Trace
from playground.cli import main as cli

RECORDED = (ASSETS / "traces" / "1-notice.json").read_text(encoding="utf-8")
LANES = json.loads(json.loads((ASSETS / "recorded" / "race.json").read_text(encoding="utf-8"))["stage"])["lanes"]


@pytest.fixture(scope="module")
def engine():
    made = Engine()
    made.load("worlds")
    yield made
    made.close()


def changed(**header):
    document = json.loads(RECORDED)
    document["header"] |= header
    return document


def of_another_model():
    document = json.loads(RECORDED)
    document["header"]["model"] |= {"id": "unheard-of", "name": "Unheard of"}
    return document


CASES = {
    "beyond the canvas": (
        changed(),
        {"erase": "500"},
        "An edit must lie within the canvas, between 0 and 71; it ended at 500.",
    ),
    "a word the tokenizer cannot write": (changed(), {"pin": "3: spaceship"}, "spaceship"),
    "of other weights": (changed(weights_sha256="0" * 64), {"erase": "3"}, "other weights of Small worlds"),
    "too long to fit": (changed(), {"pin": "3: " + "owl " * 60}, "This canvas has 72 positions and cannot grow"),
    "a step that is not there": (
        changed(),
        {"erase": "3", "step": 999},
        "The step to go on from must be between 0 and",
    ),
}


def through_the_engine(engine, document, changes):
    given = dict(changes)
    step = given.pop("step", len(document["frames"]) - 1)
    with engine.run(parse_continuation(document, step, edits_of(**given))) as run:
        return next(run)


def refused(call, *arguments, **more):
    with pytest.raises(PlaygroundError) as caught:
        call(*arguments, **more)
    said = str(caught.value)
    assert said.endswith(".") and "\n" not in said and ". " not in said.removesuffix(".")
    return said


@pytest.mark.parametrize("name", CASES)
def test_each_door_says_the_same_and_nothing_is_lost(engine, tmp_path, capsys, name):
    document, changes, wanted = CASES[name]
    said = refused(through_the_engine, engine, document, changes)
    assert wanted in said
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    options = [f"--{'frame' if option == 'step' else option}={value}" for option, value in changes.items()]
    assert cli.main(["run", "--from", str(path), *options]) == 2
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err and json.loads(path.read_text()) == document
    trace = Trace.from_json(json.dumps(document))
    assert refused(edit, engine._model, trace, **changes) == said
    assert through_the_engine(engine, changed(), {"erase": "3"}).step == 0  # the engine is free again, and at work


def test_a_run_of_a_model_that_is_not_here_is_refused(engine, tmp_path, capsys):
    said = refused(parse_continuation, of_another_model(), 0, [])
    assert "unheard-of" in said
    path = tmp_path / "run.json"
    path.write_text(json.dumps(of_another_model()))
    assert cli.main(["run", "--from", str(path)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "wanted"), [("a [65] b", "between 1 and 64 tokens"), ("a [0] b", "between 1 and 64 tokens")]
)
def test_a_hole_beyond_the_limits_is_refused_alike(capsys, text, wanted):
    said = refused(parse_fill, text, model="worlds")
    assert wanted in said
    assert cli.main(["fill", "--text", text]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("lane", range(len(LANES)))
def test_a_lane_of_a_finished_race_goes_on_like_any_run_and_refuses_like_one(engine, lane):
    document = LANES[lane]["trace"]
    assert through_the_engine(engine, document, {"erase": "3"}).step == 0
    said = refused(through_the_engine, engine, document, {"erase": "500"})
    assert "An edit must lie within the canvas" in said
