"""Choosing a model: what the page says of each, an own checkpoint, a picture; and the same choices on the command line."""

import base64
import json
import re

import gradio as gr
import pytest

from model.engine.catalog import entries, entry
from model.engine.parsing import parse_request
from model.errors import SettingError
from model.models import scripted as fake
from model.models.gemma import record as diffusion_gemma
from model.request import Request
from model.settings import LOCAL, PUBLIC, Settings
from playground.cli import main as cli
from playground.presets import start_of, start_values
from playground.web.components import picker
from playground.web.components.picture import SENT, pictures_of
from playground.web.context import Context
from playground.web.controls import model_told, page_data
from playground.web.handlers.runs import request_of
from playground.web.server import BODY_BYTES
from tests.tiny_gemma import drawn


def test_every_model_has_its_line_and_its_place_in_the_list():
    listed = picker.model_list(entries())
    for known in entries():
        line = picker.model_line(known)
        state, words = known.standing()
        assert f'data-model="{known.spec.id}"' in line and known.spec.license in line
        assert known.spec.name in listed and ("<b>" in line) == (state != "ready")
        if state == "unavailable":
            assert words.partition(": ")[2].rstrip(".") in re.sub(r"<[^>]+>", "", line).replace("&#x27;", "'")
        if "Format unconfirmed" in known.spec.note:
            assert "Format unconfirmed" in line
    assert len(re.findall("<li ", listed)) == len(entries())
    on_hub = [known.spec.revision for known in entries() if "huggingface.co" in known.spec.url]
    assert "" in on_hub and listed.count("Taken at its newest revision; runs name it.") == on_hub.count("")
    assert all(f"Taken at revision {revision[:8]}." in listed for revision in on_hub if revision)
    assert listed.count("Taken at") == len(on_hub) < len(entries())


def test_the_page_starts_with_what_the_model_starts_with():
    big = model_told(entry("diffusiongemma"))
    assert big["start"] == Settings(steps=48, new_tokens=256).as_dict() and not big["presets"] and big["vision"]
    assert not model_told(entry("diffusiongemma"), PUBLIC)["vision"]  # the public page takes no pictures
    assert start_values(LOCAL) == start_values(LOCAL, entry("builtin")) == Settings(**start_of("builtin")).as_dict()
    for limits in (LOCAL, PUBLIC):
        told = page_data(entries(), limits)
        assert json.loads(json.dumps(told))["models"].keys() == {known.spec.id for known in entries()}
        for known in entries():
            Settings.parse(told["models"][known.spec.id]["start"], limits)
    assert {known.spec.id for known in entries() if model_told(known)["presets"]} == {
        "worlds",
        "worlds-noisy",
        "sudoku",
        "builtin",
        "fake",
    }


def test_the_picker_marks_what_is_not_here(monkeypatch):
    monkeypatch.setattr(diffusion_gemma, "gpu_seen", lambda: False)
    names = {model_id: name for name, model_id in Context(None, LOCAL, entries(), "fake", None).model_choices}
    assert names["fake"] == fake.SPEC.name and names["diffusiongemma"].endswith("(not here)")
    monkeypatch.setattr(diffusion_gemma, "gpu_seen", lambda: True)
    monkeypatch.setenv("HF_HUB_CACHE", "/nowhere")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    names = {model_id: name for name, model_id in Context(None, LOCAL, entries(), "fake", None).model_choices}
    assert names["diffusiongemma"].endswith("(to download)")


@pytest.mark.parametrize(
    ("config", "family", "modes"),
    [
        ({"model_type": "diffusion_gemma"}, "uniform", ["diffusion"]),
        ({"model_type": "llama"}, "autoregressive", ["ar"]),
        ({"model_type": "Dream"}, "masked", ["diffusion"]),
        (None, "masked", ["diffusion", "ar"]),
    ],
)
def test_an_own_checkpoint_is_looked_at_before_it_is_chosen(tmp_path, config, family, modes):
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    text = picker.look(f" {tmp_path} " if config else "hf:owner/name")
    told = json.loads(text)
    assert (told["family"], told["modes"], told["presets"]) == (family, modes, {})
    update = picker.offer([("A", "a")])(text)
    assert (
        update["value"] == told["id"] and update["choices"][0] == ("A", "a") and update["choices"][1][1] == told["id"]
    )


