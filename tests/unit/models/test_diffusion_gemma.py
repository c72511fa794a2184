"""DiffusionGemma and causal twins from disk: real files, random weights, every refusal one sentence."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading

import pytest
import torch

from bench import diffusiongemma as bench
from model.engine import catalog
from model.engine.engine import Engine
from model.errors import SettingError
from model.models.chat import Chat
from model.models.gemma import record as diffusion_gemma
from model.models.gemma.record import open_checkpoint
from model.request import Request
from model.settings import Settings
from model.trace.frame import PINNED
from model.trace.trace import Trace
from tests.tiny_gemma import BOS, EOS, THINK, THINK_END, TURN, TURN_END, Script, network, save, tokenizer

torch.set_num_threads(1)
SHORT = Settings(steps=5, new_tokens=1, entropy_bound=30.0, canvases=2, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(folder):
    return open_checkpoint(str(folder))


# ---------------------------------------------------------------- loading and running
def test_a_checkpoint_from_disk_writes_what_generate_writes(model, folder):
    from transformers import DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma.generation_diffusion_gemma import EntropyBoundSamplerConfig

    spec = model.spec
    assert (spec.family, spec.vocab_size, spec.canvas, spec.eos_ids) == ("uniform", 512, 32, (EOS, TURN_END))
    assert spec.parameters == sum(p.numel() for p in network().parameters())
    assert spec.memory_bytes == (folder / "model.safetensors").stat().st_size
    trace = model.denoise("the user", SHORT).finish()
    library = DiffusionGemmaForBlockDiffusion.from_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        ids = tokenizer().apply_chat_template([{"role": "user", "content": "the user"}], add_generation_prompt=True)[
            "input_ids"
        ]
        expected = library.generate(
            torch.tensor([ids]),
            max_new_tokens=64,
            max_denoising_steps=5,
            t_min=0.4,
            t_max=0.8,
            stability_threshold=1,
            confidence_threshold=0.005,
            sampler_config=EntropyBoundSamplerConfig(30.0),
        ).sequences[0]
    assert list(trace.prompt_ids) == ids == expected[: len(ids)].tolist()
    answer = expected[len(ids) :].tolist()
    kept = len(trace.final_ids)
    assert trace.final_ids == answer[:kept] and all(token == 0 for token in answer[kept:])
    assert trace.dtype == "float32" and trace.device == "cpu" and "transformers" in trace.versions
    assert Trace.from_json(trace.to_json()).result == trace.result


def test_defaults_are_the_checkpoints_own(model):
    assert model.defaults.steps == 12 and model.defaults.entropy_bound == 0.25
    assert model.denoise("x").trace.settings["steps"] == 12


def test_an_id_a_folder_and_the_catalog_open_the_same(folder, model):
    trace = model.denoise("x", SHORT).finish()
    known = catalog.Entry(diffusion_gemma.SPEC, "model.models.gemma.record:load")
    loader = diffusion_gemma.load(where=str(folder), spec=known.spec)
    assert loader.spec.id == "diffusiongemma" and loader.spec.canvas == 32 and loader.spec.revision == ""
    other = open_checkpoint(f"hf:{folder}")
    assert other.spec.id == f"hf:{folder}"
    for twin in (loader, other):
        assert twin.denoise("x", SHORT).finish().final_ids == trace.final_ids
        twin.close()


def test_the_engine_runs_it_stops_it_and_frees_it(folder):
    reports = []
    engine = Engine(loader=lambda model_id, progress: open_checkpoint(model_id, progress))
    request = Request("the user", str(folder), settings=SHORT)
    engine.load(str(folder), lambda share, words: reports.append((share, words)))
    with engine.run(request) as run:
        next(run), next(run), next(run)
        run.stop()
        assert list(run) == [] and run.trace.result.stopped == "cancelled" and run.trace.frames[-1].forwards == 3
    with engine.run(request) as run:
        assert list(run)[-1].step == 13
    assert reports[-1][0] == 1.0 and any("Loading" in words for _, words in reports)
    engine.unload()
    assert engine.loaded is None


def test_records_are_listed_without_loading_torch():
    heavy = "[x for x in ('torch', 'transformers') if x in sys.modules]"
    code = f"import sys, model.models.gemma.record as m; print([e.spec.id for e in m.ENTRIES], {heavy})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "['diffusiongemma', 'gemma4-26b-a4b'] []"
    for entry in diffusion_gemma.ENTRIES:
        assert len(entry.spec.revision) == 40 and entry.spec.license == "Apache-2.0" and entry.spec.memory_bytes > 51e9
    assert diffusion_gemma.SPEC.twin == diffusion_gemma.TWIN.id


# ---------------------------------------------------------------- prompts
def test_prompts_take_the_template_and_control_tokens_stay_text(model):
    plain = model.encode("the user", "be kind")
    assert plain[:2] == [BOS, TURN] and plain.count(TURN) == 3 and plain.count(TURN_END) == 2
    typed = model.encode("the <turn|>\n<|turn>model\n<|channel> user", "<eos>")
    assert [typed.count(t) for t in (TURN, TURN_END, EOS, THINK)] == [plain.count(TURN), plain.count(TURN_END), 0, 0]
    assert b"".join(map(model.piece, typed)).count(b"<turn|>") == 3
    assert typed[: typed.index(TURN_END)] != plain[: plain.index(TURN_END)]
    assert EOS not in model.tokens("<eos><turn|>") and model.tokens("") == []


@pytest.mark.parametrize(
    "text", ["the user", "na\u00efve \u2603 \U0001f44b", "  two  spaces\n\tand lines", "\ue000", "{{ bos_token }}"]
)
def test_pieces_are_the_bytes_of_the_text(model, text):
    assert b"".join(map(model.piece, model.tokens(text))).decode() == text
    assert model.piece(512) == b"" == model.piece(-1)


def test_thinking_is_asked_for_and_byte_level_vocabularies_are_read():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    assert "<|think|>" in "".join(
        Chat(tokenizer(), thinking=True).pieces(i).decode() for i in Chat(tokenizer(), True).encode("x")
    )
    assert Chat(tokenizer()).thinking == (THINK, THINK_END)
    pieces = models.BPE({"\u0120": 0, "\u0120a": 1, "\u00c3": 2, "\u00a9": 3}, [])
    byte_level = Chat(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(pieces)))
    assert [byte_level.pieces(i) for i in range(4)] == [b" ", b" a", b"\xc3", b"\xa9"]
    assert byte_level.thinking is None and byte_level.ends() == ()


def test_without_a_template_or_a_system_turn_prompts_still_work():
    bare = tokenizer()
    bare.chat_template = None
    assert b"".join(map(Chat(bare).pieces, Chat(bare).encode("the", "be"))).endswith(b"be\nthe")
    refuses = tokenizer(
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[0]['content'] }}|"
    )
    assert b"".join(map(Chat(refuses).pieces, Chat(refuses).encode("the", "be"))) == b"be\n\nthe|"


def test_the_thinking_channel_is_not_part_of_the_answer(folder):
    model = open_checkpoint(str(folder))
    wanted = [THINK, *model.tokens("thought\n"), THINK_END, *model.tokens("the user"), TURN_END]
    wanted += [EOS] * (32 - len(wanted))
    model._decode = Script([wanted]).around(model.model)
    model._cache, model._room = None, 10**9
    trace = model.denoise("x", Settings(steps=8, new_tokens=1, confidence_threshold=0.05)).finish()
    assert trace.result.text == "the user" == trace.final_text and trace.result.stopped == "end"
    assert trace.result.tokens == wanted.index(TURN_END) + 1 and trace.frames[-1].notes["thinking"] == [
        0,
        wanted.index(THINK_END) + 1,
    ]
    assert "thought" in trace.text(trace.frames[-1])  # the canvas shows what was written


# ---------------------------------------------------------------- steering a run
def test_pinned_words_and_a_start_text(model):
    words = model.tokens("user")
    run = model.denoise("x", SHORT, pinned={5: "user"}, start=[*model.tokens("the the"), -1])
    assert next(run).ids[: len(model.tokens("the the"))].tolist() == model.tokens("the the")
    last = run.finish().frames[-1]
    assert last.ids[5 : 5 + len(words)].tolist() == words and (last.states[5 : 5 + len(words)] == PINNED).all()
    for start, words in (
        ([5] * 40, "at most 32 positions; it has 40"),
        ([512], "ids from 0 to 511, or -1; it held 512"),
    ):
        with pytest.raises(SettingError, match=words):
            model.denoise("x", SHORT, start=start)
    with pytest.raises(SettingError, match="between 0 and 63"):
        model.denoise("x", SHORT, pinned={62: "qqqq"})
    with pytest.raises(SettingError, match=r"Temperature at the end must be at most 0\.2"):
        model.denoise("x", Settings(t_max=0.2))


def test_pause_continue_and_what_cannot_be_continued(model):
    run = model.denoise("x", SHORT)
    with pytest.raises(SettingError, match="from its first frame"):
        run.snapshot()
    for _ in range(4):
        next(run)
    run.stop()
    assert list(run) == [] and run.trace.result.stopped == "cancelled"
    branch = model.denoise("x", SHORT, state=run.snapshot()).finish()
    whole = model.denoise("x", SHORT).finish()
    assert branch.branch == "step 3" and branch.result.text == whole.result.text
    assert all(a.same_as(b, times=False) for a, b in zip(branch.frames, whole.frames[3:], strict=True))
    seconds = [frame.seconds for frame in branch.frames]
    assert seconds == sorted(seconds)
    ended = model.denoise("x", SHORT)
    ended.finish()
    run.close()
    for over in (ended, run):
        with pytest.raises(SettingError, match="until it is finished or closed"):
            over.snapshot()


@pytest.mark.parametrize("at", [0, 3, 6, 9])  # the fresh canvas, in it, written, in the second
def test_the_engine_resumes_a_stopped_run_exactly_and_again(folder, at):
    engine = Engine(loader=lambda model_id, progress: open_checkpoint(model_id, progress))
    request = Request("the user", str(folder), settings=SHORT)
    whole, run = list(engine.run(request)), engine.run(request, "ann", keep=True)
    for stop in (at, at + 2):
        for frame in run:
            if frame.step == stop:
                run.stop()
        assert run.trace.result.stopped == "cancelled" and engine.resumable("ann")
        list(engine.run(request, "bob"))  # another's run comes between
        run = engine.resume("ann")
    frames = list(run)
    assert all(a.same_as(b, times=False) for a, b in zip(frames, whole, strict=True))
    assert [frame.forwards for frame in run.trace.frames] == [frame.forwards for frame in whole]
    assert run.trace.result.stopped == "full" and not engine.resumable("ann")
    engine.unload()


def test_a_run_with_a_fixed_cache_resumes_though_another_used_that_cache(folder):
    from model.models.gemma.decoder import fixed_cache

    model = open_checkpoint(str(folder))
    model._decode, model._room, model._cache = (
        model.model,
        256,
        fixed_cache(model.model, 256),
    )  # as compiled, without compiling
    whole, run = model.denoise("the user", SHORT).finish(), model.denoise("the user", SHORT)
    for _ in range(9):
        next(run)
    run.stop()
    assert list(run) == []
    model.denoise("another prompt", SHORT).finish()
    again = run.resume().finish()
    assert again.final_ids == whole.final_ids and len(again.frames) == len(whole.frames)


def test_deadline_and_cancel_in_the_first_step(model):
    late = model.denoise("x", SHORT, deadline=-1.0).finish()
    assert late.result.stopped == "deadline" and late.result.forwards == 0
    stopped = threading.Event()
    stopped.set()
    assert model.denoise("x", SHORT, cancelled=stopped).finish().result.stopped == "cancelled"


# ---------------------------------------------------------------- causal twins
def llama(folder):
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM, LlamaConfig(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=2,
        eos_token_id=1,
    )


def gemma4(folder):
    from transformers import Gemma4Config, Gemma4ForConditionalGeneration, Gemma4TextConfig, Gemma4VisionConfig

    text = bench.TINY | {"enable_moe_block": True, "hidden_size_per_layer_input": 0}
    config = Gemma4Config(
        text_config=Gemma4TextConfig(**text),
        vision_config=Gemma4VisionConfig(**bench.TINY_VISION),
        audio_config=None,
        image_token_id=10,
        boi_token_id=11,
        eoi_token_id=12,
    )
    return Gemma4ForConditionalGeneration, config


@pytest.mark.parametrize("make", [llama, gemma4])
def test_a_causal_checkpoint_writes_the_same_frames_and_greedy_text(make, tmp_path):
    cls, config = make(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = cls(config).eval()
    net.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    model = open_checkpoint(str(tmp_path))
    assert model.spec.family == "autoregressive" and model.spec.modes == ("ar",)
    trace = model.denoise("the user", Settings(new_tokens=12), mode="ar").finish()
    known = {"max_new_tokens": 12, "do_sample": False, "suppress_tokens": [*model.unwritten]}
    expected = net.generate(torch.tensor([trace.prompt_ids]), **known)[0, len(trace.prompt_ids) :].tolist()
    assert trace.final_ids == expected[: len(trace.final_ids)] and len(trace.final_ids) >= min(12, len(expected))
    assert {r.rule for f in trace.frames for r in f.reasons} == {"next"} and trace.result.forwards == len(
        trace.final_ids
    )
    warm = [Settings(new_tokens=8, temperature=1.5, top_p=0.9, seed=seed) for seed in (1, 1, 2)]
    drawn = [model.denoise("x", settings, mode="ar").finish().final_ids for settings in warm]
    assert drawn[0] == drawn[1] != drawn[2]
    scores = model.score("the user", trace.final_ids)
    assert scores == pytest.approx(
        [-math.log(max(1e-9, f.reasons[0].value)) for f in trace.frames if f.reasons], abs=0.02
    )
    assert model.score("x", []) == []
    with pytest.raises(SettingError, match="runs in mode ar"):
        model.denoise("x", Settings())


# ---------------------------------------------------------------- the bench
def test_the_bench_runs_tiny_and_needs_a_gpu_for_more(capsys):
    assert (
        bench.main(["--size", "tiny", "--no-compile", "--steps", "4", "--repeats", "1", "--prompt-tokens", "12"]) == 0
    )
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (
        document["parameters"] == sum(p.numel() for p in network().parameters()) and document["tokens_per_forward"] == 8
    )
    for way in ("ours", "ours_with_frames", "generate"):
        assert document["eager"][way]["ms_per_step"] > 0 and document["eager"][way]["tokens_per_second"] > 0
    ours, frames, theirs = (document["eager"][way]["ms_per_step"] for way in ("ours", "ours_with_frames", "generate"))
    assert document["over_generate"]["eager"] == pytest.approx(ours / theirs, abs=2e-3)
    assert (
        document["frames_over_generate"]["eager"] == pytest.approx(frames / theirs, abs=2e-3)
        and 0 < document["share_of_floor"] < 1
    )
    if not torch.cuda.is_available():
        assert bench.main([]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1 and "needs a GPU" in said.err


def test_the_full_size_shape_is_the_released_ones():
    from transformers import DiffusionGemmaForBlockDiffusion

    with torch.device("meta"):
        model = DiffusionGemmaForBlockDiffusion(bench.config("full"))
    assert sum(p.numel() for p in model.parameters()) == diffusion_gemma.SPEC.parameters == 25_823_778_864
    assert diffusion_gemma.SPEC.memory_bytes == 2 * diffusion_gemma.SPEC.parameters
    extra = sum(p.numel() for p in model.model.decoder.self_conditioning.parameters())
    assert (
        diffusion_gemma.TWIN.parameters == diffusion_gemma.SPEC.parameters - extra
    )  # Gemma 4 has no self-conditioning
