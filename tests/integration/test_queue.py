"""Waiting, stopping and leaving: one run at a time, bounded waiting, and a place freed within a step."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from gradio_client import Client as GradioClient

from model.models.scripted import SCRIPT
from model.trace.trace import Trace
from tests.http_client import Client, data
from tests.patience import patience, soon


def pace(server, delay: float, first_delay: float | None = None) -> None:
    """Set how long the fake's forward passes take."""
    server.fake.delay, server.fake.first_delay = delay, delay if first_delay is None else first_delay


def test_a_full_queue_says_so_at_once_and_recovers(serve):
    server = serve(queue=3, delay=0.03)
    with ThreadPoolExecutor(12) as pool:
        clients = [Client(server.url) for _ in range(12)]
        asked = list(pool.map(lambda client: client.call(steps=10, rule="schedule"), clients))
        taken = [(c, a) for c, a in zip(clients, asked, strict=True) if a.status_code == 200]
        refused = [a for a in asked if a.status_code != 200]
        assert 3 <= len(taken) <= 5 and all(
            a.status_code == 503 and "Queue is full" in a.json()["detail"] for a in refused
        )
        ended = list(pool.map(lambda pair: list(pair[0].events(pair[1].json()["event_id"]))[-1], taken))
        assert all(kind == "complete" and len(json.loads(said[0])["trace"]["frames"]) == 12 for kind, said in ended)
        assert clients[0].denoise()[-1][0] == "complete"
        for client in clients:
            client.http.close()


def test_a_visitor_may_wait_only_so_often(serve):
    server = serve("public", delay=0.05)
    with Client(server.url) as client:
        asked = [client.join("ann", steps=30, rule="schedule") for _ in range(5)]
        assert soon(lambda: server.fake.passes)
        assert [a.status_code for a in asked].count(200) in (2, 3)
        refused = [a for a in asked if a.status_code != 200]
        assert all(a.status_code == 400 and "at most 2 runs waiting" in a.json()["detail"] for a in refused)
        assert client.join("bob", steps=4).status_code == 200
        client.post(
            "/cancel",
            {"session_hash": "ann", "fn_index": client.fn_index("denoise"), "event_id": asked[0].json()["event_id"]},
        )
    assert soon(lambda: not server.engine.busy and server.engine.runs("ann") == [], 15)


def test_runs_never_overlap_and_nobody_sees_anothers(server):
    pace(server, 0.002)
    with ThreadPoolExecutor(6) as pool, Client(server.url) as client:
        ended = list(pool.map(lambda i: client.denoise(prompt=f"visitor {i}", seed=i)[-1], range(6)))
    for i, (kind, said) in enumerate(ended):
        trace = json.loads(said[0])["trace"]
        assert (
            kind == "complete"
            and trace["header"]["prompt"] == f"visitor {i}"
            and trace["header"]["settings"]["seed"] == i
        )


@pytest.mark.parametrize("after", [0, 5])
def test_a_listener_who_leaves_frees_the_place_within_a_step(server, after):
    pace(server, 0.1)
    threads = threading.active_count()
    with Client(server.url) as client:
        asked = client.call(steps=60, rule="schedule")
        for seen, _ in enumerate(client.events(asked.json()["event_id"])):
            if seen > after:
                break
    passes = server.fake.passes
    left = time.monotonic()
    assert server.idle(2) and time.monotonic() - left < patience(1)
    assert server.fake.passes <= passes + 2
    with Client(server.url) as client:
        assert client.denoise(steps=2)[-1][0] == "complete"
    assert threading.active_count() <= threads + 16  # Gradio's own worker threads stay


@pytest.mark.parametrize("first_delay", [0.05, 0.8], ids=["later", "in the first step"])
def test_a_cancelled_job_frees_the_place_within_a_step(server, first_delay):
    pace(server, 0.05, first_delay)
    before, client = server.fake.passes, GradioClient(server.url, verbose=False)
    try:
        job = client.submit(prompt="x", steps=60, rule="schedule", api_name="/denoise")
        assert soon(lambda: server.fake.passes - before >= (1 if first_delay > 0.5 else 4))
        at = server.fake.passes
        job.cancel()
        assert server.idle(3) and server.fake.passes <= at + 2
    finally:
        client.close()
    with Client(server.url) as again:
        assert again.denoise(steps=4)[-1][0] == "complete"


