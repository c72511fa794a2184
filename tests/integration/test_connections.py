"""Connections that ask for nothing, slowly or too many at once; and that pages and files are compressed, each once."""

import socket
import time

import httpx
import pytest

from playground.web import connections
from tests.http_client import Client
from tests.patience import patience

ASK = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def opened(server, count: int) -> list[socket.socket]:
    host, port = server.url.removeprefix("http://").split(":")
    return [socket.create_connection((host, int(port)), timeout=patience(5)) for _ in range(count)]


def closed(connection: socket.socket, seconds: float) -> bool:
    """Whether the server closes a connection within so many seconds."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.5)
    monkeypatch.setattr(connections, "BODY_SECONDS", 0.5)


def test_a_connection_that_asks_for_nothing_is_closed(quick, serve):
    server = serve()
    (silent,) = opened(server, 1)
    assert closed(silent, patience(5))


def test_headers_are_not_waited_for_for_ever(quick, serve):
    server = serve()
    for already in (b"", ASK + b"\r\n"):  # a first request, and one after an answered one
        (slow,) = opened(server, 1)
        with slow:
            slow.sendall(already)
            if already:
                assert slow.recv(10_000)
            slow.sendall(ASK)
            until, left = time.monotonic() + patience(5), False
            while not left and time.monotonic() < until:
                try:
                    slow.sendall(b"X-A: b\r\n")
                    slow.settimeout(0.1)
                    left = slow.recv(10_000) == b""
                except TimeoutError:
                    continue
                except ConnectionError:
                    left = True
            assert left


def test_a_body_is_not_waited_for_for_ever(quick, serve, caplog):
    server = serve()
    (slow,) = opened(server, 1)
    with slow:
        slow.sendall(b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        slow.sendall(b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        slow.settimeout(patience(5))
        said = slow.recv(1_000)
    assert not said.startswith(b"HTTP/1.1 200")
    with Client(server.url) as client:
        assert client.denoise()[-1][0] == "complete"


def test_more_connections_than_there_is_room_for_are_closed_and_the_page_comes_back(quick, serve, monkeypatch, caplog):
    monkeypatch.setattr(connections, "MOST", 20)
    server = serve()
    held = opened(server, 60)
    assert sum(closed(one, 0.05) for one in held) >= 35
    time.sleep(0.8)
    assert httpx.get(server.url + "/health", timeout=patience(5)).status_code == 200
    assert all(closed(one, patience(1)) for one in held) and len(caplog.records) < 5


def test_a_run_that_streams_longer_than_headers_may_take_is_not_cut(quick, serve):
    server = serve(delay=0.1)
    with Client(server.url) as client:
        started = time.monotonic()
        assert client.denoise(steps=16, rule="schedule")[-1][0] == "complete"
        assert time.monotonic() - started > 1.0


@pytest.mark.parametrize(("files", "most"), [(1024, 768), (256, 16), (100_000, 1_000), (64, 16)])
def test_room_is_left_for_files(files, most):
    assert connections.room(files) == most


def test_requests_that_are_none_write_nothing_into_the_log(server, caplog):
    for one in opened(server, 20):
        with one:
            one.sendall(b"nonsense\r\n\r\n")
            one.recv(100)
    assert not caplog.records


@pytest.mark.parametrize("coding", ["br", "gzip"])
@pytest.mark.parametrize("path", ["/", "/config", "/plotly.min.js", "/player.html"])
def test_what_is_large_is_compressed_once(server, monkeypatch, path, coding):
    made, compress = [], connections._compress
    monkeypatch.setattr(connections, "_compress", lambda body, how: made.append(how) or compress(body, how))
    answers = [
        httpx.get(server.url + path, headers={"accept-encoding": coding}, timeout=patience(20)) for _ in range(3)
    ]
    plain = httpx.get(server.url + path, headers={"accept-encoding": "identity"}, timeout=patience(20))
    assert "content-encoding" not in plain.headers
    for answer in answers:
        assert answer.headers["content-encoding"] == coding and "accept-encoding" in answer.headers["vary"].lower()
        assert int(answer.headers["content-length"]) < len(plain.content) / 2
    assert len(made) <= (1 if path != "/" and path != "/config" else 3)
    if path not in ("/", "/config"):
        assert answers[0].content == plain.content
