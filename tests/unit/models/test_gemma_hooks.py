"""What people bring along from transformers and diffusers: knobs by their names there, streamers, callbacks, ids nobody can read."""

from __future__ import annotations

import pytest
import torch

from model.engine.parsing import parse_continuation, parse_request
from model.errors import SettingError
from model.models.gemma.record import open_checkpoint
from model.settings import Settings
from playground.cli import main as cli
from tests.tiny_gemma import network, save

torch.set_num_threads(1)
SHORT = Settings(steps=5, new_tokens=1, entropy_bound=30.0, canvases=2, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(folder):
    return open_checkpoint(str(folder))


def generate(folder, model, **given):
    from transformers import DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma.generation_diffusion_gemma import EntropyBoundSamplerConfig

    library = DiffusionGemmaForBlockDiffusion.from_pretrained(folder)
    told = {"max_new_tokens": 64, "max_denoising_steps": 5, "t_min": 0.4, "t_max": 0.8, "stability_threshold": 1}
    told |= {"confidence_threshold": 0.005, "sampler_config": EntropyBoundSamplerConfig(30.0)}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return library.generate(torch.tensor([model.encode("the user")]), **told | given)


# ---------------------------------------------------------------- knobs by their names in transformers
NAMES = {
    "max_denoising_steps": 5,
    "t_min": 0.2,
    "t_max": 0.7,
    "stability_threshold": 2,
    "confidence_threshold": 0.01,
    "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.3},
    "max_new_tokens": 40,
}
OURS = {"steps": 5, "t_min": 0.2, "t_max": 0.7, "stability": 2, "confidence_threshold": 0.01, "entropy_bound": 0.3}
OURS |= {"new_tokens": 40, "canvases": 1}


def test_a_generation_configs_names_are_taken_from_python_api_and_command_line(model):
    from transformers.models.diffusion_gemma.generation_diffusion_gemma import DiffusionGemmaGenerationConfig

    assert Settings.parse(NAMES) == Settings(**OURS)
    asked = parse_request("x", NAMES, model="diffusiongemma")
    assert asked.settings == Settings(**OURS) and set(asked.asked) == set(OURS)
    config = DiffusionGemmaGenerationConfig(**{**NAMES, "sampler_config": dict(NAMES["sampler_config"])})
    for settings in (NAMES, config):
        assert model.denoise("x", settings).trace.settings == Settings(**OURS).as_dict()
    assert model.denoise("x", {"max_denoising_steps": 3}).trace.settings == model.defaults.as_dict() | {"steps": 3}
    line = ["--max-denoising-steps", "5", "--t-min", "0.2", "--t-max", "0.7", "--stability-threshold", "2"]
    line += ["--confidence-threshold", "0.01", "--entropy-bound", "0.3", "--max-new-tokens", "40"]
    args = cli.parser().parse_args(["run", "--prompt", "x", "--model", "diffusiongemma", *line])
    assert cli.requests_of(args)[0].settings == Settings(**OURS)
    trace = model.denoise("x", SHORT).finish()
    trace.spec = parse_spec(trace)
    again = parse_continuation(trace.to_json(), 3, None, False, {"max_denoising_steps": 9})
    assert again.settings.steps == 9


def parse_spec(trace):
    from dataclasses import replace

    return replace(trace.spec, id="diffusiongemma")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_denoising_steps": 5, "steps": 6}, "'max_denoising_steps' and 'steps' are one knob"),
        ({"sampler_config": {"top_k": 3}}, "'sampler_config' must hold an 'entropy_bound'"),
        ({"sampler_config": {"_cls_name": "Other", "entropy_bound": 0.1}}, "'sampler_config' must hold"),
        ({"sampler_config": 3}, "'sampler_config' must hold"),
        ({"max_denoising_steps": 0}, "Steps must be between 1 and 1024; it was 0"),
        ({"max_denoising_stepz": 5}, "There is no setting called 'max_denoising_stepz'"),
    ],
)
def test_what_they_cannot_mean_is_refused_in_a_sentence(given, words):
    with pytest.raises(SettingError, match=words):
        parse_request("x", given, model="diffusiongemma")


def test_nothing_means_what_it_means_there():
    assert Settings.parse({"stability_threshold": None}).confidence_threshold == 0
    assert Settings.parse({"max_denoising_steps": None}) == Settings()


# ---------------------------------------------------------------- streamers and callbacks
class Listener:
    def __init__(self, logits=False):
        self.calls, self._takes_logits = [], logits

    def put(self, value):
        self.calls.append(("put", value))

    def put_draft(self, value=None, logits=None):
        self.calls.append(("draft", value if value is not None else logits))

    def end(self):
        self.calls.append(("end", torch.zeros(0)))


@pytest.mark.parametrize("logits", [False, True])
def test_a_streamer_hears_what_generate_tells_it(folder, model, logits):
    theirs, ours = Listener(logits), Listener(logits)
    generate(folder, model, streamer=theirs)
    model.denoise("the user", SHORT, streamer=ours).finish()
    assert [name for name, _ in ours.calls] == [name for name, _ in theirs.calls]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(ours.calls, theirs.calls, strict=True))