def test_stop_ends_the_run_before_its_next_step_and_all_its_frames_arrive(server):
    pace(server, 0.1)
    before = server.fake.passes
    with Client(server.url) as client:
        assert client.join("ann", steps=60, rule="schedule").status_code == 200
        stopping = client.fn_index("stop")
        last, stopped_at = None, None
        for message in client.listen("ann"):
            if message["msg"] == "process_generating" and stopped_at is None and server.fake.passes - before >= 3:
                stopped_at = server.fake.passes - before
                client.trigger("ann", stopping, [])
            if (
                message["msg"] == "process_completed"
                and "output" in message
                and len(message["output"].get("data") or []) == 2
            ):
                last = message["output"]["data"][0]
            if message["msg"] == "close_stream":
                break
        trace = json.loads(last)["trace"]
        assert trace["result"]["stopped"] == "cancelled" and trace["result"]["forwards"] <= stopped_at + 2
        assert len(trace["frames"]) == trace["result"]["forwards"] + 1 and server.idle()


def streamed(client: Client, session: str) -> list[str]:
    """Return what a session's event stream says of runs until it closes: each one's last message, or the error."""
    out = []
    for message in client.listen(session):
        if message["msg"] == "process_completed" and "output" in message:
            said = message["output"]
            out += (
                [said["data"][0]] if len(said.get("data") or []) == 2 else [said["error"]] if said.get("error") else []
            )
        if message["msg"] == "close_stream":
            return out
    return out


def test_a_stopped_run_continues_for_its_own_visitor_only(server):
    pace(server, 0.02)
    before, knobs = server.fake.passes, {"steps": 40, "rule": "schedule", "seed": 5}
    with Client(server.url) as client:
        client.join("ann", **knobs)
        assert soon(lambda: server.fake.passes - before >= 5)
        client.trigger("ann", client.fn_index("stop"), [])
        first = json.loads(streamed(client, "ann")[0])["trace"]
        assert first["result"]["stopped"] == "cancelled" and server.idle()
        going_on = client.fn_index("continue")
        client.trigger("bob", going_on, [])
        asked = client.post("/call/continue", {"data": []})
        told = list(client.events(asked.json()["event_id"], "continue"))
        assert "no stopped run to continue" in streamed(client, "bob")[0] and told[-1][0] == "error"
        client.trigger("ann", going_on, [])
        whole = json.loads(streamed(client, "ann")[0])["trace"]
        alone = json.loads(client.denoise(**knobs)[-1][1][0])["trace"]
    a, b = (Trace.from_json(json.dumps(trace)) for trace in (whole, alone))
    assert (
        all(x.same_as(y, times=False) for x, y in zip(a.frames, b.frames, strict=True))
        and a.result.text == b.result.text
    )
    assert len(first["frames"]) < len(a.frames) and not server.engine.resumable("ann")


def test_neighbours_of_a_cancelled_run_are_untouched(server):
    leaver, stayer = Client(server.url), Client(server.url)
    with leaver, stayer, ThreadPoolExecutor(2) as pool:
        first = leaver.call(steps=60, rule="schedule").json()["event_id"]
        second = pool.submit(stayer.denoise, seed=5)
        for _ in zip(range(4), leaver.events(first), strict=False):
            pass
        kind, said = second.result(20)[-1]
    assert kind == "complete" and json.loads(said[0])["trace"]["result"]["text"] == SCRIPT


MALFORMED = ["", " ", "x y", "../../etc", "a" * 65, "\u00e9", "x\n", "<script>"]


def test_the_queue_outlives_malformed_requests(serve):
    """A session hash that is none once ended the queue until a restart, for everybody."""
    server = serve("public", delay=0.0)
    with Client(server.url) as client:
        index = client.fn_index("denoise")
        for number in range(60):
            bad = MALFORMED[number % len(MALFORMED)]
            body = {"data": data(), "fn_index": index, "session_hash": bad, "event_data": None, "trigger_id": None}
            body |= [{}, {"fn_index": -1, "session_hash": "ok"}, {"fn_index": 999, "session_hash": "ok"}][number % 3]
            assert client.post("/queue/join", body).status_code >= 400
            if number % 10 == 0:
                assert client.denoise(steps=2)[-1][0] == "complete"
        assert client.http.get(server.url + "/health").json() == {"queue": "at work"}


def test_a_session_that_waits_is_never_forgotten(serve, monkeypatch):
    """An old page waits while thousands open others: its messages must stay, and the queue must not end."""
    server = serve("public", delay=0.05)
    queue = server.blocks._queue
    monkeypatch.setattr(queue.pending_messages_per_session, "max_size", 8)
    with Client(server.url) as client:
        held = [client.join(name, steps=20, rule="schedule") for name in ("first", "second", "third")]
        assert all(answer.status_code == 200 for answer in held)
        for number in range(40):
            queue.pending_messages_per_session[f"page-{number}"] = object()
        assert {"first", "second", "third"} <= set(queue.pending_messages_per_session) and len(
            queue.pending_messages_per_session
        ) <= 8
        queue.pending_messages_per_session.pop("third")  # whatever else may lose one
        assert client.denoise(steps=2)[-1][0] == "complete"
        assert client.http.get(server.url + "/health").status_code == 200


