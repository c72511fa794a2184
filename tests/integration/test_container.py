"""What the Dockerfile says, done without Docker: its files alone, its variables, its command, its health check; nothing is written."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.budgets import ROOT
from tests.patience import patience

TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text("utf-8"))
OFFLINE = dict.fromkeys(
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"], "http://127.0.0.1:9"
)


def command(pattern: str) -> list[str]:
    """The arguments that a line of the Dockerfile names, run with this Python."""
    (found,) = re.findall(pattern, TEXT, re.M)
    return [sys.executable, *json.loads(found)[1:]]


START, HEALTH = command(r"^CMD (\[.*\])$"), command(r"^HEALTHCHECK .*CMD (\[.*\])$")


def state(*folders: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size)
        for folder in folders
        for path in sorted(folder.rglob("*"))
    }


def test_it_runs_as_no_root_and_what_it_leaves_out_is_not_needed():
    user = re.findall(r"^USER (\S+)$", TEXT, re.M)
    assert (
        user == ["inkblot"]
        and TEXT.index("\nUSER") < TEXT.index("\nCMD")
        and "useradd --create-home --uid 1000 inkblot" in TEXT
    )
    copied = set(re.findall(r"^COPY (\S+)", TEXT, re.M))
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == kept and all((ROOT / name).exists() for name in copied)
    pinned = re.findall(r"torch==[\d.]+", TEXT + (ROOT / "Makefile").read_text())
    assert len(set(pinned)) == 1 and len(pinned) == 2


@pytest.mark.slow
def test_it_starts_from_its_own_files_without_a_network_and_writes_nothing(tmp_path: Path):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 7860)) == 0:
            pytest.skip("port 7860, the container's, is taken here")
    app, home, temporary = (tmp_path / name for name in ("app", "home", "tmp"))
    home.mkdir(), temporary.mkdir(), app.mkdir()
    for name in re.findall(r"^COPY (\S+)", TEXT, re.M):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, app / name, ignore=ignored) if (ROOT / name).is_dir() else shutil.copy(
            ROOT / name, app / name
        )
    told = dict(pair.split("=", 1) for line in re.findall(r"^ENV (.*)$", TEXT, re.M) for pair in line.split())
    told = {name: value.replace("/tmp/", f"{temporary}/") for name, value in told.items()}
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(temporary)} | OFFLINE | told
    before = state(app, home)
    process = subprocess.Popen(START, cwd=app, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines == ["Inkblot is at http://localhost:7860/\n", "worlds is ready\n"]
        subprocess.run(HEALTH, env=env, check=True, timeout=patience(20))
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=patience(20))
    assert state(app, home) == before and process.returncode == 0, out
    assert subprocess.run(HEALTH, env=env, capture_output=True, timeout=patience(20)).returncode != 0, (
        "a server that is gone is not healthy"
    )
