"""An engine on another machine: the same runs, frames and errors, over one HTTP stream a run (`playground worker` is the other end).

Each line of a stream is JSON: {"waiting": ...} while nothing can be computed, then the messages that a page receives (see
`playground.web.wire`), one a frame, then {"result"}; {"error", "kind", "knob"} where it failed, and an empty line now and
then while there is no news. Nothing is kept on the other side: closing the connection ends the run before its next step, and going on
sends the canvas to begin with.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from model import errors
from model.address import GONE, Address, shut
from model.draft import Draft, steered_of
from model.engine import catalog
from model.engine.asked import asked_json
from model.engine.engine import Engine, EngineRun
from model.engine.waiting import Paused, Waiting
from model.errors import ModelUnavailable, PlaygroundError, SettingError, TraceError
from model.limits import LOCAL, Limits
from model.loops.stopwatch import Clock
from model.request import Request
from model.text import normalise
from model.trace.decode import decode_frame, decode_header, decode_result
from model.trace.frame import Frame
from model.trace.untrusted import MAX_FRAMES, MAX_LENGTH, pieces_of, whole

OPENAI, SERVER = "openai+", "server"  # an address of another protocol, and the id of what it offers
SILENT_SECONDS = 15.0  # without any line, after which the other machine counts as gone
LINE_BYTES = 8_000_000


class Remote(Address):
    """A worker's address, and how to ask it."""

    def ask(self, method: str, path: str, body: Any = None) -> tuple[http.client.HTTPConnection, Any]:
        """Return a connection and its response, whose body is still to be read; raise as the engine did, or ModelUnavailable."""
        try:
            connection, response = self.open(method, path, body, SILENT_SECONDS)
        except (OSError, http.client.HTTPException):
            raise self.gone("does not answer") from None
        if response.status != 200:
            with contextlib.closing(connection):
                raise self.refused(response)
        return connection, response

    def told(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Return a small answer; raise PlaygroundError."""
        connection, response = self.ask(method, path, body)
        with contextlib.closing(connection):
            try:
                answer = json.loads(response.read(LINE_BYTES))
            except (*GONE, RecursionError):
                raise self.gone("did not answer as an engine does") from None
        if not isinstance(answer, dict):
            raise self.gone("did not answer as an engine does")
        return answer

    def refused(self, response: Any) -> PlaygroundError:
        """Return the error that an answer with another status than 200 stands for."""
        try:
            return error_of(json.loads(response.read(10_000)))
        except (*GONE, TypeError, KeyError, RecursionError):
            why = (
                "wants another INKBLOT_ENGINE_TOKEN" if response.status in (401, 403) else "is no engine, or is not up"
            )
            return self.gone(f"{why} (it answered with {response.status})")

    def gone(self, words: str) -> ModelUnavailable:
        """Return the error of an engine that cannot be used now."""
        return ModelUnavailable(f"The engine at {self.name} {words}; try again in a minute.")


def error_of(told: Any) -> PlaygroundError:
    """Return the error that an engine sent; raise KeyError, TypeError where it is none."""
    words, name = normalise(told["error"])[:600], told.get("kind")
    kind = getattr(errors, name, None) if isinstance(name, str) else None
    if kind is SettingError:
        return SettingError(words, str(told.get("knob", ""))[:40])
    if isinstance(kind, type) and issubclass(kind, PlaygroundError):
        return kind(words)
    return PlaygroundError(words)


class RemoteEngine(Engine):
    """An `Engine` whose runs are computed elsewhere. Nothing is loaded here; who waits for whom is the other side's to say.

    places: how many runs it computes at once.
    """

    def __init__(self, url: str, limits: Limits = LOCAL, *, clock: Clock = time.perf_counter):
        super().__init__(limits, clock=clock)
        self.remote, self.places = Remote(url), 1

    def connect(self) -> None:
        """Ask which models it can run, and how many runs at once, and let the catalogue say so; raise ModelUnavailable."""
        about = self.remote.told("GET", "/health")
        with contextlib.suppress(TypeError, ValueError, KeyError):
            self.places = min(64, max(1, int(about.get("places", 1))))
            catalog.elsewhere({str(name): tuple(told) for name, told in about["models"].items()})

    def load(self, model_id: str, progress: catalog.Progress | None = None) -> None:
        """See that it answers; it loads a model when a run needs it. Raise ModelUnavailable."""
        self.remote.told("GET", "/health")

    def unload(self) -> None:
        """Do nothing: the model is not here."""

    def close(self) -> None:
        """End every run there is."""
        for run in list(self._runs):
            run.close()

    def run(self, request: Request, visitor: str = "", keep: bool = False) -> EngineRun:
        """See `Engine.run`."""
        catalog.offered(request.model, self.limits)
        if request.form is not None:
            raise SettingError("A form is read only by a model in this process, not by an engine elsewhere.", "model")
        return self._enter(RemoteRun(self, request, visitor, keep))

    def resume(self, visitor: str = "") -> EngineRun:
        """See `Engine.resume`: the same run again, from its first frame, with what was changed under way."""
        with self._state:
            paused = self._paused
            if paused is None or paused.visitor != visitor:
                raise SettingError("There is no stopped run to continue; run again.", "continue")
            draft = replace(paused.request.draft or Draft(about=""), steered=steered_of(paused.run))
            again = replace(paused.request, draft=draft if draft.steered else paused.request.draft)
            return self._enter(RemoteRun(self, again, visitor, True))

    def score(self, model_id: str, prompt: str, ids: Sequence[int], system: str = "") -> list[float] | None:
        """See `Engine.score`."""
        asked = {"model": model_id, "prompt": prompt, "ids": list(ids), "system": system}
        nats = self.remote.told("POST", "/score", asked).get("nats")
        if not isinstance(nats, list) or len(nats) != len(ids) or any(type(n) not in (int, float) for n in nats):
            return None
        return [float(n) for n in nats]


def engine_at(url: str, limits: Limits = LOCAL) -> Engine:
    """Return the engine at an address, this process' own for ''; raise SettingError for no address, ModelUnavailable for no engine.

    'openai+URL' is a server of that protocol: this process' own engine, with the server's model in the catalogue as 'server'.
    """
    if not url:
        return Engine(limits)
    if url.startswith(OPENAI):
        catalog.add(import_module("model.models.server").entry(url.removeprefix(OPENAI)))
        return Engine(limits)
    engine = RemoteEngine(url, limits)
    engine.connect()
    return engine


class RemoteRun(EngineRun):
    """One run on an engine elsewhere. See `EngineRun`."""

    _engine: RemoteEngine

    def __init__(self, engine: RemoteEngine, request: Request, visitor: str, keep: bool = False):
        super().__init__(engine, request, visitor, keep)
        self._connection: http.client.HTTPConnection | None = None
        self._response: Any = None
        self._ready: deque[Frame] = deque()  # came, and nobody asked for them yet
        self._last: Frame | None = None
        self._id, self._until, self._cells = "", float("inf"), 0

    # ------------------------------------------------------------ the owner's side
    def stop(self) -> None:
        """See `EngineRun.stop`; whoever waits for the next line is woken."""
        super().stop()
        self._hang_up()

    def close(self) -> None:
        """See `EngineRun.close`."""
        self.closed = True
        self.stop()
        self._finish("cancelled")

    def steer(self, **values: Any) -> None:
        """See `EngineRun.steer`."""
        if not self._id or self._ended:
            raise SettingError("There is no run under way to change.", "settings")
        self._engine.remote.told("POST", "/steer", {"run": self._id, "settings": values})

    def _wait(self) -> Iterator[Waiting]:
        if self.trace is not None or self._ended:
            return
        why = Waiting("queue", 0.0, "asking the engine")
        try:
            self._connection, self._response = self._engine.remote.ask("POST", "/run", asked_json(self.request))
            while not self._ended and self.trace is None:
                if self._cancelled.is_set():
                    break
                told = self._line()
                if told is not None and "waiting" in told:
                    why = _waiting(told["waiting"])
                elif told is not None:
                    self._take(told)
                    continue
                yield why
        except Exception:
            if not self._cancelled.is_set():
                raise
        if self._cancelled.is_set():
            self._end()

    def __next__(self) -> Frame:
        """Return the next frame; raise a PlaygroundError where the run failed."""
        if self.trace is None:
            for _ in self.prepare():
                pass
        try:
            while not self._ready and not self._ended:
                if self._cancelled.is_set() or self._engine.clock() > self._until:
                    self._finish("cancelled" if self._cancelled.is_set() else "deadline")
                elif (told := self._line()) is not None:
                    self._take(told)
        except Exception as error:
            if self._cancelled.is_set():
                self._finish("cancelled")
            else:
                self._finish("error")
                raise error if isinstance(error, PlaygroundError) else self._broken() from None
        if not self._ready or self._cancelled.is_set():
            self._finish("cancelled")
            raise StopIteration
        frame = self._ready.popleft()
        assert self.trace is not None
        self.trace.frames.append(frame)
        return frame

    # ------------------------------------------------------------ the other side's
    def _line(self) -> dict[str, Any] | None:
        """Return the next line, None for one that only says that the engine is there; raise what went wrong."""
        try:
            line = self._response.readline(LINE_BYTES + 1)
        except GONE:
            line = b""
        if not line.endswith(b"\n"):
            raise self._broken()
        told = json.loads(line) if line.strip() else None
        if told is not None and "error" in told:
            raise error_of(told)
        return told

    def _broken(self) -> ModelUnavailable:
        kept = " What was written is kept." if self.trace is not None and self.trace.frames else ""
        where = self._engine.remote.name
        return ModelUnavailable(f"The engine at {where} went away during the run.{kept} Run again in a minute.")

    def _take(self, told: dict[str, Any]) -> None:
        """Take a message: frames, or how it ended."""
        try:
            if "result" in told:
                self._ended_there(told["result"])
                return
            if self.trace is None:
                self.trace = decode_header(told["header"])
                self._id = str(told["run"])[:40]
                self._until = self._engine.clock() + self._engine.limits.seconds
            self.trace.pieces |= pieces_of(told["vocab"])
            known = "candidates" in told
            guesses = told["candidates"] if known else [None] * len(told["frames"])
            for data, guess in zip(told["frames"], guesses, strict=True):
                if "l" in data:
                    self._cells = whole(data["l"], "canvas", 1, MAX_LENGTH)
                self._last = decode_frame(self._last, data, guess, known, self.trace.spec)
                self._ready.append(self._last)
            if len(self.trace.frames) + len(self._ready) > MAX_FRAMES:
                raise TraceError("a run has too many frames")
        except (TraceError, KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError):
            raise self._engine.remote.gone("sent what is no run (is it of another version?)") from None

    def _ended_there(self, result: Any) -> None:
        if self.trace is not None and result is not None:
            self.trace.result = decode_result(result, self._cells, LINE_BYTES)
        self._end()

    # ------------------------------------------------------------ the end
    def _finish(self, stopped: str) -> None:
        """Note how it ended, where nothing is noted yet, and give everything back."""
        if self.trace is not None and self.trace.result is None and self.trace.frames:
            self.trace.finish(stopped)
        self._end()

    def _end(self) -> None:
        with self._guard:
            if self._ended:
                return
            self._ended = True
        self._hang_up()
        result = self.trace and self.trace.result
        resumes = self.trace is not None and (self.trace.spec.family == "uniform" or self.trace.spec.parameters == 0)
        if self.keep and not self.closed and result and result.stopped == "cancelled" and resumes:
            paused: Any = Paused(self.visitor, self.request, self.trace, None)  # type: ignore[arg-type]
            with self._engine._state:
                self._engine._paused = paused

    def _hang_up(self) -> None:
        """Shut the connection from any thread, so that whoever reads from it is woken and the other side ends the run."""
        connection = self._connection
        shut(connection)
        if connection is not None and self._ended:
            with contextlib.suppress(*GONE):
                self._response.close()
                connection.close()


def _waiting(told: Any) -> Waiting:
    what = "loading" if told["what"] == "loading" else "queue"
    return Waiting(what, min(1.0, max(0.0, float(told["share"]))), normalise(str(told["words"]))[:200])
