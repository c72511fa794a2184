"""Who won, in a sentence: by speed beyond noise; and nobody where an exact checker found texts or boards wrong, even in a tie."""

from __future__ import annotations

import json
import random
from dataclasses import replace

from model.errors import ModelUnavailable
from model.models.scripted import Fake
from playground.compare.figures import LaneResult
from playground.compare.lanes import preset_lanes
from playground.compare.pairs import paired_ratio
from playground.compare.race import Race
from playground.compare.verdict import verdict
from playground.web.views.results import table_html
from tests.unit.compare.test_race import engine_of, finish, lanes_of, paced


def checked(results, *wrong):
    """Say of each lane whether its one text contradicts itself; return the verdict."""
    for result, bad in zip(results, wrong, strict=True):
        trace = result.runs[0].trace
        trace.result = replace(trace.result, faults=(("A word does not fit.", (0,)),) if bad else ())
    return verdict(results)


def test_a_wrong_text_wins_nothing_and_ties_with_none():
    engine, _ = engine_of()
    results = finish(Race(engine, lanes_of())).results
    assert checked(results, True, False).startswith("Nobody won: diffusion was faster, 32.5 tokens a second")
    assert checked(results, True, True).endswith(
        "but its text contradicts itself; autoregressive wrote 10.0 with a text that does so too."
    )
    assert "Diffusion won" in checked(results, False, True)
    engine, _ = paced({"diffusion": 0.325, "ar": 0.1})
    results = finish(Race(engine, lanes_of())).results
    assert checked(results, False, False).startswith("A tie")
    assert checked(results, False, True).startswith("Nobody won: autoregressive was as fast as any")
    assert checked(results, True, False).startswith("Nobody won: diffusion was as fast as any")


# ---------------------------------------------------------------- the sentence
def test_verdict_where_diffusion_wins():
    engine, _ = paced({"diffusion": 0.2, "ar": 0.1})
    said = finish(Race(engine, lanes_of())).verdict
    assert said == (
        "Diffusion won with 16.2 tokens a second against 10.0 of autoregressive, 1.6 times as fast, on a script, not on hardware; "
        "autoregressive would win if diffusion decided fewer than 2.0 tokens per forward pass, and it decided 3.2."
    )


def test_verdict_where_autoregressive_wins():
    engine, _ = paced({"diffusion": 0.8, "ar": 0.1})
    said = finish(Race(engine, lanes_of())).verdict
    assert said == (
        "Autoregressive won with 10.0 tokens a second against 4.1 of diffusion, 2.5 times as fast, on a script, not on hardware; "
        "diffusion would win with more than 8.0 tokens per forward pass, and decided 3.2."
    )


def test_verdict_where_no_block_could_be_large_enough():
    engine, _ = paced({"diffusion": 8.0, "ar": 0.1})
    said = finish(Race(engine, lanes_of())).verdict
    assert "could win only above 80.0 tokens per forward pass, which its block of 32 cannot hold" in said


def test_verdict_of_a_tie_by_nearness_and_by_overlapping_ranges():
    engine, _ = paced({"diffusion": 0.325, "ar": 0.1})
    said = finish(Race(engine, lanes_of())).verdict
    assert said.startswith("A tie: diffusion and autoregressive wrote 10.0 and 10.0 tokens a second on a script")
    assert "more repeats might" in said and " won" not in said
    engine, _ = paced({"diffusion": [0.1, 0.1, 0.2, 0.5], "ar": [1, 0.1, 0.08, 0.12]})
    said = finish(Race(engine, lanes_of(), repeats=3)).verdict
    assert said.startswith("A tie:") and "over 3 runs each" in said


def test_more_repeats_decide_what_noise_hid():
    """A true ratio of 1.35 under 10 % of noise: minimum and maximum only ever widen, a paired interval narrows."""
    r = random.Random(4)
    decided = {1: 0, 20: 0}
    for turns in decided:
        for _ in range(60):
            drift = [r.uniform(0.8, 1.2) for _ in range(turns)]
            fast, slow = ([speed * d * r.gauss(1, 0.1) for d in drift] for speed in (1.35, 1.0))
            ratio = paired_ratio(fast, slow)
            decided[turns] += bool(ratio and ratio.low > 1)
    assert decided == {1: 0, 20: 60}
    same = [
        paired_ratio([r.gauss(1, 0.1) for _ in range(10)], [r.gauss(1, 0.1) for _ in range(10)]) for _ in range(200)
    ]
    assert sum(ratio.low > 1 or ratio.high < 1 for ratio in same) < 0.15 * len(same)


