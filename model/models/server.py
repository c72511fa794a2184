"""A server that speaks OpenAI's chat protocol, as a model that writes committed text: vLLM with DiffusionGemma, or any other.

It sends text, in pieces or in whole canvases, and no steps: a frame is what one message brought. Passes are not counted, since the server
does not tell them; tokens are those it counts itself, and seconds those of the whole request. It is asked for each token's probability,
and where it refuses, does without. Nothing can stand on its canvas beforehand: the protocol has no place for that, and vLLM's own
(`diffusion_seed_canvas`) is in no release.
"""

from __future__ import annotations

import http.client
import json
import math
import queue
import re
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from model.address import GONE, Address, shut
from model.entry import Entry, Progress
from model.errors import ModelUnavailable, SettingError
from model.limits import LOCAL, Limits
from model.loops.canvas import Canvas
from model.loops.steering import Control
from model.loops.stopwatch import Clock, Stopwatch
from model.request import Request
from model.run import Model, Run
from model.settings import Settings
from model.spec import ModelSpec
from model.text import messages_of, normalise
from model.trace.frame import SETTLED, Frame
from model.trace.trace import Trace

ID, END, VOCABULARY = "server", 0, 1_000_000  # pieces get ids as they come; the first is the end
SILENT_SECONDS, LOOK_SECONDS, LINE_BYTES = 60.0, 0.05, 8_000_000
STEPLESS = "The server does not send steps: its text appears as it arrives, and passes are not counted."
_PIECE = re.compile(r"\s*\S+|\s+")


def entry(url: str) -> Entry:
    """Return the catalogue's entry for the first model that a server offers; raise SettingError, ModelUnavailable."""
    address = Address(url)
    try:
        connection, response = address.open("GET", "/models", None, SILENT_SECONDS)
        with closing(connection):
            told = json.loads(response.read(LINE_BYTES))
        name, most = told["data"][0]["id"], told["data"][0].get("max_model_len")
        name = normalise(name)[:100]
    except (*GONE, KeyError, TypeError, IndexError):
        raise ModelUnavailable(
            f"{address.name} does not answer as an OpenAI-compatible server; its address ends in /v1."
        ) from None
    spec = ModelSpec(
        id=ID,
        name=f"{name} (a server, which does not send steps)",
        family="autoregressive",
        vocab_size=VOCABULARY,
        eos_ids=(END,),
        modes=("ar",),
        max_tokens=most if isinstance(most, int) and most > 0 else 4096,
        note=f"{name} at {address.name}. {STEPLESS}",
    )
    return Entry(
        spec, "model.models.server:load", "that server", options={"spec": spec, "address": address, "name": name}
    )


def load(spec: ModelSpec, address: Address, name: str, progress: Progress | None = None) -> Server:
    """Return the server as a model."""
    return Server(spec, address, name)


@dataclass(frozen=True)
class Piece:
    """What arrived: bytes of text, and the probability the server gave it, None where it gave none."""

    text: bytes
    p: float | None = None


