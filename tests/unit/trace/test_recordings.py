"""The recordings that greet a visitor are real runs of the very weights that ship."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from model import Trace
from model.models.chat135m.weights import FOLDER, read_manifest
from model.models.worlds.record import MASKED, TWIN

TRACES = sorted((Path(__file__).resolve().parents[3] / "assets" / "traces").glob("*.json"))


def shipped(model: str, mode: str) -> str:
    """The fingerprint of the weights that ship for a way of writing."""
    if model == "builtin":
        return read_manifest(FOLDER).sha256
    small = {"worlds": TWIN if mode == "ar" else MASKED}
    path = small.get(model, MASKED.with_name(f"{model}.safetensors"))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_there_are_recordings():
    assert len(TRACES) >= 2 and any(path.stem.startswith("1-") for path in TRACES)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_recording_is_of_the_shipped_weights_and_says_when(path):
    trace = Trace.from_json(path.read_text(encoding="utf-8"))
    assert trace.weights_sha256 == shipped(trace.spec.id, trace.mode)
    assert len(trace.recorded) == 10 and trace.result is not None
    assert trace.result.forwards > 2 and (len(trace.final_text.split()) > 20 or trace.spec.view == "board")
    assert any(frame.candidates is not None and (frame.candidates[0] >= 0).any() for frame in trace.frames)
