"""Every knob of a run, parsed and validated once for the page, the API and the command line.

`FIELDS` is the one table: name, kind, bounds, default, help. The page builds its controls from it, the command line its
options, and `Settings.parse` its checks. A value is refused, never clamped: each refusal names the knob, the bound and the value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from model.errors import SettingError

SCHEDULES = ("linear", "cosine", "power", "sigmoid", "log", "exp")
ORDERS = ("confidence", "margin", "entropy", "random", "left_to_right", "proportional")
RULES = ("schedule", "threshold", "factor", "entropy", "independent")
REMASKING = ("none", "verify", "remdm_cap", "remdm_rescale", "remdm_conf", "p2", "recheck")
MODES = ("diffusion", "ar")

Kind = Literal["int", "float", "choice"]


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask for. `cost` bounds the combination: positions computed, summed over all forward passes.

    lanes, runs: those of one race, and the runs of one race or sweep together. image_bytes: of a picture with the prompt; 0: none.
    downloads: whether a visitor may have a model fetched, or name a checkpoint of the owner's.
    """

    name: str
    prompt_chars: int
    prompt_tokens: int
    new_tokens: int
    steps: int
    cost: int
    seconds: float
    waiting_per_visitor: int
    trace_bytes: int
    lanes: int
    runs: int
    image_bytes: int = 0
    downloads: bool = False


LOCAL = Limits("local", 8_000, 2_048, 1_024, 1_024, 524_288, 300.0, 8, 4_000_000, 4, 240, 8_000_000, True)
PUBLIC = Limits("public", 2_000, 512, 256, 256, 65_536, 30.0, 2, 1_000_000, 4, 24)
PROFILES = {"local": LOCAL, "public": PUBLIC}


@dataclass(frozen=True)
class Field:
    """One knob. `low`/`high` are inclusive; `families` are those whose loop reads it; `common` ones are shown unfolded."""

    name: str
    label: str
    kind: Kind
    default: Any
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    help: str = ""
    families: tuple[str, ...] = ("masked",)
    common: bool = False
    open_low: bool = False  # the lower bound itself is refused


