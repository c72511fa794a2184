"""The endpoint /fill over HTTP: only holes are written, and it refuses in the command line's words."""

import json

import pytest
from gradio_client import Client

from model.trace.trace import Trace
from playground.cli.main import main

BAD = [
    ({"text": "no hole"}, "The text has no hole yet"),
    ({"text": "a [99] b"}, "between 1 and 64 tokens; this one was [99]"),
    ({"text": "a ___ b", "settings": {"steps": 0}}, "Steps must be between 1 and"),
]


@pytest.fixture
def client(server):
    opened = Client(server.url, verbose=False)
    yield opened
    opened.close()


@pytest.mark.parametrize("text", ["Dear  Anna,\n[3] stands here.", "Dear  Anna,\n___ stands here."])
def test_frames_come_and_last_the_whole_text_to_the_letter(client, text):
    messages = [json.loads(message) for message in client.submit(text=text, model="fake", api_name="/fill")]
    trace = Trace.from_json(json.dumps(messages[-1]["trace"]))
    assert trace.final_text.startswith("Dear  Anna,\n") and trace.final_text.endswith(" stands here.")
    assert messages[-1]["done"] and any("frames" in message for message in messages)
    assert ("The hole takes" in trace.notice) == ("___" in text)


@pytest.mark.parametrize(("asked", "said"), BAD)
def test_api_and_command_line_refuse_in_the_same_words(server, client, capsys, asked, said):
    before = server.fake.passes
    with pytest.raises(Exception) as caught:
        client.submit(model="fake", api_name="/fill", **asked).result()
    options = [f"--{name}={value}" for name, value in asked.get("settings", {}).items()]
    assert main(["fill", "--model", "fake", "--text", asked["text"], *options]) == 2
    words = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in words and words in str(caught.value) and server.fake.passes == before
