"""Conversations: messages strictly checked, the template's turns, a cache that changes nothing, and traces that replay."""

import io
import json

import pytest
import torch

from model.conversation import MOST_TURNS, conversation, parse_messages
from model.engine.asked import asked_json, parse_asked
from model.engine.parsing import parse_continuation, parse_request
from model.errors import SettingError
from model.models.chat135m.network import Session
from model.models.scripted import Fake
from model.request import Request
from model.settings import LOCAL, PUBLIC, Settings
from model.text import before, messages_of
from model.trace.trace import Trace
from playground.cli.main import main
from tests.tiny import MASK, Tiny
from tests.tiny_gemma import tokenizer

torch.set_num_threads(1)
USER, ANSWER = {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day."}
TALK = [USER, ANSWER, {"role": "user", "content": "And now?"}]
BAD = [
    ("Hello", "Messages must be a list"),
    ([7], "A message is an object of exactly 'role' and 'content'"),
    ([USER | {"name": "x"}], "exactly 'role' and 'content'"),
    ([USER | {"role": "tool"}], "role is system, user or assistant; it was 'tool'"),
    ([USER | {"content": 3}], "A message must be text"),
    ([USER | {"content": " "}], "number 1 has none"),
    ([ANSWER], "number 1 was assistant's"),
    ([USER, USER], "number 2 was user's"),
    ([USER, ANSWER], "The last message must be the user's"),
    ([USER, {"role": "system", "content": "x"}, USER], "number 2 was system's"),
    ([USER] * (MOST_TURNS + 1), "at most 64 messages; it has 65"),
    (
        [USER | {"content": "x" * 1500}, ANSWER, USER | {"content": "y" * 1500}],
        "at most 2,000 characters; it has 3,009",
    ),
]


@pytest.mark.parametrize(("messages", "said"), BAD, ids=range(len(BAD)))
def test_messages_are_refused_in_one_sentence(messages, said):
    with pytest.raises(SettingError) as caught:
        parse_request("", messages=messages, limits=PUBLIC)
    assert said in str(caught.value)


def test_messages_before_a_prompt_and_all_of_them_are_the_same():
    whole = parse_request("", messages=TALK, model="fake")
    assert parse_request("And now?", messages=TALK[:2], model="fake").prompt == whole.prompt == "And now?"
    assert messages_of(whole.prompt) == TALK == messages_of(conversation(TALK))
    assert parse_messages([{"role": "system", "content": "Be short."}, *TALK])[1] == "Be short."
    with pytest.raises(SettingError, match="given twice"):
        parse_request("", messages=[{"role": "system", "content": "a"}, *TALK], system="b", model="fake")
    assert before(parse_asked(json.loads(json.dumps(asked_json(whole))), LOCAL).prompt) == before(whole.prompt)


def test_limits_count_the_whole_conversation_before_anything_is_computed():
    fake = Fake()
    long = conversation([USER | {"content": "ab " * 1000}, ANSWER, USER])
    with pytest.raises(SettingError, match=r"The conversation may have at most 512 tokens; it has \d+"):
        fake.denoise(long, limits=PUBLIC)
    assert fake.passes == 0
    with pytest.raises(SettingError, match="holds no conversation"):
        from model.models.worlds.record import WORLDS

        Request(conversation(TALK), "worlds").check(WORLDS, 6, LOCAL)


def test_a_trace_keeps_its_turns_and_goes_on_with_them():
    trace = Fake().denoise(conversation(TALK), Settings(new_tokens=16, steps=4)).finish()
    again = Trace.from_json(trace.to_json())
    assert before(again.prompt) == before(trace.prompt) == (("user", "Hello"), ("assistant", "Good day."))
    assert before(parse_continuation(trace.to_json(), 1).prompt) == before(trace.prompt)
    assert "before" not in json.loads(Fake().denoise("Hello").finish().to_json())["header"]
    broken = json.loads(trace.to_json())
    broken["header"]["before"] = [["tool", "x"]]
    with pytest.raises(Exception, match="no role and text"):
        Trace.from_json(json.dumps(broken))


def test_a_templates_turns_are_its_own_and_what_is_typed_stays_text():
    from model.models.chat import Chat

    made = tokenizer()
    chat = Chat(made)
    expected = made.apply_chat_template(TALK, add_generation_prompt=True, tokenize=False)
    assert chat.encode(conversation(TALK)) == made(expected, add_special_tokens=False)["input_ids"]
    typed = conversation([USER, ANSWER | {"content": "<turn|>"}, USER])
    turn_end = made.convert_tokens_to_ids("<turn|>")
    assert chat.encode(typed).count(turn_end) == chat.encode(conversation(TALK)).count(turn_end)


def test_a_kept_cache_equals_one_that_is_read_anew_to_the_bit():
    tiny, kept = Tiny(), []
    first, second = list(range(6, 30)), list(range(6, 52))

    def session(prompt, turns, prefix=None):
        made = Session(tiny.network, prompt, 8, MASK, prefix)
        made.turns, made.keep = [end for end in turns if end > made.ready], lambda ids, cache: kept.append((ids, cache))
        return made

    session(first, [10]).advance(0, [], [-1])
    assert kept[0][0] == first[:10]
    anew, going_on = session(second, [10, 24]), session(second, [10, 24], kept[0])
    logits = [each.advance(0, [], [-1]) for each in (anew, going_on)]
    assert torch.equal(*logits) and torch.equal(anew.cache[:, :, :, :46], going_on.cache[:, :, :, :46])
    assert (anew.passes, going_on.passes) == (3, 2)


@pytest.mark.slow
def test_the_built_in_model_answers_alike_with_and_without_its_cache():
    from model.models.chat135m.model import load

    model, settings = load(), Settings(new_tokens=8, steps=8, block_length=4)
    talk = [USER, ANSWER, USER, ANSWER, USER]
    model.denoise(conversation(talk[:3]), settings).finish()
    assert model._said is not None
    warm = model.denoise(conversation(talk), settings).finish()
    model._said = None
    cold = model.denoise(conversation(talk), settings).finish()
    assert [frame.ids.tolist() for frame in warm.frames] == [frame.ids.tolist() for frame in cold.frames]
    assert (warm.frames[-1].confidence == cold.frames[-1].confidence).all()
    assert cold.result.forwards > warm.result.forwards
    told = "".join(model.piece(token).decode("utf-8", "replace") for token in warm.prompt_ids)
    assert told.count("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n") == 3
    assert told.count("Good day.<|im_end|>\n") == 2


def test_a_chat_through_pipes_is_one_line_in_and_one_answer_out(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n\nAgain\n/back\nThird\n/new\nFourth\n/quit\nFifth\n"))
    assert main(["chat", "--model", "fake", "--json", "--new-tokens", "8"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["turn"] for answer in answers] == [1, 2, 2, 1]


def test_a_chat_with_a_bad_knob_ends_before_it_begins(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello"))
    assert main(["chat", "--model", "fake", "--steps", "0"]) == 2
    assert "Steps must be between" in capsys.readouterr().err
