"""What Gradio's own page about the API shows: names for inputs that no visitor sees, and examples that can be sent as they are."""

from __future__ import annotations

from typing import Any

import gradio as gr

PROMPT = "A postcard from the volcano, with a penguin"
TRACE = "the whole run, as the last message of /denoise has it under 'trace'"
EXAMPLES: dict[str, dict[str, Any]] = {
    "denoise": {
        "prompt": PROMPT,
        "system": "",
        "pinned": "5: upon",
        "steps": 16,
        "new_tokens": 64,
        "top_p": 0.95,
        "image": "",
        "messages": [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello!"}],
    },
    "edit": {
        "trace": TRACE,
        "step": 3,
        "edits": [{"at": [5, 7], "do": "erase"}],
        "keep": False,
        "settings": {"temperature": 0.5},
    },
    "steer": {"settings": {"temperature": 0.5}},
    "fill": {
        "text": "Lost: an orange ___ called Otto, last seen near the reservoir on [1].",
        "prompt": "",
        "model": "worlds",
        "settings": {"steps": 16},
    },
    "slots": {
        "text": "Lost: a melancholy {animal: dog | duck} called {name: Rufus | Nell}, last seen near the cave.",
        "slots": [],
        "prompt": "",
        "model": "worlds",
        "passes": 1,
        "seed": 0,
    },
    "race": {
        "prompt": PROMPT,
        "lanes": [{"mode": "diffusion"}, {"mode": "ar"}],
        "settings": {"model": "worlds"},
        "preset": "modes",
        "repeats": 1,
        "new_seeds": False,
    },
    "sweep": {
        "knob": "threshold",
        "values": "0.5, 0.9",
        "prompts": [PROMPT],
        "seeds": 1,
        "settings": {"model": "worlds"},
        "reference": True,
    },
}


def describe(blocks: gr.Blocks) -> None:
    """Give every endpoint's inputs a name and an example; to be called once the app is built."""
    told = blocks.get_api_info()["named_endpoints"]
    for fn in blocks.fns.values():
        examples = EXAMPLES.get(str(fn.api_name), {})
        parameters = told.get(f"/{fn.api_name}", {}).get("parameters", [])
        asked = [component for component in fn.inputs if not component.skip_api]
        for component, parameter in zip(asked, parameters, strict=False):
            name = parameter["parameter_name"]
            if parameter["label"].startswith("parameter_"):
                component.label = name
            if name in examples:
                component.example_payload = lambda example=examples[name]: example