_ALL = ("masked", "uniform", "autoregressive")
FIELDS: tuple[Field, ...] = (
    Field(
        "steps",
        "Steps",
        "int",
        32,
        1,
        1024,
        1,
        unit="passes",
        families=("masked", "uniform"),
        common=True,
        help="Denoising passes for the whole answer, shared over its blocks. With a threshold, factor or entropy rule it is a cap. "
        "On a model with a random canvas: passes per canvas.",
    ),
    Field(
        "new_tokens",
        "Length",
        "int",
        64,
        1,
        1024,
        1,
        unit="tokens",
        families=_ALL,
        common=True,
        help="Positions on the canvas. Text may end earlier; what follows the end is counted as spent.",
    ),
    Field(
        "temperature",
        "Temperature",
        "float",
        0.0,
        0.0,
        2.0,
        0.05,
        families=("masked", "autoregressive"),
        common=True,
        help="0 takes the likeliest token; higher values sample more freely. Confidence is always shown before temperature.",
    ),
    Field(
        "rule",
        "Commit rule",
        "choice",
        "schedule",
        choices=RULES,
        common=True,
        help="How many tokens a step commits: a planned count (schedule), all above a probability (threshold), as many as the sum of "
        "doubts allows (factor), as many as a budget of entropy allows (entropy), or those and up to two free choices that "
        "cannot contradict each other (independent).",
    ),
    Field(
        "threshold",
        "Confidence threshold",
        "float",
        0.9,
        0.0,
        1.0,
        0.01,
        common=True,
        help="Rule 'threshold': every token at least this probable is committed, and always the surest one.",
    ),
    Field(
        "schedule",
        "Schedule",
        "choice",
        "linear",
        choices=SCHEDULES,
        common=True,
        help="Rule 'schedule': how the number of tokens per step changes over the steps.",
    ),
    Field(
        "order",
        "Order",
        "choice",
        "confidence",
        choices=ORDERS,
        common=True,
        help="Which undecided positions go first: most probable, largest margin over the runner-up, lowest entropy, at random, "
        "left to right, or drawn in proportion to probability.",
    ),
    Field(
        "block_length",
        "Block length",
        "int",
        0,
        0,
        1024,
        1,
        unit="tokens",
        help="Positions denoised together before the next block starts; 0 takes the model's own. 1 is token by token.",
    ),
    Field(
        "top_p",
        "Top-p",
        "float",
        1.0,
        0.0,
        1.0,
        0.01,
        families=("masked", "autoregressive"),
        open_low=True,
        help="Sample only from the likeliest tokens that together reach this probability. 1 keeps all.",
    ),
    Field(
        "top_k",
        "Top-k",
        "int",
        0,
        0,
        1000,
        1,
        families=("masked", "autoregressive"),
        help="Sample only from this many likeliest tokens. 0 keeps all.",
    ),
    Field(
        "factor",
        "Factor",
        "float",
        1.0,
        0.0,
        16.0,
        0.05,
        open_low=True,
        help="Rule 'factor' (Fast-dLLM): commit the n surest while (n + 1)(1 - p of the n-th) stays below this.",
    ),
    Field(
        "entropy_bound",
        "Entropy bound",
        "float",
        0.1,
        0.0,
        50.0,
        0.05,
        unit="nats",
        families=("masked", "uniform"),
        open_low=True,
        help="Joint budget per step: the surest positions are accepted while the summed entropy, less the largest, stays within it.",
    ),
    Field(
        "remasking",
        "Taking back",
        "choice",
        "none",
        choices=REMASKING,
        help="Rules that take tokens back: 'verify' lets the model's own causal pass check a finished block (a short block at "
        "threshold 0 is guessed in the very pass that checks the one before); ReMDM re-masks at random (cap, rescale) or the "
        "unsure first (conf), P2 re-ranks every position at every step, 'recheck' takes back what the rest of the canvas makes "
        "unlikely (the model must have learned to doubt what it reads).",
    ),
    Field(
        "remask_strength",
        "Taking back: strength",
        "float",
        0.1,
        0.0,
        1.0,
        0.01,
        help="ReMDM: eta, the chance that a decided token is masked again. 'verify': the least probability, relative to the causal "
        "pass's own favourite, at which a token is kept (1 keeps favourites only). 'recheck': the least probability, given the rest "
        "of the canvas.",
    ),
    Field(
        "guidance",
        "Guidance",
        "float",
        0.0,
        0.0,
        10.0,
        0.1,
        help="Classifier-free guidance weight; 0 is off. Doubles the forward passes, which are counted.",
    ),
    Field(
        "canvases",
        "Canvases",
        "int",
        1,
        1,
        16,
        1,
        families=("uniform",),
        help="At most this many canvases are written one after the other.",
    ),
    Field(
        "t_max",
        "Temperature at the start",
        "float",
        0.8,
        0.0,
        2.0,
        0.01,
        families=("uniform",),
        open_low=True,
        help="The ramp's first temperature. An early stop means the last one is never reached.",
    ),
    Field(
        "t_min",
        "Temperature at the end",
        "float",
        0.4,
        0.0,
        2.0,
        0.01,
        families=("uniform",),
        help="What the ramp falls towards; the last of all steps stays one step's share of the way above it.",
    ),
    Field(
        "stability",
        "Stable steps",
        "int",
        1,
        0,
        64,
        1,
        unit="steps",
        families=("uniform",),
        help="Stop early only after the guess stayed the same for this many steps more; 0 asks for confidence alone.",
    ),
    Field(
        "confidence_threshold",
        "Mean entropy to stop",
        "float",
        0.005,
        0.0,
        10.0,
        0.001,
        unit="nats",
        families=("uniform",),
        help="Stop early only when the mean entropy of the canvas is below this. 0 turns early stopping off.",
    ),
    Field(
        "seed",
        "Seed",
        "int",
        0,
        0,
        2**31 - 1,
        1,
        families=_ALL,
        help="The same seed and settings on the same kind of machine give the same run.",
    ),
)
FIELD = {field.name: field for field in FIELDS}


