"""The app as a Space starts it, port 7860 and its variables, visited through a reverse proxy with a root path and without."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from scripts.budgets import ROOT
from tests.conftest import Server
from tests.patience import patience
from tests.reverse_proxy import proxied

WRITTEN = """() => {
    const { run } = document.querySelector("#player .ib-host").__player;
    return run?.header.prompt === "Written on a Space" && run.result?.stopped === "end";
}"""
pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@contextmanager
def space(**environment: str) -> Iterator[str]:
    """Start app.py with a Space's variables and nothing on its command line but the scripted model; yield its address."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 7860)) == 0:
            pytest.skip("port 7860, a Space's own, is taken here")
    told = {
        "SPACE_ID": "someone/inkblot",
        "SPACE_HOST": "someone-inkblot.hf.space",
        "SYSTEM": "spaces",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": "7860",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "app.py", "--model", "fake"],
        cwd=ROOT,
        env=os.environ | told | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout
        said = list(iter(process.stdout.readline, "fake is ready\n"))  # Gradio has a line of its own on a Space
        assert said[-1].startswith("Inkblot is at http://")
        yield "http://127.0.0.1:7860"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=patience(20))


@pytest.mark.parametrize("prefix", ["", "/spaces/inkblot"], ids=["no root path", "a root path"])
def test_a_run_on_a_space_behind_its_proxy(visit, prefix: str):
    with space(**({"GRADIO_ROOT_PATH": prefix} if prefix else {})) as own, proxied(own, prefix) as address:
        page = visit(Server(address, None, None, None), path="/")
        page.locator("#prompt textarea").fill("Written on a Space")
        page.locator("#run").click()
        page.wait_for_function(WRITTEN)
        page.locator("#player .ib-text .ib-cell").first.wait_for()
        answers = [page.request.get(f"{address}/{path}").status for path in ("health", "player.html", "config")]
        assert answers == [200, 200, 200]
        page.goto("about:blank")  # what is open when the server goes away would complain
