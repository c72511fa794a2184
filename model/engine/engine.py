"""One model in memory and one run at a time: waiting, loading, the wall clock, cancelling, and what a visitor may hold.

Nothing here knows Gradio or torch. A run takes the engine's lock before its first forward pass and gives it back when it ends, is
stopped, fails or is closed, in whichever thread that happens (hence `threading.Lock`, not `RLock`: a generator is resumed by any
worker). The lock is needed even behind a queue of one: a cancelled step may still compute when the next visitor starts.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import WeakSet, ref

from model.engine import catalog
from model.engine.waiting import Line, Loading, Paused, Waiting, typed
from model.errors import BusyError, ModelUnavailable, SettingError
from model.loops.stopwatch import Clock
from model.reading import FormRun
from model.request import Request
from model.run import PAUSED, Model, Run
from model.settings import LOCAL, Limits
from model.spec import ModelSpec
from model.trace.trace import Trace

POLL_SECONDS = 0.05  # how often a waiting run looks whether it was stopped
SMALL = 2_000_000_000  # bytes of weights that make no difference to what else fits
GRACE_SECONDS = 5.0  # a run nobody asks for frames any more is closed this long after its deadline


class Engine:
    """Keeps at most one model loaded and lets one run at a time use it.

    limits: the profile every request is checked against. loader: called as loader(id, progress=...) -> Model.
    """

    places = 1  # runs that compute at once

    def __init__(
        self, limits: Limits = LOCAL, *, loader: Callable[..., Model] = catalog.load, clock: Clock = time.perf_counter
    ):
        self.limits, self.clock, self._loader = limits, clock, loader
        self._turn = threading.Lock()  # held by the run that computes, or by a load
        self.line = Line()
        self._state = (
            threading.RLock()
        )  # guards the fields below, for moments only; a collected run may close inside one
        self._model: Model | None = None
        self._loads: dict[str, Loading] = {}
        self._runs: WeakSet[EngineRun] = WeakSet()  # those not closed yet
        self._paused: Paused | None = None  # one, not one a visitor: it holds tensors
        self._running: Callable[[], EngineRun | None] = lambda: None  # weak: a run that its owner dropped must go

    # ------------------------------------------------------------ models
    @property
    def loaded(self) -> ModelSpec | None:
        """The spec of the model in memory, or None."""
        model = self._model
        return model.spec if model else None

    @property
    def busy(self) -> bool:
        """Whether a run or a load holds the engine now."""
        return self._turn.locked()

    def start_loading(self, model_id: str, progress: catalog.Progress | None = None) -> Loading | None:
        """Begin loading in the background, or join the load under way; return None if the model is in memory already."""
        with self._state:
            if self._model is not None and self._model.spec.id == model_id:
                return None
            loading = self._loads.get(model_id)
            if loading is None:
                loading = self._loads[model_id] = Loading(model_id)
                threading.Thread(target=self._load, args=(loading,), name=f"load {model_id}", daemon=True).start()
            if progress:
                loading.listeners.append(progress)
            return loading

    def loading(self, model_id: str) -> Loading | None:
        """Return that model's load if one is under way."""
        return self._loads.get(model_id)

    def load(self, model_id: str, progress: catalog.Progress | None = None) -> None:
        """Load a model (unloading the other one first) and return when it is ready; raise ModelUnavailable or OutOfMemory."""
        loading = self.start_loading(model_id, progress)
        if loading is not None:
            loading.done.wait()
            if loading.error:
                raise loading.error

    def unload(self) -> None:
        """Free the model in memory, after the run that uses it."""
        with self._turn:
            self._drop()

    def close(self) -> None:
        """End the running run, if there is one, and free the model."""
        if running := self._running():
            running.close()
        self.unload()

    def _drop(self) -> None:
        with self._state:
            model, self._model, self._paused = self._model, None, None
        if model is not None:
            model.close()

    def _load(self, loading: Loading) -> None:
        failure: BaseException | None = None
        try:
            with self._turn:
                try:
                    if self.loaded is None or self.loaded.id != loading.model_id:
                        self._refuse(loading.model_id)
                        self._change(loading)
                except Exception as error:  # whatever it was, those who wait must hear of it
                    failure = typed(error, f"loading {loading.model_id}", ModelUnavailable)
        finally:
            with self._state:
                self._loads.pop(loading.model_id, None)
            # The traceback would pin the half-loaded tensors.
            loading.error = failure.with_traceback(None) if failure else None
            loading.done.set()

    def _change(self, loading: Loading) -> None:
        """Put a model in the place of the one in memory; where it cannot be loaded, bring that one back and raise why."""
        before = self.loaded
        self._drop()
        loading.report(0.0, "loading")
        try:
            model = self._loader(loading.model_id, progress=loading.report)
        except Exception:
            if before is not None:
                with contextlib.suppress(Exception):  # then there is none, as if none had been loaded yet
                    self._model = self._loader(before.id, progress=loading.report)
            raise
        with self._state:
            self._model = model

    def _refuse(self, model_id: str) -> None:
        """Keep the model in memory where the other one cannot run here anyway; raise ModelUnavailable.

        Unless the one in memory is large: what it gives back may be just what the other one lacks.
        """
        if self._loader is catalog.load:
            catalog.entry(model_id)  # what nobody knows takes nothing's place
        known, loaded = catalog.known(model_id), self.loaded
        if known and loaded and loaded.memory_bytes < SMALL:
            catalog.check(known)

    # ------------------------------------------------------------ runs
    def run(self, request: Request, visitor: str = "", keep: bool = False) -> EngineRun:
        """Return a run that has computed nothing yet; raise BusyError where this visitor has too many.

        visitor: whose place it takes ('' is the owner of the process and is not counted). keep: once stopped, it may be resumed.
        """
        catalog.offered(request.model, self.limits)
        return self._enter(EngineRun(self, request, visitor, keep))

    def resume(self, visitor: str = "") -> EngineRun:
        """Return this visitor's run that was stopped last, from its first frame, to go on behind its last; raise as `run` does.

        What it writes is what it would have written without the stop. Once: stopped again, it can be resumed again.
        """
        with self._state:
            paused = self._paused
            if paused is None or paused.visitor != visitor:
                raise SettingError("There is no stopped run to continue; run again.", "continue")
            return self._enter(EngineRun(self, paused.request, visitor, True, paused))

    def resumable(self, visitor: str = "", trace: Trace | None = None) -> bool:
        """Whether `resume` has a run of this visitor's; trace: whether that is this run."""
        paused = self._paused
        return paused is not None and paused.visitor == visitor and (trace is None or paused.wrote(trace))

    def _enter(self, run: EngineRun) -> EngineRun:
        """Give a run its place; one that may be resumed later takes the place of the one that could have been."""
        most = self.limits.waiting_per_visitor
        with self._state:
            if run.visitor and len(self.runs(run.visitor)) >= most:
                raise BusyError(
                    f"You may have at most {most} runs waiting or running; wait for one to end, or stop it."
                )
            if run.keep and self.resumable(run.visitor):
                self._paused = None
            self._runs.add(run)
            return run

    def _pause(self, paused: Paused) -> None:
        """Keep a stopped run in place of the one before, whosever that was."""
        with self._state:
            if self._model is paused.model:
                self._paused = paused

    def runs(self, visitor: str) -> list[EngineRun]:
        """Return this visitor's runs that are not closed yet."""
        with self._state:
            return [run for run in list(self._runs) if run.visitor == visitor and not run.closed]

    def score(self, model_id: str, prompt: str, ids: Sequence[int], system: str = "") -> list[float] | None:
        """Return how surprising each id of an answer is (nats) to the model in memory; None if that is another one, or cannot say.

        Waits for the run that computes; never loads.
        """
        while not self._turn.acquire(timeout=POLL_SECONDS):
            self._close_if_abandoned()
        try:
            model = self._model
            say = getattr(model, "score", None) if model is not None and model.spec.id == model_id else None
            return say(prompt, ids, system) if say else None
        finally:
            self._turn.release()

    def _close_if_abandoned(self) -> None:
        """Close the running run if nobody has asked it for a frame until well after its deadline."""
        running = self._running()
        if running is not None and running.overdue is not None and self.clock() > running.overdue:
            running.close()


