"""Files from elsewhere: a dLLM-viz trace becomes a run that says where it comes from; what is broken is refused in a sentence."""

import json

import pytest
from playwright.sync_api import expect

from model import Trace
from tests.e2e.player_harness import shapes
from tests.e2e.test_film import saved
from tests.e2e.test_watch import until

pytestmark = pytest.mark.e2e


def slot(name, state="masked", **more):
    return {"slotId": name, "index": int(name[1:]), "state": state, **more}


def viz(**changes):
    """A run of three words: two are decided, one of them is taken back and decided anew."""

    def commit(name, token, text, p):
        return {
            "type": "commit",
            "slotId": name,
            "tokenId": token,
            "text": text,
            "confidence": p,
        }

    guesses = [{"text": " hat", "probability": 0.6, "rank": 0}, {"text": " cap", "probability": 0.3, "rank": 1}]
    steps = [
        [commit("s1", 5, "A", 0.9), commit("s3", 7, " cap", 0.4)],
        [{"type": "mask", "slotId": "s3"}, commit("s2", 6, " red", 0.8)],
        [{"type": "set-distribution", "slotId": "s3", "candidates": guesses}],
        [commit("s3", 8, " hat", 1.0), {"type": "set-token", "slotId": "s1", "state": "fixed"}],
    ]
    return {
        "schemaVersion": "0.1",
        "traceId": "t",
        "source": {"adapter": "by hand"},
        "model": {"name": "Some model"},
        "geometry": {"timeDomain": "discrete", "stateSpace": "token", "generationMode": "full-sequence"},
        "generation": {"seed": 4},
        "provenance": {"mode": "illustrative"},
        "prompt": {"text": "What is on <b>?"},
        "initial": {
            "checkpointId": "c",
            "frameOrdinal": -1,
            "slots": [slot("s0", "prompt", text="What?"), slot("s1"), slot("s2"), slot("s3")],
        },
        "frames": [
            {"frameId": f"f{i}", "ordinal": i, "kind": "denoise", "operations": ops} for i, ops in enumerate(steps)
        ],
        "final": {"text": "A red hat"},
    } | changes


def lines(trace):
    """The same as JSON lines."""
    frames = trace.pop("frames")
    final = trace.pop("final")
    told = [{"type": "frame", "frame": frame} for frame in frames]
    events = [{"type": "metadata", "trace": trace}, *told, {"type": "final", "final": final}]
    return "\n".join(json.dumps(event) for event in events) + "\n"


def offer(page, path):
    with page.expect_file_chooser() as chooser:
        page.locator("#save").get_by_role("button", name="Open a trace…").click()
    chooser.value.set_files(path)


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_dllm_viz_trace_is_shown_step_by_step_and_says_where_it_comes_from(shared, visit, tmp_path, form):
    page = visit(shared, width=1440, height=1200)
    path = tmp_path / f"theirs.{form}"
    path.write_text(json.dumps(viz()) if form == "json" else lines(viz()), encoding="utf-8")
    offer(page, path)
    until(page, "p.run && p.run.header.notice && p.length === 5")
    said = "Imported from a dLLM-viz trace: an illustration, as it says: no model wrote it."
    expect(page.locator("#player .ib-notice")).to_have_text(said)
    expect(page.locator("#player .ib-model")).to_have_text("Some model")
    expect(page.locator("#player .ib-prompt p")).to_have_text("What is on <b>?")
    texts = page.evaluate(
        "(() => { const p = document.querySelector('#player .ib-host').__player;"
        " return p.run.frames.map((f) => p.run.text(f, '_')); })()"
    )
    assert texts == ["___", "A_ cap", "A red_", "A red_", "A red hat"]
    trace = Trace.from_json(saved(page, "as JSON", tmp_path).read_text(encoding="utf-8"))
    assert [[int(state) for state in frame.states] for frame in trace.frames] == [
        [2, 2, 2],
        [4, 2, 4],
        [5, 4, 6],
        [5, 5, 2],
        [5, 5, 4],
    ]
    assert trace.frames[1].confidence.tolist() == [230, 0, 102] and trace.seed == 4
    guesses = trace.frames[3].candidates[0][2].tolist()
    assert [trace.pieces[token] for token in guesses if token >= 0] == [b" hat", b" cap"]
    assert saved(page, "as text", tmp_path).read_text(encoding="utf-8") == "A red hat"


