"""The recordings that greet a visitor are real runs of the very weights that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from model import Trace
from model.models.chat135m.weights import FOLDER, read_manifest

TRACES = sorted((Path(__file__).resolve().parents[3] / "assets" / "traces").glob("*.json"))


def test_there_are_recordings():
    assert len(TRACES) >= 3


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_recording_is_of_the_shipped_weights_and_says_when(path):
    trace = Trace.from_json(path.read_text(encoding="utf-8"))
    assert trace.weights_sha256 == read_manifest(FOLDER).sha256
    assert len(trace.recorded) == 10 and trace.spec.id == "builtin" and trace.result is not None
    assert trace.result.forwards > 10 and len(trace.final_text.split()) > 20
    assert any(frame.candidates is not None and (frame.candidates[0] >= 0).any() for frame in trace.frames)
