"""A server of OpenAI's protocol as a model: a stand-in that streams as vLLM does, and one that does not behave."""

import contextlib
import json
import math
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from model.engine import catalog
from model.engine.parsing import parse_request
from model.engine.remote import engine_at
from model.errors import ModelUnavailable, SettingError

CANVASES = [["A", " cat", " sat"], [" on", " a", " mat", " n", "aïve"]]


class Stub(BaseHTTPRequestHandler):
    """One canvas a message, as a server of DiffusionGemma sends it."""

    protocol_version = "HTTP/1.1"
    asked: list = []
    logprobs, ending, pause, cut = True, "stop", 0.0, False
    left = threading.Event()

    def log_message(self, *args):
        pass

    def do_GET(self):
        body = json.dumps({"object": "list", "data": [{"id": "google/diffusiongemma", "max_model_len": 2048}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Stub.asked.append(asked)
        if asked.get("logprobs") and not Stub.logprobs:
            self.send_response(400)
            self.send_header("content-length", "0")
            return self.end_headers()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            self.say({"delta": {"role": "assistant", "content": ""}, "finish_reason": None})
            for canvas in CANVASES:
                time.sleep(Stub.pause)
                log = [{"token": t, "bytes": list(t.encode()), "logprob": -0.1, "top_logprobs": []} for t in canvas]
                self.say(
                    {
                        "delta": {"content": "".join(canvas)},
                        "logprobs": {"content": log} if asked.get("logprobs") else None,
                    }
                )
                if Stub.cut:
                    return self.connection.shutdown(socket.SHUT_RDWR)
            self.say({"delta": {}, "finish_reason": Stub.ending})
            self.send({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}})
            self.chunk(b"data: [DONE]\n\n")
            self.chunk(b"")
        except OSError:
            Stub.left.set()

    def say(self, choice):
        self.send({"choices": [{"index": 0, **choice}]})

    def send(self, told):
        self.chunk(b"data: " + json.dumps({"object": "chat.completion.chunk", **told}).encode() + b"\n\n")

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


@pytest.fixture
def engine(monkeypatch):
    table = dict(catalog._table())
    monkeypatch.setattr(catalog, "_table", lambda: table)
    for name, value in {"asked": [], "logprobs": True, "ending": "stop", "pause": 0.0, "cut": False}.items():
        monkeypatch.setattr(Stub, name, value)
    Stub.left.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with contextlib.closing(engine_at(f"openai+http://127.0.0.1:{server.server_port}/v1")) as engine:
            yield engine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(**settings):
    return parse_request("Write of a cat.", settings, model="server", mode="ar", system="Be brief.")


def written(engine, **settings):
    with engine.run(asked(**settings)) as run:
        list(run)
    return run.trace


def test_text_comes_in_whole_canvases_with_the_servers_own_count_and_no_passes(engine):
    trace = written(engine, new_tokens=16, temperature=0.5, seed=3)
    assert trace.final_text == "A cat sat on a mat naïve" and trace.result.stopped == "end"
    assert [len(frame.committed) for frame in trace.frames] == [0, 3, 5, 0]
    assert trace.result.tokens == 9 and trace.result.forwards == 0 and trace.result.first_frame_seconds > 0
    assert {round(c) for c in trace.frames[1].confidence[:3].tolist()} == {round(255 * math.exp(-0.1))}
    assert "does not send steps" in trace.notice and "does not send steps" in trace.spec.name
    assert "does not send its steps: p 0.905" in str(trace.frames[1].reasons[0])
    sent = Stub.asked[0]
    assert (sent["max_tokens"], sent["temperature"], sent["seed"], sent["stream"]) == (16, 0.5, 3, True)
    assert [m["role"] for m in sent["messages"]] == ["system", "user"] and sent["stream_options"] == {
        "include_usage": True
    }
    again = type(trace).from_json(trace.to_json())
    assert again.result.tokens == 9 and again.final_text == trace.final_text


def test_a_server_without_probabilities_is_asked_again_without(engine):
    Stub.logprobs, Stub.ending = False, "length"
    trace = written(engine, new_tokens=16)
    assert [("logprobs" in sent) for sent in Stub.asked] == [True, False]
    assert trace.final_text == "A cat sat on a mat naïve" and trace.result.stopped == "full"
    assert all("neither steps nor probabilities" in str(reason) for reason in trace.frames[1].reasons)


def test_a_stop_leaves_the_server_at_once_and_keeps_what_came(engine):
    Stub.pause = 0.4
    with engine.run(asked(new_tokens=16)) as run:
        assert next(run).undecided == 16 and len(next(run).committed) == 3
        run.stop()
        began = time.monotonic()
        assert list(run) == [] and time.monotonic() - began < 0.3
    assert run.trace.result.stopped == "cancelled" and run.trace.final_text.startswith("A cat sat")


def test_a_server_that_goes_away_gets_a_sentence(engine):
    Stub.cut = True
    run = engine.run(asked(new_tokens=16))
    with pytest.raises(ModelUnavailable, match="went away during the run"):
        list(run)
    assert run.trace.result.stopped == "error" and len(run.trace.frames) == 2


@pytest.mark.parametrize("pins", ["5: upon", {"0": "x"}])
def test_pinned_words_are_refused(engine, pins):
    with pytest.raises(SettingError, match="takes no words on the canvas"):
        list(engine.run(parse_request("hello", {"new_tokens": 16}, model="server", mode="ar", pinned=pins)))
    with pytest.raises(SettingError, match="runs in mode ar"):
        list(engine.run(parse_request("hello", {}, model="server")))


def test_what_is_no_such_server_is_told():
    with pytest.raises(ModelUnavailable, match="does not answer as an OpenAI-compatible server"):
        engine_at("openai+http://127.0.0.1:9/v1")
    with pytest.raises(SettingError, match="address must be like"):
        engine_at("openai+ftp://x")


def test_the_page_opens_with_it(engine):
    from model.limits import LOCAL
    from playground.web.app import build_app, head

    blocks = build_app(engine, LOCAL, "server")
    model = next(b for b in blocks.blocks.values() if getattr(b, "elem_id", "") == "model")
    assert model.value == "server" and '"server":' in head(LOCAL)
    assert any("diffusiongemma (a server, which does not send steps)" in name for name, _ in model.choices)
