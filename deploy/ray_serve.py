"""The engine on Ray Serve: replicas, each one model and one run at a time, behind the address that `--engine` takes.

    pip install "ray[serve]"
    python -m deploy.ray_serve --replicas 2          # this machine; then: make run ARGS="--engine http://127.0.0.1:7870"
    serve run deploy.ray_serve:app replicas=8        # a cluster that runs already

A request goes to a replica that has its model in memory, where there is one. A run that is stopped or left ends before its next step; a
replica that dies takes its own runs along, each of which ends with a sentence.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from ray import serve
from ray.exceptions import RayError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from model.engine import catalog
from model.engine.asked import parse_asked
from model.engine.engine import Engine
from model.engine.parsing import parse_model
from model.errors import BusyError, ModelUnavailable, PlaygroundError, SettingError
from model.limits import PROFILES
from playground.web.log import quiet
from playground.worker import NEWS_SECONDS, REFUSED, about, allowed, document, line_of, lines, score, stepped, told

HELD = 2  # requests a replica holds: one computes, one waits beside it; all others wait where any replica can take them
LOST = "The machine that wrote this run is gone. What was written is kept; run again."
FULL = "More runs wait than the engine takes; try again in a minute."


def _loader(step_seconds: float) -> Any:
    def load(model_id: str, progress: Any = None) -> Any:
        options = {"delay": step_seconds} if model_id == "fake" and step_seconds else {}
        return catalog.load(model_id, progress, **options)

    return load


@serve.deployment(max_ongoing_requests=HELD)
class Replica:
    """One engine. step_seconds: what a step of the scripted model takes, to measure everything around it."""

    def __init__(self, limits: str, step_seconds: float = 0.0):
        quiet()
        options = {"loader": _loader(step_seconds)} if step_seconds else {}
        self.engine = Engine(PROFILES[limits], **options)
        self.threads = ThreadPoolExecutor(4 * HELD, "run")

    @serve.multiplexed(max_num_models_per_replica=1)
    async def model(self, model_id: str) -> str:
        """Load a model, the other one unloaded; Ray Serve remembers which replica has which."""
        await asyncio.to_thread(self.engine.load, model_id)
        return model_id

    async def run(self, asked: Any) -> AsyncIterator[bytes]:
        """Yield a run's stream (see `model.engine.remote`)."""
        try:
            run = self.engine.run(parse_asked(asked, self.engine.limits))
            await self.model(serve.get_multiplexed_model_id())
        except PlaygroundError as error:
            yield line_of(told(error))
            return
        async for part in stepped(lines(run), run, self.threads):
            yield part

    async def score(self, asked: Any) -> dict[str, Any]:
        """Return {"nats"}, or an error as JSON."""
        try:
            await self.model(serve.get_multiplexed_model_id())
            return await asyncio.to_thread(score, self.engine, asked)
        except PlaygroundError as error:
            return told(error)

    async def about(self) -> dict[str, Any]:
        """Return which models there are."""
        return await asyncio.to_thread(about, self.engine)


