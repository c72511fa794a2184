"""Records against what is published of them: the revision that is loaded, and the sizes of files."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

from model.backends import dit, families, hf_masked
from model.settings import Settings
from model.trace import Trace
from tests.unit import tiny_checkpoints as tiny

ENTRIES = {entry.spec.id: entry for entry in families.ENTRIES}


def test_a_record_is_loaded_at_its_revision_or_the_one_asked_for_and_the_trace_names_it(tmp_path, monkeypatch):
    import huggingface_hub

    class Api:
        def model_info(self, where, revision, files_metadata):
            return type("Info", (), {"sha": revision or "e" * 40, "siblings": []})

    folder, fetched = tiny.write("Dream", tmp_path / "dream").folder, []
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda where, revision, **_: fetched.append((where, revision)) or str(folder))
    pinned, open_ = ENTRIES["dream-7b"], ENTRIES["open-dcoder-0.5b"]
    assert re.fullmatch("[0-9a-f]{40}", pinned.spec.revision) and not open_.spec.revision
    for entry, asked, expected in ((pinned, {}, pinned.spec.revision), (pinned, {"revision": "d" * 40}, "d" * 40),
                                   (pinned, {"where": "somebody/else"}, "e" * 40), (open_, {}, "e" * 40)):  # fmt: skip
        small = {"spec": replace(entry.spec, parameters=1000), "family": families.DREAM}
        trace = hf_masked.load(**small, way="cpu", dtype="float32", **asked).denoise("x", Settings(new_tokens=2, steps=2)).finish()
        assert fetched[-1] == (asked.get("where") or entry.spec.url.removeprefix(families.HUB), expected)
        assert json.loads(trace.to_json())["header"]["model"]["revision"] == expected == Trace.from_json(trace.to_json()).spec.revision


def test_pinned_revisions_are_whole_commits_of_records():
    hub_ids = {entry.spec.url.removeprefix(families.HUB) for entry in ENTRIES.values()}
    assert families.REVISIONS.keys() <= hub_ids and all(re.fullmatch("[0-9a-f]{40}", commit) for commit in families.REVISIONS.values())


def test_the_network_of_mdlm_has_the_weights_of_the_published_file():
    shapes = dit.expected({"vocab_size": 50_258, "hidden_dim": 768, "cond_dim": 128, "n_blocks": 12, "n_heads": 12})
    rotary = 768 // 12 // 2
    assert len(shapes) + 1 == 131  # and the rotary frequencies, which are computed
    stored = 4 * (sum(math.prod(shape) for shape in shapes.values()) + rotary)
    assert ENTRIES["mdlm-owt"].spec.parameters == stored // 4 - rotary and 0 < 678_522_728 - stored < 20_000  # the file's header
