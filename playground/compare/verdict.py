"""Who won a race, by what factor, on what hardware, and when it would be otherwise: one plain sentence, from measured figures only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from playground.compare.pairs import Ratio, paired_ratio

if TYPE_CHECKING:
    from playground.compare.figures import LaneResult

NOISE = 1.05  # lanes closer than this are a tie: two runs of the same thing differ by as much
MORE_BROKEN = 0.1  # share of texts by which one lane may contradict itself more often than another and still win
WORSE_NATS = 0.3  # from here on a text is called less likely


def verdict(results: Sequence[LaneResult]) -> str:
    """Return the sentence. Lanes that failed or were cut off are named and take no part."""
    fit = [r for r in results if r.median("tokens_per_second")]
    out = [r for r in results if r not in fit]
    if not fit:
        reasons = [r.error for r in out if r.error]
        return f"No lane reached its end, so nobody won{': ' + _clause(reasons[0]) if reasons else ''}."
    fit.sort(key=_speed, reverse=True)
    rest = "".join(f"; {_name(r)} {_absence(r)}" for r in out)
    if len(fit) == 1:
        alone = "; one lane alone wins nothing" if not out else ", so there is nothing to compare it with"
        return f"{fit[0].label} wrote {_rate(fit[0])} tokens a second on {hardware(fit[0])}{rest}{alone}."
    if wrong := _broken(fit):
        return wrong + rest + "."
    if _tied(fit[0], fit[1]):
        return _tie(fit, rest)
    return _win(fit, rest)


def _broken(fit: list[LaneResult]) -> str:
    """Return what to say where one of the fastest lanes is wrong more often than another, or all are wrong always: nobody has won."""
    share = {id(r): wrong[0] / wrong[1] for r in fit if (wrong := r.contradictions)}
    leaders = [r for r in fit if _tied(fit[0], r) and share.get(id(r))]
    worst = max(leaders, key=lambda r: share[id(r)], default=None)  # the fastest of those that are wrong as often
    if worst is None or share[id(worst)] <= min(min(share.values()) + MORE_BROKEN, 0.999):
        return ""
    was = "was faster" if worst is fit[0] and not any(_tied(worst, r) for r in fit[1:]) else "was as fast as any"
    others = [_told(r) for r in fit if r is not worst and r.contradictions]
    told = f"; {' and '.join(others)}" if others else ""
    return f"Nobody won: {_name(worst)} {was}, {_rate(worst)} tokens a second on {hardware(worst)}, but {_wrong(worst)}{told}"


def _board(result: LaneResult) -> bool:
    """Return whether a lane fills boards instead of writing texts."""
    return bool(result.shown and result.shown.trace and result.shown.trace.spec.view == "board")


def _wrong(result: LaneResult) -> str:
    """Return in words how many of a lane's texts or boards are wrong."""
    wrong, of = result.contradictions or (0, 0)
    if _board(result):
        return "its board is wrong" if of == 1 else f"{wrong} of its {of} boards are wrong"
    return "its text contradicts itself" if of == 1 else f"{wrong} of its {of} texts contradict themselves"


def _told(result: LaneResult) -> str:
    """Return a lane's speed and how consistent its texts are, as part of a sentence."""
    wrong, of = result.contradictions or (0, 0)
    if _board(result):
        fine = (
            "a solved board"
            if of == 1 and not wrong
            else "a wrong board too"
            if of == 1
            else f"{of - wrong} of {of} boards solved"
        )
    else:
        one = "a text that does so too" if wrong else "a consistent text"
        fine = one if of == 1 else f"{of - wrong} of {of} consistent"
    return f"{_name(result)} wrote {_rate(result)} with {fine}"


def hardware(result: LaneResult) -> str:
    """Return where a lane ran and in what number format."""
    trace = result.shown.trace if result.shown else None
    if trace is None:
        return "unknown hardware"
    if trace.device == "script":
        return "a script, not on hardware"
    where = trace.hardware or trace.device or "unknown hardware"
    return f"{where}, {trace.dtype}" if trace.dtype else where


def _win(fit: list[LaneResult], rest: str) -> str:
    first, second, factor = fit[0], fit[1], _speed(fit[0]) / _speed(fit[1])
    behind = (
        f"{_rate(second)} of {_name(second)}"
        if len(fit) == 2
        else " and ".join(f"{_rate(r)} of {_name(r)}" for r in fit[1:])
    )
    than = "" if len(fit) == 2 else f" {_name(second)}"
    places = (
        f"{hardware(first)}" if hardware(first) == hardware(second) else f"{hardware(first)} against {hardware(second)}"
    )
    worse, ratio = _worse_text(first, fit[1:]), _paired(first, second)
    sure = f" (95 % interval {ratio.low:.2f} to {ratio.high:.2f} over {ratio.turns} turns)" if ratio else ""
    return (
        f"{first.label} won with {_rate(first)} tokens a second against {behind}, {_times(factor)} as fast"
        f"{' as' + than if than else ''}{sure}, on {places}{worse}; {_otherwise(first, second, factor)}{rest}."
    )


