"""One run as data: a header, its frames and how it ended. The JSON form is in `encode.py` and `assets/trace.schema.json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from model.spec import ModelSpec
from model.text import joined
from model.trace.frame import AFTER_END, UNDECIDED, Frame, answer_ids, given_tokens

STOPPED = {
    "end": "the text ended: the end token and everything before it stand",
    "full": "every position of the canvas is decided",
    "converged": "the guess was stable and confident",
    "cancelled": "you stopped it",
    "deadline": "the time limit was reached",
    "error": "an error ended it",
}


@dataclass(frozen=True)
class Result:
    """How a run ended. tokens: up to and including the end token, of which `given` stood before the first pass. after_end: positions
    decided behind it. Rates count the tokens that were written.

    faults: what an exact check found wrong with the finished text, (a sentence, the positions it is about) each; None: nothing checks it.
    thought: what the model wrote in a thinking channel, which is no part of the text.
    """

    text: str
    stopped: str
    tokens: int
    after_end: int
    forwards: int
    seconds: float
    first_frame_seconds: float
    faults: tuple[tuple[str, tuple[int, ...]], ...] | None = None
    given: int = 0
    thought: str = ""

    @property
    def written(self) -> int:
        return self.tokens - self.given

    @property
    def tokens_per_forward(self) -> float:
        return self.written / self.forwards if self.forwards else 0.0

    @property
    def tokens_per_second(self) -> float:
        return self.written / self.seconds if self.seconds > 0 else 0.0


@dataclass
class Trace:
    """One run: header fields, the frames so far, and how it ended (None while it runs or if it was cut off)."""

    spec: ModelSpec
    mode: str
    settings: dict[str, Any]
    prompt: str
    prompt_ids: tuple[int, ...]
    system: str = ""
    dtype: str = ""
    device: str = ""
    hardware: str = ""
    weights_sha256: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    recorded: str = ""  # the date of a shipped recording, empty for a live run
    branch: str = ""  # where a continued run started: "step 12 of <id>", or empty
    notice: str = ""  # one sentence on what of the prompt the model does not use, or empty
    pieces: dict[int, bytes] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    result: Result | None = None

    @property
    def seed(self) -> int:
        return int(self.settings.get("seed", 0))

    @property
    def length(self) -> int:
        """Positions on the canvas."""
        return max((len(frame.ids) for frame in self.frames), default=0)

    def text(self, frame: Frame, hole: str = "") -> str:
        """Return the frame's decided text up to its first end token; `hole` stands for each undecided position."""
        runs: list[bytes] = []
        single: list[bool] = []
        bytes_ = range(self.spec.first_byte, self.spec.first_byte + 256) if self.spec.first_byte else range(0)
        for token, state in zip(frame.ids.tolist(), frame.states.tolist(), strict=True):
            if state in UNDECIDED:
                runs.append(hole.encode())
                single.append(False)
            elif token in self.spec.eos_ids or state == AFTER_END:
                break
            else:
                runs.append(self.pieces.get(token, b""))
                single.append(token in bytes_)
        text = joined(runs, single)
        return (
            text.removeprefix(" ") if self.spec.checked or self.spec.spaced else text
        )  # whose words bring the space before them

    @property
    def final_text(self) -> str:
        """The text of the last frame."""
        return self.result.text if self.result else self.text(self.frames[-1]) if self.frames else ""

    @property
    def final_ids(self) -> list[int]:
        """Decided ids of the last frame, up to and including the end token."""
        return answer_ids(self.frames[-1], self.spec.eos_ids) if self.frames else []

    def finish(self, stopped: str) -> Result:
        """Set and return `result` from the frames there are."""
        last = self.frames[-1] if self.frames else None
        first = next((frame.seconds for frame in self.frames if frame.forwards), 0.0)
        tokens = len(self.final_ids)
        self.result = Result(
            text=self.text(last) if last else "",
            stopped=stopped,
            tokens=tokens,
            after_end=int(((last.states == AFTER_END) & (last.ids >= 0)).sum()) if last else 0,
            forwards=last.forwards if last else 0,
            seconds=last.seconds if last else 0.0,
            first_frame_seconds=first,
            given=given_tokens(self.frames, self.spec.eos_ids),
        )
        return self.result

    def to_json(self, max_bytes: int | None = None) -> str:
        """Return the versioned JSON document; candidates are left out if it would be longer than `max_bytes`."""
        from model.trace.encode import dumps

        return dumps(self, max_bytes)

    @classmethod
    def from_json(cls, text: str | bytes, max_bytes: int = 8_000_000) -> Trace:
        """Parse and check a document; raise TraceError with one sentence."""
        from model.trace.decode import loads

        return loads(text, max_bytes)
