"""The names that transformers' generation config of DiffusionGemma gives the knobs, taken wherever knobs are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.errors import SettingError

ALIASES = {
    "max_denoising_steps": "steps",
    "max_new_tokens": "new_tokens",
    "stability_threshold": "stability",
    "sampler_config": "entropy_bound",
}  # t_min, t_max, entropy_bound and confidence_threshold are called so here too


def ours(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return knobs under their own names; raise SettingError where one is given under both.

    Nothing (None) is what the model's own config says, but for the stability threshold, where it means never to stop early, as there.
    `max_new_tokens` alone says how many canvases there are, as there.
    """
    out = {name: value for name, value in values.items() if name not in ALIASES}
    for name in ALIASES.keys() & values.keys():
        if ALIASES[name] in out:
            raise SettingError(f"'{name}' and '{ALIASES[name]}' are one knob; give it once.", ALIASES[name])
    for name, value in values.items():
        if name == "max_new_tokens" and value is not None:
            out = {"canvases": 1} | out
        if name == "sampler_config" and value is not None:
            value = _bound(value)
        if name == "stability_threshold" and value is None:
            out = {"confidence_threshold": 0.0} | out
        elif name in ALIASES and value is not None:
            out[ALIASES[name]] = value
    return out


def _bound(config: Any) -> Any:
    """Return the entropy bound in a sampler's config, a mapping or transformers' own object."""
    said = dict(config) if isinstance(config, Mapping) else dict(getattr(config, "__dict__", {}))
    if said.pop("_cls_name", "EntropyBoundSamplerConfig") != "EntropyBoundSamplerConfig" or said.keys() != {
        "entropy_bound"
    }:
        raise SettingError("'sampler_config' must hold an 'entropy_bound' and nothing else.", "entropy_bound")
    return said["entropy_bound"]
