"""What one knob of a run is, and how a value for it is checked. The knobs themselves are the fields of `model.settings.Settings`."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from model.errors import SettingError
from model.limits import Limits

Kind = Literal["int", "float", "choice"]


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


def knob(
    default: Any,
    label: str,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    **rest: Any,
) -> Any:
    """Declare a dataclass field that is a knob: its kind is that of `default`; `rest` are further fields of `Field`."""
    kind: Kind = "choice" if isinstance(default, str) else "float" if isinstance(default, float) else "int"
    return dataclasses.field(
        default=default, metadata={"knob": Field("", label, kind, default, low, high, step, **rest)}
    )


def knobs_of(settings: type) -> tuple[Field, ...]:
    """Return the knobs that a dataclass declares, in its order."""
    declared = dataclasses.fields(settings)
    return tuple(dataclasses.replace(field.metadata["knob"], name=field.name) for field in declared)


def parse_value(field: Field, value: Any, limits: Limits) -> Any:
    """Return `value` as the field's exact type within its bounds, or raise SettingError naming knob, bound and value."""
    if field.kind == "choice":
        if not isinstance(value, str) or value not in field.choices:
            raise SettingError(
                f"{field.label} must be one of {', '.join(field.choices)}; it was {show(value)}.", field.name
            )
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"{field.label} must be a number; it was {show(value)}.", field.name)
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{field.label} must be a finite number; it was {show(value)}.", field.name)
    if field.kind == "int" and value != int(value):
        raise SettingError(f"{field.label} must be a whole number; it was {show(value)}.", field.name)
    low, high = bounds(field, limits)
    if value < low or value > high or (field.open_low and value == low):
        between = f"above {low:g} and at most {high:.10g}" if field.open_low else f"between {low:g} and {high:.10g}"
        raise SettingError(f"{field.label} must be {between}; it was {show(value)}.", field.name)
    return int(value) if field.kind == "int" else float(value)


def bounds(field: Field, limits: Limits) -> tuple[float, float]:
    """Return the inclusive (low, high) of a numeric field under a profile of limits."""
    assert field.low is not None and field.high is not None
    cap = {"steps": limits.steps, "new_tokens": limits.new_tokens, "block_length": limits.new_tokens}.get(
        field.name, field.high
    )
    return field.low, min(field.high, cap)


def show(value: Any) -> str:
    """Return an untrusted value as a refusal quotes it."""
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to write out very long integers
        return f"a number of about {value.bit_length() * 0.30103:,.0f} digits"
    text = float.__repr__(value) if isinstance(value, float) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