@serve.deployment(max_ongoing_requests=1_000)
class Front:
    """The routes of a worker over replicas. at_once: how many there are at most."""

    def __init__(self, replicas: Any, limits: str, at_once: int):
        quiet()
        self.replicas, self.limits, self.at_once = replicas, PROFILES[limits], at_once

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if not allowed(request):
            return REFUSED
        routes = {"/health": self.health, "/run": self.run, "/score": self.score, "/steer": self.steer}
        route = routes.get(request.url.path)
        if route is None:
            return JSONResponse({"detail": "There is no such route."}, 404)
        try:
            return await route(request)
        except PlaygroundError as error:
            return JSONResponse(told(error), 503 if isinstance(error, BusyError | ModelUnavailable) else 422)
        except RayError:
            return JSONResponse(told(ModelUnavailable(LOST)), 503)

    async def health(self, request: Request) -> Response:
        """Say which models there are, and how many runs compute at once."""
        return JSONResponse(await self.replicas.about.remote() | {"places": self.at_once})

    async def run(self, request: Request) -> Response:
        """Write on the replica that Ray Serve chooses."""
        asked = await document(request)
        model = parse_asked(asked, self.limits).model
        return StreamingResponse(self.parts(asked, model), media_type="application/x-ndjson")

    async def score(self, request: Request) -> Response:
        """Say how surprising an answer is."""
        asked = await document(request)
        model = parse_model(asked.get("model") if isinstance(asked, dict) else None, self.limits)
        answer = await self.replicas.options(multiplexed_model_id=model).score.remote(asked)
        return JSONResponse(answer, 422 if "error" in answer else 200)

    async def steer(self, request: Request) -> Response:
        """Refuse: a run under way is on one of many machines, and nothing says on which."""
        raise SettingError(
            "Knobs cannot be changed under way on this engine; stop the run and go on from a step.", "settings"
        )

    async def parts(self, asked: Any, model: str) -> AsyncIterator[bytes]:
        """Pass a replica's stream on; an empty line, or what it waits for, where there is no news."""
        stream = self.replicas.options(stream=True, multiplexed_model_id=model).run.remote(asked)
        waiting = line_of({"waiting": {"what": "queue", "share": 0.0, "words": "another text is being written"}})
        news: asyncio.Task[bytes] | None = None
        try:
            while True:
                news = news or asyncio.ensure_future(anext(stream))
                done, _ = await asyncio.wait({news}, timeout=NEWS_SECONDS)
                if done:
                    part, news, waiting = news.result(), None, b"\n"
                    yield part
                else:
                    yield waiting
        except StopAsyncIteration:
            return
        except RayError:
            yield line_of(told(ModelUnavailable(LOST)))
        except Exception as error:
            if type(error).__name__ != "BackPressureError":
                raise
            yield line_of(told(BusyError(FULL)))
        finally:
            if news is not None:
                news.cancel()
            with suppress(Exception):
                stream.cancel()


def app(args: dict[str, Any]) -> Any:
    """Return the application. args: replicas (at most), least (fewer while nobody asks), limits, gpus a replica, step_seconds."""
    most = int(args.get("replicas", 2))
    least, limits = int(args.get("least", most)), str(args.get("limits", "local"))
    scaling = {"min_replicas": least, "max_replicas": most, "target_ongoing_requests": 1, "downscale_delay_s": 60}
    sized = {"autoscaling_config": scaling} if least < most else {"num_replicas": most}
    actor = {"num_gpus": float(args.get("gpus", 0)), "num_cpus": float(args.get("cpus", 1))}
    replica: Any = Replica  # what the decorators make of the two classes
    front: Any = Front
    replicas = replica.options(ray_actor_options=actor, **sized).bind(limits, float(args.get("step_seconds", 0.0)))
    return front.options(ray_actor_options={"num_cpus": 0}).bind(replicas, limits, most)


def start(port: int, cpus: int | None = None, **args: Any) -> None:
    """Start Ray and the application on this machine; return once it answers."""
    import ray

    ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    serve.run(app(args), name="inkblot", logging_config={"enable_access_log": False})


def main() -> None:
    """Serve on this machine until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m deploy.ray_serve", description="The engine on Ray Serve.")
    parser.add_argument("--replicas", type=int, default=2, help="at most so many (default 2)")
    parser.add_argument("--least", type=int, default=None, help="so many while nobody asks (default: all)")
    parser.add_argument("--limits", choices=sorted(PROFILES), default="local")
    parser.add_argument("--gpus", type=float, default=0, help="of each replica")
    parser.add_argument("--port", type=int, default=7870)
    given = vars(parser.parse_args())
    port = given.pop("port")
    start(port, max(2, given["replicas"] + 1), **{name: value for name, value in given.items() if value is not None})
    print(f"The engine is at http://127.0.0.1:{port}", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        serve.shutdown()


if __name__ == "__main__":
    main()
