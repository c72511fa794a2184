"""The small-worlds model: its network against itself, its file, and its loop on weights made here."""

import json

import pytest
import torch

from model import worlds
from model.errors import SettingError, WeightsError
from model.loops.uniform import State
from model.models.worlds.model import TASK, Worlds, load_noisy
from model.models.worlds.network import Network, Shape
from model.models.worlds.noisy import Noisy
from model.models.worlds.session import Passes
from model.models.worlds.weights import load, save
from model.settings import ORDERS, REMASKING, RULES, SCHEDULES, Settings
from model.trace.trace import Trace

SMALL = dict(vocabulary=1344, positions=worlds.PROMPT + worlds.CANVAS, width=32, layers=2, heads=2, hidden=48)


def network(seed=0, **shape):
    torch.random.default_generator.manual_seed(seed)
    made = Network(Shape(**SMALL | shape)).eval()
    for p in made.parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.1)
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds")
    save(folder / "masked", network(1), {"rows": 1})
    save(folder / "twin", network(2, causal=True), {"rows": 1})
    return Worlds(folder / "masked", folder / "twin")


@torch.inference_mode()
def test_fast_passes_equal_the_trained_network():
    ids = torch.randint(0, 1000, (3, 20))
    for made in (network(), network(causal=True)):
        fast = Passes(made)
        cache = fast.new_cache(3) if made.shape.causal else None
        assert torch.allclose(fast.logits(fast.run(ids, cache=cache)), made.logits(made(ids)), atol=1e-4)
    guess = torch.rand(3, 20, 1344).softmax(-1)
    made = network(conditioned=True)
    assert torch.allclose(Passes(made).run(ids, guess=guess), made(ids, guess), atol=1e-4)
    assert not torch.allclose(made(ids, guess), made(ids), atol=1e-2)


@torch.inference_mode()
def test_the_twins_cache_is_exact():
    made = network(causal=True)
    fast, ids = Passes(made), torch.randint(0, 1000, (1, 30))
    cache = fast.new_cache(1)
    pieces = [fast.run(ids[:, a:b], a, cache) for a, b in ((0, 11), (11, 12), (12, 30))]
    assert torch.allclose(torch.cat(pieces, 1), made(ids), atol=1e-4)


def test_weights_come_back_as_they_were_rounded(tmp_path):
    made = network()
    save(tmp_path / "w", made, {"rows": 7})
    back, about = load(tmp_path / "w")
    assert about["rows"] == 7 and len(about["sha256"]) == 64
    for name, weight in made.state_dict().items():
        step = weight.abs().amax(-1, keepdim=True) / 127 if weight.dim() > 1 else torch.zeros(1)
        assert bool(((back.state_dict()[name] - weight).abs() <= step / 2 + 1e-6).all()), name


@pytest.mark.parametrize("change", [{"heads": 1}, {"causal": True}, {"heads": 2, "causal": True}])
def test_what_no_tensor_shows_cannot_be_edited(tmp_path, change):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    save(tmp_path / "w", network(), {})
    with safe_open(tmp_path / "w", "pt") as file:
        said = dict(file.metadata())
    about = json.loads(said["about"])
    assert about["shape"] | change != about["shape"]
    about["shape"] |= change
    save_file(load_file(tmp_path / "w"), tmp_path / "w", said | {"about": json.dumps(about, sort_keys=True)})
    with pytest.raises(WeightsError, match="edited after it was written"):
        load(tmp_path / "w")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda tensors, about: tensors.pop("norm"), "does not hold norm"),
        (lambda tensors, about: tensors.pop("embed.scale"), "does not hold embed"),
        (lambda tensors, about: tensors.update(extra=torch.ones(1)), "holds extra"),
        (lambda tensors, about: tensors.update(norm=tensors["norm"] * float("nan")), "not numbers"),
        (lambda tensors, about: about["shape"].update(heads=5), "names a shape"),
        (lambda tensors, about: about["shape"].update(width=10**6), "names a shape"),
        (lambda tensors, about: about["shape"].update(layers=True), "names a shape"),
        (lambda tensors, about: about["shape"].update(layers=1), "which no network of its shape has"),
        (lambda tensors, about: about["shape"].update(layers=3), "does not hold blocks.2"),
        (lambda tensors, about: about.pop("shape"), "does not say the shape"),
    ],
)
def test_damaged_weights_are_refused_by_name(tmp_path, damage, said):
    from safetensors.torch import load_file, save_file

    save(tmp_path / "w", network(), {})
    tensors, about = load_file(tmp_path / "w"), {"shape": Shape(**SMALL).as_dict()}
    damage(tensors, about)
    save_file(tensors, tmp_path / "w", {"about": json.dumps(about)})
    with pytest.raises(WeightsError, match=said):
        load(tmp_path / "w")


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="is missing"):
        load(tmp_path / "none")
    (tmp_path / "w").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="cannot be read"):
        load(tmp_path / "w")


