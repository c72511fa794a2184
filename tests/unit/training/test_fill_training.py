"""What the chat model learns holes from: texts with words missing, the same prompt and canvas as the page gives it."""

import random

import pytest

from model.holes import Filling, Hole, quoted
from model.models.chat135m.record import BUILTIN
from model.models.chat135m.weights import FOLDER
from training.data import EOS, Chat
from training.fill import Holed, make, row_of
from training.fill import quoted as asked

TEXT = "The tide rises twice a day. It is drawn by the moon, which is near, and by the sun, which is large. Boats wait for it."


@pytest.fixture(scope="module")
def chat():
    return Chat(FOLDER)


def test_holes_and_what_stands_around_them_are_the_text():
    for seed in range(200):
        holed = make(TEXT, random.Random(seed))
        if holed:
            pieces = [*sum(zip(holed.given, holed.words, strict=False), ()), holed.given[-1]]
            assert "".join(pieces) in TEXT and all(word and word == word.strip() for word in holed.words)
    assert make("Too short.", random.Random(0)) is None


def test_it_learns_the_very_ids_that_a_fill_reads_and_writes(chat):
    holed = Holed(("The tide ", " twice a day, drawn by the ", "."), ("rises", "moon"))
    ids, inside, besides = row_of(chat, holed)
    parts = (holed.given[0], Hole(1), holed.given[1], Hole(1), holed.given[2])
    assert asked(holed) == quoted(parts)
    canvas = Filling(parts=parts, lengths=(1, 1)).made(chat.tokens, BUILTIN).ids
    answer = ids[-len(canvas) :]
    holes = [i for i, token in enumerate(canvas) if token < 0]
    assert [token for i, token in enumerate(answer) if i not in holes] == [token for token in canvas if token >= 0]
    assert [len(ids) - len(canvas) + i for i in holes] == inside and chat.decode(
        [ids[i] for i in inside]
    ) == " rises moon"
    assert chat.decode([ids[i] for i in besides]) == " twice a." and ids[-1] == EOS


def test_without_what_follows_a_hole_is_the_end_of_what_is_known(chat):
    holed = Holed(("The tide ", " twice a day, drawn by the ", "."), ("rises", "moon"))
    cut = holed.cut(1)
    assert cut.given == ("The tide rises twice a day, drawn by the ", "") and cut.words == ("moon",)
    known, blind = row_of(chat, holed), row_of(chat, cut)
    assert [known[0][i] for i in known[1]][-1] == [blind[0][i] for i in blind[1]][-1]
