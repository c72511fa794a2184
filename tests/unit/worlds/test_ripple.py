"""One word changed, and what hangs on it: the grammar's own ties, and how the model lets the rest follow."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from model import worlds
from model.draft import Draft, Edit
from model.engine.parsing import parse_ripple
from model.errors import SettingError
from model.models.scripted import Fake
from model.models.worlds.model import load
from model.paths import ASSETS
from model.settings import Settings
from model.trace.frame import PINNED
from tests.unit.models.test_worlds import model  # noqa: F401 (fixture)


@pytest.mark.parametrize("form", worlds.FORMS)
@pytest.mark.parametrize("change", worlds.CHANGES)
def test_every_text_has_a_word_that_others_hang_on(form, change):
    for seed in range(12):
        words = list(worlds.write(random.Random(seed), form).words)
        found = worlds.ripple(words, form, change, seed)
        assert words[found.position] == found.old != found.new and found.free and found.position not in found.free
        words[found.position] = found.new
        assert tuple(fault.sentence for fault in worlds.check(words, form)) == found.faults
        assert found.faults  # the text cannot stay as it is


def test_a_name_takes_its_pronouns_and_the_article_its_word_along():
    words = "Lost : an orange owl called Otto , last seen near the zoo on Friday . Do not interrupt him ,"
    words += " for he hides under pianos as well . Please bring Otto back to the zoo . Reward : four hats , all four of them polished ."
    found = worlds.ripple(words.split(), "notice", "who", 1)
    assert (
        found.old == "Otto"
        and {words.split()[i] for i in found.free} == {"him", "he", "Otto"}
        and len(found.faults) == 3
    )
    assert worlds.ripple(["Lost"], "notice", "who") is None


def test_what_hangs_on_a_changed_word_is_erased_and_said(model):  # noqa: F811
    text = worlds.write(random.Random(3), "notice").words
    ids = [*worlds.encode(text), *[worlds.END] * (worlds.CANVAS - len(text))]
    trace = model.denoise(
        "notice", Settings(steps=2), draft=Draft(tuple(ids), kept=tuple(range(len(text) + 1)))
    ).finish()
    asked = parse_ripple(trace.to_json(), "who")
    found = worlds.ripple(text, "notice", "who", 0)
    assert {(edit.start, edit.do) for edit in asked.draft.edits} == {
        (found.position, "type"),
        *((at, "erase") for at in found.free),
    }
    again = model.denoise(asked.prompt, asked.settings, draft=asked.draft).finish()
    assert f"'{found.old}' was made '{found.new}' and pinned" in again.notice and "contradiction" in again.notice
    assert all(frame.states[found.position] == PINNED for frame in again.frames)
    assert [i for i, state in enumerate(again.frames[0].states) if state == 2] == sorted(found.free)


def test_only_a_finished_text_of_the_worlds_can_be_changed_so(model):  # noqa: F811
    fake = Fake().denoise("x", Settings(steps=2)).finish()
    for trace, change, said in (
        (fake, "who", "Only in a finished text"),
        (fake, "colour", "A change must be one of who, how many"),
    ):
        with pytest.raises(SettingError, match=said):
            parse_ripple(trace.to_json(), change)


class Doubting:
    """A network that finds the word at position 3 impossible, and 40 the only one it would write."""

    passes = 1

    def predict(self, canvas, span, positions):
        import torch

        logits = torch.full((len(positions), len(worlds.VOCABULARY)), -20.0)
        for row, position in enumerate(positions):
            logits[row, 40 if position == 3 else max(canvas[position], 0)] = 20.0
        return logits


@pytest.mark.parametrize("behind", ["ends", "nothing"])
def test_a_whole_text_is_doubted_once_more_where_the_model_doubts(model, monkeypatch, behind):  # noqa: F811
    monkeypatch.setattr(type(model), "predictor", lambda *args: Doubting())
    ids = [*range(50, 60), worlds.END, *[worlds.END if behind == "ends" else -1] * (worlds.CANVAS - 11)]
    draft = Draft(tuple(ids), edits=(Edit(5, 6, "pin"),))
    settings = Settings(steps=6, remasking="recheck", remask_strength=0.2, rule="threshold", threshold=0.5)
    trace = model.denoise("notice", settings, draft=draft).finish()
    assert trace.final_ids == [50, 51, 52, 40, *range(54, 60), worlds.END] and trace.result.stopped == "end"
    assert [(reason.position, reason.rule) for frame in trace.frames for reason in frame.reasons][0] == (3, "doubted")
    kept = model.denoise("notice", settings, draft=replace(draft, keep=True)).finish()
    assert kept.final_ids == [*range(50, 60), worlds.END] and np.array_equal(
        kept.frames[-1].ids[:10], kept.frames[0].ids[:10]
    )
    none = model.denoise("notice", replace(settings, remasking="none"), draft=draft).finish()
    assert none.result.forwards == 0 and none.final_ids[3] == 53


def test_the_shipped_weights_let_the_rest_follow():
    """Of what they write, more texts get better than worse when one word was changed and its ties erased."""
    shipped, better, worse = load(), 0, 0
    for seed in range(6):
        trace = shipped.denoise(
            "notice",
            Settings(
                steps=48,
                temperature=0.8,
                rule="independent",
                entropy_bound=0.3,
                remasking="recheck",
                remask_strength=0.2,
                seed=seed,
            ),
        ).finish()
        if trace.result.faults:
            continue
        asked = parse_ripple(trace.to_json(), "who")
        found = worlds.ripple(worlds.decode(t for t in trace.final_ids if t != worlds.END), "notice", "who", seed)
        after = shipped.denoise(asked.prompt, asked.settings, draft=asked.draft).finish().result.faults
        better, worse = better + (len(after) < len(found.faults)), worse + (len(after) > len(found.faults))
    assert better > worse


def test_a_word_that_the_prompt_asked_for_is_changed_there_too():
    """Else the prompt brings the old one back, and the text contradicts itself."""
    document = (ASSETS / "traces" / "1-notice.json").read_text(encoding="utf-8")
    asked = parse_ripple(document, "where or when")
    assert "lighthouse" in json.loads(document)["header"]["prompt"] and "lighthouse" not in asked.prompt
    assert "and pinned, in the prompt too;" in asked.draft.says
