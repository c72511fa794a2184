"""Paper and ink: Gradio's theme variables and a small style sheet. System fonts only, one accent, the player's own colours."""

from __future__ import annotations

import gradio as gr

from model.paths import ASSETS

STYLES = ASSETS / "page"
SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "DejaVu Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"]
INK = {  # variable: (light, dark)
    "body_background_fill": ("#f4f1e9", "#0f0e13"),
    "body_text_color": ("#1d1b26", "#f1ecdf"),
    "body_text_color_subdued": ("#5f5a66", "#aba5b4"),
    "background_fill_primary": ("#fdfbf5", "#17161c"),
    "background_fill_secondary": ("#efeadd", "#1d1b23"),
    "block_background_fill": ("transparent", "transparent"),
    "block_border_color": ("transparent", "transparent"),
    "block_label_background_fill": ("transparent", "transparent"),
    "block_label_text_color": ("#5f5a66", "#aba5b4"),
    "block_title_text_color": ("#1d1b26", "#f1ecdf"),
    "block_info_text_color": ("#5f5a66", "#aba5b4"),
    "border_color_primary": ("#d9d2c0", "#34313d"),
    "border_color_accent": ("#0a5fa4", "#6cb6ee"),
    "color_accent_soft": ("#e3ecf3", "#1c2a36"),
    "input_background_fill": ("#fdfbf5", "#17161c"),
    "input_background_fill_focus": ("#fffefb", "#1b1a21"),
    "input_border_color": ("#d9d2c0", "#3a3745"),
    "input_border_color_focus": ("#0a5fa4", "#6cb6ee"),
    "input_placeholder_color": ("#6f6a76", "#8f899a"),
    "panel_background_fill": ("transparent", "transparent"),
    "button_primary_background_fill": ("#0a5fa4", "#6cb6ee"),
    "button_primary_background_fill_hover": ("#084c84", "#8cc6f2"),
    "button_primary_border_color": ("#0a5fa4", "#6cb6ee"),
    "button_primary_text_color": ("#ffffff", "#0d1620"),
    "button_secondary_background_fill": ("transparent", "transparent"),
    "button_secondary_background_fill_hover": ("#e9e3d5", "#24222b"),
    "button_secondary_border_color": ("#cfc7b4", "#43404e"),
    "button_secondary_text_color": ("#1d1b26", "#f1ecdf"),
    "checkbox_label_background_fill": ("transparent", "transparent"),
    "checkbox_label_background_fill_hover": ("#e9e3d5", "#24222b"),
    "checkbox_label_background_fill_selected": ("#1d1b26", "#f1ecdf"),
    "checkbox_label_text_color_selected": ("#fdfbf5", "#17161c"),
    "checkbox_label_border_color": ("#cfc7b4", "#43404e"),
    "slider_color": ("#0a5fa4", "#6cb6ee"),
    "link_text_color": ("#0a5fa4", "#6cb6ee"),
    "error_text_color": ("#8f2d0a", "#f5b090"),
    "error_background_fill": ("#fdf3ec", "#2a1a13"),
    "error_border_color": ("#b3470a", "#f0915a"),
}


def theme() -> gr.themes.Base:
    """Return the theme; it asks for nothing from outside the page."""
    base = gr.themes.Base(primary_hue="blue", neutral_hue="stone", radius_size="md", font=SANS, font_mono=MONO)
    values = {name: light for name, (light, _) in INK.items()} | {
        f"{name}_dark": dark for name, (_, dark) in INK.items()
    }
    plain = {  # the same in light and dark
        "color_accent": "#0a5fa4",
        "block_border_width": "0px",
        "block_shadow": "none",
        "block_padding": "0px",
        "block_label_padding": "0px",
        "block_title_text_weight": "600",
        "block_info_text_size": "*text_sm",
        "button_large_radius": "99px",
        "button_medium_radius": "99px",
        "button_small_radius": "99px",
        "button_large_text_weight": "600",
        "input_border_width": "1px",
        "input_shadow": "none",
        "input_shadow_focus": "0 0 0 3px *color_accent_soft",
        "layout_gap": "16px",
        "form_gap_width": "16px",
    }
    return base.set(**values, **plain)


def style() -> str:
    """Return the style sheets of all pages."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(STYLES.glob("*.css")))
