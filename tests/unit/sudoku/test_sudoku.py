"""Sudoku, exactly: what may be typed, what is refused and how, the solver against naive search, puzzles with one solution, the checker."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import SettingError
from model.sudoku import (
    BOXES,
    CELLS,
    COLUMNS,
    LEVELS,
    PEERS,
    ROWS,
    UNITS,
    Search,
    by_singles,
    check,
    conflicts,
    dig,
    parse,
    puzzle,
    refuse,
    show,
    solutions,
    solve,
    solved,
)

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SOLUTION = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
HARDEST = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."  # Inkala 2012
NORVIG = ".....5.8....6.1.43..........1.5........1.6...3.......553.....61........4........."  # no solution, 1,439 s in Norvig's solver


def naive(board: list[int], most: int) -> list[tuple[int, ...]]:
    """Every solution up to `most`, by trying digits in the cell with the fewest."""
    empty = [cell for cell in range(CELLS) if not board[cell]]
    if not empty:
        return [tuple(board)]
    options = {cell: set(range(1, 10)) - {board[p] for p in PEERS[cell]} for cell in empty}
    cell = min(empty, key=lambda c: len(options[c]))
    out: list[tuple[int, ...]] = []
    for digit in sorted(options[cell]):
        board[cell] = digit
        out += naive(board, most - len(out))
        board[cell] = 0
        if len(out) >= most:
            break
    return out


# ---------------------------------------------------------------- geometry
def test_units_cover_the_board_and_peers_are_twenty():
    assert (
        sorted(c for unit in ROWS for c in unit)
        == sorted(c for unit in COLUMNS for c in unit)
        == sorted(c for b in BOXES for c in b)
    )
    assert {len(peers) for peers in PEERS} == {20}
    assert BOXES[4] == (30, 31, 32, 39, 40, 41, 48, 49, 50)


# ---------------------------------------------------------------- as typed
LINES = [PUZZLE[i : i + 9] for i in range(0, 81, 9)]


@pytest.mark.parametrize(
    "typed",
    [
        PUZZLE,
        PUZZLE.replace(".", "0"),
        PUZZLE.replace(".", "_"),
        PUZZLE.replace(".", "*"),
        PUZZLE.replace(".", "-"),
        "\n".join(LINES),
        "\r\n".join(" ".join(line) for line in LINES),
        f"  {PUZZLE}\n",
        "\n------+-------+------\n".join(
            "\n".join(" | ".join(" ".join(row[i : i + 3]) for i in (0, 3, 6)) for row in LINES[band : band + 3])
            for band in (0, 3, 6)
        ),
        "[[" + "],\n[".join(",".join(line.replace(".", "0")) for line in LINES) + "]]",
        PUZZLE.translate(str.maketrans("0123456789", "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669")),
    ],
)
def test_every_usual_way_to_type_a_puzzle_is_read(typed: str):
    assert show(parse(typed)) == PUZZLE


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (PUZZLE[:-1], "this one has 80"),
        (PUZZLE + "1", "this one has 82"),
        ("", "this one has 0"),
        (PUZZLE.replace("5", "x", 1), "'x'"),
        (PUZZLE.replace("5", "\u00b2", 1), "'\u00b2'"),
        (PUZZLE[:-1] + "--", "(2 dashes left out)"),
    ],
)
def test_what_is_no_board_is_refused_in_one_sentence(typed: str, said: str):
    with pytest.raises(SettingError) as error:
        parse(typed)
    assert said in str(error.value) and str(error.value).endswith(".") and error.value.knob == "prompt"


@given(st.text(max_size=200))
def test_parsing_survives_any_text(text: str):
    try:
        assert len(parse(text)) == CELLS
    except SettingError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("55" + PUZZLE[2:], "the 5 in row 1, column 1 clashes with the 5 in row 1, column 2"),
        (PUZZLE[:9] + "5" + PUZZLE[10:], "the 5 in row 2, column 1 clashes with the 5 in row 2, column 6"),
        ("." * 81, "more than one solution"),
        (NORVIG, "has no solution, though no two of its digits clash"),
        (PUZZLE.replace("53", "5.", 1).replace("98", "9.", 1).replace("6.", "..", 1), "more than one solution"),
    ],
)
def test_puzzles_without_exactly_one_solution_are_refused(typed: str, said: str):
    with pytest.raises(SettingError, match=said) as error:
        refuse(parse(typed))
    assert str(error.value).endswith(".") and error.value.knob == "prompt"


def test_the_cell_named_in_an_ambiguous_puzzle_may_be_either():
    board = list(parse(SOLUTION))
    for cell, digit in enumerate(board):
        if digit in (1, 2):
            board[cell] = 0  # ones and twos may be exchanged
    with pytest.raises(SettingError, match=r"row 1, column 8 may be 1 or 2"):
        refuse(tuple(board))


def test_one_that_is_too_hard_to_decide_is_refused():
    search = Search(most=3)
    assert solutions(parse(HARDEST), 2, search) == [] and search.exhausted


# ---------------------------------------------------------------- solving
def test_known_puzzles():
    assert show(solve(parse(PUZZLE)) or ()) == SOLUTION
    assert by_singles(parse(PUZZLE)) and not by_singles(parse(HARDEST))
    assert len(solutions(parse(HARDEST))) == 1 and solve(parse(NORVIG)) is None
    refuse(parse(HARDEST))


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(30, 60))
def test_as_many_solutions_as_naive_search_finds(r: random.Random, holes: int):
    board = list(solved(r))
    for cell in r.sample(range(CELLS), holes):
        board[cell] = 0
    if r.random() < 0.3:  # and boards that may have none
        board[r.randrange(CELLS)] = r.randint(1, 9)
    found, expected = solutions(tuple(board), 40), [] if conflicts(board) else naive(board, 40)
    assert len(found) == len(set(found)) == len(expected)
    assert len(found) == 40 or set(found) == set(expected)
    assert all(not check(one, tuple(board)) for one in found)


def test_singles_alone_never_decide_wrongly():
    r = random.Random(3)
    for _ in range(20):
        board = dig(solved(r), 0, r.sample(range(CELLS), CELLS))
        if by_singles(board):
            assert len(solutions(board)) == 1


# ---------------------------------------------------------------- making
@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_puzzles_have_one_solution_and_their_level(level):
    r = random.Random(level.name)
    seen = set()
    for _ in range(12):
        board, solution = puzzle(level, r)
        assert solutions(board) == [solution] and not check(solution, board)
        assert level.fewest <= CELLS - board.count(0) <= level.most
        assert not (level.needs_search and by_singles(board))
        seen.add(board)
    assert len(seen) == 12
    assert puzzle(level, random.Random(7)) == puzzle(level, random.Random(7))


def test_a_puzzle_dug_to_the_bottom_needs_every_digit():
    r = random.Random(5)
    board = dig(solved(r), 0, r.sample(range(CELLS), CELLS))
    for cell, digit in enumerate(board):
        if digit:
            assert len(solutions((*board[:cell], 0, *board[cell + 1 :]))) == 2


def test_solved_boards_are_spread_over_all_digits():
    r = random.Random(1)
    boards = [solved(r) for _ in range(400)]
    assert len(set(boards)) == 400 and all(not conflicts(board) for board in boards)
    for cell in (0, 12, 40, 80):
        counts = [sum(board[cell] == digit for board in boards) for digit in range(1, 10)]
        assert min(counts) > 20  # 44 expected


# ---------------------------------------------------------------- checking
def test_a_solved_board_has_no_fault():
    assert check(parse(SOLUTION), parse(PUZZLE)) == []


@settings(max_examples=60)
@given(st.integers(0, 80), st.integers(1, 9))
def test_every_wrong_digit_is_named_with_its_cells(cell: int, digit: int):
    board = list(parse(SOLUTION))
    if board[cell] == digit:
        return
    board[cell] = digit
    faults = conflicts(board)
    assert 2 <= len(faults) <= 3 and all(cell in fault.positions for fault in faults)
    for fault in faults:
        assert f"The {digit} stands twice in " in fault.sentence
        assert any(set(fault.positions) <= set(unit) for unit in UNITS)


def test_changed_givens_and_empty_cells_are_named():
    board, givens = list(parse(SOLUTION)), parse(PUZZLE)
    swapped = [{5: 3, 3: 5}.get(digit, digit) for digit in board]  # still a solved board, but of another puzzle
    fault = check(swapped, givens)[0]
    assert fault.sentence == "The given 5 in row 1, column 1 was changed." and 1 in fault.positions
    board[80] = 0
    assert [(f.sentence, f.positions) for f in check(board)] == [("1 cell is empty.", (80,))]
