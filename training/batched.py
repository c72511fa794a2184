"""Many texts at once: every run in a thread of its own, as if it were alone, and all their forward passes in one.

A run here is what the playground runs: a loop of `model`, asking a `Session` of `model.models.chat135m`. Only the network that it asks is
another: `Shared` makes a run wait until the others want something too, and answers all of them by one padded pass of the batched twin,
on a CPU or one CUDA GPU. Shapes: B runs, n new tokens of one of them, D width, V vocabulary.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from model.models.chat135m.model import Builtin, fast_dtype
from model.models.chat135m.weights import Manifest, load_builtin

from .network import Kept, Network

T = TypeVar("T")
ROWS_AT_ONCE = 256  # hidden states whose logits are computed together: 256 rows of 49,152 are 50 MB


@dataclass(eq=False)
class Question:
    """What a job waits for; number: the job's."""

    number: int = field(default=0, init=False)
    answer: Future[torch.Tensor] = field(default_factory=Future, init=False)


class Meeting:
    """Jobs in threads that stop at questions; these are answered together once every job has asked one or has ended.

    solve: takes the questions of all jobs, in the jobs' order, answers at least one of them, and returns the others. It runs in the
    thread of `hold`; a question from a thread that is no job's is answered alone, in that thread.
    """

    def __init__(self, solve: Callable[[list[Question]], list[Question]]):
        self._solve = solve
        self._inbox: SimpleQueue[Question | Future] = SimpleQueue()
        self._job = threading.local()

    def ask(self, question: Question) -> torch.Tensor:
        """Return the answer; raise CancelledError where another job, or answering, has failed."""
        number = getattr(self._job, "number", None)
        if number is None:
            self._solve([question])
        else:
            question.number = number
            self._inbox.put(question)
        return question.answer.result()

    def hold(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """Run the jobs; return what they return, in order, or raise what the first that failed raised, once all have stopped."""
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(
            max(1, len(jobs)), "run", torch.set_num_threads, (1,)
        ) as pool:  # of each thread of the pool alone
            futures = [pool.submit(self._run, number, job) for number, job in enumerate(jobs)]
            for future in futures:
                future.add_done_callback(self._inbox.put)
            failed = self._attend(len(jobs))
        torch.set_num_threads(threads)
        if failed:
            raise failed
        return [future.result() for future in futures]

    def _run(self, number: int, job: Callable[[], T]) -> T:
        self._job.number = number
        return job()

    def _attend(self, live: int) -> BaseException | None:
        """Answer questions until no job is left; return what went wrong first. Whatever it was, no job is left waiting."""
        asked: list[Question] = []
        failed: BaseException | None = None
        while live:
            try:
                event = self._inbox.get()
                if isinstance(event, Question):
                    asked.append(event)
                else:
                    live, failed = live - 1, failed or event.exception()
                if asked and len(asked) == live and not failed:
                    asked = self._solve(sorted(asked, key=lambda question: question.number))
            except BaseException as error:  # an interrupt too
                failed = failed or error
            while failed and asked:
                asked.pop().answer.cancel()
        return failed


@dataclass(eq=False)
class Seat:
    """A run's place in the shared cache, of at most `length` tokens."""

    length: int


@dataclass(eq=False)
class Pass(Question):
    """Run ids (n,) at `positions` (n,), their keys and values at places [start, start + n): hidden states (n, D).

    Every token sees all places before `start`, and of the new ones those that `sees` (n, n) says. gate (n,): which are the denoiser's.
    """

    seat: Seat
    start: int
    ids: torch.Tensor
    positions: torch.Tensor
    sees: torch.Tensor
    gate: torch.Tensor


@dataclass(eq=False)
class Head(Question):
    """Return the logits (n, V) of hidden states (n, D)."""

    hidden: torch.Tensor


class Shared:
    """One network, asked by many sessions as each asks its own: what the built-in `Session` needs of its `Network`."""

    def __init__(self, network: Network):
        self.network, self.embedding = network, network.base["embedding"].cpu()
        self._meeting = Meeting(self._solve)
        self._store = network.new_store(0, 0)
        self._seats: list[Seat] = []  # by row of the store

    def together(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """Return what the jobs return; each of them uses at most one session at a time, and all of them share every pass."""
        return self._meeting.hold(jobs)

    # ---------------------------------------------------------------- what a session asks, in its job's thread
    def new_cache(self, length: int) -> Any:
        """Return the session's place in the cache."""
        return Seat(length)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """See `model.models.chat135m.network.Network.embed`."""
        return self.embedding[ids]

    def forward(self, ids: torch.Tensor, start: int, cache: Seat, causal: bool) -> torch.Tensor:
        """See `model.models.chat135m.network.Network.forward`."""
        n = len(ids)
        sees = torch.ones(n, n, dtype=torch.bool)
        gate = torch.full((n,), not causal)
        return self._meeting.ask(
            Pass(cache, start, ids, torch.arange(start, start + n), sees.tril() if causal else sees, gate)
        )

    def ahead(self, ids: torch.Tensor, behind: torch.Tensor, start: int, cache: Seat) -> torch.Tensor:
        """See `model.models.chat135m.network.Network.ahead`."""
        n, (rows, masks) = len(ids), behind.shape
        group = torch.arange(n - rows, n).repeat_interleave(masks)  # index of the token that each mask stands behind
        last = torch.cat([torch.arange(n), group])  # the last token that each may see
        own = torch.cat([torch.full((n,), -1), group])
        sees = torch.cat([torch.arange(n) <= last[:, None], own[:, None] == group], 1)
        positions = last + start
        positions[n:] += torch.arange(1, masks + 1).repeat(rows)
        hidden = self._meeting.ask(Pass(cache, start, torch.cat([ids, behind.flatten()]), positions, sees, own >= 0))
        return torch.cat([hidden[n - rows : n, None], hidden[n:].view(rows, masks, -1)], 1)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return float32 logits (n, V) of hidden states (n, D), on the CPU."""
        return self._meeting.ask(Head(hidden))

    def follow(self, hidden: torch.Tensor, before: int, told: torch.Tensor | None) -> torch.Tensor:
        """See `model.models.chat135m.network.Network.follow`; return it on the CPU. One run's alone: it is small."""
        device = hidden.device
        if "follow.A" not in (self.network.adapter or {}):
            return hidden.cpu()
        told = torch.zeros_like(hidden) if told is None else told.to(device)
        return self.network.follow(hidden[None], torch.tensor([before], device=device), told[None])[0].cpu()

    # ---------------------------------------------------------------- the answers, in the thread of `together`
    @torch.inference_mode()
    def _solve(self, asked: list[Question]) -> list[Question]:
        """Answer those who want logits, if anyone does: they will soon want a pass too. Else run the passes, all in one."""
        heads = [question for question in asked if isinstance(question, Head)]
        passes = [question for question in asked if isinstance(question, Pass)]
        if not heads:
            self._run(passes)
            return []
        for group in _groups(heads):
            logits = F.linear(torch.cat([head.hidden for head in group]), self.network.base["embedding"]).float().cpu()
            for head, own in zip(group, logits.split([len(head.hidden) for head in group]), strict=True):
                head.answer.set_result(own)
        return list(passes)

    def _run(self, passes: list[Pass]) -> None:
        """Answer one pass of every run that has not ended. Padding writes behind a run's own tokens, where its next pass does too."""
        self._take_seats([asked.seat for asked in passes])
        row = {seat: i for i, seat in enumerate(self._seats)}
        passes = sorted(passes, key=lambda asked: row[asked.seat])
        n, stop = max(len(asked.ids) for asked in passes), max(asked.start + len(asked.ids) for asked in passes)
        mask = torch.zeros(len(passes), n, stop, dtype=torch.bool)
        for own, asked in zip(mask, passes, strict=True):
            new = len(asked.ids)
            own[:new, : asked.start] = True
            own[:new, asked.start : asked.start + new] = asked.sees
            own[new:, 0] = True  # padding has to see something: a softmax over nothing is not a number
        starts = torch.tensor([asked.start for asked in passes])[:, None]
        where = (starts + torch.arange(n)).clamp_max(self._store.shape[4] - 1)
        ids, positions, gate = (
            pad_sequence([getattr(asked, name) for asked in passes], batch_first=True)
            for name in ("ids", "positions", "gate")
        )
        decoder = gate.to(self.network.device) if gate.any() else False
        ids, positions, mask, where = (t.to(self.network.device) for t in (ids, positions, mask[:, None], where))
        hidden, _ = self.network.run(ids, positions, mask, Kept(self._store[:, :, : len(passes)], where), decoder)
        for asked, own in zip(passes, hidden, strict=True):
            asked.answer.set_result(own[: len(asked.ids)])

    def _take_seats(self, seats: list[Seat]) -> None:
        """Give these runs the first rows of the store; the last of them move to where others have ended."""
        here, known = set(seats), set(self._seats)
        for row in reversed(range(len(self._seats))):
            if self._seats[row] not in here:
                last = self._seats.pop()
                if row < len(self._seats):
                    self._seats[row] = last
                    self._store[:, :, row] = self._store[:, :, len(self._seats)]
        self._seats += [seat for seat in seats if seat not in known]
        old, places = self._store, 1 + max(seat.length for seat in self._seats)  # the last place is padding's
        if len(self._seats) > old.shape[2] or places > old.shape[4]:
            self._store = self.network.new_store(max(len(self._seats), old.shape[2]), max(places, old.shape[4]))
            self._store[:, :, : old.shape[2], :, : old.shape[4]] = old


def _groups(heads: Sequence[Head]) -> Iterator[list[Head]]:
    """Yield the questions in groups of at most ROWS_AT_ONCE rows, or of one question."""
    group: list[Head] = []
    for head in heads:
        if group and sum(len(other.hidden) for other in [*group, head]) > ROWS_AT_ONCE:
            yield group
            group = []
        group.append(head)
    yield group


def twin(tensors: dict[str, torch.Tensor], manifest: Manifest, device: torch.device | str = "cpu") -> Network:
    """Return the batched network of tensors as `model.weights.load_builtin` returns them, in their dtype."""
    base, adapter = {}, {}
    for name, tensor in tensors.items():
        if name == "mask_row":
            adapter["mask"] = tensor.to(device)
        elif name.startswith("follow.") or name.endswith((".A", ".B")):
            adapter[name.removeprefix("decoder.")] = tensor.to(device)
        elif not name.startswith("decoder."):
            base[name] = tensor.to(device)
    return Network(manifest.config, base, adapter if manifest.rank else None, tensors["norm"].dtype)


class Batched(Builtin):
    """The built-in model, its runs sharing every pass: `together` runs them. dtype: None chooses by the CPU, bfloat16 on a GPU."""

    network: Any  # Shared, in the place of `model.models.chat135m.network.Network`

    def __init__(self, folder: Path | str, dtype: torch.dtype | None = None, device: str = "cpu"):
        self.device = device
        super().__init__(folder, dtype or (fast_dtype() if device == "cpu" else torch.bfloat16))

    def _load(self, folder: Path | str, dtype: torch.dtype, manifest: Manifest) -> Any:
        return Shared(twin(load_builtin(folder, dtype), manifest, self.device))

    def _system_cache(self) -> None:
        return None  # a batch computes it with its prompts

    def together(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """Return what the jobs return, such as `run.finish` of this model's runs, all computed at the same time."""
        return self.network.together(jobs)
