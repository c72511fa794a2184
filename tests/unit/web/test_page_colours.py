"""The page's colours around the player: text readable in light and dark, what is chosen apart from what is not for every eye."""

import numpy as np
import pytest

from playground.web.theme import INK
from tests.unit.web.test_player_colours import SIMULATED, contrast, lab, linear

GROUNDS = ("body_background_fill", "background_fill_primary", "background_fill_secondary", "input_background_fill")
TEXTS = (
    "body_text_color",
    "body_text_color_subdued",
    "block_label_text_color",
    "block_title_text_color",
    "block_info_text_color",
    "link_text_color",
    "button_secondary_text_color",
)
PAIRS = [
    ("button_primary_text_color", "button_primary_background_fill"),
    ("button_primary_text_color", "button_primary_background_fill_hover"),
    ("checkbox_label_text_color_selected", "checkbox_label_background_fill_selected"),
    ("error_text_color", "error_background_fill"),
    ("input_placeholder_color", "input_background_fill"),
    ("button_secondary_text_color", "button_secondary_background_fill_hover"),
]


def colour(name: str, dark: bool) -> np.ndarray:
    value = INK[name][dark]
    return linear(np.array([int(value[i : i + 2], 16) for i in (1, 3, 5)]) / 255)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(dark):
    low = [
        (text, ground)
        for text in TEXTS
        for ground in GROUNDS
        if contrast(colour(text, dark), colour(ground, dark)) < 4.5
    ]
    low += [(text, ground) for text, ground in PAIRS if contrast(colour(text, dark), colour(ground, dark)) < 4.5]
    assert low == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", SIMULATED)
def test_accents_and_refusals_differ_for_every_eye(eyes, dark):
    seen = {
        name: lab(np.array(SIMULATED[eyes]) @ colour(name, dark))
        for name in (
            "link_text_color",
            "body_text_color_subdued",
            "error_border_color",
            "body_background_fill",
            "slider_color",
        )
    }
    for name in ("link_text_color", "error_border_color", "slider_color"):
        assert np.linalg.norm(seen[name] - seen["body_background_fill"]) > 35, name
    assert np.linalg.norm(seen["link_text_color"] - seen["error_border_color"]) > 20