def test_with_repeats_the_verdict_gives_the_interval_and_lanes_take_turns_in_going_first():
    engine, _ = paced({"diffusion": 0.2, "ar": 0.1})
    race = Race(engine, lanes_of(), repeats=4)
    assert [job.group for job in race.series.jobs] == [0, 1, 1, 0, 0, 1, 1, 0]
    assert "1.6 times as fast (95 % interval 1.62 to 1.62 over 4 turns), on a script" in finish(race).verdict


def test_verdict_with_three_lanes_names_all_of_them():
    engine, _ = paced({8: 0.1, 16: 0.1, 64: 0.1})
    said = finish(Race(engine, lanes_of(*preset_lanes("steps", "fake")))).verdict
    assert said.startswith("8 steps won with 65.0 tokens a second against 32.5 of 16 steps and 8.3 of 64 steps, ")
    assert "2.0 times as fast as 16 steps, on a script" in said


def test_verdict_with_a_failed_lane_and_with_none_left():
    def make(clock):
        return Fake(0.1, sleep=clock.sleep, fail_at=20, error=lambda: ModelUnavailable("The model went away."))

    engine, _ = engine_of(make)
    race = finish(Race(engine, lanes_of(), repeats=3))
    diffusion, ar = race.results
    assert len(diffusion.finished) == 3 and len(ar.runs) == 1, "a failed lane is not run again"
    assert ar.record()["error"] == "The model went away." and not ar.finished
    assert race.verdict == (
        "Diffusion wrote 32.5 tokens a second on a script, not on hardware; autoregressive failed (The model went away), "
        "so there is nothing to compare it with."
    )
    engine, _ = engine_of(lambda clock: Fake(fail_at=2))
    race = finish(Race(engine, lanes_of()))
    assert race.verdict.startswith(
        "No lane reached its end, so nobody won: An unexpected error ended it (RuntimeError)"
    )
    assert "scripted failure" not in race.verdict and not engine.busy
    json.dumps(race.record(), allow_nan=False)


def test_one_lane_alone_wins_nothing():
    engine, _ = engine_of()
    said = finish(Race(engine, lanes_of({}))).verdict
    assert said == "Diffusion wrote 32.5 tokens a second on a script, not on hardware; one lane alone wins nothing."


def test_a_less_likely_text_is_said():
    engine, _ = engine_of()
    results = finish(Race(engine, lanes_of())).results
    results[0].runs[0].quality = replace(results[0].runs[0].quality, nll=2.9)
    assert "with a text that the autoregressive twin finds less likely (2.90 against 0.50 nats a token)" in verdict(
        results
    )
    results[0].runs[0].quality = replace(results[0].runs[0].quality, nll=0.7)
    assert "less likely" not in verdict(results)


def test_in_a_tie_the_likeliest_text_is_said():
    engine, _ = paced({"diffusion": 0.325, "ar": 0.1})
    results = finish(Race(engine, lanes_of())).results
    results[0].runs[0].quality = replace(results[0].runs[0].quality, nll=2.9)
    assert "the text of autoregressive the likeliest (0.50 against up to 2.90 nats a token)" in verdict(results)


def test_the_table_marks_the_best_only_beyond_noise_and_says_what_is_missing():
    engine, _ = paced({"diffusion": 0.2, "ar": 0.1})
    results = finish(Race(engine, lanes_of({"label": "<b>one</b>"}, {"mode": "ar"}))).results
    table = table_html(results)
    assert table.count("ink-best") == 3 and "&lt;b&gt;one&lt;/b&gt;" in table and "not computed" not in table
    engine, _ = paced({"diffusion": 0.325, "ar": 0.1})
    assert table_html(finish(Race(engine, lanes_of())).results).count("ink-best") == 1, (
        "only the first token came clearly sooner"
    )
    results[0].runs[0].quality = replace(results[0].runs[0].quality, nll=None)
    assert "not computed" in table_html(results)


def test_nothing_run_has_a_sentence_too():
    assert verdict([LaneResult(lane) for lane in lanes_of()]) == "No lane reached its end, so nobody won."
