"""The loop for canvases without a mask token: DiffusionGemma's, on any network that reads a canvas of words and its own last guess.

A canvas starts as uniformly random tokens. Each step runs the decoder on it, divides the logits by a falling temperature, draws one
candidate a position, and accepts the candidates of lowest entropy whose joint budget (nats) holds (arXiv 2505.24857); every other
position gets a fresh random token, accepted before or not. The next step is conditioned on this step's tempered logits, the belief. A
canvas is done when its likeliest tokens stay the same and their mean entropy is low, or when its steps are spent; what it writes is
the likeliest token of every position. The encoder then appends it to the cache and the next canvas begins.

For a seed this is transformers' own `generate()` id for id, batches included, with a generator of its own instead of the global one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Protocol

import torch

from model.errors import NumericsError, SettingError
from model.settings import Settings, nearest
from model.trace.frame import TOP, Frame

PIN = 600.0  # pinned logits: finite, since entropies of infinite ones are not numbers, yet far above a softcap of 30


@dataclass
class State:
    """All that a run holds between two steps. Tensors are replaced, never written to, so a copy shares them.

    B prompts, canvas length L, vocabulary V. sequence (B, N): prompt and finished canvases, of which `cached` are in `cache`;
    attention (B, N): False at padding; canvas (B, L): what the decoder sees next; accepted (B, L): which of it stands; guess (B, L):
    the likeliest tokens, guess_p (B, L): their raw probability; belief (B, L, V): tempered logits of the last pass, None before the
    first; history (stability, B, L): the guesses before; done (B,): this canvas is finished; ended (B,): the text ended in an earlier
    canvas; left: passes left; closed: this canvas is written; frame: the last frame shown.
    """

    sequence: torch.Tensor
    attention: torch.Tensor
    cache: Any
    canvas: torch.Tensor
    accepted: torch.Tensor
    guess: torch.Tensor
    guess_p: torch.Tensor
    history: torch.Tensor
    done: torch.Tensor
    ended: torch.Tensor
    belief: torch.Tensor | None = None
    pinned: Mapping[int, int] = field(default_factory=dict)
    cached: int = 0
    block: int = -1
    left: int = 0
    closed: bool = True
    decoder_mask: Any = None
    rng: torch.Tensor | None = None
    frame: Frame | None = None


@dataclass(frozen=True)
class Pass:
    """What one pass did. seen, canvas, guess (B, L) ids: what the decoder saw, what it sees next, its likeliest tokens.

    accepted, before (B, L): what stands now, and what stood; spent (B, L): joint entropy of all surer positions, which the rule compares
    with the bound; entropy (B, L): nats at this temperature; mean_entropy (B,); finished: every row of the batch is done or no pass is
    left.
    """

    seen: torch.Tensor
    canvas: torch.Tensor
    guess: torch.Tensor
    accepted: torch.Tensor
    before: torch.Tensor
    spent: torch.Tensor
    entropy: torch.Tensor
    temperature: torch.Tensor
    mean_entropy: list[float]
    finished: bool


@dataclass(frozen=True)
class Step(Pass):
    """A pass and what a frame shows beside: token_p, guess_p (B, L), top_ids, top_p (B, L, TOP), softmax of the raw logits."""

    token_p: torch.Tensor
    guess_p: torch.Tensor
    top_ids: torch.Tensor
    top_p: torch.Tensor


def check(settings: Settings, canvas_length: int, pinned: Mapping[int, int] | None = None) -> None:
    """Refuse combinations that no run can satisfy; raise SettingError with one sentence."""
    settings.check_ramp()
    positions = settings.canvas_count(canvas_length) * canvas_length
    for position in pinned or ():
        if not 0 <= position < positions:
            raise SettingError(f"A pinned position must be between 0 and {positions - 1}; it was {position}.", "pinned")


def defaults(generation_config: Any, canvas_length: int) -> Settings:
    """Return the knobs as a checkpoint's generation config (an object or a mapping) sets them; what it leaves open keeps our default.

    Where it goes beyond our bounds, the bound is taken.
    """
    if isinstance(generation_config, Mapping):
        generation_config = SimpleNamespace(**generation_config)
    sampler = getattr(generation_config, "sampler_config", None)
    bound = sampler.get("entropy_bound") if isinstance(sampler, dict) else getattr(sampler, "entropy_bound", None)
    tokens = getattr(generation_config, "max_new_tokens", None) or canvas_length
    names = {
        "steps": "max_denoising_steps",
        "t_max": "t_max",
        "t_min": "t_min",
        "stability": "stability_threshold",
        "confidence_threshold": "confidence_threshold",
    }
    wanted = {ours: getattr(generation_config, theirs, None) for ours, theirs in names.items()}
    wanted |= {"entropy_bound": bound, "canvases": -(-tokens // canvas_length), "new_tokens": min(tokens, 1024)}
    values = {
        name: nearest(name, value)
        for name, value in ({"steps": 48} | {k: v for k, v in wanted.items() if v is not None}).items()
    }
    return Settings.parse({name: value for name, value in values.items() if value is not None})


class Denoiser(Protocol):
    """The network of one run.

    length: positions of a canvas; vocab: rows of its logits; first: the lowest id that a random canvas may hold; ahead: forward passes
    that `encode` takes, 0 where every pass reads the prompt itself.
    """

    length: int
    vocab: int
    first: int
    ahead: int

    def empty(self) -> Any:
        """Return a cache that holds nothing."""
        ...

    def encode(self, state: State) -> None:
        """Append to `state.cache` what it lacks of the sequence, and set `state.cached`."""
        ...

    def forward(self, state: State) -> torch.Tensor:
        """Return raw logits (B, L, V) of the canvas, float32, given the belief of the pass before."""
        ...

    def belief(self, logits: torch.Tensor) -> torch.Tensor:
        """Return tempered logits as the next pass takes them."""
        ...

    def fork(self, cache: Any) -> Any:
        """Return a copy of a cache that grows on its own."""
        ...

    def release(self) -> None:
        """Free what only this run needs."""
        ...


class Loop:
    """One run: open a canvas, step until it is finished, close it, and again. `state` is all it holds.

    input_ids (B, N) with attention (B, N) for padded batches; start (B, L): tokens of the first canvas, -1 where they are random;
    pinned: {position of the answer: id} that never changes; thinking: ids that open and close a thought, no part of the answer; barred: ids
    that are never written, though a random canvas may hold them.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        settings: Settings,
        input_ids: torch.Tensor,
        *,
        attention: torch.Tensor | None = None,
        eos_ids: tuple[int, ...] = (),
        pad_id: int | None = None,
        pinned: Mapping[int, int] | None = None,
        start: torch.Tensor | None = None,
        thinking: tuple[int, int] | None = None,
        barred: tuple[int, ...] = (),
    ):
        self.denoiser, self.settings, self.length, self.vocab = denoiser, settings, denoiser.length, denoiser.vocab
        check(settings, self.length, pinned)
        self.device, self.pad_id, self.start, self.thinking = input_ids.device, pad_id, start, thinking
        self.generator = torch.Generator(self.device).manual_seed(settings.seed)
        self.eos, self.barred = (torch.tensor(x, dtype=torch.long, device=self.device) for x in (eos_ids, barred))
        attention = torch.ones_like(input_ids, dtype=torch.bool) if attention is None else attention.bool()
        nothing, none = input_ids[:, :0], torch.zeros(len(input_ids), dtype=torch.bool, device=self.device)
        self.state = State(
            input_ids,
            attention,
            denoiser.empty(),
            nothing,
            nothing,
            nothing,
            nothing,
            nothing,
            none,
            none,
            pinned=dict(pinned or {}),
        )

    @property
    def here(self) -> dict[int, int]:
        """The pinned tokens of the canvas under work, by its own positions."""
        first = self.state.block * self.length
        return {p - first: token for p, token in self.state.pinned.items() if first <= p < first + self.length}

    # ------------------------------------------------------------ one canvas
    @torch.inference_mode()
    def open_canvas(self) -> None:
        """Draw a new canvas; `encode` must follow before the first step."""
        state, batch = self.state, self.state.sequence.shape[0]
        state.block, state.closed = state.block + 1, False
        state.canvas = self._random()
        if state.block == 0 and self.start is not None:
            state.canvas = self.clamp(torch.where(self.start >= 0, self.start, state.canvas))
        state.left, state.belief, state.guess = self.settings.steps, None, state.canvas
        state.accepted = torch.zeros_like(state.canvas, dtype=torch.bool)
        state.history = torch.full((self.settings.stability, batch, self.length), -1, device=self.device)
        state.done = torch.zeros(batch, dtype=torch.bool, device=self.device)

    def encode(self) -> None:
        """Append what the cache lacks, the prompt or the canvas before, in one causal pass."""
        self.denoiser.encode(self.state)

    def forward(self) -> torch.Tensor:
        """Return the network's raw logits (B, L, V), float32, for the canvas as it stands; what is barred is out of reach."""
        raw = self.denoiser.forward(self.state)
        return raw.index_fill(-1, self.barred, -PIN) if len(self.barred) else raw

    @torch.inference_mode()
    def step(self, raw: torch.Tensor | None = None) -> Step:
        """Run one pass (or take its logits), accept, renoise, and say what happened; raise NumericsError on NaN."""
        raw = self.forward() if raw is None else raw
        did = self.advance(raw)
        norm = raw.logsumexp(-1, keepdim=True)
        top, top_ids = raw.topk(TOP, dim=-1)
        share = (raw.gather(-1, torch.stack([did.canvas, did.guess], -1)) - norm).exp()
        step = Step(
            **vars(did), token_p=share[..., 0], guess_p=share[..., 1], top_ids=top_ids, top_p=(top - norm).exp()
        )
        self.state.guess_p = step.guess_p
        return step

    @torch.inference_mode()
    def advance(self, raw: torch.Tensor) -> Pass:
        """Accept and renoise by a pass's logits (B, L, V); all that writing without frames needs. Raise NumericsError on NaN."""
        state, settings = self.state, self.settings
        temperature = self.temperature()
        logits = self._pin(raw) / temperature
        norm = logits.logsumexp(-1, keepdim=True)
        if not bool(torch.isfinite(norm).all()):  # before sampling: on a GPU that would take the whole process down
            raise NumericsError("The model returned values that are not numbers; run again, or reload the model.")
        candidates = torch.multinomial(
            logits.softmax(-1, dtype=torch.float32).view(-1, self.vocab), 1, generator=self.generator
        )
        candidates = self.clamp(candidates.view(state.canvas.shape))
        guess, entropy = logits.max(-1).indices, entropies(logits, norm)
        accepted, spent = accept(entropy, settings.entropy_bound)
        canvas = torch.where(accepted, candidates, self._random())
        belief = self.denoiser.belief(logits)
        if len(state.done) > 1 and bool(
            state.done.any()
        ):  # rows of a batch that are done wait for the others, unchanged
            keep = state.done[:, None]
            guess, canvas = torch.where(keep, state.guess, guess), torch.where(keep, state.canvas, canvas)
            assert state.belief is not None
            belief = torch.where(keep[..., None], state.belief, belief)
        mean = entropy.mean(-1)
        done = state.done | self._settled(guess, mean)
        did = Pass(
            state.canvas,
            canvas,
            guess,
            accepted,
            state.accepted,
            spent,
            entropy,
            temperature,
            mean.tolist(),
            state.left == 1 or bool(done.all()),
        )
        state.history = torch.cat([state.history, guess[None]])[1:] if settings.stability else state.history
        state.canvas, state.accepted, state.guess, state.belief, state.done = canvas, accepted, guess, belief, done
        state.left -= 1
        return did

    @torch.inference_mode()
    def close_canvas(self) -> None:
        """Append the likeliest tokens to the sequence, padding behind an end token."""
        state = self.state
        ends = torch.isin(state.guess, self.eos)
        text = state.guess
        if self.pad_id is not None:
            behind = (ends.cumsum(-1) - ends.long()) > 0
            text = torch.where(behind | state.ended[:, None], self.pad_id, text)
        state.sequence = torch.cat([state.sequence, text], -1)
        state.attention = torch.nn.functional.pad(state.attention, (0, self.length), value=True)
        state.ended, state.closed = state.ended | ends.any(-1), True

    @property
    def over(self) -> bool:
        """Whether the last canvas is written: the text ended, or as many were as may be."""
        state = self.state
        return state.closed and (bool(state.ended.all()) or state.block + 1 >= self.settings.canvas_count(self.length))

    def finish(self) -> torch.Tensor:
        """Run to the end without frames; return the sequence (B, N), prompt included."""
        while not self.over:
            self.open_canvas()
            self.encode()
            while not self.advance(self.forward()).finished:
                pass
            self.close_canvas()
        return self.state.sequence

    # ------------------------------------------------------------ pieces of a step
    def temperature(self) -> torch.Tensor:
        """The ramp's value for this step; computed as transformers does, so that no bit differs."""
        left = torch.tensor(self.state.left, device=self.device, dtype=torch.int32)
        return self.settings.t_min + ((self.settings.t_max - self.settings.t_min) * (left / self.settings.steps))

    def _random(self) -> torch.Tensor:
        shape = (self.state.sequence.shape[0], self.length)
        return self.clamp(
            torch.randint(self.denoiser.first, self.vocab, shape, device=self.device, generator=self.generator)
        )

    def clamp(self, canvas: torch.Tensor) -> torch.Tensor:
        """Return a canvas (B, L) with the pinned tokens where they are pinned; it is written to."""
        for position, token in self.here.items():
            canvas[:, position] = token
        return canvas

    def _pin(self, raw: torch.Tensor) -> torch.Tensor:
        """Return logits that leave pinned positions no choice: clamping alone would not do, for the likeliest token is what is written."""
        if not self.here:
            return raw
        positions, tokens = list(self.here), list(self.here.values())
        raw = raw.clone()
        raw[:, positions] = -PIN
        raw[:, positions, tokens] = PIN
        return raw

    def _settled(self, guess: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        """Which rows (B,) may stop early: the guess stayed the same, and its mean entropy is low."""
        if self.settings.confidence_threshold <= 0:
            return torch.zeros_like(mean, dtype=torch.bool)
        stable = (self.state.history == guess[None]).all(-1).all(0)
        return stable & (mean < self.settings.confidence_threshold)

    # ------------------------------------------------------------ pause and continue
    @torch.inference_mode()
    def snapshot(self) -> State:
        """Return a copy to continue from, once or often: the random generator's place and the belief are kept."""
        state = self.state
        return replace(
            state, rng=self.generator.get_state(), pinned=dict(state.pinned), cache=self.denoiser.fork(state.cache)
        )

    def fork(self) -> Loop:
        """Return a loop that goes on from here, apart from this one."""
        twin = copy.copy(self)
        twin.generator = torch.Generator(self.device)
        twin.resume(self.snapshot())
        return twin

    def release(self) -> None:
        """Free the large tensors of a finished run."""
        self.state = replace(self.state, cache=None, belief=None, decoder_mask=None)
        self.denoiser.release()
        self.start = None

    @torch.inference_mode()
    def resume(self, state: State) -> None:
        """Go on from a snapshot (which stays usable)."""
        self.state = replace(state, cache=self.denoiser.fork(state.cache))
        assert state.rng is not None
        self.generator.set_state(state.rng)


def entropies(logits: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
    """Return the entropies (..., L) in nats of logits (..., L, V), given their logsumexp; to the bit `Categorical(logits).entropy()`."""
    logits = logits - norm
    p = logits.softmax(-1)
    return -p.mul_(logits.clamp_(min=torch.finfo(logits.dtype).min)).sum(-1)


def accept(entropy: torch.Tensor, bound: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (accepted, spent) for entropies (B, L) in nats: the k surest positions whose summed entropy, less the largest, is within
    `bound` (arXiv 2505.24857), and for every position the entropy summed over all surer ones."""
    ordered, order = entropy.sort(dim=-1)
    spent = ordered.cumsum(-1) - ordered
    accepted = torch.zeros_like(spent, dtype=torch.bool).scatter(-1, order, spent <= bound)
    return accepted, torch.zeros_like(spent).scatter(-1, order, spent)
