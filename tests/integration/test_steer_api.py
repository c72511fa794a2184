"""The endpoint /steer over HTTP: knobs of the caller's own run change from its next step on, and what cannot change is refused."""

import json

import pytest
from gradio_client import Client

from tests.patience import soon


@pytest.fixture
def client(server):
    opened = Client(server.url, verbose=False)
    yield opened
    opened.close()


def under_way(server):
    assert soon(lambda: server.engine.busy and server.fake.passes >= server.begun + 2, 10)


def test_a_run_is_steered_by_who_started_it_and_by_nobody_else(server, client):
    server.fake.delay, server.begun = 0.1, server.fake.passes
    job = client.submit(
        prompt="hello", steps=60, rule="threshold", threshold=0.99, block_length=32, api_name="/denoise"
    )
    under_way(server)
    stranger = Client(server.url, verbose=False)
    try:
        with pytest.raises(Exception, match="There is no run under way to change"):
            stranger.predict(settings={"threshold": 0.0}, api_name="/steer")
        with pytest.raises(Exception, match="Confidence threshold must be between 0 and 1"):
            client.predict(settings={"threshold": 3}, api_name="/steer")
        client.predict(settings={"threshold": 0.0}, api_name="/steer")
    finally:
        stranger.close()
    frames = json.loads(list(job)[-1])["trace"]["frames"]
    changed = [(i, frame["x"]) for i, frame in enumerate(frames) if "x" in frame]
    assert len(changed) == 1 and changed[0][1] == {"set_threshold": 0.0} and changed[0][0] >= 2 and len(frames) < 40


@pytest.mark.parametrize("settings", [None, {}, [], "x", {"threshold": 0.5}])
def test_nothing_to_steer_is_said_in_a_sentence(client, settings):
    with pytest.raises(Exception, match="'settings' must map names to values|There is no run under way to change"):
        client.predict(settings=settings, api_name="/steer")
