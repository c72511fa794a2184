"""The player's colours: readable in light and dark, and apart from each other for colour-blind eyes and in grey."""

import re
from itertools import combinations

import numpy as np
import pytest

from playground.web.components.assets import style

# Machado, Oliveira, Fernandes 2009, severity 1.0, on linear RGB
SIMULATED = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "none": np.eye(3).tolist(),
}


def palette(theme: str) -> dict[str, np.ndarray]:
    """Return the colours of a theme as linear RGB."""
    light, dark = (
        re.search(rf"\.ib-player{re.escape(which)} \{{(.*?)\n\}}", style(), re.S) for which in ("", ".ib-dark")
    )
    assert light and dark
    text = light.group(1) + (dark.group(1) if theme == "dark" else "")
    found = dict(re.findall(r"--ib-([a-z-]+): (#[0-9a-f]{6});", text))
    return {
        name: linear(np.array([int(value[i : i + 2], 16) for i in (1, 3, 5)]) / 255) for name, value in found.items()
    }


def linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encoded(rgb: np.ndarray) -> np.ndarray:
    rgb = np.clip(rgb, 0, 1)
    return np.where(rgb <= 0.0031308, rgb * 12.92, 1.055 * rgb ** (1 / 2.4) - 0.055)


def luminance(rgb: np.ndarray) -> float:
    return float(np.dot(rgb, [0.2126, 0.7152, 0.0722]))


def contrast(a: np.ndarray, b: np.ndarray) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = (
        np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        @ np.clip(rgb, 0, 1)
        / [0.9505, 1, 1.089]
    )
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def blot(colours: dict[str, np.ndarray], share: float) -> np.ndarray:
    """An undecided block: so much of the blot's colour over the paper."""
    return linear(share * encoded(colours["blot"]) + (1 - share) * encoded(colours["paper"]))


def share_of_blot(theme: str) -> float:
    """How much of the blot's colour an undecided place has, as the style sheet says it."""
    light, dark = (float(found) / 100 for found in re.findall(r"--ib-blot-a: (\d+)%", style())[:2])
    return dark if theme == "dark" else light


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_undecided_place_is_seen_from_the_last_row(theme: str):
    c = palette(theme)
    assert contrast(blot(c, share_of_blot(theme)), c["paper"]) >= 1.6
    assert "calc(var(--ib-blot-a) + 7% * var(--p))" in style()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(theme: str):
    c = palette(theme)
    darkest = blot(c, share_of_blot(theme) + 0.07)  # the surest guess makes it darkest
    pairs = {
        "text": ("ink", c["paper"]),
        "quiet text": ("soft", c["paper"]),
        "committed": ("on-accent", c["accent"]),
        "pinned": ("pin", c["paper"]),
        "taken back": ("back", c["paper"]),
        "a guess in the darkest block": ("guess", darkest),
    }
    assert {
        name: round(contrast(c[ink], behind), 1)
        for name, (ink, behind) in pairs.items()
        if contrast(c[ink], behind) < 4.5
    } == {}
    assert contrast(c["accent"], c["paper"]) >= 3  # controls, outline, bars


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("eyes", SIMULATED)
def test_states_stay_apart_for_colour_blind_eyes(theme: str, eyes: str):
    c = palette(theme)
    seen = {name: lab(np.array(SIMULATED[eyes]) @ c[name]) for name in ("accent", "back", "pin", "ink")} | {
        "blot": lab(np.array(SIMULATED[eyes]) @ blot(c, share_of_blot(theme)))
    }
    apart = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in combinations(seen, 2)}
    assert {pair: distance for pair, distance in apart.items() if distance < 12} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_fills_differ_in_grey(theme: str):
    c = palette(theme)
    greys = sorted(
        lab(np.full(3, luminance(rgb)))[0]
        for rgb in (c["accent"], blot(c, share_of_blot(theme)), c["paper"], blot(c, 0.15))
    )
    assert min(np.diff(greys)) > 3
