"""What DiffusionGemma's template and class offer beyond one text: thoughts, tools, batches, and how an own checkpoint asks for them."""

from __future__ import annotations

import pytest
import torch

from model.engine import catalog
from model.engine.parsing import parse_request
from model.errors import ModelUnavailable, SettingError
from model.limits import LOCAL
from model.models.gemma.record import open_checkpoint
from model.settings import Settings
from model.trace.trace import Trace
from playground.cli import main as cli
from playground.compare.summary import summary
from tests import tiny_checkpoints
from tests.tiny_gemma import EOS, THINK, THINK_END, TURN_END, Script, save

torch.set_num_threads(1)
SHORT = Settings(steps=5, new_tokens=1, entropy_bound=30.0, canvases=2, seed=3)
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(folder):
    return open_checkpoint(str(folder))


def told(model, ids) -> str:
    return b"".join(map(model.piece, ids)).decode()


def test_a_thought_is_told_apart_from_the_answer_and_survives_the_trace(folder):
    model = open_checkpoint(str(folder))
    wanted = [THINK, *model.tokens("thought\nuse the user"), THINK_END, *model.tokens("the user"), TURN_END]
    wanted += [EOS] * (32 - len(wanted))
    model._decode, model._room = Script([wanted]).around(model.model), 10**9
    trace = model.denoise("x", Settings(steps=8, new_tokens=1, confidence_threshold=0.05), thinking=True).finish()
    assert (trace.result.text, trace.result.thought) == ("the user", "use the user")
    assert "<|think|>" in told(model, trace.prompt_ids)
    again = Trace.from_json(trace.to_json())
    assert again.result == trace.result and summary(again)["thought"] == "use the user"
    plain = model.denoise("x", Settings(steps=8, new_tokens=1), thinking=False)
    assert "<|think|>" not in told(model, plain.trace.prompt_ids)


def test_tools_stand_in_the_template_and_cannot_bring_control_tokens(model):
    run = model.denoise("the user", SHORT, tools=[WEATHER])
    expected = model.chat._tokenizer.apply_chat_template(
        [{"role": "user", "content": "the user"}], tools=[WEATHER], add_generation_prompt=True
    )["input_ids"]
    assert list(run.trace.prompt_ids) == expected and '"name": "weather"' in told(model, expected)
    for tools, words in (
        ([{"name": "<turn|>"}], "may not hold the control token <turn|>"),
        ({"name": "x"}, "must be a list of JSON schemas"),
        (["x"], "must be a list of JSON schemas"),
    ):
        with pytest.raises(SettingError, match=words):
            model.denoise("x", SHORT, tools=tools)


def test_a_template_without_them_refuses_both(tmp_path):
    plain = save(tmp_path / "plain", template="{{ messages[0]['content'] }}|")
    bare = open_checkpoint(str(plain))
    with pytest.raises(SettingError, match="no thinking to switch on"):
        bare.denoise("x", SHORT, thinking=True)
    with pytest.raises(SettingError, match="takes no tools"):
        bare.denoise("x", SHORT, tools=[WEATHER])


def test_a_batch_writes_what_generate_writes_for_it(folder, model):
    from transformers import DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma.generation_diffusion_gemma import EntropyBoundSamplerConfig

    prompts = ["the user", "and in the end the user", "a"]
    encoded = [model.encode(prompt) for prompt in prompts]
    width = max(map(len, encoded))
    ids = torch.tensor([[0] * (width - len(each)) + each for each in encoded])
    library = DiffusionGemmaForBlockDiffusion.from_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        out = library.generate(
            ids,
            attention_mask=(torch.arange(width)[None] >= torch.tensor([[width - len(e)] for e in encoded])).long(),
            max_new_tokens=64,
            max_denoising_steps=5,
            t_min=0.4,
            t_max=0.8,
            stability_threshold=1,
            confidence_threshold=0.005,
            sampler_config=EntropyBoundSamplerConfig(30.0),
        ).sequences[:, width:]
    assert model.write(prompts, SHORT) == [model._answer(row) for row in out.tolist()]
    assert model.write([], SHORT) == []
    with pytest.raises(SettingError, match="Steps must be between"):
        model.write(prompts, {"max_denoising_steps": 0})


# ---------------------------------------------------------------- own checkpoints
def test_an_own_checkpoint_is_asked_for_thinking(folder, tmp_path):
    model = catalog.load(f"hf:{folder}?thinking=yes&way=cpu")
    assert "<|think|>" in told(model, model.encode("x"))
    assert "<|think|>" in told(catalog.load(f"hf:{folder}", thinking=True), model.encode("x"))
    masked = tiny_checkpoints.write("sdar", tmp_path / "sdar")
    with pytest.raises(SettingError, match="no thinking to switch on"):
        catalog.load(f"hf:{masked.folder}?thinking=yes&way=cpu")
    with pytest.raises(ModelUnavailable, match="compile=yes is for DiffusionGemma alone"):
        catalog.load(f"hf:{masked.folder}?compile=yes&way=cpu")
    with pytest.raises(ModelUnavailable, match="thinking must be yes or no; it was 'maybe'"):
        catalog.load(f"hf:{folder}?thinking=maybe")


def test_an_own_checkpoint_is_compiled_when_asked(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda forward, **options: asked.append(options) or forward)
    model = catalog.load(f"hf:{folder}?compile=yes&way=cpu")
    whole = model.denoise("the user", SHORT).finish()
    assert asked == [{"mode": "reduce-overhead"}] and whole.result.tokens


def test_a_long_prompt_is_taken_where_the_model_can(model):
    with pytest.raises(SettingError, match="Prompt and length together may have at most 1024 tokens"):
        model.denoise("user " * 900, SHORT)
    asked = parse_request("user " * 3_000, model="diffusiongemma")
    asked.check(catalog.entry("diffusiongemma").spec, 3_000, LOCAL)


def test_the_list_says_what_is_taken_and_what_not(capsys):
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out
    for words in ("Pictures: up to 16", "Video: none", "Thinking: on or off", "Tools:", "Batch:", "Compiled:"):
        assert words in out
