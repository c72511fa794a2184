"""The /denoise endpoint over HTTP: what it streams, what it refuses, and that a refusal starts nothing."""

import json
import math
from dataclasses import replace

import pytest
from gradio_client import Client as GradioClient

from model.models.scripted import SCRIPT
from model.settings import FIELDS, Settings
from model.trace.trace import Trace
from playground.presets import PRESETS
from playground.web.views.talk import INPUTS
from tests.http_client import NAMES, Client, data
from tests.patience import soon

NUMBERS = [field.name for field in FIELDS if field.kind != "choice"]
CHOICES = [field.name for field in FIELDS if field.kind == "choice"]
BAD = (1e10, -1, 0.5, math.nan, math.inf, -math.inf, True, "32", [], {})


@pytest.fixture
def client(server):
    with Client(server.url) as opened:
        yield opened


def refusals(client: Client, server, *requests: dict) -> list[str]:
    """Return the sentences that requests are refused with; no forward pass may have run for any of them."""
    before, asked = server.fake.passes, [client.call(**changes) for changes in requests]
    said = []
    for changes, answer in zip(requests, asked, strict=True):
        kind, told = list(client.events(answer.json()["event_id"]))[-1]
        assert kind == "error", changes
        said.append(told["error"])
    assert server.fake.passes == before
    return said


def refused(client: Client, server, **changes) -> str:
    """Return the sentence one request is refused with."""
    return refusals(client, server, changes)[0]


def test_every_frame_comes_and_the_last_message_is_the_whole_run(server):
    client = GradioClient(server.url, verbose=False)
    try:
        knobs = {"steps": 8, "rule": "schedule", "block_length": 0, "remasking": "none"}
        messages = [json.loads(text) for text in client.submit(prompt="hello", **knobs, api_name="/denoise")]
    finally:
        client.close()
    pieces = [message for message in messages if "frames" in message]
    starts, counts = [message["from"] for message in pieces], [len(message["frames"]) for message in pieces]
    assert len(pieces) > 2 and starts == [
        sum(counts[:i]) for i in range(len(counts))
    ]  # no frame is left out or sent twice
    last = messages[-1]
    trace = Trace.from_json(json.dumps(last["trace"]))
    assert last["done"] and trace.final_text == SCRIPT and len(trace.frames) == 10 and trace.result.forwards == 8
    assert trace.prompt == "hello"


def test_the_endpoint_takes_every_knob_by_name_and_needs_only_a_prompt(server):
    client = GradioClient(server.url, verbose=False)
    try:
        told = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
        parameters = {p["parameter_name"]: p for p in told["/denoise"]["parameters"]}
        assert tuple(parameters) == NAMES and set(told) >= {"/denoise"}
        assert all(p["parameter_has_default"] for p in parameters.values())
        assert [r["component"] for r in told["/denoise"]["returns"]] == ["Player"]
    finally:
        client.close()


def test_a_knob_that_is_left_out_is_the_models_own_not_the_pages(client):
    own = dict.fromkeys((*NUMBERS, *CHOICES))
    kind, said = client.denoise(steps=7, **{name: None for name in own if name != "steps"})[-1]
    assert kind == "complete"
    assert json.loads(said[0])["trace"]["header"]["settings"] == Settings(steps=7).as_dict()
    kind, said = client.denoise(**own)[-1]  # nothing said of how to write: as the page begins
    assert json.loads(said[0])["trace"]["header"]["settings"].items() >= PRESETS["fake"]["balanced"].items()


def test_page_api_and_command_line_refuse_in_the_same_words(client, server, capsys):
    from playground.cli import main as cli

    assert cli.main(["run", "--model", "fake", "--prompt", "x", "--steps", "2000"]) == 2
    assert refused(client, server, steps=2000) + "\n" == capsys.readouterr().err


@pytest.mark.parametrize("name", NUMBERS)
def test_a_bad_number_is_refused_in_one_sentence(client, server, name):
    field = next(field for field in FIELDS if field.name == name)
    bad = [value for value in BAD if not (value == 0.5 and field.kind == "float" and field.low <= 0.5 <= field.high)]
    for said in refusals(client, server, *({name: value} for value in bad)):
        assert said.startswith(field.label) and said.endswith(".") and "\n" not in said and len(said) <= 120


