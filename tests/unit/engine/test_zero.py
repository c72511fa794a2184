"""Runs on a ZeroGPU Space, with a stand-in for its package that enforces its rules: a fork, pickled values both ways, a limited time."""

import contextlib
import importlib
import inspect
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
import types

import pytest

from model.engine import catalog
from model.engine.engine import Engine
from model.engine.parsing import parse_request
from model.errors import NumericsError, SettingError
from model.limits import LOCAL
from model.models.scripted import Fake
from scripts.budgets import ROOT

MAIN = os.getpid()
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="ZeroGPU forks")


def stand_in(calls):
    """Return a module like `spaces`: GPU(duration=...) runs a function in a fork; a generator's values come back one by one."""

    def gpu(duration):
        def decorate(task):
            def called(*args):
                seconds = duration(*args) if callable(duration) else duration
                calls.append((task.__name__, seconds))
                sent = pickle.dumps(args)
                here, there = multiprocessing.Pipe()
                child = os.fork()
                if not child:
                    _forked(task, sent, there)
                until = time.monotonic() + seconds
                try:
                    while True:
                        if not here.poll(max(0.0, until - time.monotonic())):
                            raise RuntimeError("GPU task aborted")
                        kind, value = pickle.loads(here.recv_bytes())  # noqa: S301
                        if kind == "error":
                            raise value
                        if kind == "end":
                            return
                        yield value
                finally:
                    here.close()
                    if os.waitpid(child, os.WNOHANG) == (0, 0):
                        time.sleep(0.05)
                        with contextlib.suppress(ProcessLookupError, ChildProcessError):
                            os.kill(child, 9)
                            os.waitpid(child, 0)

            if inspect.isgeneratorfunction(task):
                return called
            return lambda *args: next(called(*args))

        return decorate

    return types.SimpleNamespace(GPU=gpu)


def _forked(task, sent, there):
    try:
        given = task(*pickle.loads(sent))  # noqa: S301
        for value in given if isinstance(given, types.GeneratorType) else [given]:
            there.send_bytes(pickle.dumps(("value", value)))
        there.send_bytes(pickle.dumps(("end", None)))
    except BaseException as error:
        there.send_bytes(pickle.dumps(("error", error)))
    finally:
        os._exit(0)


class OnGpu(Fake):
    """A fake that lies on a GPU: any pass in the process without one fails."""

    device = "cuda"

    def _pass(self, step):
        assert os.getpid() != MAIN, "CUDA was used outside a decorated function"
        super()._pass(step)

    def score(self, prompt, ids, system=""):
        assert os.getpid() != MAIN
        return super().score(prompt, ids, system)


@pytest.fixture
def lent(monkeypatch):
    calls = []
    monkeypatch.setitem(sys.modules, "spaces", stand_in(calls))
    monkeypatch.delitem(sys.modules, "model.engine.zero", raising=False)
    zero = importlib.import_module("model.engine.zero")
    fake = OnGpu()
    monkeypatch.setattr(catalog, "load", lambda model_id, progress=None, **options: fake)
    engine = Engine(LOCAL, loader=zero.load)
    yield types.SimpleNamespace(engine=engine, fake=fake, calls=calls, zero=zero)
    engine.close()
    monkeypatch.delitem(sys.modules, "model.engine.zero", raising=False)


def asked(**settings):
    return parse_request("hello", settings, model="fake")


def test_a_whole_run_is_one_call_and_its_frames_are_those_of_a_run_here(lent):
    with lent.engine.run(asked(steps=12, seed=4)) as run:
        frames = list(run)
    other = Fake().denoise("hello", run.request.settings).finish()
    assert [name for name, _ in lent.calls] == ["_frames"] and lent.fake.passes == 0
    assert all(a.same_as(b, times=False) for a, b in zip(frames, other.frames, strict=True))
    assert run.trace.result.text == other.result.text and run.trace.pieces == other.pieces
    assert lent.calls[0][1] == LOCAL.seconds + 10


def test_a_stop_reaches_the_fork_within_a_step_and_frees_the_turn(lent):
    lent.fake.delay = 0.1
    with lent.engine.run(asked(steps=64, new_tokens=64)) as run:
        next(run), next(run)
        run.stop()
        rest = list(run)
    assert len(rest) <= 2 and run.trace.result.stopped == "cancelled" and not lent.engine.busy


def test_a_closed_page_gives_the_gpu_back(lent):
    lent.fake.delay = 0.05
    run = lent.engine.run(asked(steps=200, new_tokens=200))
    next(run), next(run)
    began = time.monotonic()
    run.close()
    assert time.monotonic() - began < 2 and not lent.engine.busy and threading.active_count() < 20


def test_what_is_wrong_is_said_before_a_gpu_is_asked_for(lent):
    with pytest.raises(SettingError, match="must end by position 1023"):
        list(lent.engine.run(parse_request("hello", {"new_tokens": 1024}, model="fake", pinned="1023: " + "upon " * 8)))
    assert lent.calls == []


def test_a_failure_in_the_fork_is_told_and_knobs_cannot_change_under_way(lent):
    lent.fake.nan_at = 3
    run = lent.engine.run(asked())
    next(run)
    with pytest.raises(SettingError, match="cannot be changed under way"):
        run.steer(temperature=0.5)
    with pytest.raises(NumericsError, match="step 3"):
        list(run)
    assert run.trace.result.stopped == "error" and not lent.engine.busy


def test_a_score_is_a_call_of_its_own_and_a_model_on_the_cpu_is_left_alone(lent):
    lent.engine.load("fake")
    assert lent.engine.score("fake", "hello", [1, 2]) == [0.5, 0.5] and lent.calls[-1] == ("_score", 15)
    plain = Fake()
    assert lent.zero.lent(plain) is plain


def test_nothing_of_cuda_is_touched_when_it_is_imported():
    code = """
import sys, types
sys.modules["spaces"] = types.SimpleNamespace(GPU=lambda duration: lambda task: task)
import model.engine.engine, model.engine.zero
torch = sys.modules.get("torch")
print(torch is None or not torch.cuda.is_initialized(), "transformers" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "False"], done.stderr[-800:]