def test_a_streamer_without_drafts_will_do_and_is_told_of_the_end_when_a_run_is_stopped(model):
    from transformers import TextIteratorStreamer

    text = TextIteratorStreamer(model.chat._tokenizer, skip_prompt=True, skip_special_tokens=True)
    trace = model.denoise("the user", SHORT, streamer=text).finish()
    own = model.chat._tokenizer.decode(trace.final_ids, skip_special_tokens=True)
    assert "".join(text).startswith(own[:5])
    stopped = Listener()
    run = model.denoise("the user", SHORT, streamer=stopped)
    next(run), next(run), next(run)
    run.stop()
    assert list(run) == [] and stopped.calls[-1][0] == "end"


def test_a_callback_is_called_after_every_pass_and_changes_nothing_unless_it_says_so(model):
    seen = []

    def callback(owner, step, timestep, tensors):
        seen.append((owner, step, timestep, {name: tuple(tensor.shape) for name, tensor in tensors.items()}))
        tensors["canvas"].zero_()  # a copy: what counts is what is returned
        return {}

    plain = model.denoise("the user", SHORT).finish()
    trace = model.denoise(
        "the user",
        SHORT,
        callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=["canvas", "logits"],
    ).finish()
    assert all(a.same_as(b, times=False) for a, b in zip(trace.frames, plain.frames, strict=True))
    shapes = {"canvas": (1, 32), "logits": (1, 32, 512)}
    assert seen == [(model, i, i % 5, shapes) for i in range(len(seen))] and len(seen) in (5, 10)


def test_a_callback_may_put_another_canvas_before_the_next_pass(model):
    fed = []

    def steer(owner, step, timestep, tensors):
        canvas = torch.full_like(tensors["canvas"], 77)
        return {"canvas": canvas}

    usual = model.model.forward
    model.model.forward = lambda **given: fed.append(given["decoder_input_ids"].clone()) or usual(**given)
    try:
        run = model.denoise("the user", SHORT, pinned={4: "u"}, callback_on_step_end=steer)
        frames = list(run)
    finally:
        model.model.forward = usual
    pin = model.tokens("u")[0]
    assert all(canvas[0, 4] == pin and (canvas[0, :4] == 77).all() for canvas in fed[1:5])
    assert (frames[2].ids[:4] == 77).all() and frames[2].ids[4] == pin


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda canvas: canvas[:, :5], r"of the shape \(1, 32\)"),
        (lambda canvas: canvas.float(), r"tensor of whole numbers"),
        (lambda canvas: canvas * 0 + 512, "ids from 0 to 511"),
        (lambda canvas: "canvas", r"tensor of whole numbers"),
    ],
)
def test_a_canvas_that_is_none_is_refused(model, made, words):
    run = model.denoise("x", SHORT, callback_on_step_end=lambda a, b, c, told: {"canvas": made(told["canvas"])})
    with pytest.raises(SettingError, match=words):
        list(run)
    with pytest.raises(SettingError, match="tensors are canvas and logits; it asked for 'latents'"):
        model.denoise("x", SHORT, callback_on_step_end=print, callback_on_step_end_tensor_inputs=["latents"])


# ---------------------------------------------------------------- characters in halves, ids beyond the tokenizer
def test_a_character_split_over_tokens_reads_as_the_tokenizer_itself_reads_it(model):
    from dataclasses import replace

    ids = model.tokens("n\u00e9 \u2603 \U0001f44b!")
    run = model.denoise("x", SHORT, start=ids)
    frame = next(run)
    states = frame.states.copy()
    states[:] = 5
    for stop in range(1, len(ids) + 1):
        text = run.trace.text(replace(frame, ids=frame.ids[:stop], states=states[:stop]))
        assert text == model.chat._tokenizer.decode(ids[:stop])


def test_ids_that_the_tokenizer_has_no_token_for_are_never_written(tmp_path):
    from transformers.generation.logits_process import LogitsProcessorList

    folder = save(tmp_path / "short", network(), whole=False)
    model = open_checkpoint(str(folder))
    known = len(model.chat._tokenizer)
    assert known < 400 and model.unwritten == tuple(range(known, 512))
    trace = model.denoise("the user", SHORT).finish()
    assert trace.final_ids and max(trace.final_ids) < known
    for frame in trace.frames:
        assert int(frame.candidates[0].max()) < known and all(
            frame.ids[r.position] < known for r in frame.reasons if r.rule != "unaccepted"
        )

    def readable(input_ids, scores, **_):
        return scores.index_fill(-1, torch.tensor(model.unwritten), -600.0)

    theirs = generate(folder, model, logits_processor=LogitsProcessorList([readable])).sequences[0].tolist()
    answer = theirs[len(trace.prompt_ids) :]
    assert trace.final_ids == answer[: len(trace.final_ids)]
