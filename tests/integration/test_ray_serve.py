"""Two replicas on Ray Serve, on this machine: frames as from one engine, and a lost replica costs its own runs only."""

import contextlib
import os
import signal
import threading
import time

import pytest

from model.engine.engine import Engine
from model.engine.parsing import parse_request
from model.engine.remote import RemoteEngine
from model.errors import ModelUnavailable, PlaygroundError, SettingError

pytest.importorskip("ray", reason='Ray is not installed here (pip install "ray[serve]")')
pytestmark = [pytest.mark.stress, pytest.mark.filterwarnings("default")]
PORT = 7919


@pytest.fixture(scope="module")
def there():
    import ray
    from ray import serve

    from deploy.ray_serve import start

    start(PORT, 3, replicas=2, step_seconds=0.05)
    yield RemoteEngine(f"http://127.0.0.1:{PORT}")
    with contextlib.suppress(Exception):
        serve.shutdown()
    ray.shutdown()


def wrote(engine, model="fake", **settings):
    with engine.run(parse_request("A postcard from the volcano", settings, model=model)) as run:
        list(run)
    return run.trace


@pytest.mark.parametrize("model", ["fake", "worlds"])
def test_frames_are_those_of_an_engine_here(there, model):
    with contextlib.closing(Engine()) as here:
        one, other = wrote(there, model, steps=6), wrote(here, model, steps=6)
    assert len(one.frames) == len(other.frames) > 3
    assert all(a.same_as(b, times=False) for a, b in zip(one.frames, other.frames, strict=True))


def test_it_says_how_many_runs_compute_at_once_and_what_it_cannot_do(there):
    there.connect()
    assert there.places == 2
    assert there.score("fake", "hello", [1, 2]) == [0.5, 0.5]
    with pytest.raises(ModelUnavailable, match="no model called"):
        wrote(there, "nobody-knows-it")
    with there.run(parse_request("hello", {"steps": 8}, model="fake")) as run:
        next(run)
        with pytest.raises(SettingError, match="cannot be changed under way"):
            run.steer(temperature=0.5)


def test_a_stop_frees_the_replica_within_a_step(there):
    slow = {"steps": 256, "new_tokens": 256}  # 13 seconds each
    for _ in range(4):
        with there.run(parse_request("hello", slow, model="fake")) as run:
            next(run)
            run.stop()
            assert list(run) == []
    began = time.monotonic()
    wrote(there, steps=2)
    assert time.monotonic() - began < 6


def test_a_killed_replica_costs_its_own_runs_each_with_a_sentence(there):
    from bench.ray_load import replicas

    ended = []

    def one(seed):
        try:
            ended.append(wrote(there, steps=8, seed=seed).result.stopped)
        except PlaygroundError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(20)]
    for thread in threads:
        thread.start()
    while len(ended) < 4:
        time.sleep(0.02)
    os.kill(replicas()[0], signal.SIGKILL)
    for thread in threads:
        thread.join(60)
    lost = [said for said in ended if said != "end"]
    assert len(ended) == 20 and 1 <= len(lost) <= 2, ended
    assert all("is gone" in said and "run again" in said for said in lost)
