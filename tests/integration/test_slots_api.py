"""The endpoint /slots over HTTP, and the command line: the same readings, and refusals in the same words."""

import json

import pytest
from gradio_client import Client

from playground.cli.main import main

FORM = {
    "text": "It is {mood: good | bad} and {b}, in {word: 2}.",
    "slots": [{"name": "b", "choices": ["x", "y z"]}],
    "model": "fake",
    "passes": 2,
}
BAD = [
    ({"text": "no slot"}, "The form has no slot yet"),
    ({"text": "{a: x | x} is."}, "has the choice 'x' twice"),
    ({"text": "{a: x | y} is.", "slots": [{"name": "b", "choices": ["p", "q"]}]}, "nowhere in the text"),
    ({"text": "{a: x | y} is.", "passes": 99}, "Passes must be between 1 and 8"),
]


@pytest.fixture
def client(server):
    opened = Client(server.url, verbose=False)
    yield opened
    opened.close()


def read(capsys, tmp_path, form, *options):
    (tmp_path / "form.json").write_text(json.dumps(form), encoding="utf-8")
    status = main(["slots", str(tmp_path / "form.json"), *options])
    out, err = capsys.readouterr()
    return status, out, err


def test_page_api_and_command_line_read_the_same(client, capsys, tmp_path):
    messages = [*client.submit(api_name="/slots", **FORM)]
    last = messages[-1]
    assert last["done"] and [slot["name"] for slot in last["slots"]] == ["mood", "b", "word"]
    assert "not measured" in last["calibration"] and any(not message.get("done", True) for message in messages[:-1])
    status, out, err = read(capsys, tmp_path, FORM, "--json")
    told = json.loads(out.splitlines()[-1])
    assert status == 0 and "not measured" in err and out.splitlines()[0] == last["text"] and "█" in out
    assert told["slots"] == last["slots"] and told["forwards"] == last["forwards"]


@pytest.mark.parametrize(("form", "said"), BAD)
def test_api_and_command_line_refuse_in_the_same_words(server, client, capsys, tmp_path, form, said):
    before = server.fake.passes
    with pytest.raises(Exception) as caught:
        client.submit(model="fake", api_name="/slots", **form).result()
    status, _, err = read(capsys, tmp_path, form | {"model": "fake"})
    words = err.strip().splitlines()[-1]
    assert status == 2 and said in words and words in str(caught.value) and server.fake.passes == before


@pytest.mark.parametrize(
    ("content", "said"), [("[1]", "must be an object"), ("{", "is no JSON"), (None, "cannot be read")]
)
def test_what_is_no_form_is_said_in_one_sentence(capsys, tmp_path, content, said):
    path = tmp_path / "form.json"
    if content is not None:
        path.write_text(content)
    assert main(["slots", str(path)]) == 2
    assert said in capsys.readouterr().err
