"""What the server does not offer stays closed, and what it offers says what it must."""

import json
import re

import httpx
import pytest

from tests.http_client import Client, data
from tests.patience import patience


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=patience(10)) as client:
        yield client


@pytest.mark.parametrize("door", ["run", "api"])
def test_nothing_skips_the_queue(http, server, door):
    names = [d["api_name"] for d in http.get("/config").json()["dependencies"] if d["backend_fn"]]
    assert {"denoise", "stop"} <= set(names)
    for name in names:
        answer = http.post(f"/gradio_api/{door}/{name}", json={"data": data()})
        assert answer.status_code == 404, name
    assert not server.engine.busy


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/monitoring", 403),
        ("/monitoring/summary", 403),
        ("/gradio_api/runs", 404),
        ("/gradio_api/file=/etc/passwd", 403),
        ("/gradio_api/file=/proc/self/environ", 403),
        ("/gradio_api/file=app.py", 403),
        ("/gradio_api/file=http://169.254.169.254/", 403),
        ("/gradio_api/file=https://example.com/", 403),
        ("/gradio_api/proxy=https://example.com/", 404),
        ("/gradio_api/file=../../../../etc/passwd", 404),
    ],
)
def test_back_doors_are_closed(http, path, status):
    answer = http.get(path, follow_redirects=False)
    assert answer.status_code == status and "root:" not in answer.text and len(answer.content) < 500


def test_a_large_body_is_refused_before_anybody_reads_it(http):
    for path in ("/gradio_api/call/denoise", "/gradio_api/queue/join", "/gradio_api/run/denoise", "/gradio_api/upload"):
        answer = http.post(
            path, content=json.dumps({"data": ["x" * 1_000_000]}), headers={"content-type": "application/json"}
        )
        assert answer.status_code == 413 and "at most 256,000 bytes" in answer.text
    pieces = (b"x" * 10_000 for _ in range(100))
    streamed = http.post("/gradio_api/queue/join", content=pieces, headers={"content-type": "application/json"})
    assert streamed.status_code in (400, 413)


def test_nothing_can_be_uploaded(http):
    assert http.post("/gradio_api/upload", files={"files": ("a.txt", b"x" * 1_000)}).status_code == 404
    assert http.post("/gradio_api/upload", files={"files": ("a.txt", b"x" * 1_000_000)}).status_code == 413


def test_every_answer_carries_the_security_headers(http):
    for path in ("/", "/config", "/gradio_api/info", "/monitoring", "/nowhere"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
        assert "default-src 'self'" in headers["content-security-policy"]


def test_no_other_origin_may_read(http):
    answer = http.get("/config", headers={"origin": "https://evil.example"})
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


def test_nothing_is_kept_shared_or_sent_home(http, server):
    config = http.get("/config").json()
    assert config["analytics_enabled"] is False and not config.get("mcp_server")
    assert server.blocks.share is False and server.blocks.show_error is False and not server.blocks.allowed_paths


def test_the_page_names_no_outside_address(http):
    page = http.get("/").text
    loaded = re.findall(r"(?:src|href)=[\"'](https?://[^\"']+)", page)
    assert [address for address in loaded if not address.startswith(str(http.base_url))] == []


def test_a_page_with_wrong_arguments_does_not_end_the_server(server):
    with Client(server.url) as client:
        for values in (["only one"], [], data() + ["one more"] * 50):
            assert client.post("/call/denoise", {"data": values}).status_code in (200, 400, 422)
        assert client.post("/queue/join", [1, 2]).status_code == 422
        assert client.http.post(client.url + "/queue/join", content=b"[" * 2_000).status_code in (400, 422)
        assert client.denoise()[-1][0] == "complete"
