"""A run starts from the settings of the model's authors: on the page, through the API, on the command line, and for own checkpoints."""

from __future__ import annotations

import json

import pytest
import torch

from model.engine import catalog
from model.engine.engine import Engine
from model.engine.parsing import parse_request
from model.loops.uniform import defaults
from model.models import own
from model.models.masked import records
from model.request import Request
from model.settings import LOCAL, PUBLIC, Settings
from playground.cli.main import parser, requests_of
from playground.presets import start_values
from playground.web.components.picker import look
from playground.web.handlers.runs import request_of
from tests import tiny_checkpoints as tiny
from tests.tiny_gemma import network, save

torch.set_num_threads(1)
MASKED = [entry.spec.id for entry in records.ENTRIES]


@pytest.mark.parametrize("model_id", [*MASKED, "diffusiongemma"])
def test_page_api_and_command_line_start_from_the_record(model_id):
    entry = catalog.entry(model_id)
    page = start_values(LOCAL, entry)
    (cli,) = requests_of(parser().parse_args(["run", "--prompt", "x", "--model", model_id]))
    api = request_of({"prompt": "x", "model": model_id, **dict.fromkeys(page)}, LOCAL)
    assert (
        page
        == cli.settings.as_dict()
        == api.settings.as_dict()
        == parse_request("x", model=model_id).settings.as_dict()
    )
    assert page.items() >= entry.defaults.items()


@pytest.mark.parametrize("model_id", MASKED)
def test_the_authors_take_one_step_a_token_where_no_rule_commits_more(model_id):
    settings = parse_request("x", model=model_id).settings
    assert settings.steps >= settings.new_tokens
    assert (settings.rule, settings.threshold) == {
        "sdar": ("threshold", 0.85),
        "fast": ("threshold", 0.9),
    }.get(model_id.partition("-")[0], ("schedule", 0.9))


@pytest.mark.parametrize("model_id", MASKED)
@pytest.mark.parametrize("limits", [LOCAL, PUBLIC], ids=["local", "public"])
def test_what_a_run_starts_from_is_never_refused(model_id, limits):
    spec = catalog.entry(model_id).spec
    settings = Settings(**catalog.entry(model_id).start(limits))
    parse_request("x", settings.as_dict(), limits=limits).check(
        catalog.entry("builtin").spec, 100, LOCAL
    )  # within the table's bounds
    cost = Request("x", model_id, settings=settings).cost(spec, 100)
    assert cost <= limits.cost and settings.steps >= settings.new_tokens


def test_a_checkpoint_of_a_known_family_starts_as_its_authors_do(tmp_path):
    folder = tiny.write("sdar", tmp_path / "c").folder
    told = json.loads(look(str(folder)))
    assert (told["start"]["rule"], told["start"]["threshold"], told["start"]["steps"]) == ("threshold", 0.85, 128)
    engine = Engine()
    with engine.run(parse_request("ab", {"new_tokens": 8}, model=str(folder))) as run:
        list(run)
    engine.close()
    assert (
        run.trace.settings["rule"] == "threshold"
        and run.trace.settings["threshold"] == 0.85
        and run.trace.settings["new_tokens"] == 8
    )
    narrow = own.load(**own.entry(f"hf:{tiny.write('Fast_dLLM_Qwen', tmp_path / 'f').folder}?block=4&way=cpu").options)
    assert narrow.defaults.block_length == 0  # the parts of 8 were another block's


def test_an_own_diffusion_gemma_keeps_its_picture_and_its_steps_on_the_page(tmp_path):
    told = json.loads(look(str(save(tmp_path / "gemma"))))
    assert told["vision"] and told["family"] == "uniform"
    assert (told["start"]["steps"], told["start"]["t_max"], told["start"]["entropy_bound"]) == (12, 0.9, 0.25)
    bare = save(tmp_path / "bare", network())
    (bare / "generation_config.json").unlink()
    assert json.loads(look(str(bare)))["start"]["steps"] == 48


def test_values_beyond_our_bounds_become_the_bound_not_our_default():
    got = defaults(
        {
            "max_denoising_steps": 5000,
            "t_max": 9.0,
            "t_min": -1.0,
            "stability_threshold": "x",
            "max_new_tokens": 99_999,
        },
        256,
    )
    assert (got.steps, got.t_max, got.t_min, got.stability, got.new_tokens, got.canvases) == (
        1024,
        2.0,
        0.0,
        1,
        1024,
        16,
    )
