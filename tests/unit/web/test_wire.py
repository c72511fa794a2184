"""Messages to the player: every frame arrives once, never too many at a time, and the last one is the whole run."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.models.scripted import Fake
from model.settings import LOCAL, Settings
from model.trace.decode import loads
from model.trace.encode import dumps
from model.trace.frame import Frame
from model.trace.trace import Trace
from playground.web.app import head
from playground.web.components.assets import PARTS, PLAYER, page_html, script, style
from playground.web.wire import INTERVAL, STOPPED, Recorder, stream, trace_message


def a_trace(**settings: object) -> Trace:
    return Fake().denoise("Hello", Settings(**({"new_tokens": 24, "steps": 8} | settings))).finish()


def reassembled(messages: list[dict], trace: Trace) -> Trace:
    """Put the pieces of a live run together as one document and read it as Python reads any trace."""
    document = json.loads(dumps(trace))
    document["frames"] = [frame for message in messages for frame in message["frames"]]
    document["candidates"] = [guess for message in messages for guess in message.get("candidates", [])] or None
    document["vocab"], document["extra_vocab"] = {}, {}
    for message in messages:
        document["vocab"] |= message["vocab"]
    return loads(json.dumps(document))


@given(st.lists(st.floats(0, 0.08), min_size=12, max_size=12))
def test_no_frame_is_lost_and_no_two_messages_are_closer_than_the_interval(waits: list[float]):
    trace, now, sent = a_trace(steps=12), [0.0], []
    recorder = Recorder(trace, clock=lambda: now[0])
    for frame, wait in zip(trace.frames, [0.0, *waits, *waits], strict=False):
        now[0] += wait
        if message := recorder.add(frame):
            sent.append((now[0], json.loads(message)))
    if message := recorder.flush():
        sent.append((now[0] + INTERVAL, json.loads(message)))
    assert all(b - a >= INTERVAL - 1e-9 for (a, _), (b, _) in zip(sent, sent[1:], strict=False))
    messages = [message for _, message in sent]
    assert [message["from"] for message in messages] == [
        sum(len(m["frames"]) for m in messages[:i]) for i in range(len(messages))
    ]
    back = reassembled(messages, trace)
    assert all(a.same_as(b) for a, b in zip(trace.frames, back.frames, strict=True))


def test_the_first_frame_goes_out_at_once_with_the_header_and_only_then():
    trace = a_trace()
    recorder = Recorder(trace, interval=0)
    first, second = (json.loads(recorder.add(frame) or "") for frame in trace.frames[:2])
    assert first["header"]["prompt"] == "Hello" and first["reasons"] and first["from"] == 0 and first["done"] is False
    assert "header" not in second and second["run"] == first["run"] and second["from"] == 1
    assert not set(first["vocab"]) & set(second["vocab"])
    assert Recorder(trace).run != recorder.run


def test_frames_without_candidates_send_none():
    trace = a_trace()
    frames = [
        Frame(
            f.step,
            f.block,
            f.span,
            f.forwards,
            f.seconds,
            f.forward_seconds,
            f.ids.copy(),
            f.states.copy(),
            f.confidence.copy(),
            f.entropy.copy(),
        )
        for f in trace.frames
    ]
    assert "candidates" not in json.loads(Recorder(trace, interval=0).add(frames[0]) or "")


def test_a_piece_that_is_known_later_is_sent_later():
    trace = a_trace()
    recorder, pieces = Recorder(trace, interval=0), dict(trace.pieces)
    trace.pieces = {}
    assert json.loads(recorder.add(trace.frames[-2]) or "")["vocab"] == {}
    trace.pieces = pieces
    assert json.loads(recorder.add(trace.frames[-1]) or "")["vocab"]


def test_nothing_held_back_is_no_message():
    assert Recorder(a_trace()).flush() is None


def test_a_stream_ends_with_the_whole_run():
    run = Fake().denoise("Hello", Settings(new_tokens=24, steps=8))
    messages = [json.loads(message) for message in stream(run)]
    last = messages[-1]
    assert last["done"] is True and {m["run"] for m in messages} == {last["run"]}
    assert [f.ids.tolist() for f in loads(json.dumps(last["trace"])).frames] == [
        f.ids.tolist() for f in run.trace.frames
    ]


def test_closing_a_stream_ends_the_run():
    run = Fake().denoise("Hello", Settings(new_tokens=24, steps=8), cancelled=threading.Event())
    messages = stream(run)
    next(messages)
    messages.close()
    assert run.trace.result is not None and run.trace.result.stopped == "cancelled"


def test_a_recording_becomes_one_message_from_a_trace_or_its_document():
    trace = a_trace()
    for source in (trace, dumps(trace)):
        message = json.loads(trace_message(source, play=True))
        assert message["play"] is True and message["done"] is True and message["trace"] == json.loads(dumps(trace))
    assert "play" not in json.loads(trace_message(trace))
    assert len(trace_message(trace, max_bytes=100)) < len(trace_message(trace))
    assert json.loads(STOPPED) == {"done": True}


@pytest.mark.parametrize("text", ["</script><script>", "<!--", "\u2028", "${x}", "{{x}}", "`"])
def test_a_page_of_its_own_holds_the_document_unharmed(text: str):
    trace = a_trace()
    trace.prompt = text
    page = page_html(dumps(trace), title=text, theme="dark")
    start = page.index('id="trace">') + len('id="trace">')
    inlined = page[start : page.index("</script>", start)]
    assert json.loads(inlined) == json.loads(dumps(trace))
    assert page.count("<script") == 2 and page.count("</script>") == 2
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "") and "https://" not in page


def test_the_script_and_the_style_fit_where_gradio_and_a_page_put_them():
    assert {path.stem for path in PLAYER.glob("*.js")} == set(PARTS)
    assert "</script" not in script() and "</style" not in style()
    assert "{{" not in style() and "@keyframes" not in style() and ":root" not in style() and "@import" not in style()
    assert ".innerHTML =" in script() and script().count(".innerHTML") == 1  # the layout, a constant
    assert "eval(" not in script() and "insertAdjacentHTML" not in script()


def test_no_word_in_the_scripts_of_the_page_ends_them():
    assert head(LOCAL).count("</script") == 2 and head(LOCAL).endswith("</script>")
