"""Every knob of a run, declared once for the page, the API and the command line.

A knob is a field of `Settings`: kind, bounds, default, help. From `FIELDS`, the same as a table, the page builds its controls and the
command line its options. A value is refused, never clamped: each refusal names the knob, the bound and the value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from model.aliases import ours
from model.errors import SettingError
from model.knobs import Field, bounds, knob, knobs_of, parse_value, show
from model.limits import LOCAL, PROFILES, PUBLIC, Limits

__all__ = [
    "FIELD",
    "FIELDS",
    "LOCAL",
    "MODES",
    "ORDERS",
    "PROFILES",
    "PUBLIC",
    "REMASKING",
    "RULES",
    "SCHEDULES",
    "Field",
    "Limits",
    "Settings",
    "applies",
    "bounds",
    "nearest",
    "parse_value",
]

SCHEDULES = ("linear", "cosine", "power", "sigmoid", "log", "exp")
ORDERS = ("confidence", "margin", "entropy", "random", "left_to_right", "proportional")
RULES = ("schedule", "threshold", "factor", "entropy", "independent")
REMASKING = ("none", "verify", "remdm_cap", "remdm_rescale", "remdm_conf", "p2", "recheck")
MODES = ("diffusion", "ar")
_ALL = ("masked", "uniform", "autoregressive")


@dataclass(frozen=True)
class Settings:
    """Validated knobs of one run; build from untrusted input with `Settings.parse`."""

    steps: int = knob(
        32,
        "Steps",
        1,
        1024,
        1,
        unit="passes",
        families=("masked", "uniform"),
        common=True,
        help=(
            "Denoising passes for the whole answer, shared over its blocks. With a threshold, factor or entropy rule it is a cap. "
            "On a model with a random canvas: passes per canvas."
        ),
    )
    new_tokens: int = knob(
        64,
        "Length",
        1,
        1024,
        1,
        unit="tokens",
        families=_ALL,
        common=True,
        help="Positions on the canvas. Text may end earlier; what follows the end is counted as spent.",
    )
    temperature: float = knob(
        0.0,
        "Temperature",
        0.0,
        2.0,
        0.05,
        families=("masked", "autoregressive"),
        common=True,
        help="0 takes the likeliest token; higher values sample more freely. Confidence is always shown before temperature.",
    )
    rule: str = knob(
        "schedule",
        "Commit rule",
        choices=RULES,
        common=True,
        help=(
            "How many tokens a step commits: a planned count (schedule), all above a probability (threshold), as many as the sum of "
            "doubts allows (factor), as many as a budget of entropy allows (entropy), or those and up to two free choices that "
            "cannot contradict each other (independent)."
        ),
    )
    threshold: float = knob(
        0.9,
        "Confidence threshold",
        0.0,
        1.0,
        0.01,
        common=True,
        help="Rule 'threshold': every token at least this probable is committed, and always the surest one.",
    )
    schedule: str = knob(
        "linear",
        "Schedule",
        choices=SCHEDULES,
        common=True,
        help="Rule 'schedule': how the number of tokens per step changes over the steps.",
    )
    order: str = knob(
        "confidence",
        "Order",
        choices=ORDERS,
        common=True,
        help=(
            "Which undecided positions go first: most probable, largest margin over the runner-up, lowest entropy, at random, "
            "left to right, or drawn in proportion to probability."
        ),
    )
    block_length: int = knob(
        0,
        "Block length",
        0,
        1024,
        1,
        unit="tokens",
        help="Positions denoised together before the next block starts; 0 takes the model's own. 1 is token by token.",
    )
    top_p: float = knob(
        1.0,
        "Top-p",
        0.0,
        1.0,
        0.01,
        families=("masked", "autoregressive"),
        open_low=True,
        help="Sample only from the likeliest tokens that together reach this probability. 1 keeps all.",
    )
    top_k: int = knob(
        0,
        "Top-k",
        0,
        1000,
        1,
        families=("masked", "autoregressive"),
        help="Sample only from this many likeliest tokens. 0 keeps all.",
    )
    factor: float = knob(
        1.0,
        "Factor",
        0.0,
        16.0,
        0.05,
        open_low=True,
        help="Rule 'factor' (Fast-dLLM): commit the n surest while (n + 1)(1 - p of the n-th) stays below this.",
    )
    entropy_bound: float = knob(
        0.1,
        "Entropy bound",
        0.0,
        50.0,
        0.05,
        unit="nats",
        families=("masked", "uniform"),
        open_low=True,
        help="Joint budget per step: the surest positions are accepted while the summed entropy, less the largest, stays within it.",
    )
    remasking: str = knob(
        "none",
        "Taking back",
        choices=REMASKING,
        help=(
            "Rules that take tokens back: 'verify' lets the model's own causal pass check a finished block (a short block at "
            "threshold 0 is guessed in the very pass that checks the one before); ReMDM re-masks at random (cap, rescale) or the "
            "unsure first (conf), P2 re-ranks every position at every step, 'recheck' takes back what the rest of the canvas makes "
            "unlikely (the model must have learned to doubt what it reads)."
        ),
    )
    remask_strength: float = knob(
        0.1,
        "Taking back: strength",
        0.0,
        1.0,
        0.01,
        help=(
            "ReMDM: eta, the chance that a decided token is masked again. 'verify': the least probability, relative to the causal "
            "pass's own favourite, at which a token is kept (1 keeps favourites only). 'recheck': the least probability, given the rest "
            "of the canvas."
        ),
    )
    guidance: float = knob(
        0.0,
        "Guidance",
        0.0,
        10.0,
        0.1,
        help="Classifier-free guidance weight; 0 is off. Doubles the forward passes, which are counted.",
    )
    canvases: int = knob(
        1,
        "Canvases",
        1,
        16,
        1,
        families=("uniform",),
        help="At most this many canvases are written one after the other.",
    )
    t_max: float = knob(
        0.8,
        "Temperature at the start",
        0.0,
        2.0,
        0.01,
        families=("uniform",),
        open_low=True,
        help="The ramp's first temperature. An early stop means the last one is never reached.",
    )
    t_min: float = knob(
        0.4,
        "Temperature at the end",
        0.0,
        2.0,
        0.01,
        families=("uniform",),
        help="What the ramp falls towards; the last of all steps stays one step's share of the way above it.",
    )
    stability: int = knob(
        1,
        "Stable steps",
        0,
        64,
        1,
        unit="steps",
        families=("uniform",),
        help="Stop early only after the guess stayed the same for this many steps more; 0 asks for confidence alone.",
    )
    confidence_threshold: float = knob(
        0.005,
        "Mean entropy to stop",
        0.0,
        10.0,
        0.001,
        unit="nats",
        families=("uniform",),
        help="Stop early only when the mean entropy of the canvas is below this. 0 turns early stopping off.",
    )
    seed: int = knob(
        0,
        "Seed",
        0,
        2**31 - 1,
        1,
        families=_ALL,
        help="The same seed and settings on the same kind of machine give the same run.",
    )

    def __post_init__(self) -> None:
        for name, field in FIELD.items():
            object.__setattr__(self, name, parse_value(field, getattr(self, name), LOCAL))

    @classmethod
    def parse(cls, values: Mapping[str, Any], limits: Limits = LOCAL) -> Settings:
        """Return settings from untrusted `values` (missing ones take their default, `aliases` are taken); raise SettingError."""
        if not isinstance(values, Mapping):
            raise SettingError(f"Settings must map names to values; they were {show(values)}.")
        values = ours(values)
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


FIELDS = knobs_of(Settings)
FIELD = {field.name: field for field in FIELDS}


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


def applies(field: Field, settings: Settings) -> bool:
    """Whether the chosen rules and temperature read this knob (a page hides the others, or greys them out)."""
    if field.name in ("top_p", "top_k"):
        return settings.temperature > 0
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
