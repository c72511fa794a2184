"""Raw HTTP to a running page: what a client may send, well or badly behaved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx

from tests.patience import patience

NAMES = (
    "prompt",
    "model",
    "mode",
    "system",
    "pinned",
    "steps",
    "new_tokens",
    "temperature",
    "rule",
    "threshold",
    "schedule",
    "order",
    "block_length",
    "top_p",
    "top_k",
    "factor",
    "entropy_bound",
    "remasking",
    "remask_strength",
    "guidance",
    "canvases",
    "t_max",
    "t_min",
    "stability",
    "confidence_threshold",
    "seed",
    "image",
    "messages",
)


def data(**changes: Any) -> list[Any]:
    """Return the inputs of /denoise in order: the defaults, and `changes`."""
    from model.settings import Settings

    values = {"prompt": "hello", "model": "fake", "mode": "diffusion", "system": "", "pinned": ""}
    values |= Settings().as_dict() | {"image": "", "messages": []} | changes
    assert tuple(values)[: len(NAMES)] == NAMES
    return [values[name] for name in NAMES]


class Client:
    """One visitor of one server."""

    def __init__(self, url: str):
        self.url = url + "/gradio_api"
        self.http = httpx.Client(timeout=patience(20))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.http.close()

    def post(self, path: str, body: Any) -> httpx.Response:
        """POST JSON (Python's own: NaN and lone surrogates go through)."""
        return self.http.post(
            self.url + path, content=json.dumps(body).encode(), headers={"content-type": "application/json"}
        )

    def call(self, name: str = "denoise", **changes: Any) -> httpx.Response:
        """Ask for a run through /call."""
        return self.post(f"/call/{name}", {"data": data(**changes)})

    def events(self, event_id: str, name: str = "denoise") -> Iterator[tuple[str, Any]]:
        """Yield (event, data) of a run asked for through /call."""
        with self.http.stream("GET", f"{self.url}/call/{name}/{event_id}") as response:
            yield from _events(response)

    def denoise(self, **changes: Any) -> list[tuple[str, Any]]:
        """Return all events of one run."""
        asked = self.call(**changes)
        assert asked.status_code == 200, asked.text
        return list(self.events(asked.json()["event_id"]))

    # the page's own way: one event stream a session
    def fn_index(self, api_name: str) -> int:
        """Return the number of an endpoint."""
        config = self.http.get(self.url.removesuffix("/gradio_api") + "/config").json()
        return next(d["id"] for d in config["dependencies"] if d["api_name"] == api_name)

    def join(self, session: str, **changes: Any) -> httpx.Response:
        """Ask for a run as the page does."""
        return self.trigger(session, self.fn_index("denoise"), data(**changes))

    def trigger(self, session: str, fn_index: int, values: list[Any]) -> httpx.Response:
        """Raise any event as the page does."""
        body = {"data": values, "fn_index": fn_index, "session_hash": session, "event_data": None, "trigger_id": None}
        return self.post("/queue/join", body)

    def listen(self, session: str) -> Iterator[dict[str, Any]]:
        """Yield the messages of a session's event stream."""
        with self.http.stream("GET", f"{self.url}/queue/data", params={"session_hash": session}) as response:
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])


def _events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    event = ""
    for line in response.iter_lines():
        if line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:") and event != "heartbeat":
            yield event, json.loads(line[5:])
            if event in ("complete", "error"):
                return
