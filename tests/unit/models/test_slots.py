"""Forms: what they refuse, and that a slot's probabilities are those of the network, whatever family it is of."""

import json
import math

import pytest
import torch

from model.engine.engine import Engine
from model.engine.parsing import parse_slots
from model.errors import SettingError
from model.models.gemma.record import open_checkpoint
from model.models.masked import load as hf_masked
from model.models.masked import records as families
from model.models.scripted import Fake
from model.reading import FormRun, read_slots
from model.settings import LOCAL, PUBLIC
from model.slots import MOST_SLOTS, Slot, parse_form
from playground.calibration import RECORD, trusted
from tests import tiny_checkpoints
from tests.tiny import Tiny
from tests.tiny_gemma import save

torch.set_num_threads(1)
ONE = {"name": "a", "choices": ["x", "y"]}
FORMATS = {
    "llada-8b": "llada",
    "dream-7b": "Dream",
    "qwen3-0.6b-bd3lm": "a2d-qwen3",
    "sdar-1.7b": "sdar",
    "fast-dllm-v2-1.5b": "Fast_dLLM_Qwen",
    "modernbert-base-chat": "modernbert",
}
BAD = [
    ("no form", "A form must be an object"),
    ({"text": "{a: x | y}.", "colour": 1}, "it had 'colour'"),
    ({"text": 7}, "The form's text must be text"),
    ({"text": "no slot"}, "The form has no slot yet"),
    ({"text": "{a: x | y}"}, "needs some text around"),
    ({"text": "It is {a: x | y} and {a: x | y}."}, "Two slots are called 'a'"),
    ({"text": "It is {a}.", "slots": [ONE, ONE]}, "Two slots are called 'a'"),
    ({"text": "It is {a: x | y}.", "slots": [ONE]}, "described twice"),
    ({"text": "It is {b}.", "slots": []}, "The slot 'b' has no choices"),
    ({"text": "It is {b: x | y}.", "slots": [ONE]}, "The slot 'a' is nowhere in the text"),
    ({"text": "It is {a: }."}, "needs 2 to 24 choices; it has 1"),
    ({"text": "It is {a: x | }."}, "A choice of the slot 'a' is empty"),
    ({"text": "It is {a: x | x}."}, "has the choice 'x' twice"),
    ({"text": "It is {a: x}."}, "needs 2 to 24 choices; it has 1"),
    ({"text": "It is {a: 9}."}, "may take 1 to 4 free tokens; it was 9"),
    ({"text": "It is {a}.", "slots": [ONE | {"given": "z"}]}, "given as 'z', which is none of its choices"),
    ({"text": "It is {a}.", "slots": [ONE | {"tokens": 2}]}, "either choices or a number of tokens"),
    ({"text": "It is {a}.", "slots": [{"name": "a", "choices": "xy"}]}, "must be a list of words"),
    ({"text": "It is {a}.", "slots": [{"name": "a", "choices": []}]}, "needs 2 to 24 choices; it has 0"),
    ({"text": "It is {a}.", "slots": [ONE | {"colour": 1}]}, "A slot is an object of"),
    ({"text": "It is {a}.", "slots": {}}, "must be a list of at most"),
    ({"text": "".join(f"{{s{i}: x | y}} " for i in range(MOST_SLOTS + 1)) + "."}, "at most 16 slots; it has 17"),
    ({"text": "It is {a: x | y}.", "passes": 0}, "Passes must be between 1 and 8"),
    ({"text": "It is {a: x | y}.", "passes": True}, "Passes must be between 1 and 8"),
    ({"text": "It is {a: x | y}.", "seed": "x"}, "Seed must be a number"),
    ({"text": "It is {a: x | y}.", "prompt": 3}, "The prompt must be text"),
    ({"text": "It is {a: x | y}.", "model": "sudoku"}, "writes no text"),
    ({"text": "An {a: owl | zebrafish} sleeps.", "model": "worlds"}, "'zebrafish' is not among"),
    ({"text": "An {a: owl | Owl} sleeps.", "model": "worlds"}, "the same to Small worlds"),
]