KNOBS = (
    [dict(rule=rule) for rule in RULES]
    + [dict(order=order) for order in ORDERS]
    + [dict(schedule=s) for s in SCHEDULES]
)
KNOBS += [dict(remasking=back) for back in REMASKING if back != "verify"]


@pytest.mark.parametrize("knobs", KNOBS, ids=str)
def test_every_rule_order_schedule_and_remasking_fills_the_canvas_and_spares_what_is_fixed(model, knobs):
    pinned = {0: "Lost", 4: "owl"}
    settings = Settings(**{"steps": 6, "temperature": 1.0, "entropy_bound": 3.0, "remask_strength": 0.3} | knobs)
    trace = model.denoise("a notice", settings, pinned=pinned).finish()
    assert trace.length == worlds.CANVAS and trace.result.forwards <= 6 and trace.frames[-1].undecided == 0
    fixed = {position: worlds.tokens(word)[0] for position, word in pinned.items()}
    for frame in trace.frames:
        assert all(frame.ids[position] == token for position, token in fixed.items())
        written = set(frame.ids.tolist()) - {-1, worlds.END}
        assert all(worlds.FIRST_WORD <= token < len(worlds.VOCABULARY) for token in written)
    assert trace.frames[0].span == (0, worlds.CANVAS)  # the whole canvas is one block


def test_a_finished_text_is_checked_and_the_prompts_wishes_with_it(model):
    trace = model.denoise("a notice about an owl", Settings(steps=4)).finish()
    assert trace.result.faults and all(
        0 <= p < worlds.CANVAS for _, positions in trace.result.faults for p in positions
    )
    text = worlds.write(__import__("random").Random(1), "notice")
    start = worlds.encode(text.words)
    whole = model.denoise("a notice", Settings(), start=start + [worlds.END] * (worlds.CANVAS - len(start))).finish()
    assert whole.result.faults == () and whole.result.text == worlds.display(text.words)


def test_words_of_a_prompt_that_mean_nothing_here_are_named_in_the_trace(model):
    run = model.denoise("a notice about a spaceship", Settings(steps=2))
    assert "'spaceship' is not among my words" in run.trace.notice  # before anything is computed
    trace = run.finish()
    assert Trace.from_json(trace.to_json()).notice == trace.notice
    quiet = model.denoise("a notice about an owl", Settings(steps=2)).finish()
    assert quiet.notice == "" and "notice" not in json.loads(quiet.to_json())["header"]


def test_left_to_right_is_the_twin(model):
    trace = model.denoise("a diary", Settings(temperature=1.0), mode="ar").finish()
    assert trace.result.forwards <= worlds.CANVAS and trace.frames[1].span == (0, 1)
    nats = model.score("a diary", trace.final_ids)
    assert len(nats) == len(trace.final_ids) and all(value > 0 for value in nats)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noisy")
    save(folder / "noisy", network(3, conditioned=True), {"rows": 1})
    save(folder / "twin", network(2, causal=True), {"rows": 1})
    return load_noisy(noisy=folder / "noisy", twin=folder / "twin")


