"""Who wins where an exact checker found texts or boards wrong: nobody, even in a tie, and even where all are."""

from dataclasses import replace

from playground.compare.race import Race
from playground.compare.verdict import verdict
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