@pytest.mark.parametrize("name", CHOICES)
def test_a_bad_choice_is_refused_in_one_sentence(client, server, name):
    bad = ("nonsense", "<img src=x onerror=alert(1)>", 3, [], True)
    for said in refusals(client, server, *({name: value} for value in bad)):
        assert "must be one of" in said and "<img" not in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt": ""}, "Write a prompt first"),
        ({"prompt": "\x00\x01"}, "Write a prompt first"),
        ({"prompt": None}, "must be text"),
        ({"prompt": 5}, "must be text"),
        ({"prompt": "x" * 17_000}, "at most 16,000 characters; it has 17,000"),
        ({"prompt": "\U0001f600" * 3_000}, "at most 8192 tokens; it has 12001"),
        ({"system": ["x"]}, "must be text"),
        ({"model": {"a": 1}}, "Model must be a name"),
        ({"mode": "sideways"}, "Mode must be one of"),
        ({"pinned": "5 upon"}, "lines like '5: upon'"),
        ({"pinned": "64: upon"}, "between 0 and 63; it was 64"),
        ({"pinned": 7}, "Pinned words"),
        ({"steps": 1024, "new_tokens": 1024, "block_length": 1024}, "at most 524,288 positions"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_other_bad_values_are_refused_too(client, server, changes, said):
    assert said in refused(client, server, **changes)


def test_a_lone_surrogate_is_replaced_and_the_run_ends(client):
    kind, said = client.denoise(prompt="a\ud800b")[-1]
    assert kind == "complete" and json.loads(said[0])["trace"]["header"]["prompt"] == "a\ufffdb"


def test_public_limits_are_tighter(serve):
    public = serve("public")
    with Client(public.url) as client:
        assert "at most 2,000 characters" in refused(client, public, prompt="x" * 2_001)
        assert "between 1 and 256; it was 300" in refused(client, public, steps=300)
        assert client.denoise()[-1][0] == "complete"


def test_a_deadline_ends_a_run_nobody_listens_to(client, server):
    server.fake.delay = server.fake.first_delay = 0.05
    server.engine.limits, before = replace(server.engine.limits, seconds=0.5), server.fake.passes
    assert client.join("deaf", steps=60, rule="schedule").status_code == 200
    assert soon(lambda: server.fake.passes != before)
    assert server.idle(3) and 1 < server.fake.passes - before <= 13
    kind, said = client.denoise(steps=60, rule="schedule")[-1]
    assert kind == "complete" and json.loads(said[0])["trace"]["result"]["stopped"] == "deadline"


@pytest.mark.parametrize(
    ("options", "said"), [({"nan_at": 2}, "step 2"), ({"fail_at": 2, "error": MemoryError}, "Memory ran out")]
)
def test_a_failed_run_is_told_in_a_sentence_and_its_frames_stay(client, server, options, said):
    vars(server.fake).update(options)
    events = client.denoise(steps=8)
    assert events[-1][0] == "error" and said in events[-1][1]["error"]
    assert json.loads(events[-2][1][0])["trace"]["result"]["stopped"] == "error"
    assert server.idle()


def test_an_unexpected_failure_shows_a_number_and_no_inside(client, server, caplog):
    vars(server.fake).update(fail_at=2, error=lambda: RuntimeError("secret /etc/path"))
    said = client.denoise()[-1][1]["error"]
    assert "secret" not in said and "/etc" not in said and "went wrong" in said
    number = said.split("under ")[1][:6]
    assert any(number in record.getMessage() for record in caplog.records)


def test_no_prompt_reaches_the_log(server, client, caplog, capfd):
    client.denoise(prompt="a very private question")
    client.denoise(prompt="a very private question", steps=-1)
    out, err = capfd.readouterr()
    assert "private" not in caplog.text + out + err


def test_a_script_can_stop_its_run_and_go_on_with_it(server):
    server.fake.delay, before = 0.05, server.fake.passes
    client = GradioClient(server.url, verbose=False)
    try:
        job = client.submit(prompt="hello", steps=60, rule="schedule", api_name="/denoise")
        assert soon(lambda: server.fake.passes - before >= 2, 10)
        client.predict(api_name="/stop")
        stopped = json.loads(list(job)[-1])["trace"]
        assert stopped["result"]["stopped"] == "cancelled"
        server.fake.delay = 0.0
        whole = json.loads(list(client.submit(api_name="/continue"))[-1])["trace"]
    finally:
        client.close()
    assert whole["result"]["stopped"] != "cancelled" and whole["result"]["text"] == SCRIPT
    assert whole["frames"][: len(stopped["frames"])] == stopped["frames"]


def test_the_talk_and_the_tests_send_what_the_endpoint_takes(server):
    """A talk runs prompts over the endpoint by position: one input more, and no live run would begin."""
    with Client(server.url) as client:
        config = client.http.get(server.url + "/config").json()
    taken = next(len(one["inputs"]) for one in config["dependencies"] if one["api_name"] == "denoise")
    assert len(INPUTS) == len(data()) == taken
