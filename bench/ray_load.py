"""Many visitors on Ray Serve, with the scripted model, whose steps only wait: what one replica does, what two do, what a lost one costs.

    python -m bench.ray_load --visitors 200      (needs: pip install "ray[serve]")

The last line of stdout is one JSON object: runs a second with one replica and with two, their ratio over twice one's, and of the runs
during which a replica was killed how many were lost, each with its sentence.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from model.engine.parsing import parse_request
from model.engine.remote import RemoteEngine
from model.errors import PlaygroundError

STEP_SECONDS, STEPS = 0.1, 4


def visit(url: str, visitors: int, at: float = 0.0, then: Any = None) -> tuple[float, Counter[str]]:
    """Let so many write at once; return seconds, and how the runs ended. then: called after a share `at` of them has ended."""
    ended: Counter[str] = Counter()
    lock = threading.Lock()

    def one(seed: int) -> None:
        try:
            with RemoteEngine(url).run(parse_request("hello", {"steps": STEPS, "seed": seed}, model="fake")) as run:
                frames = len(list(run))
            assert run.trace is not None and run.trace.result is not None
            said = f"{run.trace.result.stopped}, {frames} frames"
        except PlaygroundError as error:
            said = str(error)
        with lock:
            ended[said] += 1

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(visitors)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    while then and sum(ended.values()) < at * visitors:
        time.sleep(0.02)
    if then:
        then()
    for thread in threads:
        thread.join()
    return time.monotonic() - began, ended


def replicas() -> list[int]:
    """Return the processes of this machine that are replicas."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if line.read_bytes().startswith(b"ray::ServeReplica:inkblot:Replica"):
                found.append(int(line.parent.name))
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.ray_load")
    parser.add_argument("--visitors", type=int, default=200)
    parser.add_argument("--port", type=int, default=7919)
    args = parser.parse_args()
    import ray
    from ray import serve

    from deploy.ray_serve import app, start

    url, figures = f"http://127.0.0.1:{args.port}", dict[str, Any](visitors=args.visitors)
    start(args.port, 4, replicas=1, step_seconds=STEP_SECONDS)
    try:
        for count in (1, 2):
            if count == 2:
                serve.run(app({"replicas": 2, "step_seconds": STEP_SECONDS}), name="inkblot")
            visit(url, 2 * count)  # warm
            seconds, ended = visit(url, args.visitors)
            figures[f"replicas_{count}"] = {
                "seconds": round(seconds, 2),
                "runs_per_second": round(args.visitors / seconds, 3),
            }
            print(count, "replicas:", round(seconds, 2), "s;", dict(ended), flush=True)
        one, two = (figures[f"replicas_{count}"]["runs_per_second"] for count in (1, 2))
        figures["of_twice"] = round(two / (2 * one), 3)
        _, ended = visit(url, args.visitors, 0.25, lambda: os.kill(replicas()[0], signal.SIGKILL))
        figures["killed"] = dict(ended)
    finally:
        serve.shutdown()
        ray.shutdown()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
