"""What a prompt or a pin may not say of the exact languages: one sentence, the same from the API and the command line."""

import json

import pytest

from model.engine.engine import Engine
from model.settings import LOCAL
from playground.cli import main as cli
from playground.web import server as serving_module
from tests.http_client import Client

TWO_SOLUTIONS = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5........."
REFUSED = [
    ("worlds", "A postcard", "1: spaceship", "'spaceship' is not among the 1,280 words of the small worlds."),
    ("worlds", "A lost notice", "6: Otto\n16: She", "'Otto' and 'She' are pinned where one text cannot hold both."),
    ("worlds", "A postcard", "0: lion", "No text of the small worlds has 'lion' at position 0."),
    ("sudoku", TWO_SOLUTIONS, "", "This puzzle has more than one solution"),
    ("sudoku", "55" + "." * 79, "", "5"),
]


@pytest.fixture(scope="module")
def client():
    engine = Engine(LOCAL)
    blocks, url = serving_module.launch(engine, LOCAL, "worlds")
    with Client(url.rstrip("/")) as opened:
        yield opened
    blocks.close(verbose=False)
    engine.close()


def last(client, **asked):
    return list(client.events(client.call(**asked).json()["event_id"]))[-1]


@pytest.mark.parametrize(("model", "prompt", "pinned", "said"), REFUSED)
def test_what_no_text_or_board_can_hold_is_refused_in_the_same_sentence(client, capsys, model, prompt, pinned, said):
    assert cli.main(["run", "--model", model, "--prompt", prompt, "--pinned", pinned]) == 2
    sentence = capsys.readouterr().err.strip()
    assert said in sentence
    kind, told = last(client, model=model, prompt=prompt, pinned=pinned, new_tokens=72 if model == "worlds" else 81)
    assert kind == "error" and told["error"] == sentence


def test_words_that_the_worlds_do_not_know_are_named_beside_the_text(client, capsys):
    prompt, said = "A postcard from the spaceship", "'spaceship' is not among my words."
    assert cli.main(["run", "--model", "worlds", "--prompt", prompt]) == 0
    assert said in capsys.readouterr().err
    kind, told = last(client, model="worlds", prompt=prompt, new_tokens=72, block_length=0)
    assert kind == "complete" and said in json.loads(told[0])["trace"]["header"]["notice"]