class Server(Model):
    """A server as a loaded model. See the module docstring."""

    def __init__(self, spec: ModelSpec, address: Address, name: str):
        self.spec, self.address, self.name = spec, address, name
        self._ids: dict[bytes, int] = {b"": END}
        self._pieces: dict[int, bytes] = {END: b""}

    def encode(self, prompt: str, system: str = "") -> list[int]:
        """Return nothing: the server tokenises, and refuses a prompt that is too long."""
        return []

    def tokens(self, text: str) -> list[int]:
        """Raise SettingError: no word can stand on a server's canvas."""
        raise SettingError("This server takes no words on the canvas; it writes from a prompt alone.", "pinned")

    def piece(self, token: int) -> bytes:
        """Return the bytes of a piece that came."""
        return self._pieces[token]

    def score(self, prompt: str, ids: Sequence[int], system: str = "") -> list[float] | None:
        """Return nothing: a server does not judge a text."""
        return None

    def close(self) -> None:
        """Do nothing: the model is not here."""

    def begin(
        self,
        request: Request,
        *,
        limits: Limits = LOCAL,
        clock: Clock = time.perf_counter,
        cancelled: threading.Event | None = None,
        deadline: float | None = None,
    ) -> Run:
        """Return a run; see `model.run.Model.begin`."""
        request.check(self.spec, 0, limits)
        if request.pinned or request.draft is not None:
            self.tokens("")
        known: dict[str, Any] = {"dtype": "not told", "device": self.address.name, "hardware": "not told"}
        settings = request.settings.as_dict()
        trace = Trace(self.spec, request.mode, settings, request.prompt, (), request.system, **known, notice=STEPLESS)
        cancelled = cancelled or threading.Event()
        return Run(trace, self._frames(trace, clock, Control(cancelled, deadline)), self.piece, cancelled)

    def body(self, trace: Trace, logprobs: bool) -> dict[str, Any]:
        """Return the request in the server's protocol."""
        s = Settings(**trace.settings)
        system = [{"role": "system", "content": trace.system}] if trace.system else []
        return {
            "model": self.name,
            "messages": [*system, *messages_of(trace.prompt)],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": s.new_tokens,
            "temperature": s.temperature,
            "top_p": s.top_p,
            "seed": s.seed,
        } | ({"logprobs": True} if logprobs else {})

    def _frames(self, trace: Trace, clock: Clock, should_stop: Callable[[], str]) -> Generator[Frame, None, None]:
        watch, canvas = Stopwatch(clock), Canvas(trace.settings["new_tokens"], VOCABULARY, (END,))
        yield canvas.frame(0, (0, 1), watch)
        watch.resume()
        at, first, stopped, usage = 0, 0.0, "", 0
        with closing(self._arriving(trace, should_stop)) as messages:
            for told in messages:
                if isinstance(told, str):
                    stopped = told
                    break
                usage = _count(told) or usage
                stopped = _why(told) or stopped
                canvas.age()
                begin = at
                for piece in _pieces(told)[: len(canvas) - at]:
                    rule = ("unsaid", 1.0) if piece.p is None else ("served", piece.p)
                    canvas.commit(at, self._id(piece.text), rule[1], *rule, 1.0)
                    at += 1
                if at > begin:
                    yield canvas.frame(0, (begin, at), watch)
                    watch.resume()
                    first = first or trace.frames[-1].seconds
        if stopped in ("end", "full") and at < len(canvas):  # nothing more comes
            canvas.age()
            canvas.ids[at], canvas.states[at], canvas.may_end = END, SETTLED, True
            canvas.close(at)
            yield canvas.frame(0, (at, at + 1), watch)
        result = trace.finish(stopped or "error")
        trace.result = replace(result, tokens=usage or result.tokens, first_frame_seconds=first)

    def _id(self, piece: bytes) -> int:
        if piece not in self._ids:
            token = min(len(self._ids), VOCABULARY - 1)
            self._ids[piece], self._pieces[token] = token, piece
        return self._ids[piece]

    def _arriving(self, trace: Trace, should_stop: Callable[[], str]) -> Generator[dict[str, Any] | str, None, None]:
        """Yield the server's messages as they come, or at last why the run has to stop; raise ModelUnavailable, SettingError."""
        connection, response = self._open(trace)
        arrived: queue.Queue[Any] = queue.Queue(1_000)
        threading.Thread(target=_read, args=(response, arrived), daemon=True).start()
        try:
            while not (why := should_stop()):
                try:
                    told = arrived.get(timeout=LOOK_SECONDS)
                except queue.Empty:
                    continue
                if told is None:
                    return
                if isinstance(told, Exception) or "error" in told:
                    raise ModelUnavailable(f"The server at {self.address.name} went away during the run; run again.")
                yield told
            yield why
        finally:
            shut(connection)
            connection.close()

    def _open(self, trace: Trace) -> tuple[http.client.HTTPConnection, Any]:
        for logprobs in (True, False):
            try:
                connection, response = self.address.open(
                    "POST", "/chat/completions", self.body(trace, logprobs), SILENT_SECONDS
                )
            except (OSError, http.client.HTTPException):
                raise ModelUnavailable(f"The server at {self.address.name} does not answer; try again.") from None
            if response.status == 200:
                return connection, response
            connection.close()
            if response.status not in (400, 422):
                break
        raise ModelUnavailable(
            f"The server at {self.address.name} refused the request (it answered {response.status})."
        )


def _read(response: Any, arrived: queue.Queue[Any]) -> None:
    """Put every message of a stream of server-sent events into the queue, then None, or what went wrong."""
    try:
        while line := response.readline(LINE_BYTES):
            if not line.startswith(b"data:"):
                continue
            if line[5:].strip() == b"[DONE]":
                break
            told = json.loads(line[5:])
            arrived.put(told if isinstance(told, dict) else {"error": ""}, timeout=SILENT_SECONDS)
        else:
            raise EOFError
        arrived.put(None)
    except (*GONE, EOFError, RecursionError, queue.Full) as error:
        arrived.put(error)


def _choice(told: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = told.get("choices")
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def _pieces(told: Mapping[str, Any]) -> list[Piece]:
    """Return what a message brought: tokens with their probabilities where it has them, else its text cut at white space."""
    choice = _choice(told)
    log = choice.get("logprobs")
    tokens = log.get("content") if isinstance(log, dict) else None
    out = []
    for token in tokens if isinstance(tokens, list) else ():
        raw, p = token.get("bytes"), token.get("logprob")
        text = bytes(raw) if isinstance(raw, list) else str(token.get("token", "")).encode("utf-8", "replace")
        sure = math.exp(min(0.0, p)) if isinstance(p, int | float) else None
        out.append(Piece(text, sure))
    delta = choice.get("delta")
    text = delta.get("content") if isinstance(delta, dict) else None
    if isinstance(text, str) and b"".join(piece.text for piece in out) != text.encode("utf-8", "replace"):
        out = [Piece(part.encode("utf-8", "replace")) for part in _PIECE.findall(text)]  # the text is what counts
    return [piece for piece in out if piece.text]


def _why(told: Mapping[str, Any]) -> str:
    reason = _choice(told).get("finish_reason")
    return {"stop": "end", "length": "full"}.get(reason, "end") if isinstance(reason, str) else ""


def _count(told: Mapping[str, Any]) -> int:
    usage = told.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) and 0 <= count < 10**7 else 0
