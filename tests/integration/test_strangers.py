"""What strangers may not do to each other, to the log and to the disk: shares of the queue, streams, cancels, files, names, origins."""

import json
import logging
import time
from types import SimpleNamespace

import httpx
import pytest
from starlette.datastructures import Headers

from playground.web.queue import address_of
from tests.http_client import Client, data
from tests.patience import patience, soon

SECRET = "xyzzy-plugh"


def asked_by(client: str | None, *forwarded: str) -> SimpleNamespace:
    headers = Headers(raw=[(b"x-forwarded-for", line.encode()) for line in forwarded])
    return SimpleNamespace(headers=headers, client=SimpleNamespace(host=client) if client else None)


@pytest.mark.parametrize(
    ("request_", "proxies", "address"),
    [
        (asked_by("10.0.0.9", "6.6.6.6, 203.0.113.5"), 1, "203.0.113.5"),
        (asked_by("10.0.0.9", "6.6.6.6", "203.0.113.5"), 1, "203.0.113.5"),
        (asked_by("10.0.0.9", "6.6.6.6, 203.0.113.5, 10.0.0.1"), 2, "203.0.113.5"),
        (asked_by("10.0.0.9", "203.0.113.5:4711"), 1, "203.0.113.5"),
        (asked_by("10.0.0.9", "6.6.6.6"), 2, ""),
        (asked_by("10.0.0.9"), 1, ""),
        (asked_by("203.0.113.7", "6.6.6.6"), 0, "203.0.113.7"),
        (asked_by("127.0.0.1", "6.6.6.6"), 0, ""),
        (asked_by("::1"), 0, ""),
        (asked_by("2001:db8:1:2:3::4"), 0, "2001:db8:1:2::/64"),
        (asked_by("::ffff:203.0.113.7"), 0, "203.0.113.7"),
        (asked_by(None), 0, ""),
        (None, 1, ""),
        (asked_by("10.0.0.9", "<script>"), 1, ""),
    ],
)
def test_a_visitor_is_the_address_that_the_trusted_proxy_saw(request_, proxies, address):
    assert address_of(request_, proxies) == address


def test_invented_addresses_get_no_more_places_and_take_nobody_elses(serve):
    server = serve("public", proxies=1, delay=0.1)
    with Client(server.url) as client:
        index = client.fn_index("denoise")

        def join(number: int, forwarded: str) -> int:
            body = {"data": data(steps=40, rule="schedule"), "fn_index": index, "session_hash": f"s{number}"}
            return client.http.post(
                f"{client.url}/queue/join", json=body, headers={"x-forwarded-for": forwarded}
            ).status_code

        assert join(0, "198.51.100.1") == 200  # it computes
        assert soon(lambda: server.engine.busy)
        attacks = [join(n, f"192.0.2.{n}, 203.0.113.5") for n in range(1, 11)]
        assert attacks == [200] * 2 + [400] * 8
        assert join(50, "203.0.113.5, 198.51.100.2") == 200  # the attacker's address, as a victim might be accused of


def test_only_who_knows_the_event_ends_it_and_one_reads_it(server):
    server.fake.delay = server.fake.first_delay = 0.05
    with Client(server.url) as ann, Client(server.url) as eve:
        event = ann.join("ann", steps=60, rule="schedule").json()["event_id"]
        index = ann.fn_index("denoise")
        seen = []
        for message in ann.listen("ann"):
            seen.append(message["msg"])
            if seen.count("process_generating") == 2:
                for wrong in ({"event_id": "0" * 32}, {"session_hash": "eve"}, {"fn_index": index + 1}):
                    body = {"session_hash": "ann", "fn_index": index, "event_id": event} | wrong
                    assert eve.post("/cancel", body).json() == {"success": False}
                for path in ("/queue/data?session_hash=ann", f"/call/denoise/{event}"):
                    answer = eve.http.get(eve.url + path)
                    assert answer.status_code == 409 and "frames" not in answer.text
                assert eve.post("/cancel", [1]).status_code == 422
            if message["msg"] == "process_completed" and message["event_id"] == event:
                assert message["success"] and json.loads(message["output"]["data"][0])["done"]
            if message["msg"] == "close_stream":
                break
        assert seen[-1] == "close_stream"


def test_cancelling_a_run_that_waits_leaves_the_one_that_computes(server):
    server.fake.delay = server.fake.first_delay = 0.05
    with Client(server.url) as ann:
        first, second = (ann.join("ann", steps=12, rule="schedule").json()["event_id"] for _ in range(2))
        assert ann.post(
            "/cancel", {"session_hash": "ann", "fn_index": ann.fn_index("denoise"), "event_id": second}
        ).json()["success"]
        done = [m for m in ann.listen("ann") if m["msg"] == "process_completed" and m["event_id"] == first]
        assert json.loads(done[-1]["output"]["data"][0])["done"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/upload"),
        ("GET", "/upload_progress?upload_id=x"),
        ("GET", "/dev/reload"),
        ("POST", "/component_server"),
        ("POST", "/process_recording"),
        ("POST", "/run/denoise"),
        ("POST", "/run/nope"),
        ("POST", "/api/denoise"),
        ("POST", "/call/nope"),
        ("POST", "/call/v2/denoise"),
        ("POST", "/call/v2/nope"),
        ("POST", "/stream/x"),
        ("GET", "/vibe-code"),
        ("GET", "/queue/data?session_hash=nobody"),
        ("GET", "/queue/data?session_hash=%00"),
        ("GET", "/call/denoise/nobody"),
        ("POST", "/run/predict"),
    ],
)
def test_what_the_page_does_not_use_is_shut_and_says_nothing_in_the_log(server, capfd, method, path):
    body = {"data": [], "fn_index": 999, "session_hash": "x", "component_id": 99_999, "fn_name": "f"}
    answer = httpx.request(method, f"{server.url}/gradio_api{path}", json=body, timeout=patience(5))
    assert answer.status_code == 404 and answer.headers["x-content-type-options"] == "nosniff"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fn_index", [999, -1, "x", None, 1.5, True])