class EngineRun(Iterator[Any]):
    """One run through the engine: an iterator of frames, a context manager, stoppable from any thread.

    `trace` is None until the model is ready. `prepare` waits for the turn and the model, saying why at every poll; iterating calls it
    if you did not. Closing, stopping, an error and the end all give the turn back.
    """

    def __init__(
        self, engine: Engine, request: Request, visitor: str, keep: bool = False, before: Paused | None = None
    ):
        self.request, self.keep, self._before = request, keep, before
        self.trace: Trace | None = None
        self.overdue: float | None = None  # when the engine takes the turn from a run that nobody asks for frames
        self.visitor, self.closed = visitor, False  # closed: its owner is done with it, in whatever way it ended
        self._engine = engine
        self._run: Run | FormRun | None = None
        self._model: Model | None = None
        self._cancelled = threading.Event()
        self._guard = threading.Lock()  # over both flags: a close may come from any thread at any moment
        self._holds_turn, self._ended, self._place = False, False, object()

    def __enter__(self) -> EngineRun:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    @property
    def ended(self) -> bool:
        """Whether this run computes no more and has given the turn back."""
        return self._ended

    def stop(self) -> None:
        """End the run before its next step; its last frame and result stay in `trace`. Safe from any thread."""
        self._cancelled.set()

    def steer(self, **values: Any) -> None:
        """Change knobs from the next step on (see `Run.steer`); raise SettingError. Safe from any thread."""
        if self._run is None or self._ended:
            raise SettingError("There is no run under way to change.", "settings")
        self._run.steer(**values)

    def prepare(self) -> Iterator[Waiting]:
        """Yield why nothing can be computed yet, until the model is loaded and it is this run's turn; then nothing."""
        try:
            yield from self._wait()
        except BaseException as error:
            self._end()
            if isinstance(error, Exception):
                raise typed(error, f"starting {self.request.model}") from None
            raise

    def _wait(self) -> Iterator[Waiting]:
        engine, model_id = self._engine, self.request.model
        while self._run is None and not self._ended:
            first = engine.line.first(self._place)
            loading = engine.start_loading(model_id) if first else None
            while loading is not None and not loading.done.wait(POLL_SECONDS):
                if self._cancelled.is_set():
                    return self._end()
                engine.line.first(self._place)
                yield Waiting("loading", loading.share, loading.words)
            if loading is not None and loading.error is not None:
                raise loading.error
            if not first or not engine._turn.acquire(timeout=POLL_SECONDS):
                if self._cancelled.wait(0 if first else POLL_SECONDS):
                    return self._end()
                engine._close_if_abandoned()
                yield Waiting("queue", 0.0, "another text is being written")
                continue
            model = engine._model
            with self._guard:
                if (
                    self._ended or model is None or model.spec.id != model_id
                ):  # closed, or somebody switched models: look again
                    engine._turn.release()
                    continue
                self._holds_turn, engine._running = True, ref(self)
            engine.line.leave(self._place)
            self._begin(model)

    def _begin(self, model: Model) -> None:
        engine, before, self._before, self._model = self._engine, self._before, None, model
        self.overdue = engine.clock() + engine.limits.seconds + GRACE_SECONDS
        if before is not None and before.model is not model:
            raise ModelUnavailable("The stopped run cannot be continued: its model was unloaded; run again.")
        if before is not None:
            self._run = before.run.resume(engine.clock, self._cancelled, engine.limits.seconds)
            self.trace = self._run.trace
            return
        if self.request.form is not None:
            self._run = FormRun.of(model, self.request, engine.limits, engine.clock, self._cancelled)
            return
        request = self.request = self.request.on(getattr(model, "defaults", None), engine.limits)
        self._run = model.begin(
            request,
            limits=engine.limits,
            clock=engine.clock,
            cancelled=self._cancelled,
            deadline=engine.limits.seconds,
        )
        self.trace = self._run.trace

    def __next__(self) -> Any:
        """Return the next frame, of a form the next reading; raise a PlaygroundError that the visitor may read."""
        if self._run is None:
            for _ in self.prepare():
                pass
        if self._run is None or self._ended:
            raise StopIteration
        try:
            frame = next(self._run)
            if self.closed:  # closed by another thread during this step, which could not end it from there
                self.close()
            return frame
        except StopIteration:
            self._end()
            raise
        except Exception as error:
            failure = typed(error, f"running {self.request.model}")
        except BaseException:
            self._end()
            raise
        # Outside the except block: a traceback in flight would keep the step's tensors alive.
        if self.trace is not None and self.trace.result is None and self.trace.frames:
            self.trace.finish("error")
        self._end()
        raise failure.with_traceback(None)

    def close(self) -> None:
        """End the run now; a step that computes in another thread ends first. Safe to call twice."""
        self._cancelled.set()
        self.closed = True
        if self._run is not None and not self._ended:
            try:
                self._run.close()
            except ValueError:  # "generator already executing": the thread in it sees `closed` and ends the run itself
                return
        self._end()

    def _end(self) -> None:
        """Give everything back, once."""
        engine = self._engine
        with self._guard:
            if self._ended:
                return
            self._ended = True
            engine.line.leave(self._place)
            self._keep()
            if self._holds_turn:
                engine._turn.release()

    def _keep(self) -> None:
        """Leave a run that was stopped, but not left, to the engine, where its model can resume it; stopped in the queue, as it was."""
        result, run, model, before = self.trace and self.trace.result, self._run, self._model, self._before
        self._model = self._before = None
        if before is not None and not self.closed:
            self._engine._pause(before)
        if (
            self.keep
            and not self.closed
            and result
            and result.stopped in PAUSED
            and hasattr(run, "resume")
            and model is not None
        ):
            self._engine._pause(Paused(self.visitor, self.request, run, model))