@pytest.mark.parametrize(
    "text", ["", "nothing", "builtin", "hf:", "hf:owner/name?colour=red", "/no/such/folder", "\x00/"]
)
def test_what_is_no_checkpoint_is_refused_in_a_sentence(text):
    with pytest.raises(gr.Error) as refused:
        picker.look(text)
    assert re.match(r"(A checkpoint of your own|Your own model) must be", str(refused.value.message))


# ---------------------------------------------------------------- pictures
def test_a_picture_comes_as_a_data_url():
    url = "data:image/png;base64," + base64.b64encode(drawn()).decode()
    assert pictures_of(url) == [drawn()] and pictures_of("") == pictures_of(None) == []
    assert pictures_of([url, "", url]) == [drawn(), drawn()]
    asked = request_of({"prompt": "x", "model": "diffusiongemma", "image": url}, LOCAL)
    assert asked == parse_request("x", model="diffusiongemma", image=drawn())
    for bad in (
        url[5:],
        "data:text/html;base64,AAAA",
        "data:image/png;base64,%%",
        "data:image/png,x",
        7,
        ["x"],
        {"path": "/etc/passwd"},
    ):
        with pytest.raises(SettingError, match="must be sent as a data URL"):
            pictures_of(bad)
    with pytest.raises(SettingError, match="only by a playground of your own"):
        request_of({"prompt": "x", "model": "diffusiongemma", "image": url}, PUBLIC)
    assert BODY_BYTES["local"] - 4 * LOCAL.prompt_chars > SENT  # whatever else the request holds


# ---------------------------------------------------------------- the command line
def parsed(*arguments: str) -> Request:
    return cli.requests_of(cli.parser().parse_args(["run", "--prompt", "x", *arguments]))[0]


def test_options_not_given_are_the_models_own(tmp_path):
    assert parsed("--model", "diffusiongemma").settings == Settings(steps=48, new_tokens=256)
    assert parsed("--model", "diffusiongemma", "--steps", "8").settings == Settings(steps=8, new_tokens=256)
    assert parsed("--model", "gemma4-26b-a4b").mode == "ar" and parsed().mode == "diffusion"
    assert parsed().settings == Settings(**start_of("builtin"))
    (tmp_path / "a.png").write_bytes(drawn())
    once = ("--image", str(tmp_path / "a.png"))
    assert parsed("--model", "diffusiongemma", *once).images == (drawn(),)
    assert parsed("--model", "diffusiongemma", *once, *once).images == (drawn(), drawn())


def test_an_image_that_cannot_be_taken_is_refused(tmp_path, capsys):
    (tmp_path / "big").write_bytes(bytes(LOCAL.image_bytes + 1))
    (tmp_path / "small").write_bytes(b"x")
    refused = (
        ("diffusiongemma", "none", "The image cannot be read"),
        ("diffusiongemma", "big", "at most 8 MB; it has 8.0 MB"),
        ("fake", "small", "takes no image: it has no vision tower"),
    )
    for model, name, said in refused:
        assert cli.main(["run", "--prompt", "x", "--model", model, "--image", str(tmp_path / name)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and said in err and err.count("\n") == 1


def test_the_list_tells_ready_from_what_must_be_downloaded(capsys, monkeypatch):
    monkeypatch.setattr(diffusion_gemma, "gpu_seen", lambda: True)
    monkeypatch.setenv("HF_HUB_CACHE", "/nowhere")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out
    assert "DiffusionGemma 26B-A4B: can be downloaded (51.6 GB)" in out and "Fake (scripted, not a model): ready" in out
    cli.main(["models", "--json"])
    rows = {row["id"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["diffusiongemma"]["standing"] == "download" and rows["diffusiongemma"]["bytes"] > 5e10
    assert rows["diffusiongemma"]["defaults"]["steps"] == 48
