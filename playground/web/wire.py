"""What a run sends to the player in the browser: frames as they come, at most thirty messages a second, and at the end all of it.

A message is one JSON text, so that neither Gradio's server-side comparison nor the browser's reactive proxies walk into it:
{"run": id, "from": index of the first frame in it, "header", "reasons" (first message only), "vocab": pieces not sent before,
"frames": [...], "candidates": [...], "done": false}, and last {"run": id, "trace": the whole document, "done": true}.
The last one holds everything, so a player that missed messages (a closed tab, a slow line) is complete all the same.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator

from model.run import Run
from model.trace.encode import dumps, encode_candidates, encode_frame, encode_header, encode_vocab
from model.trace.frame import REASONS, Frame
from model.trace.trace import Trace

STOPPED = '{"done":true}'  # tells the player that nothing more will come: give it as a Stop button's output
INTERVAL = 1 / 30  # seconds between two messages, at least


class Recorder:
    """Encode one run as messages. `add` returns a message, or None while frames are held back; none is ever dropped.

    trace: the run's trace, whose header and pieces are read. clock: seconds. interval: least seconds between two messages.
    """

    def __init__(self, trace: Trace, clock: Callable[[], float] = time.monotonic, interval: float = INTERVAL):
        self.run = uuid.uuid4().hex[:12]
        self.trace, self.interval, self._clock = trace, interval, clock
        self._sent, self._at = 0, float("-inf")
        self._last: Frame | None = None  # the last frame that was sent
        self._held: list[Frame] = []
        self._known: set[int] = set()

    def add(self, frame: Frame) -> str | None:
        """Take the next frame; return a message with every frame held back so far, or None while it is too early for one."""
        self._held.append(frame)
        return self.flush() if self._clock() - self._at >= self.interval else None

    def flush(self) -> str | None:
        """Return a message with the frames held back, None where there are none."""
        if not self._held:
            return None
        spec, frames = self.trace.spec, self._held
        pairs = list(zip([self._last, *frames[:-1]], frames, strict=True))
        message: dict[str, object] = {"run": self.run, "from": self._sent, "done": False}
        if not self._sent:
            message |= {"header": encode_header(self.trace), "reasons": REASONS}
        message |= {
            "vocab": self._vocab(frames),
            "frames": [encode_frame(before, frame, spec) for before, frame in pairs],
        }
        if frames[0].candidates is not None:
            message["candidates"] = [encode_candidates(before, frame) for before, frame in pairs]
        self._sent, self._last, self._held, self._at = self._sent + len(frames), frames[-1], [], self._clock()
        return _dump(message)

    def final(self, max_bytes: int | None = None) -> str:
        """Return the last message: the whole document (its candidates left out where it would exceed `max_bytes`)."""
        return trace_message(self.trace, self.run, max_bytes=max_bytes)

    def _vocab(self, frames: list[Frame]) -> dict[str, object]:
        ids = {int(token) for frame in frames for token in frame.ids}
        ids |= {int(token) for frame in frames if frame.candidates is not None for token in frame.candidates[0].ravel()}
        new = {
            token for token in ids - self._known if token in self.trace.pieces
        }  # a piece that comes later is sent then
        self._known |= new
        return encode_vocab(self.trace, new)


def stream(run: Run, max_bytes: int | None = None, recorder: Recorder | None = None) -> Iterator[str]:
    """Yield a run's messages as its frames are made, and at last the whole of it. Close it to end the run."""
    recorder = recorder or Recorder(run.trace)
    try:
        for frame in run:
            if message := recorder.add(frame):
                yield message
        yield recorder.final(max_bytes)
    finally:
        run.close()


def trace_message(trace: Trace | str, run: str = "", *, play: bool = False, max_bytes: int | None = None) -> str:
    """Return the one message that shows a finished trace (or its document, already JSON text). `play`: start it by itself."""
    document = trace if isinstance(trace, str) else dumps(trace, max_bytes)
    head = {"run": run or uuid.uuid4().hex[:12], "done": True} | ({"play": True} if play else {})
    return _dump(head)[:-1] + ',"trace":' + document.replace("<", "\\u003c") + "}"


def _dump(value: object) -> str:
    """Compact JSON in which no text of a run can look like a tag: Gradio warns about those, and no page should have to wonder."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
