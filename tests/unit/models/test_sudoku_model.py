"""The Sudoku model at work, on untrained networks: what stands on the canvas, what may be pinned, the check, both ways to write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import SettingError, WeightsError
from model.loops.orders import ORDERS, Guess
from model.models.sudoku.model import Sudoku
from model.models.sudoku.pairs import KINDS, TWIN_KINDS, pairs, start, twin_pairs
from model.models.worlds.network import Network, Shape
from model.models.worlds.session import Passes
from model.models.worlds.weights import load, save
from model.settings import Settings
from model.sudoku import PEERS, UNITS, check, read_prompt
from model.trace.decode import loads
from model.trace.encode import dumps
from model.trace.frame import PINNED
from tests.unit.sudoku.test_sudoku import PUZZLE, SOLUTION
from training.sudoku.evaluate import fill, scores, write

FULL = Settings(new_tokens=81, steps=81, order="margin")


def network(causal: bool) -> Network:
    """A small network with random weights, attention that looks along units."""
    shape = Shape(16, 162 if causal else 81, 24, 2, 3, 32, causal=causal, relations=TWIN_KINDS if causal else KINDS)
    net = Network(shape)
    rng = torch.Generator().manual_seed(int(causal))
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.randn(weight.shape, generator=rng) * 0.4)
        assert net.weighed is not None
        net.weighed.copy_(start(2, 3, causal))
    return net


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Sudoku:
    folder = tmp_path_factory.mktemp("sudoku")
    for name, causal in (("masked", False), ("twin", True)):
        save(folder / name, network(causal), {})
    return Sudoku(folder / "masked", folder / "twin")


# ---------------------------------------------------------------- what two cells share
def test_pairs_say_what_two_cells_share():
    table = pairs()
    for cell in range(81):
        assert set(np.flatnonzero(table[cell])) == {*PEERS[cell], cell}
        for other in PEERS[cell]:
            units = [any(cell in unit and other in unit for unit in UNITS[9 * k : 9 * k + 9]) for k in range(3)]
            assert int(table[cell, other]) == units[0] + 2 * units[1] + 4 * units[2]
    assert int(table[0, 0]) == 7


def test_the_twins_pairs_speak_of_the_cell_that_is_asked_for():
    table = twin_pairs()
    i, j = 81 + 29, 81 + 12  # asks for cell 30, looks at cell 12 of the solution
    kind = int(table[i, j])
    assert kind % 8 == int(pairs()[29, 12]) and kind // 8 % 8 == int(pairs()[30, 12]) and kind // 64 == 3
    assert int(table[80, 3]) // 64 == 0 and int(table[80, 3]) // 8 % 8 == int(
        pairs()[0, 3]
    )  # the puzzle's last cell asks for the first
    assert int(table.max()) < TWIN_KINDS


def test_the_network_does_not_know_one_side_of_the_board_from_another():
    """Rows exchanged within a band: the same scores, exchanged."""
    net, board = network(False).eval(), torch.tensor([read_prompt(PUZZLE).puzzle])
    order = torch.arange(81).view(9, 9)[[1, 0, 2, *range(3, 9)]].flatten()
    with torch.no_grad():
        plain, moved = (net.logits(net(ids, None, pairs())) for ids in (board, board[:, order]))
    assert torch.allclose(plain[:, order], moved, atol=1e-4)


@pytest.mark.parametrize("causal", [False, True])
def test_fast_passes_are_the_networks_own(causal: bool):
    net = network(causal).eval()
    kinds = twin_pairs() if causal else pairs()
    ids = torch.randint(0, 10, (2, len(kinds)), generator=torch.Generator().manual_seed(3))
    passes = Passes(net, kinds)
    with torch.no_grad():
        expected = net.logits(net(ids, None, kinds))
    cache = passes.new_cache(2) if causal else None
    assert torch.allclose(passes.logits(passes.run(ids, 0, cache)), expected, atol=1e-3)
    if causal:
        again = passes.new_cache(2)
        passes.run(ids[:, :81], 0, again)
        assert torch.allclose(passes.logits(passes.run(ids[:, 81:], 81, again)), expected[:, 81:], atol=1e-3)


def test_weights_survive_the_disk(tmp_path: Path):
    net = network(True)
    save(tmp_path / "n", net, {"rows": 3})
    again, about = load(tmp_path / "n")
    assert about["rows"] == 3 and again.shape == net.shape
    for name, weight in net.state_dict().items():
        assert torch.allclose(again.state_dict()[name], weight, atol=float(weight.abs().max()) / 100)


# ---------------------------------------------------------------- runs
@pytest.mark.parametrize("mode", ["diffusion", "ar"])
def test_given_cells_stand_from_the_first_frame_on(model: Sudoku, mode: str):
    trace = model.denoise(PUZZLE, FULL, mode=mode).finish()
    first, last = trace.frames[0], trace.frames[-1]
    for cell, digit in enumerate(PUZZLE):
        assert (first.states[cell] == PINNED) == (digit != ".")
        if digit != ".":
            assert first.ids[cell] == last.ids[cell] == int(digit) and last.states[cell] == PINNED
    assert (
        trace.final_text == "".join(map(str, last.ids))
        and len(trace.final_text) == 81
        and set(trace.final_text) <= set("123456789")
    )
    assert trace.result is not None and trace.result.stopped == "full" and trace.spec.view == "board"
    assert [sentence for sentence, _ in trace.result.faults or ()] == [
        fault.sentence for fault in check(last.ids.tolist())
    ]
    assert loads(dumps(trace)).result == trace.result
    assert trace.result.forwards == (81 if mode == "ar" else 51)


def test_a_level_gives_the_seeds_puzzle_to_both_ways_of_writing(model: Sudoku):
    asked = read_prompt("hard", 4).puzzle
    for mode in ("diffusion", "ar"):
        frame = next(model.denoise("hard", Settings(new_tokens=81, steps=81, seed=4), mode=mode))
        assert [int(i) if i > 0 else 0 for i in frame.ids] == list(asked)


def test_one_puzzle_many_orders(model: Sudoku):
    orders = {
        order: [
            reason.position
            for frame in model.denoise(PUZZLE, Settings(new_tokens=81, steps=81, order=order)).finish().frames
            for reason in frame.reasons
        ]
        for order in ("left_to_right", "random", "margin")
    }
    empty = [cell for cell, digit in enumerate(PUZZLE) if digit == "."]
    assert orders["left_to_right"] == empty
    assert len({tuple(order) for order in orders.values()}) == 3 and all(
        sorted(order) == empty for order in orders.values()
    )


def test_an_empty_board_is_filled(model: Sudoku):
    trace = model.denoise("empty", Settings(new_tokens=81, steps=20, temperature=1.0)).finish()
    assert len(trace.final_text) == 81 and trace.result is not None and trace.result.faults is not None


def test_a_stopped_run_is_not_judged(model: Sudoku):
    run = model.denoise(PUZZLE, FULL)
    next(run), next(run)
    run.stop()
    trace = run.finish()
    assert trace.result is not None and trace.result.stopped == "cancelled" and trace.result.faults is None


# ---------------------------------------------------------------- pins
def test_a_pinned_digit_of_the_solution_stays(model: Sudoku):
    frame = next(model.denoise(PUZZLE, FULL, pinned={2: SOLUTION[2], 3: SOLUTION[3:4]}))
    assert frame.ids[2] == int(SOLUTION[2]) and frame.states[2] == PINNED and frame.ids[3] == int(SOLUTION[3])


@pytest.mark.parametrize(
    ("pinned", "said"),
    [
        ({2: "5"}, "No solution of this puzzle has a 5 in row 1, column 3."),
        ({0: "4"}, "has a 4 in row 1, column 1"),
        ({2: "x"}, "A cell holds a digit from 1 to 9; 'x' was pinned."),
        ({2: "0"}, "'0'"),
        ({2: "\u0664"}, "was pinned"),
        ({80: "99"}, "between 0 and 80"),
    ],
)
def test_pins_that_no_solution_holds_are_refused(model: Sudoku, pinned: dict[int, str], said: str):
    with pytest.raises(SettingError) as error:
        model.denoise(PUZZLE, FULL, pinned=pinned)
    assert said in str(error.value) and error.value.knob == "pinned"


def test_pins_on_an_empty_board_may_not_clash(model: Sudoku):
    with pytest.raises(SettingError, match=r"No board can hold what is pinned: the 4 stands twice in row 1\."):
        model.denoise("empty", FULL, pinned={0: "4", 8: "4"})


def test_prompts_without_a_puzzle_are_refused_before_anything(model: Sudoku):
    for use in (model.encode, lambda prompt: model.denoise(prompt, FULL)):
        with pytest.raises(SettingError, match="Type a Sudoku"):
            use("Why is the sky blue?")


def test_missing_weights_are_named(tmp_path: Path):
    with pytest.raises(WeightsError, match="make sudoku"):
        Sudoku(tmp_path / "nothing", tmp_path / "nothing")


# ---------------------------------------------------------------- what evaluation measures is what a run does
@pytest.mark.parametrize("order", ["margin", "confidence", "entropy", "left_to_right"])
@pytest.mark.parametrize("at_once", [1, 51])
def test_batched_filling_is_the_loops(model: Sudoku, order: str, at_once: int):
    puzzle = read_prompt(PUZZLE).puzzle
    cells = puzzle.count(0)
    trace = model.denoise(PUZZLE, Settings(new_tokens=81, steps=-(-cells // at_once), order=order)).finish()
    boards, passes = fill(
        model.networks["diffusion"], torch.tensor([puzzle, read_prompt("easy").puzzle]), order, at_once
    )
    assert boards[0].tolist() == trace.frames[-1].ids.tolist()
    assert bool((boards > 0).all()) and (passes == 1) == (at_once == 51)


def test_batched_writing_is_the_twins(model: Sudoku):
    trace = model.denoise(PUZZLE, FULL, mode="ar").finish()
    boards = write(model.networks["ar"], torch.tensor([read_prompt("easy").puzzle, read_prompt(PUZZLE).puzzle]))
    assert boards[1].tolist() == trace.frames[-1].ids.tolist()


def test_scores_are_the_orders_own():
    p = torch.rand(1, 81, 9, generator=torch.Generator().manual_seed(1)).softmax(-1)
    best = p[0].topk(2, -1).values.numpy()
    guess = Guess(best[:, 0], best[:, 0] - best[:, 1], -(p * p.log()).sum(-1)[0].numpy(), lambda n: np.zeros(n))
    for order in ("margin", "confidence", "entropy", "left_to_right"):
        assert np.allclose(scores(order, p, torch.Generator())[0].numpy(), ORDERS[order](guess), atol=1e-6)
