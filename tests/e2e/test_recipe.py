"""What 'Copy as command line or Python' writes, run, is the run that was copied: the same knobs where they are read, the same ids."""

from __future__ import annotations

import ast
import json
import shlex
from pathlib import Path

import pytest

from model.engine.catalog import entries, entry
from model.engine.parsing import parse_request
from model.models.scripted import Fake
from model.settings import FIELD, FIELDS, LOCAL
from playground.cli.main import parser, requests_of
from playground.presets import start_values
from playground.web.controls import page_data

pytestmark = pytest.mark.e2e
SCRIPT = Path(__file__).parents[2] / "assets" / "page" / "page.js"
CASES = 40


@pytest.fixture(scope="module")
def page(browser):
    opened = browser.new_page()
    opened.evaluate(f"window.INKBLOT = {json.dumps(page_data(entries(), LOCAL))}")
    opened.add_script_tag(path=str(SCRIPT))
    yield opened
    opened.close()


def copied(
    page, prompt: str, model: str, mode: str, knobs: dict, system: str = "", pinned: str = ""
) -> tuple[str, str, set[str]]:
    """Return the command line, the Python, and the knobs that are shown."""
    shown = [knobs[name] for name in ("rule", "remasking", "schedule")]
    page.evaluate("(v) => inkblot.sync(...v)", [model, mode, *shown])
    values = [prompt, model, mode, system, pinned, *(knobs[field.name] for field in FIELDS), ""]
    command, python = page.evaluate("(v) => inkblot.recipes(...v)", values)
    gone = page.evaluate("[...document.styleSheets].map((s) => [...s.cssRules].map((r) => r.cssText).join()).join()")
    return command, python, {name for name in knobs if f"#knob-{name}," not in gone and f"#knob-{name} {{" not in gone}


def draws(model: str):
    """Knobs as a visitor may leave them, the same at every run: starts, presets, and some drawn for each."""
    import random

    rng, start = random.Random(model), start_values(LOCAL, entry(model))
    yield dict(start)
    yield {field.name: field.default for field in FIELDS}
    for _ in range(CASES):
        knobs = dict(start) if rng.random() < 0.5 else {field.name: field.default for field in FIELDS}
        for field in rng.sample(FIELDS, rng.randint(1, 6)):
            if field.kind == "choice":
                knobs[field.name] = rng.choice(field.choices)
            elif field.name in ("steps", "new_tokens", "block_length", "seed"):
                knobs[field.name] = rng.choice([1, 2, 8, 16, 64])
            else:
                low, high = field.low or field.step, min(field.high, 2)
                knobs[field.name] = rng.choice(
                    [low, high, round((low + high) / 2, 3)] if field.kind == "float" else [int(low), int(high)]
                )
        yield knobs


@pytest.mark.parametrize(
    ("model", "mode"),
    [
        ("builtin", "diffusion"),
        ("builtin", "ar"),
        ("worlds", "diffusion"),
        ("fake", "diffusion"),
        ("llada-8b", "diffusion"),
        ("sdar-1.7b", "diffusion"),
        ("diffusiongemma", "diffusion"),
    ],
)
def test_the_copied_command_asks_for_the_same_run(page, model, mode):
    for knobs in draws(model):
        command, python, shown = copied(page, "Why, -x 'quoted'?", model, mode, knobs)
        words = shlex.split(command)
        assert words[:4] == ["python", "-m", "playground", "run"]
        (asked,) = requests_of(parser().parse_args(words[3:]))
        wanted = parse_request("Why, -x 'quoted'?", knobs, model=model, mode=mode)
        assert (asked.prompt, asked.model, asked.mode) == (wanted.prompt, model, mode)
        read = [
            name
            for name in shown
            if set(FIELD[name].families) & {"autoregressive" if mode == "ar" else entry(model).spec.family}
        ]
        assert len(read) > 3
        assert {name: getattr(asked.settings, name) for name in read} == {
            name: getattr(wanted.settings, name) for name in read
        }, command
        call = ast.parse("dict(" + python.split("Settings(", 1)[1].split(")", 1)[0] + ")", mode="eval").body
        said = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
        assert {name: said.get(name, FIELD[name].default) for name in read} == {name: knobs[name] for name in read}


def test_the_copied_command_writes_the_same_ids(page):
    fake, ran = Fake(), 0
    for knobs in draws("fake"):
        command, _, _ = copied(page, "-hello", "fake", "diffusion", knobs)
        (asked,) = requests_of(parser().parse_args(shlex.split(command)[3:]))
        try:
            wanted = fake.denoise("-hello", parse_request("-hello", knobs, model="fake").settings).finish().final_ids
        except ValueError:
            continue
        assert fake.denoise(asked.prompt, asked.settings).finish().final_ids == wanted
        ran += 1
    assert ran > 10