@pytest.mark.parametrize(("form", "said"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_read_is_one_sentence_before_anything_is_computed(form, said, worlds):
    with pytest.raises(SettingError) as caught:
        request = parse_slots(form)
        FormRun(worlds, request.form, request.prompt)
    assert said in str(caught.value) and str(caught.value).count("\n") == 0
    assert worlds.asked == 0


@pytest.fixture(scope="module")
def worlds():
    from model.models.worlds.model import Worlds

    class Counted(Worlds):
        asked = 0

        def reader(self, *args):
            Counted.asked += 1
            return super().reader(*args)

    return Counted()


def test_text_with_slots_is_parsed():
    form, said = parse_form(
        {
            "text": r"A \{brace} {a: x | two words} {b}{free: 2}!",
            "slots": [{"name": "b", "choices": ["p", "q"], "given": "q"}],
        },
        LOCAL,
    )
    assert form.parts == (
        "A {brace} ",
        Slot("a", ("x", "two words")),
        " ",
        Slot("b", ("p", "q"), given="q"),
        Slot("free", tokens=2),
        "!",
    )
    assert said["prompt"] == ""


def chained(reader, canvas, at, ids):
    """Return log p of ids one after the other, the plain way."""
    total, canvas = 0.0, list(canvas)
    for offset, token in enumerate(ids):
        total += float(reader.log_p(canvas, [at + offset])[0][token])
        canvas[at + offset] = token
    return total


@pytest.mark.parametrize("make", [Fake, Tiny], ids=["scripted", "shifted blocks"])
def test_a_choice_of_several_tokens_has_its_joint_probability_among_the_choices(make):
    model = make()
    choices = ["AB", "AC", "D", "BCD", "BCE"]
    form, _ = parse_form({"text": "ABBA{s: " + " | ".join(choices) + "}CAB", "prompt": "D"}, LOCAL)
    answer = FormRun(model, form, "D").finish().answers["s"]
    scores = {}
    for choice in choices:
        ids, before, behind = (model.tokens(text) for text in (choice, "ABBA", "CAB"))
        canvas = [*before, *[-1] * len(ids), *behind, model.spec.eos_ids[0]]
        reader = model.reader("D", len(canvas))
        reader.open(canvas)
        scores[choice] = math.exp(chained(reader, canvas, len(before), ids))
    total = sum(scores.values())
    assert dict(answer.choices) == pytest.approx({choice: score / total for choice, score in scores.items()}, rel=1e-4)
    assert answer.text == max(scores, key=scores.get) and sum(p for _, p in answer.choices) == pytest.approx(1)


def test_one_pass_reads_every_slot_of_one_token_with_the_others_open(worlds):
    text = "Lost: a melancholy {animal: dog | wolf} called {name: Rufus | Nell}, last seen near the cave on Friday."
    reading = read_slots(worlds, {"text": text})
    assert reading.forwards == 1 and reading.done and reading.faults
    ids = [-1 if word in ("dog", "Rufus") else token for word, token in spelt(worlds, text)]
    canvas = ids + [worlds.spec.eos_ids[0]] * (worlds.spec.canvas - len(ids))
    at = canvas.index(-1)
    logits = worlds.predictor("notice", "", worlds.encode("notice"), len(canvas), None, "diffusion").predict(
        canvas, (0, len(canvas)), [at]
    )
    dog, wolf = (worlds.tokens(word)[0] for word in ("dog", "wolf"))
    p = logits[0, [dog, wolf]].softmax(-1)
    assert dict(reading.answers["animal"].choices) == pytest.approx({"dog": float(p[0]), "wolf": float(p[1])}, abs=1e-5)


def spelt(model, text):
    plain = text.replace("{animal: dog | wolf}", "dog").replace("{name: Rufus | Nell}", "Rufus")
    return [(model.piece(token).decode().strip(), token) for token in model.tokens(plain)]


def test_more_passes_settle_the_surest_first_and_read_the_others_again(worlds):
    text = (
        "Lost: a melancholy {animal: dog | duck | wolf} called Rufus, last seen near the cave on Friday. If you meet him, try "
        "gossip: he {sound: barks | quacks | howls} at tourists only. Please bring Rufus back to the {place: cave | chapel}. "
        "Reward: six spoons, all six of them numbered."
    )
    once, slowly = (read_slots(worlds, {"text": text, "passes": passes}).answers for passes in (1, 3))
    assert {answer.round for answer in once.values()} == {1}
    assert [slowly[name].round for name in ("place", "sound", "animal")] == [1, 2, 3]
    fits = {"dog": "barks", "duck": "quacks", "wolf": "howls"}
    assert fits[slowly["animal"].text] == slowly["sound"].text
    assert slowly["animal"].probability > once["animal"].probability + 0.2


def test_given_choices_stand_and_free_text_leaves_a_rest(worlds):
    form = {
        "text": "Lost: a {look:1} {animal} called Rufus, last seen near the cave on Friday.",
        "slots": [{"name": "animal", "choices": ["dog", "duck"], "given": "duck"}],
    }
    answers = read_slots(worlds, form).answers
    assert answers["animal"].kind == "given" and answers["animal"].probability == 1
    assert answers["look"].kind == "free" and 0.05 < sum(p for _, p in answers["look"].choices) < 1
    assert list(answers) == ["look", "animal"]


@pytest.mark.parametrize(
    "name", ["llada-8b", "dream-7b", "qwen3-0.6b-bd3lm", "sdar-1.7b", "fast-dllm-v2-1.5b", "modernbert-base-chat"]
)
def test_checkpoints_of_every_masked_form_are_read_by_the_same_code(name, tmp_path):
    entry = next(entry for entry in families.ENTRIES if entry.spec.id == name)
    tiny_checkpoints.write(FORMATS[name], tmp_path / "made")
    whole_form(hf_masked.load(**entry.options, where=str(tmp_path / "made"), way="cpu", dtype="float32"))


def whole_form(model):
    form = {"text": "the {a: in | an | the and} and {b: er | us the | an} in {c: 2}.", "prompt": "the", "passes": 2}
    reading = read_slots(model, form)
    assert reading.done and set(reading.answers) == {"a", "b", "c"} and reading.forwards > 3
    for name in "ab":
        assert sum(p for _, p in reading.answers[name].choices) == pytest.approx(1)
    assert json.loads(json.dumps(reading.as_dict()))["slots"][0]["name"] == "a"


def test_diffusion_gemma_is_read_by_the_same_code(tmp_path):
    model = open_checkpoint(str(save(tmp_path)))
    whole_form(model)
    form = {"text": "the {a: in | an}.", "prompt": "the", "seed": 5}
    one, again, other = (read_slots(model, form | {"seed": seed}).answers["a"].choices for seed in (5, 5, 6))
    assert one == again and one != other
    loop = model._loop(parse_slots(form).settings, model.encode("the"), {}, None, {})
    loop.open_canvas()
    loop.encode()
    noise = loop.state.canvas[0].tolist()
    before, behind = model.tokens("the"), model.tokens(".")
    rest = [model.spec.eos_ids[0]] * (32 - len(before) - 1 - len(behind))
    loop.state.canvas = torch.tensor([[*before, noise[len(before)], *behind, *rest]])
    p = loop.forward()[0, len(before)].softmax(-1)
    share = {word: float(p[model.tokens(f" {word}")[0]]) for word in ("in", "an")}
    total = sum(share.values())
    if all(len(model.tokens(f" {word}")) == 1 for word in share):
        assert dict(one) == pytest.approx({word: value / total for word, value in share.items()}, abs=1e-5)


def test_the_engine_reads_in_its_turn_and_stops():
    engine = Engine(LOCAL, loader=lambda model_id, progress: Fake())
    request = parse_slots({"text": "ab {a: x | y} cd {b: p | q} e", "model": "fake", "passes": 2})
    with engine.run(request) as run:
        first = next(run)
        run.stop()
        last = [*run][-1]
    assert len(first.answers) == 1 and last.stopped == "cancelled" and not last.done and "..." in last.text
    assert not engine.busy
    engine.close()


def test_a_public_page_bounds_what_a_form_computes():
    many = " ".join(f"{{s{i}: " + " | ".join(f"{letter}bcdefg{i}" for letter in "qrstuvwx") + "}," for i in range(16))
    form, _ = parse_form({"text": many, "passes": 8}, PUBLIC)
    with pytest.raises(SettingError, match=r"may compute at most 65,536 positions"):
        FormRun(Fake(), form, "x", limits=PUBLIC)


def test_calibration_is_said_only_for_the_weights_it_was_measured_on():
    measured = json.loads(RECORD.read_text())
    assert measured["worlds"]["slots"] == 512
    assert f"expected calibration error {measured['worlds']['ece']:.3f}" in trusted("worlds")
    assert "other weights" in trusted("worlds", "00") and "not measured" in trusted("fake")
