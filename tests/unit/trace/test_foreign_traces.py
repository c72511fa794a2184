"""Documents from strangers: no more memory than their size allows, every field of its own type, whatever is changed in them."""

from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path

import pytest

from model.errors import TraceError
from model.models.scripted import Fake
from model.settings import Settings
from model.trace.decode import loads
from model.trace.trace import Trace

RECORDED = sorted((Path(__file__).parents[3] / "assets" / "traces").glob("*.json"))
VALUES = (
    None,
    True,
    -1,
    0,
    1,
    2.5,
    1e308,
    10**30,
    "",
    "x",
    "nan",
    "1e999",
    "\ud800",
    [],
    {},
    [[]],
    ["x"],
    [1e400],
    {"a": 1},
    "P" * 40,
)


@pytest.fixture(scope="module")
def document() -> dict:
    trace = Fake().denoise("hello", Settings(new_tokens=12, steps=4), pinned={3: " upon"}).finish()
    return json.loads(trace.to_json())


def places(value, path=()):
    """Yield the path of every value in a document."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def changed(document: dict, path: tuple, value) -> str:
    copy = json.loads(json.dumps(document))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(copy)


def harmless(text: str) -> None:
    """A document is refused in a sentence, or it is a trace that can be sent on, in no more memory than its size allows."""
    tracemalloc.start()
    try:
        trace = loads(text)
    except TraceError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
        return
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 40_000_000 + 600 * len(text)
    assert trace.to_json().encode()
    assert all(isinstance(str(reason), str) for frame in trace.frames for reason in frame.reasons)
    assert trace.final_text.encode() is not None and Trace.from_json(trace.to_json()).to_json() == trace.to_json()


def test_every_field_may_be_changed_into_anything(document):
    where, rng = [path for path in places(document) if path], random.Random(1)
    for path in rng.sample(where, min(len(where), 350)):
        for value in rng.sample(VALUES, 5):
            harmless(changed(document, path, value))


def test_a_position_with_candidates_has_a_first_one(document):
    with pytest.raises(TraceError, match="no first one"):
        loads(changed(document, ("candidates", 1, "ids", 3), -1))


def test_fields_may_be_missing(document):
    for path in [path for path in places(document) if path and isinstance(path[-1], str)][:200]:
        copy = json.loads(json.dumps(document))
        at = copy
        for key in path[:-1]:
            at = at[key]
        del at[path[-1]]
        harmless(json.dumps(copy))


@pytest.mark.parametrize("candidates", [False, True])
@pytest.mark.parametrize("length", [65_536, 4_096])
def test_a_small_document_cannot_ask_for_much_memory(document, length, candidates):
    empty = {"t": 0, "u": 0}
    copy = document | {
        "frames": [document["frames"][0] | {"l": length, "at": [], "st": "", "id": [], "why": []}] + [empty] * 5_000
    }
    copy["frames"][0].pop("hp", None), copy["frames"][0].pop("hv", None)
    copy["candidates"] = [{"at": "", "ids": [], "p": ""}] * 5_001 if candidates else None
    text = json.dumps(copy)
    tracemalloc.start()
    with pytest.raises(TraceError, match="positions in all its frames"):
        loads(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(text) < 400_000 and peak < 12_000_000


WRONG = [
    (("result", "tokens"), "12"),
    (("result", "seconds"), 1e400),
    (("frames", 1, "why", 0, 3, 0), "nan"),
    (("frames", 1, "t"), True),
    (("frames", 1, "why", 0, 1), "inf"),
    (("header", "prompt_ids"), [1.5]),
    (("header", "settings", "steps"), [1]),
    (("header", "prompt"), "\ud800"),
    (("header", "model", "vocab_size"), "9"),
    (("header", "model", "modes"), "ar"),
    (("result", "text"), "a\udfff"),
    (("frames", 0, "at"), [0.5]),
    (("frames", 0, "x"), {"a": {"b": 1}}),
    (("frames", 0, "n"), True),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=str)
def test_a_value_of_another_kind_is_refused(document, path, value):
    if path[:3] == ("frames", 1, "why"):
        index = next(i for i, frame in enumerate(document["frames"]) if frame.get("why"))
        path = ("frames", index, *path[2:])
    with pytest.raises(TraceError):
        loads(changed(document, path, value).replace("Infinity", "1e999"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_real_runs_are_far_below_the_bounds(path):
    text = path.read_text(encoding="utf-8")
    trace = loads(text)
    assert sum(len(frame.ids) for frame in trace.frames) < 8 * len(text)