def test_the_queue_begins_again_when_its_processing_fails(serve, monkeypatch):
    server = serve(delay=0.0)
    queue, failed = server.blocks._queue, []

    def once():
        if not failed:
            failed.append(True)
            raise KeyError("lost")
        return original()

    original = queue.get_events
    monkeypatch.setattr(queue, "get_events", once)
    with Client(server.url) as client:
        assert client.denoise(steps=2)[-1][0] == "complete" and failed


@pytest.fixture
def impatient(monkeypatch):
    from playground.web import queue

    monkeypatch.setattr(queue, "UNREAD_SECONDS", patience(0.3))


def test_a_run_that_nobody_reads_ends_and_is_forgotten(impatient, serve):
    server = serve(delay=0.05)
    queue = server.blocks._queue
    with Client(server.url) as client:
        for number in range(3):
            assert client.join(f"deaf{number}", steps=60, rule="schedule").status_code == 200
        assert soon(lambda: server.fake.passes > 2) and len(queue.pending_messages_per_session) == 3
        assert soon(lambda: not queue.pending_messages_per_session, 10)
        assert server.idle(3) and not queue.pending_event_ids_session and not queue.event_ids_to_events
        assert server.fake.passes < 3 * 60
        assert client.denoise(steps=4)[-1][0] == "complete"


def test_a_run_that_is_read_is_neither_ended_nor_forgotten(impatient, serve):
    server = serve(delay=0.1)
    with Client(server.url) as client:
        client.join("ann", steps=24, rule="schedule", new_tokens=64)
        last = json.loads(streamed(client, "ann")[0])["trace"]
        assert last["result"]["stopped"] != "cancelled" and last["result"]["forwards"] >= 20
        assert "ann" in server.blocks._queue.pending_messages_per_session.known


def test_another_visitor_gets_a_turn_between_the_runs_of_a_race(serve):
    """A race of 24 runs once made the next visitor wait for all of them."""
    server = serve("public", delay=0.01)
    with Client(server.url) as ann, Client(server.url) as bob:
        lanes, knobs = [{"label": str(n)} for n in range(4)], {"model": "fake", "steps": 12, "rule": "schedule"}
        race = ["hello", lanes, knobs, "modes", 6, False]
        assert ann.trigger("ann", ann.fn_index("race"), race).status_code == 200
        assert soon(lambda: server.fake.passes > 10)
        kind, said = bob.denoise(steps=6, rule="schedule")[-1]
        passes = server.fake.passes
        assert kind == "complete" and json.loads(said[0])["trace"]["result"]["stopped"] in ("end", "full")
        assert passes < 24 * 12 / 2  # most of the race is still to come
        last = next(m for m in ann.listen("ann") if m["msg"] == "process_completed")
    lanes = last["output"]["data"][0]["lanes"]
    assert [lane["finished"] for lane in lanes] == [6] * 4 and server.idle()


def test_a_visitor_who_was_told_everything_occupies_next_to_nothing(serve):
    """A visit cost 6 kB for ever, and one with a run 400 kB: the whole page's configuration, and the last trace, kept for each."""
    server = serve("public", delay=0.0)
    queue, held = server.blocks._queue, server.blocks.state_holder.session_data
    with Client(server.url) as client:
        for number in range(3):
            client.join(f"page-{number}", steps=4)
            assert json.loads(streamed(client, f"page-{number}")[0])["done"]
    assert soon(lambda: not queue.pending_messages_per_session) and not queue.pending_event_ids_session
    assert (
        soon(lambda: not queue.event_ids_to_events) and list(queue.pending_messages_per_session.known)[-1] == "page-2"
    )
    sizes = [len(kept_of(session)) for session in held.values()]
    assert len(sizes) >= 3 and max(sizes) < 2_000


def kept_of(session) -> str:
    """Return everything that Gradio keeps of a session beside the page's own blocks, as text."""
    return repr({name: value for name, value in vars(session).items() if name != "blocks_config"})


def test_an_idle_page_does_not_look_at_its_queue_a_thousand_times_a_second(server, monkeypatch):
    looked, queue = [], type(server.blocks._queue)
    count = queue.__len__
    monkeypatch.setattr(queue, "__len__", lambda self: looked.append(1) or count(self))
    time.sleep(0.5)
    assert len(looked) <= 60