@dataclass(frozen=True)
class Settings:
    """Validated knobs of one run; build from untrusted input with `Settings.parse`. Units and bounds are in `FIELDS`."""

    steps: int = 32
    new_tokens: int = 64
    temperature: float = 0.0
    rule: str = "schedule"
    threshold: float = 0.9
    schedule: str = "linear"
    order: str = "confidence"
    block_length: int = 0
    top_p: float = 1.0
    top_k: int = 0
    factor: float = 1.0
    entropy_bound: float = 0.1
    remasking: str = "none"
    remask_strength: float = 0.1
    guidance: float = 0.0
    canvases: int = 1
    t_max: float = 0.8
    t_min: float = 0.4
    stability: int = 1
    confidence_threshold: float = 0.005
    seed: int = 0

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, parse_value(FIELD[item.name], getattr(self, item.name), LOCAL))

    @classmethod
    def parse(cls, values: Mapping[str, Any], limits: Limits = LOCAL) -> Settings:
        """Return settings from untrusted `values` (missing ones take their default); raise SettingError with one sentence."""
        if not isinstance(values, Mapping):
            raise SettingError(f"Settings must map names to values; they were {_show(values)}.")
        unknown = sorted(str(name)[:40] for name in values if name not in FIELD)
        if unknown:
            raise SettingError(f"There is no setting called {unknown[0]!r}.", unknown[0])
        parsed = {name: parse_value(FIELD[name], value, limits) for name, value in values.items()}
        return cls(**parsed)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping of every knob."""
        return asdict(self)

    @property
    def one_guess(self) -> bool:
        """Whether a block is one guess that is checked: then one pass can check a block and guess the next."""
        return self.remasking == "verify" and self.rule == "threshold" and self.threshold == 0

    def canvas_count(self, canvas: int) -> int:
        """At most how many canvases of `canvas` positions are written: as asked for, and enough for the length, rounded up."""
        return max(self.canvases, -(-self.new_tokens // canvas))

    def check_ramp(self) -> None:
        """Refuse a temperature that would rise; raise SettingError."""
        if self.t_min > self.t_max:
            most = f"{self.t_max:g}, the one at the start"
            raise SettingError(f"{FIELD['t_min'].label} must be at most {most}; it was {self.t_min:g}.", "t_min")

    def cost(self, prompt_tokens: int, block_length: int, family: str, causal_prefix: bool) -> int:
        """Upper bound of positions computed, summed over all forward passes; the measure that `Limits.cost` bounds.

        prompt_tokens: length of the encoded prompt; block_length: positions denoised together; causal_prefix: finished
        tokens come from a cache and are computed once (otherwise every pass computes prompt and canvas again).
        """
        if family == "autoregressive":
            return prompt_tokens + self.new_tokens
        passes = self.steps * (self.canvas_count(block_length) if family == "uniform" else 1)
        width = block_length if causal_prefix else prompt_tokens + self.new_tokens
        twice = 2 if self.guidance > 0 and family == "masked" else 1
        return twice * (passes * width + prompt_tokens + self.new_tokens)


def parse_value(field: Field, value: Any, limits: Limits) -> Any:
    """Return `value` as the field's exact type within its bounds, or raise SettingError naming knob, bound and value."""
    if field.kind == "choice":
        if not isinstance(value, str) or value not in field.choices:
            raise SettingError(
                f"{field.label} must be one of {', '.join(field.choices)}; it was {_show(value)}.", field.name
            )
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"{field.label} must be a number; it was {_show(value)}.", field.name)
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{field.label} must be a finite number; it was {_show(value)}.", field.name)
    if field.kind == "int" and value != int(value):
        raise SettingError(f"{field.label} must be a whole number; it was {_show(value)}.", field.name)
    low, high = bounds(field, limits)
    if value < low or value > high or (field.open_low and value == low):
        between = f"above {low:g} and at most {high:.10g}" if field.open_low else f"between {low:g} and {high:.10g}"
        raise SettingError(f"{field.label} must be {between}; it was {_show(value)}.", field.name)
    return int(value) if field.kind == "int" else float(value)


def nearest(name: str, value: Any, limits: Limits = LOCAL) -> Any:
    """Return the allowed value next to one that a model's authors set; None where it is none at all. Visitors' values are refused."""
    field = FIELD[name]
    try:
        return parse_value(field, value, limits)
    except SettingError:
        if (
            field.kind == "choice"
            or isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            return None
    low, high = bounds(field, limits)
    if field.open_low and value <= low:
        return None
    value = min(max(value, low), high)
    return int(value) if field.kind == "int" else float(value)


def bounds(field: Field, limits: Limits) -> tuple[float, float]:
    """Return the inclusive (low, high) of a numeric field under a profile of limits."""
    assert field.low is not None and field.high is not None
    cap = {"steps": limits.steps, "new_tokens": limits.new_tokens, "block_length": limits.new_tokens}.get(
        field.name, field.high
    )
    return field.low, min(field.high, cap)


def applies(field: Field, settings: Settings) -> bool:
    """Whether the chosen commit and take-back rules read this knob (a page greys out or hides the others)."""
    needs = {
        "threshold": ("threshold",),
        "factor": ("factor",),
        "entropy_bound": ("entropy", "independent"),
        "schedule": ("schedule",),
    }
    if field.name in needs and field.families[0] == "masked":
        return settings.rule in needs[field.name]
    if field.name == "order":
        return settings.rule not in ("entropy", "independent") and settings.remasking != "p2"
    if field.name == "remask_strength":
        return settings.remasking not in ("none", "p2", "remdm_conf")
    return True


def _show(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to write out very long integers
        return f"a number of about {value.bit_length() * 0.30103:,.0f} digits"
    text = float.__repr__(value) if isinstance(value, float) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
