"""`python app.py` as `make run` starts it: the page is up soon, wrong flags are told, an interrupt ends it quietly."""

import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from scripts.budgets import ROOT
from tests.patience import patience


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(*flags: str, **environment: str) -> subprocess.Popen:
    env = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONUNBUFFERED": "1", **environment}
    command = [sys.executable, "app.py", *flags]
    # A shell that starts the tests in the background has them ignore interrupts, and a child would inherit that.
    listen = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    return subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=listen
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "steps"),
    [({"GRADIO_SERVER_NAME": "127.0.0.1"}, 1024), ({"SPACE_ID": "someone/inkblot"}, 256)],
    ids=["here", "on a Space"],
)
def test_the_page_is_up_and_an_interrupt_ends_it(space, steps):
    port = free_port()
    process = start("--model", "fake", "--no-browser", "--port", str(port), **space)
    try:
        where = (
            "localhost" if "SPACE_ID" in space else "127.0.0.1"
        )  # as Gradio calls 0.0.0.0, where a Space's visitors arrive
        assert process.stdout.readline() == f"Inkblot is at http://{where}:{port}/\n"
        assert process.stdout.readline() == "fake is ready\n"
        config = httpx.get(f"http://127.0.0.1:{port}/config", timeout=patience(5))
        sliders = {c["props"].get("elem_id"): c["props"] for c in config.json()["components"]}
        assert config.status_code == 200 and sliders["knob-steps"]["maximum"] == steps
        assert ("content-security-policy" in config.headers) == ("SPACE_ID" not in space)
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=patience(20))
    assert process.returncode == 0 and out == ""


PROXIES = {
    "dead": {
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    },
    "socks": {"ALL_PROXY": "socks5://127.0.0.1:9", "all_proxy": "socks5h://127.0.0.1:9"},
    "no address": {"HTTP_PROXY": "proxy.example:port", "ALL_PROXY": "::::"},
    "exceptions": {
        "HTTP_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "localhost , 10.0.0.0/8, ::1, [fe80::1]:80 ,*.example, http://x y",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("case", PROXIES)
def test_the_page_is_up_whatever_the_variables_say_of_proxies(case):
    port = free_port()
    process = start("--model", "fake", "--no-browser", "--host", "127.0.0.1", "--port", str(port), **PROXIES[case])
    try:
        assert process.stdout.readline() == f"Inkblot is at http://127.0.0.1:{port}/\n"
        assert process.stdout.readline() == "fake is ready\n"
        assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=patience(5), trust_env=False).status_code == 200
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=patience(20))


def test_variables_that_name_a_proxy_come_back(monkeypatch):
    from playground.proxies import unproxied

    for name, value in (("HTTP_PROXY", "http://a"), ("no_proxy", "b")):
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with pytest.raises(KeyError), unproxied():
        assert os.environ["no_proxy"] == "*" and "HTTP_PROXY" not in os.environ
        raise KeyError
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (["--model", "nope"], 1, "There is no model called 'nope'"),
        (["--limits", "none"], 2, "invalid choice"),
        (["--port", "x"], 2, "invalid int"),
        (["--trusted-proxy", "10"], 1, "Trusted proxies must be between 0 and 9; it was 10."),
        (["--trusted-proxy=-1"], 1, "Trusted proxies must be between 0 and 9; it was -1."),
        (["--trusted-proxy", "x"], 2, "invalid int"),
        (["--port", "99999"], 1, "The port must be between 1 and 65535; it was 99999."),
    ],
)
def test_a_wrong_flag_is_told_in_one_line(flags, status, said):
    done = subprocess.run(
        [sys.executable, "app.py", *flags, "--no-browser"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(60),
    )
    assert done.returncode == status and said in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_taken_port_is_told_in_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start("--model", "fake", "--no-browser", "--port", str(taken.getsockname()[1]))
        out, _ = process.communicate(timeout=patience(60))
    assert process.returncode == 1 and "The page cannot be served" in out and "Traceback" not in out


@pytest.mark.parametrize(
    ("variables", "host"),
    [
        ({}, "127.0.0.1"),
        ({"SPACE_ID": "someone/inkblot"}, "0.0.0.0"),
        ({"GRADIO_SERVER_NAME": "192.0.2.7", "SPACE_ID": "someone/inkblot"}, "192.0.2.7"),
    ],
)
def test_without_a_host_the_surroundings_decide(monkeypatch, variables, host):
    from playground.web import server

    for name in ("SPACE_ID", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(server.Path, "exists", lambda self: False)  # these tests may run in a container
    assert server.default_host() == host


@pytest.mark.parametrize(
    ("flags", "space", "proxies", "names"),
    [
        ([], "", 0, []),
        ([], "someone/inkblot", 1, []),
        (["--trusted-proxy", "2"], "", 2, []),
        (["--trusted-proxy", "0"], "someone/inkblot", 0, []),
        (["--allow-host", "talk.example", "--allow-host", "Other.Example"], "", 0, ["talk.example", "Other.Example"]),
    ],
)
def test_what_is_trusted_reaches_the_server(monkeypatch, flags, space, proxies, names):
    from playground.cli import main as cli
    from playground.web import server

    told = {}

    def launch(engine, profile, model, **options):
        told.update(options)
        raise OSError("that is all")

    monkeypatch.setattr(server, "launch", launch)
    monkeypatch.delenv("SPACE_ID", raising=False)
    if space:
        monkeypatch.setenv("SPACE_ID", space)
    assert cli.main(["serve", "--model", "fake", "--no-browser", "--host", "127.0.0.1", *flags]) == 1
    assert (told["proxies"], list(told["names"])) == (proxies, names)


@pytest.mark.slow
def test_a_name_that_was_allowed_is_answered_and_no_other():
    port = free_port()
    process = start(
        "--model", "fake", "--no-browser", "--host", "127.0.0.1", "--port", str(port), "--allow-host", "Talk.Example"
    )
    try:
        process.stdout.readline()
        for name, status in (
            ("talk.example", 200),
            (f"talk.example:{port}", 200),
            ("other.example", 403),
            ("talk.example.evil", 403),
        ):
            assert (
                httpx.get(f"http://127.0.0.1:{port}/health", headers={"host": name}, timeout=patience(5)).status_code
                == status
            ), name
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=patience(20))
