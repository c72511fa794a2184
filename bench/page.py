"""How long a visitor waits: from starting the server to the page, from the request to the first frame; and what the server occupies."""

from __future__ import annotations

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROMPT = "Why is the sky blue?"
READY_SECONDS = 120.0


@dataclass(frozen=True)
class Server:
    """A playground in its own process. ready_seconds: from its start until the page was served."""

    url: str
    pid: int
    ready_seconds: float


@contextmanager
def serving(model: str = "builtin") -> Iterator[Server]:
    """Start the playground on a free port, yield it once its page is served, and end it."""
    import httpx

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, begin = f"http://127.0.0.1:{port}/", time.perf_counter()
    command = [sys.executable, "app.py", "--port", str(port), "--model", model, "--no-browser"]
    environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"}
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment)
    try:
        while True:
            try:
                if httpx.get(url, timeout=READY_SECONDS).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with status {process.returncode}")
            if time.perf_counter() - begin > READY_SECONDS:
                raise RuntimeError(f"the page was not served within {READY_SECONDS:g} s")
            time.sleep(0.02)
        yield Server(url, process.pid, time.perf_counter() - begin)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def first_frame(client: Any, prompt: str = PROMPT) -> tuple[float, float]:
    """Return seconds from the request to the first frame that a forward pass made, and to the end of the run."""
    begin, first = time.perf_counter(), None
    for output in client.submit(prompt=prompt, api_name="/denoise"):
        if first is None and any(computed(text) for text in _texts(output)):
            first = time.perf_counter() - begin
    if first is None:
        raise RuntimeError("the endpoint sent no frame")
    return first, time.perf_counter() - begin


def computed(text: str) -> bool:
    """Whether a wire message holds a frame beyond the empty canvas."""
    message = json.loads(text) if text.startswith('{"run"') else {}
    return bool(message.get("done")) or message.get("from", 0) + len(message.get("frames", ())) > 1


def _texts(output: Any) -> list[str]:
    return [part for part in (output if isinstance(output, list | tuple) else [output]) if isinstance(part, str)]


def rss_bytes(pid: int) -> int | None:
    """Return the resident memory of a process, None where the system does not tell."""
    try:
        found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def waiting(model: str = "builtin", runs: int = 5) -> dict[str, Any]:
    """Return what a visitor waits for, and the server's memory after that many runs. The first run warms up and is told apart."""
    from gradio_client import Client

    with serving(model) as server:
        client = Client(server.url, verbose=False)
        cold, _ = first_frame(client)
        measured = [first_frame(client) for _ in range(runs)]
        return {
            "page_ready_seconds": round(server.ready_seconds, 3),
            "first_frame_seconds": round(statistics.median(first for first, _ in measured), 4),
            "first_frame_seconds_worst": round(max(first for first, _ in measured), 4),
            "first_frame_seconds_after_start": round(cold, 4),
            "whole_run_seconds": round(statistics.median(whole for _, whole in measured), 3),
            "rss_bytes": rss_bytes(server.pid),
        }