@pytest.mark.parametrize("extra", [{}, {"trigger_id": 99_999}, {"event_data": "\ud800"}])
def test_a_malformed_join_is_no_failure_of_the_server(server, capfd, fn_index, extra):
    with Client(server.url) as client:
        answer = client.post("/queue/join", {"data": data(), "fn_index": fn_index, "session_hash": "ok"} | extra)
        assert answer.status_code in (400, 422)
        body = {"data": data(), "fn_index": client.fn_index("denoise"), "session_hash": "ok"}
        unknown = client.post("/queue/join", body | {"trigger_id": -5})
    assert unknown.status_code == 400 and "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", 1e308, [], {}], ids=repr)
@pytest.mark.parametrize("name", ["data", "fn_index", "session_hash", "trigger_id"])
def test_a_join_of_the_wrong_form_is_refused_whatever_it_holds(server, capfd, name, value):
    """NaN, or half a character, in a field of another type was a failure of the server: its answer repeated what it cannot write."""
    with Client(server.url) as client:
        body = {"data": data(), "fn_index": client.fn_index("denoise"), "session_hash": "ok", "trigger_id": None}
        assert client.post("/queue/join", body | {name: value}).status_code in (400, 422)
    assert "Traceback" not in capfd.readouterr().err


def test_half_a_character_ends_no_stream_whatever_function_it_goes_to(server):
    with Client(server.url) as client:
        config = client.http.get(server.url + "/config").json()
        for function in (one for one in config["dependencies"] if one["backend_fn"]):
            session, values = f"half-{function['id']}", ["\ud800"] * len(function["inputs"])
            if client.trigger(session, function["id"], values).status_code == 200:
                assert list(client.listen(session))[-1]["msg"] == "close_stream", function["api_name"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "rebound.example:7860"}, 403),
        ({"host": "127.0.0.1.nip.io"}, 403),
        ({"host": "localhost:1"}, 200),
        ({"host": "[::1]:1"}, 200),
        ({"host": "ours.example"}, 200),
        ({"host": "ours.example", "origin": "https://ours.example"}, 200),
        ({"host": "ours.example", "origin": "https://evil.example"}, 403),
        ({"host": "127.0.0.1", "origin": "null"}, 403),
        ({"host": "127.0.0.1:7860", "origin": "http://localhost:3000"}, 403),
        ({"host": "127.0.0.1:1", "origin": "http://127.0.0.1:1"}, 200),
    ],
)
def test_a_foreign_name_or_page_gets_nothing(serve, headers, status):
    server = serve(names=["ours.example"])
    assert httpx.get(server.url + "/config", headers=headers).status_code == status


def test_only_this_page_may_frame_it(server):
    assert "frame-ancestors 'self'" in httpx.get(server.url).headers["content-security-policy"]


def failing(client: Client, server) -> None:
    """Provoke every kind of failure with a text that may not be logged."""
    client.post("/call/denoise", {"data": [SECRET]})
    client.post("/call/denoise", {"data": data(prompt=SECRET) + [SECRET]})
    client.post("/queue/join", {"data": [SECRET], "fn_index": client.fn_index("denoise"), "session_hash": "s"})
    client.post("/queue/join", {"data": {"a": SECRET}, "fn_index": SECRET, "session_hash": SECRET * 20})
    client.post(f"/call/{SECRET}", {"data": [SECRET]})
    client.http.get(f"{client.url}/queue/data", params={"session_hash": SECRET})
    for changes in (
        {"mode": SECRET},
        {"model": SECRET},
        {"pinned": SECRET},
        {"steps": SECRET},
        {"image": SECRET},
        {"rule": SECRET},
    ):
        client.denoise(**changes)
    count = len(client.http.get(client.url.removesuffix("/gradio_api") + "/config").json()["dependencies"])
    for index in range(count):  # every function the page has, private ones too
        for values in ([], [SECRET], [SECRET] * 2, [SECRET] * 3):
            client.trigger("s", index, values)
    server.fake.fail_at = 2
    for kind in (ValueError, KeyError, MemoryError):
        server.fake.error = lambda kind=kind: kind(SECRET)
        assert client.denoise(prompt=SECRET)[-1][0] == "error"


def test_nothing_a_visitor_typed_is_ever_logged(serve, capfd, caplog, monkeypatch):
    server = serve("public")
    caplog.set_level(logging.WARNING)
    with Client(server.url) as client:
        failing(client, server)

        def broken(prompt, system=""):
            raise ValueError(f"cannot encode {prompt!r}")

        monkeypatch.setattr(server.fake, "encode", broken)
        assert client.denoise(prompt=SECRET)[-1][0] == "error"
    time.sleep(0.5)
    said = "".join(capfd.readouterr())
    assert SECRET not in said and SECRET not in caplog.text


def test_a_stream_of_a_session_that_was_told_everything_ends_at_once(server):
    with Client(server.url) as client:
        client.join("ann", steps=4)
        assert list(client.listen("ann"))[-1]["msg"] == "close_stream"
        assert server.idle()
        assert [message["msg"] for message in client.listen("ann")] == ["close_stream"]
        assert client.http.get(f"{client.url}/queue/data", params={"session_hash": "never-seen"}).status_code == 404
