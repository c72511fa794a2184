"""Record the playlist of talk mode, real runs of the weights that ship, in assets/talk/runs: part of `make traces`.

The notes beside the runs are written by hand and stay. Where a note says that a seed was chosen, it is the first one, of `SEEDS`, whose
texts show what the note says; a network for which there is none gives the last one, and the note's words about it are to be changed.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from model import Settings, Trace, load
from model.draft import Draft, Edit
from model.trace.frame import AFTER_END
from model.worlds.lexicon import HE, SHE
from playground.presets import presets_of
from playground.web.strings import CHAT, SUDOKU, WORLDS
from playground.web.views.talk import SHIPPED

SEEDS = range(12)
WORLD = presets_of("worlds")["balanced"]
FIXED = WORLD | {"rule": "schedule", "remasking": "none"}  # as many words in every pass, none taken back


@cache
def warm(model_id: str, mode: str) -> Any:
    """Return a model that has run once in this mode."""
    model = load(model_id)
    prompt = SUDOKU["Hard"] if model_id == "sudoku" else WORLDS["Diary"]
    model.denoise(prompt, Settings(**presets_of(model_id)["balanced"]), mode=mode).finish()
    return model


def main() -> None:
    """Write every run, replacing what is there."""
    SHIPPED.mkdir(parents=True, exist_ok=True)
    for old in SHIPPED.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
        elif old.suffix == ".json":
            old.unlink()
    for record in (steps, orders, noise, race, fill, ripple, chat):
        record()


def one(
    model_id: str,
    prompt: str,
    settings: Mapping[str, Any],
    seed: int = 0,
    mode: str = "diffusion",
    draft: Draft | None = None,
) -> Trace:
    """Return a finished run, timed warm."""
    trace: Trace = (
        warm(model_id, mode).denoise(prompt, Settings(**{**settings, "seed": seed}), mode=mode, draft=draft).finish()
    )
    trace.recorded = datetime.date.today().isoformat()
    return trace


def first(runs: Callable[[int], tuple[Trace, ...]], suits: Callable[..., bool]) -> tuple[Trace, ...]:
    """Return the runs of the first seed that suit, those of the last seed where none do."""
    made: tuple[Trace, ...] = ()
    for seed in SEEDS:
        made = runs(seed)
        if suits(*made):
            break
    return made


def keep(name: str, trace: Trace) -> None:
    """Write a run as NAME.json; the folder of a name with a slash is made."""
    path: Path = SHIPPED / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(json.loads(trace.to_json()), ensure_ascii=False, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")
    faults = trace.result.faults if trace.result else None
    wrong = "" if faults is None else f", {len(faults)} faults"
    print(f"talk {name}: {len(trace.frames)} frames, {len(text):,} bytes{wrong}: {trace.final_text[:60]!r}")


def faulty(trace: Trace) -> bool:
    """Whether an exact check found something wrong."""
    return bool(trace.result and trace.result.faults)


def steps() -> None:
    """A prompt and a seed in exactly 12 passes, of which the checker finds nothing wrong, and the same in 4, where it does."""

    def runs(prompt: str) -> Callable[[int], tuple[Trace, ...]]:
        return lambda seed: tuple(one("worlds", prompt, FIXED | {"steps": steps}, seed) for steps in (12, 4))

    def suits(slow: Trace, quick: Trace) -> bool:
        return not faulty(slow) and faulty(quick)

    made = first(runs(WORLDS["Weather"]), suits)
    if not suits(*made):  # this form wants more passes: another does not
        made = next(filter(lambda pair: suits(*pair), (first(runs(prompt), suits) for prompt in WORLDS.values())), made)
    for name, trace in zip(("01-all-over", "02-four-steps"), made, strict=True):
        keep(name, trace)


def orders() -> None:
    """One Sudoku in three orders, of which only the first finds the way."""
    ways = {"1-surest-first": "margin", "2-left-to-right": "left_to_right", "3-at-random": "random"}

    def runs(seed: int) -> tuple[Trace, ...]:
        prompt, board = f"{SUDOKU['Extreme']}, number {seed + 1}", presets_of("sudoku")["balanced"]
        return tuple(one("sudoku", prompt, board | {"order": order}) for order in ways.values())

    made = first(runs, lambda surest, left, random: not faulty(surest) and faulty(left) and faulty(random))
    for name, trace in zip(ways, made, strict=True):
        keep(f"03-orders/{name}", trace)


def noise() -> None:
    """Masks against random words."""
    prompt, noisy = WORLDS["Postcard"], presets_of("worlds-noisy")["balanced"]
    made = first(
        lambda seed: (one("worlds", prompt, WORLD, seed), one("worlds-noisy", prompt, noisy, seed)),
        lambda a, b: not faulty(a),
    )
    for name, trace in zip(("1-from-masks", "2-from-random-words"), made, strict=True):
        keep(f"04-noise/{name}", trace)


def race() -> None:
    """Denoising against the twin that writes from left to right."""
    prompt = WORLDS["Recipe"]
    keep("05-race/1-denoising", one("worlds", prompt, WORLD))
    keep("05-race/2-left-to-right", one("worlds", prompt, WORLD, mode="ar"))


def ids_of(trace: Trace) -> list[int]:
    """Return the final canvas as what a run may begin with: what is behind the end is left open."""
    last = trace.frames[-1]
    return [-1 if state == AFTER_END else int(token) for token, state in zip(last.ids, last.states, strict=True)]


def fill() -> None:
    """A text whose middle third is erased and written again, the rest kept."""
    whole = one("worlds", WORLDS["Museum"], WORLD)
    size = len([token for token in ids_of(whole) if token >= 0])
    gap = Edit(size // 3, 2 * size // 3, "erase")
    keep(
        "06-fill",
        one(
            "worlds",
            WORLDS["Museum"],
            WORLD | {"steps": 12},
            1,
            draft=Draft(tuple(ids_of(whole)), edits=(gap,), keep=True),
        ),
    )


def ripple() -> None:
    """Another name typed into a finished text, and all behind it written again, so that it agrees."""

    def renamed(seed: int) -> tuple[Trace, ...]:
        whole = one("worlds", WORLDS["Lost animal"], WORLD, seed)
        words = [whole.pieces.get(token, b"").decode("utf-8", "replace").strip() for token in ids_of(whole)]
        names = [i for i, word in enumerate(words) if word in (*SHE, *HE)]
        if not names:
            return whole, whole
        other = "Otto" if words[names[0]] in SHE else "Mira"
        typed, rest = (
            Edit(names[0], names[0] + 1, "type", text=other),
            Edit(names[0] + 1, len([word for word in words if word]), "erase"),
        )
        draft = Draft(tuple(ids_of(whole)), edits=(typed, rest))
        return whole, one("worlds", WORLDS["Lost animal"], WORLD, seed, draft=draft)

    def rippled(whole: Trace, after: Trace) -> bool:
        other = next((name for name in ("Otto", "Mira") if name in after.final_text), "")
        return not faulty(whole) and not faulty(after) and bool(other) and after.final_text.count(other) > 1

    keep("07-ripple", first(renamed, rippled)[1])


def chat() -> None:
    """The chat model, which answers open questions in short blocks."""
    keep("08-chat", one("builtin", CHAT["Blue sky"], presets_of("builtin")["careful"]))
    keep("09-chat-all-over", one("builtin", CHAT["A bicycle"], presets_of("builtin")["all over"]))


if __name__ == "__main__":
    main()