def test_the_noisy_model_runs_in_diffusiongemmas_loop_and_spares_what_is_fixed(noisy):
    settings = Settings(steps=5, entropy_bound=30.0, confidence_threshold=0.0)
    trace = noisy.denoise("a notice", settings, pinned={0: "Lost", 4: "owl"}).finish()
    assert (
        trace.result.forwards == 5 and trace.result.faults and trace.spec.family == "uniform"
    )  # the prompt takes no pass of its own
    for frame in trace.frames:
        assert [frame.ids[p] for p in (0, 4)] == [worlds.tokens("Lost")[0], worlds.tokens("owl")[0]] and len(
            frame.ids
        ) == worlds.CANVAS
        assert all(t == worlds.END or worlds.FIRST_WORD <= t < len(worlds.VOCABULARY) for t in frame.ids.tolist())
    assert "temperature" in trace.frames[1].notes and trace.frames[1].notes["accepted"] >= 1
    again = noisy.denoise("a notice", settings, pinned={0: "Lost", 4: "owl"}).finish()
    assert again.final_ids == trace.final_ids


@torch.inference_mode()
def test_the_noisy_models_next_pass_reads_the_belief_of_the_one_before(noisy):
    passes, ids = noisy.networks["diffusion"], torch.randint(worlds.FIRST_WORD, 1000, (1, worlds.CANVAS))
    prompt = torch.tensor([noisy.encode("a notice")])
    denoiser, none = Noisy(passes, TASK), torch.zeros(1, dtype=torch.bool)
    state = State(prompt, prompt > 0, None, ids, ids, ids, ids, ids, none, none)
    first = denoiser.forward(state)
    state.belief = first / 0.5
    guess = torch.cat((torch.zeros(1, worlds.PROMPT, first.shape[-1]), (first / 0.5).softmax(-1)), 1)
    wanted = passes.logits(passes.run(torch.cat((prompt, ids), 1), guess=guess))[
        :, worlds.PROMPT :, worlds.FIRST_WORD : first.shape[-1]
    ]
    assert torch.allclose(denoiser.forward(state)[..., worlds.FIRST_WORD :], wanted, atol=1e-5)
    assert not torch.allclose(first[..., worlds.FIRST_WORD :], wanted, atol=1e-3)


def test_the_noisy_model_left_to_right_is_the_twin_and_a_canvas_may_be_given(noisy, model):
    settings = Settings(temperature=0.0, new_tokens=worlds.CANVAS)
    theirs = model.denoise("a diary", settings, mode="ar").finish()
    assert noisy.denoise("a diary", settings, mode="ar").finish().final_ids == theirs.final_ids
    start = worlds.encode(worlds.write(__import__("random").Random(2), "diary").words)
    trace = noisy.denoise("a diary", Settings(steps=2), start=start).finish()
    assert trace.frames[0].ids[: len(start)].tolist() == start and trace.branch == "a partly filled canvas"


@pytest.mark.parametrize(
    ("pinned", "said"),
    [
        ({3: "spaceship"}, "'spaceship' is not among the"),
        ({0: "owl"}, "No text of the small worlds has 'owl' at position 0."),
        ({80: "owl"}, "between 0 and 71"),
    ],
)
def test_pins_that_no_text_can_hold_are_refused(model, pinned, said):
    with pytest.raises(SettingError, match=said):
        model.denoise("a notice", Settings(), pinned=pinned)


def test_what_does_not_fit_the_canvas_is_refused(model):
    with pytest.raises(SettingError, match="Length must be at most 72"):
        model.denoise("a notice", Settings(new_tokens=73))
    with pytest.raises(SettingError, match="verify"):
        model.denoise("a notice", Settings(remasking="verify"))