def _tie(fit: list[LaneResult], rest: str) -> str:
    tied = [r for r in fit if _tied(fit[0], r)]
    names = ", ".join(_name(r) for r in tied[:-1]) + f" and {_name(tied[-1])}"
    rates = ", ".join(_rate(r) for r in tied[:-1]) + f" and {_rate(tied[-1])}"
    behind = "".join(f", ahead of {_name(r)} with {_rate(r)}" for r in fit if r not in tied)
    runs = min(len(r.finished) for r in tied)
    why = "one run each cannot tell them apart; more repeats might"
    if runs > 1:
        why = f"over {runs} runs each, the difference is no larger than the noise"
    return f"A tie: {names} wrote {rates} tokens a second on {hardware(fit[0])}{behind}{_likeliest(fit)}; {why}{rest}."


def _tied(first: LaneResult, other: LaneResult) -> bool:
    """Whether the medians are within noise, or, with repeats, the paired ratio's interval reaches 1."""
    ratio = _paired(first, other)
    return first is other or _speed(first) < NOISE * _speed(other) or (ratio is not None and ratio.low <= 1)


def _paired(first: LaneResult, other: LaneResult) -> Ratio | None:
    return paired_ratio(first.values("tokens_per_second"), other.values("tokens_per_second"))


def _otherwise(first: LaneResult, second: LaneResult, factor: float) -> str:
    """Return when the second would have been first, from what a forward pass took and how many tokens it decided."""
    loser, winner = _name(second), _name(first)
    if second.lane.request.mode == "diffusion":
        decided = second.median("tokens_per_forward") or 0.0
        needs, block = decided * factor, _block(second)
        if needs > block:
            return f"{loser} could win only above {needs:.1f} tokens per forward pass, which its block of {block} cannot hold"
        return f"{loser} would win with more than {needs:.1f} tokens per forward pass, and decided {decided:.1f}"
    if first.lane.request.mode == "diffusion":
        decided = first.median("tokens_per_forward") or 0.0
        fewer = f"fewer than {decided / factor:.1f} tokens per forward pass"
        return f"{loser} would win if {winner} decided {fewer}, and it decided {decided:.1f}"
    took = second.median("ms_per_forward") or 0.0
    return f"{loser} would win if one of its forward passes took less than {took / factor:.1f} ms, and it took {took:.1f} ms"


def _block(result: LaneResult) -> int:
    trace = result.shown.trace if result.shown else None
    return result.lane.request.block_length(trace.spec) if trace else 0


def _worse_text(first: LaneResult, others: list[LaneResult]) -> str:
    """Return what the speed was paid with, where the twin finds the winner's text clearly less likely than the best other one."""
    mine = first.median("nll")
    theirs = [value for r in others if (value := r.median("nll")) is not None]
    if mine is None or not theirs or mine < min(theirs) + WORSE_NATS:
        return ""
    return f", with a text that the autoregressive twin finds less likely ({mine:.2f} against {min(theirs):.2f} nats a token)"


def _likeliest(fit: list[LaneResult]) -> str:
    """Return whose text the twin finds clearly likelier than another's, where speed does not tell the lanes apart."""
    known = sorted((value, _name(r)) for r in fit if (value := r.median("nll")) is not None)
    if len(known) < 2 or known[-1][0] < known[0][0] + WORSE_NATS:
        return ""
    (low, name), (high, _) = known[0], known[-1]
    return f"; the autoregressive twin finds the text of {name} the likeliest ({low:.2f} against up to {high:.2f} nats a token)"


def _speed(result: LaneResult) -> float:
    return result.median("tokens_per_second") or 0.0


def _rate(result: LaneResult) -> str:
    speed = _speed(result)
    return f"{speed:.0f}" if speed >= 100 else f"{speed:.1f}" if speed >= 1 else f"{speed:.2g}"


def _times(factor: float) -> str:
    return f"{factor:.0f} times" if factor >= 10 else f"{factor:.1f} times" if factor >= 1.15 else f"{factor:.2f} times"


def _name(result: LaneResult) -> str:
    """The label as it reads inside a sentence: names of models keep their capital."""
    label = result.label
    return (
        label[0].lower() + label[1:]
        if label.startswith(("Autoregressive", "Diffusion", "Order", "Block", "Threshold"))
        else label
    )


def _absence(result: LaneResult) -> str:
    if result.error:
        return f"failed ({_clause(result.error)})"
    return "was stopped before its end" if result.runs else "was not run"


def _clause(sentence: str) -> str:
    """A sentence as part of another one."""
    return sentence.strip().rstrip(".")
