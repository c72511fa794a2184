"""An engine elsewhere writes what one here writes, frame by frame; what ends a run on one side ends it on the other."""

import contextlib
import http.client
import json
import logging
import socket
import threading
import time
from dataclasses import replace

import pytest
import uvicorn

from model.address import TOKEN
from model.engine import catalog
from model.engine.asked import asked_json, parse_asked
from model.engine.engine import Engine
from model.engine.parsing import parse_continuation, parse_fill, parse_request
from model.engine.remote import Remote, RemoteEngine
from model.errors import ModelUnavailable, NumericsError, PlaygroundError, SettingError
from model.holes import Filling, Tries
from model.limits import LOCAL, PUBLIC
from model.models.scripted import Fake
from playground.compare.lanes import make_lanes
from playground.compare.race import Race
from playground.worker import Worker
from tests.tiny_gemma import drawn


@contextlib.contextmanager
def working(engine):
    """Serve a worker over an engine; yield its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(Worker(engine).app(), port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 10
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
        engine.close()


def loader(fake):
    """Load the small models that ship, and this fake, again and again."""

    def load(model_id, progress=None):
        fake.closed = False
        return fake if model_id == "fake" else catalog.load(model_id, progress)

    return load


@pytest.fixture(scope="module")
def both():
    """An engine elsewhere on real small models and a fake, and one like it here."""
    fake = Fake()
    with working(Engine(LOCAL, loader=loader(fake))) as url:
        here = Engine(LOCAL, loader=loader(Fake()))
        yield RemoteEngine(url), here, fake
        here.close()


def written(engine, request):
    with engine.run(request) as run:
        frames = list(run)
    return run.trace, frames


def same(one, other):
    """Every frame, and everything of the result but its times."""
    assert len(one.frames) == len(other.frames) > 1
    assert all(a.same_as(b, times=False) for a, b in zip(one.frames, other.frames, strict=True))
    plain = {"seconds": 0.0, "first_frame_seconds": 0.0}
    assert replace(one.result, **plain) == replace(other.result, **plain)
    assert one.pieces == other.pieces
    assert {**vars(one), "frames": 0, "result": 0, "pieces": 0} == {
        **vars(other),
        "frames": 0,
        "result": 0,
        "pieces": 0,
    }


ASKED = {
    "masked": ("A postcard from the volcano", {"steps": 8}, {"model": "worlds"}),
    "autoregressive": ("A postcard from the volcano", {"new_tokens": 32}, {"model": "worlds", "mode": "ar"}),
    "uniform": ("A lost cat", {"steps": 6, "new_tokens": 32}, {"model": "worlds-noisy"}),
    "scripted": ("hello", {"remasking": "remdm_cap", "seed": 5}, {"model": "fake", "pinned": "5: upon"}),
}


@pytest.mark.parametrize("case", ASKED)
def test_frames_from_elsewhere_are_those_from_here(both, case):
    there, here, _ = both
    prompt, settings, others = ASKED[case]
    request = parse_request(prompt, settings, **others)
    (one, frames), (other, _) = written(there, request), written(here, request)
    same(one, other)
    assert frames == one.frames


def test_going_on_from_a_step_with_edits_and_a_change_under_way(both):
    there, here, _ = both
    trace, _ = written(here, parse_request("A postcard from the volcano", {"steps": 8}, model="worlds"))
    edits = [{"at": [2, 4], "do": "erase"}, {"at": [6, 7], "do": "pin"}]
    request = parse_continuation(trace.to_json(), len(trace.frames) - 1, edits, True)
    same(written(there, request)[0], written(here, request)[0])
    with there.run(parse_request("hello", {"steps": 20, "threshold": 0.9, "rule": "threshold"}, model="fake")) as run:
        next(run)
        run.steer(threshold=0.1)
        frames = list(run)
    assert any(frame.notes for frame in frames)
    again = parse_continuation(run.trace.to_json(), 0)
    assert again.draft.steered
    same(written(there, again)[0], written(here, again)[0])


def test_holes_are_filled_alike(both):
    there, here, _ = both

    def filled(engine):
        request, parts = parse_fill(
            "Lost: an orange ___ called Otto, last seen near the [1].", {"steps": 8}, model="worlds"
        )
        begin = lambda lengths: engine.run(replace(request, draft=Filling(parts=parts, lengths=lengths)))  # noqa: E731
        tries = Tries(parts, begin, lambda prompt, ids: engine.score("worlds", prompt, ids))
        for run in tries:
            list(run)
        return tries.trace

    same(filled(there), filled(here))


def test_a_race_elsewhere_has_the_lanes_of_one_here(both):
    def raced(engine):
        race = Race(engine, make_lanes("hello", {"model": "fake", "steps": 8}, [{}, {"mode": "ar"}], LOCAL))
        list(race)
        return race.results

    for one, other in zip(raced(both[0]), raced(both[1]), strict=True):
        assert not one.error and one.shown.quality == other.shown.quality
        same(one.shown.trace, other.shown.trace)


def test_a_stopped_run_goes_on_as_it_would_have_gone(both):
    there, here, _ = both
    request = parse_request("hello", {"steps": 16}, model="fake")
    with there.run(request, "ann", keep=True) as run:
        next(run), next(run)
        run.stop()
        assert list(run) == [] and run.trace.result.stopped == "cancelled"
        assert there.resumable("ann") and not there.resumable("bob")
    with there.resume("ann") as again:
        list(again)
    same(again.trace, written(here, request)[0])
    with pytest.raises(SettingError):
        there.resume("bob")


@pytest.mark.parametrize("end", ["stop", "close", "connection"])
def test_what_ends_a_run_here_ends_it_there_within_a_step(both, end):
    there, _, fake = both
    fake.delay = 0.15
    try:
        if end == "connection":  # the page's whole machine is gone
            request = parse_request("hello", {"steps": 64}, model="fake")
            connection, response = Remote(there.remote.name).ask("POST", "/run", asked_json(request))
            while b"header" not in response.readline():
                pass
            passes = fake.passes
            connection.sock.shutdown(socket.SHUT_RDWR)
            response.close(), connection.close()
        else:
            with there.run(parse_request("hello", {"steps": 64}, model="fake")) as run:
                next(run)
                waiter = threading.Thread(target=lambda: list(run))
                waiter.start()
                time.sleep(0.2)
                passes = fake.passes
                getattr(run, end)()
                waiter.join(1)
                assert not waiter.is_alive() and run.trace.result.stopped == "cancelled"
        time.sleep(0.5)
        assert fake.passes <= passes + 1
    finally:
        fake.delay = 0.0


def test_limits_hold_on_the_other_side_too():
    with working(Engine(PUBLIC, loader=loader(Fake()))) as url:
        there = RemoteEngine(url)
        too_long = parse_request("hello", {"new_tokens": 1000}, model="fake")
        with pytest.raises(SettingError, match="must be between 1 and 256"):
            list(there.run(too_long))
        assert list(there.run(parse_request("hello", {}, model="fake")))


def test_a_failure_there_is_told_here_and_what_came_is_kept(both):
    there, _, fake = both
    fake.fail_at, fake.error = 3, lambda: NumericsError("The model returned values that are not numbers in step 3.")
    try:
        run = there.run(parse_request("hello", {}, model="fake"))
        with pytest.raises(NumericsError, match="step 3"):
            list(run)
        assert len(run.trace.frames) == 3 and run.trace.result.stopped == "error"
    finally:
        fake.fail_at = None
    with pytest.raises(PlaygroundError, match="worlds has ids|has ids"):
        there.score("worlds", "hello", [10**6])


def test_an_engine_that_is_gone_gets_a_sentence(monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        there = RemoteEngine(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def answer():
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                client.recv(65_536)
                client.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                line = b'{"waiting":{"what":"queue","share":0,"words":"another"}}\n'
                client.sendall(b"%x\r\n%s\r\n" % (len(line), line))
                client.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(ModelUnavailable, match="went away during the run"):
            list(there.run(parse_request("hello", {}, model="fake")))
    with pytest.raises(ModelUnavailable, match="does not answer; try again"):
        list(there.run(parse_request("hello", {}, model="fake")))
    with pytest.raises(ModelUnavailable, match="does not answer"):
        there.connect()


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://a:b@c", "http://a:99999", "http://x?y=1", "//"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(SettingError, match="address must be like"):
        RemoteEngine(url)


def test_a_token_is_asked_for_where_there_is_one(both, monkeypatch):
    there = both[0]
    monkeypatch.setenv(TOKEN, "secret")
    assert there.remote.told("GET", "/health")["places"] == 1
    connection = http.client.HTTPConnection(there.remote.host, there.remote.port)
    connection.request("GET", "/health", headers={"authorization": "Bearer other"})
    assert connection.getresponse().status == 401
    connection.close()


BAD = {
    "not a mapping": [],
    "unknown name": {"prompt": "hello", "limits": "local"},
    "no prompt": {"model": "fake"},
    "a draft with an id behind the vocabulary": {"prompt": "hello", "model": "fake", "draft": {"ids": [10**9]}},
    "a draft kept where nothing stands": {"prompt": "x", "model": "fake", "draft": {"ids": [-1], "kept": [0]}},
    "a draft kept beyond itself": {"prompt": "x", "model": "fake", "draft": {"ids": [1], "kept": [1]}},
    "a knob that cannot change": {"prompt": "x", "model": "fake", "draft": {"steered": {"1": {"seed": 1}}}},
    "holes without lengths": {"prompt": "x", "model": "fake", "draft": {"parts": ["a", 0, "b"]}},
    "an image that is none": {"prompt": "x", "model": "fake", "images": ["%%%"]},
    "a field too many": {"prompt": "x", "model": "fake", "draft": {"tokens": []}},
    "not a number": {"prompt": "x", "model": "fake", "settings": {"temperature": float("nan")}},
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_request_is_refused_before_anything_runs(both, case):
    there, _, fake = both
    before = fake.passes
    with pytest.raises(SettingError):
        connection, response = there.remote.ask("POST", "/run", BAD[case])
        with contextlib.closing(connection):
            for line in response.read().splitlines():  # what only the loaded model can tell
                if b"error" in line:
                    raise SettingError(json.loads(line)["error"])
    assert fake.passes == before


def test_a_foreign_page_cannot_send_what_a_form_sends(both):
    there = both[0]
    connection = http.client.HTTPConnection(there.remote.host, there.remote.port)
    connection.request("POST", "/run", '{"prompt": "x", "model": "fake"}', {"content-type": "text/plain"})
    assert connection.getresponse().status == 422
    connection.close()


def test_a_request_survives_the_way():
    request, parts = parse_fill("An orange ___ called [2].", {"steps": 8}, model="worlds")
    request = replace(request, draft=Filling(parts=parts, lengths=(3, 2), about="x"))
    assert parse_asked(json.loads(json.dumps(asked_json(request))), LOCAL) == request
    seen = parse_request("x", model="diffusiongemma", image=[drawn(), drawn(seed=1)])
    assert parse_asked(json.loads(json.dumps(asked_json(seen))), LOCAL).images == seen.images


def test_no_prompt_is_logged(both, caplog, capfd):
    there = both[0]
    caplog.set_level(logging.DEBUG)
    list(there.run(parse_request("xyzzy-secret", {}, model="fake")))
    with pytest.raises(SettingError):
        there.remote.ask("POST", "/run", {"prompt": "xyzzy-secret", "model": "fake", "nothing": 1})
    told = caplog.text + "".join(capfd.readouterr())
    assert "xyzzy" not in told


def test_a_page_over_an_engine_elsewhere_says_what_one_over_its_own_says(both):
    from playground.web.server import launch
    from tests.http_client import Client

    blocks, url = launch(RemoteEngine(f"http://{both[0].remote.name}"), LOCAL, "fake")
    try:
        with Client(url.rstrip("/")) as client:
            events = client.denoise(steps=8)
        assert events[-1][0] == "complete"
        last = json.loads(events[-1][1][0])
        assert last["done"] and last["trace"]["result"]["stopped"] == "end"
        assert len(last["trace"]["frames"]) == len(
            written(both[1], parse_request("hello", {"steps": 8}, model="fake"))[1]
        )
    finally:
        blocks.close(verbose=False)


def test_the_catalogue_says_what_the_engine_has(both, monkeypatch):
    monkeypatch.setattr(catalog, "_table", dict(catalog._table()).copy)
    table = catalog._table()
    monkeypatch.setattr(catalog, "_table", lambda: table)
    with contextlib.closing(RemoteEngine(f"http://{both[0].remote.name}")) as there:
        there.connect()
    assert catalog.entry("worlds").standing()[0] == "ready"
    catalog.elsewhere({"worlds": (False, "no GPU.", False), "builtin": (True, "", False)})
    assert catalog.entry("worlds").standing() == ("unavailable", "not available here: no GPU.")
    assert catalog.entry("builtin").standing()[0] == "download" and not catalog.entry("fake").available()[0]