def broken():
    """Thirty files that are none, or not whole, by name."""
    own, text = json.loads(shapes()["plain"].to_json()), shapes()["plain"].to_json()
    first, changed = own["frames"][0], lambda **changes: json.dumps(own | changes)
    header = lambda **changes: json.dumps(own | {"header": own["header"] | changes})  # noqa: E731

    def ops(*operations):
        frame = {"frameId": "f", "ordinal": 0, "kind": "denoise", "operations": operations}
        return json.dumps(viz(frames=[frame]))

    return {
        "empty": "",
        "blank": "  \n ",
        "text": "hello",
        "null": "null",
        "number": "7",
        "list": "[]",
        "string": '"x"',
        "half": text[: len(text) // 2],
        "binary": "\x00\x01\x89PNG",
        "deep": "[" * 100_000,
        "page": "<!doctype html><script>window.hit=1</script>",
        "other": '{"format": "x"}',
        "version": changed(version=9),
        "states": changed(states="abc"),
        "no-frames": changed(frames=[]),
        "frames-a-word": changed(frames="many"),
        "frames-of-null": changed(frames=[None]),
        "huge": changed(frames=[{**first, "l": 10**9}]),
        "negative": changed(frames=[{**first, "l": -5}]),
        "many": changed(frames=[first] * 20_001),
        "no-header": changed(header={}),
        "header-null": changed(header=None),
        "model-null": header(model=None),
        "prompt-a-list": header(prompt=[]),
        "settings-a-word": header(settings="none"),
        "bad-heat": changed(frames=[{**first, "hp": "!!!", "hv": "???"}]),
        "viz-version": json.dumps(viz(schemaVersion="9")),
        "viz-no-slots": json.dumps(viz(initial={})),
        "viz-no-steps": json.dumps(viz(frames=[])),
        "viz-unknown-deed": ops({"type": "explode", "slotId": "s1"}),
        "viz-no-such-slot": ops({"type": "mask", "slotId": "s99"}),
        "viz-proto": ops({"type": "__proto__", "slotId": "s1"}),
        "viz-null": ops(None),
        "viz-line": '{"type": "metadata", "trace": {"schemaVersion": "0.1"}}\n{half\n',
        "viz-order": '{"type": "metadata", "trace": {"schemaVersion": "0.1"}}\n{"type": "metadata"}\n',
    }


def test_thirty_broken_files_are_refused_each_in_a_sentence_and_what_was_shown_stays(shared, visit, tmp_path):
    page = visit(shared, width=1440, height=1200)
    good = tmp_path / "good.json"
    good.write_text(shapes()["plain"].to_json())
    offer(page, good)
    expect(page.locator("#save-status")).to_have_text("good.json is shown.")
    before, files = until(page, "p.run.id"), broken()
    assert len(files) >= 30
    for name, content in files.items():
        path = tmp_path / f"{name}.json"
        path.write_text(content, encoding="utf-8")
        offer(page, path)
        expect(page.locator("#save-status")).to_contain_text(f"{name}.json cannot be shown: ")
        said = page.locator("#save-status").inner_text()
        assert said.endswith(".") and len(said) < 200 and "undefined" not in said, said
        assert until(page, "p.run.id") == before, name
    assert page.evaluate("window.hit") is None
    large = tmp_path / "large.json"
    large.write_bytes(b" " * 8_000_001)
    offer(page, large)
    expect(page.locator("#save-status")).to_contain_text("at most 8 MB")


def test_several_files_are_opened_at_once_the_first_is_shown_and_the_others_are_listed(shared, visit, tmp_path):
    page = visit(shared, width=1440, height=1200)
    for name in ("blocks", "ar"):
        (tmp_path / f"{name}.json").write_text(shapes()[name].to_json())
    (tmp_path / "none.json").write_text("{}")
    offer(page, [tmp_path / "blocks.json", tmp_path / "none.json", tmp_path / "ar.json"])
    said = "blocks.json is shown. 1 more stands in the list of runs. none.json cannot be shown"
    expect(page.locator("#save-status")).to_contain_text(said)
    until(page, "p.run && p.run.model.id === 'made-up' && p.length === 26")
    assert len(page.evaluate("inkblotRuns.list()")) == 1


def test_a_recording_that_ships_is_picked_from_the_list(shared, visit):
    page = visit(shared, width=1440, height=1200)
    recorded = page.get_by_label("Recorded runs")
    recorded.select_option("4-sudoku")
    until(page, "p.run && p.run.board && p.run.header.recorded")
    recorded.select_option(label=recorded.locator("option").nth(1).inner_text())
    until(page, "p.run && !p.run.board")
