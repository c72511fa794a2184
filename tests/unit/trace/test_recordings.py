"""The recordings that greet a visitor are real runs of the very weights that ship."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from model import Trace
from model.models.chat135m.weights import FOLDER, read_manifest
from model.models.worlds.record import MASKED, TWIN

FOLDER_OF_RACE = Path(__file__).resolve().parents[3] / "assets" / "recorded"
TRACES = sorted((Path(__file__).resolve().parents[3] / "assets" / "traces").glob("*.json"))
HANDS = sorted((FOLDER_OF_RACE / "hands").glob("*.json"))
TALK = sorted((Path(__file__).resolve().parents[3] / "assets" / "talk" / "runs").rglob("*.json"))


def shipped(model: str, mode: str) -> str:
    """The fingerprint of the weights that ship for a way of writing."""
    if model == "builtin":
        return read_manifest(FOLDER).sha256
    path = TWIN if (model, mode) == ("worlds", "ar") else MASKED.with_name(f"{model}.safetensors")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_there_are_recordings():
    assert len(TRACES) >= 3 and any(path.stem.startswith("1-") for path in TRACES)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_recording_is_of_the_shipped_weights_and_says_when(path):
    trace = Trace.from_json(path.read_text(encoding="utf-8"))
    assert trace.weights_sha256 == shipped(trace.spec.id, trace.mode)
    assert len(trace.recorded) == 10 and trace.result is not None
    assert trace.result.forwards > (10 if trace.spec.id == "builtin" else 2)
    assert len(trace.final_text.split()) > 20 or trace.spec.view == "board"
    assert any(frame.candidates is not None and (frame.candidates[0] >= 0).any() for frame in trace.frames)


@pytest.mark.parametrize("path", HANDS, ids=lambda path: path.stem)
def test_a_word_changed_by_hand_is_followed_by_the_others(path):
    trace = Trace.from_json(path.read_text(encoding="utf-8"))
    assert trace.weights_sha256 == shipped(trace.spec.id, trace.mode) and len(trace.recorded) == 10
    assert "until they follow" in trace.notice and trace.result.faults == () and len(HANDS) == 3


def test_the_recorded_race_is_of_the_shipped_weights_and_each_lane_of_its_own():
    lanes = json.loads(json.loads((FOLDER_OF_RACE / "race.json").read_text(encoding="utf-8"))["stage"])["lanes"]
    told = [lane["trace"]["header"] for lane in lanes]
    assert [header["mode"] for header in told] == ["diffusion", "ar"]
    assert [header["weights_sha256"] for header in told] == [shipped("worlds", header["mode"]) for header in told]


@pytest.mark.parametrize("path", TALK, ids=lambda path: path.stem)
def test_a_run_of_the_talk_is_of_the_shipped_weights_and_says_when(path):
    trace = Trace.from_json(path.read_text(encoding="utf-8"))
    assert trace.weights_sha256 == shipped(trace.spec.id, trace.mode)
    assert len(trace.recorded) == 10 and trace.result is not None
