"""The page as a tool for assistants, asked as their own client library asks, and by hand; and the README's examples over HTTP."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import threading
import time

import httpx
import pytest

from model.models.scripted import SCRIPT
from model.trace.trace import Trace
from playground.links import read_link
from playground.web.mcp import Assistant
from scripts.budgets import ROOT
from tests.conftest import serving

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)


@pytest.fixture(scope="module")
def page():
    with serving(assistants=True) as server:
        yield server


def say(page, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(
        f"{page.url}/mcp", content=content, headers={"content-type": "application/json", **headers}, timeout=20
    )


def call(page, **arguments):
    params = {"name": "denoise", "arguments": arguments}
    answer = say(page, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    assert answer.status_code == 200
    return answer.json()["result"]


def test_an_assistants_own_client_finds_the_tool_and_writes(page):
    mcp = pytest.importorskip("mcp", reason="the package mcp is not installed here")
    from mcp.client.streamable_http import streamable_http_client

    async def session():
        async with streamable_http_client(f"{page.url}/mcp") as streams:
            async with mcp.ClientSession(streams[0], streams[1]) as client:
                await client.initialize()
                tools = (await client.list_tools()).tools
                asked = {"prompt": "hello", "model": "fake", "settings": {"steps": 8, "seed": 3}}
                return (
                    tools,
                    await client.call_tool("denoise", asked),
                    await client.call_tool("denoise", {"prompt": " "}),
                )

    tools, done, refused = asyncio.run(session())
    assert [tool.name for tool in tools] == ["denoise"] and "link to the whole trace" in tools[0].description
    assert done.structured_content["text"] == SCRIPT and done.structured_content["forwards"] == 8 and not done.is_error
    assert refused.is_error and refused.content[0].text.startswith("Write a prompt first")


def test_the_tool_says_what_it_takes_and_within_what_bounds(page):
    tool = say(page, {"jsonrpc": "2.0", "id": 7, "method": "tools/list"}).json()["result"]["tools"][0]
    takes = tool["inputSchema"]["properties"]
    assert tool["inputSchema"]["required"] == ["prompt"] and "worlds" in takes["model"]["enum"]
    assert takes["settings"]["properties"]["steps"]["maximum"] == 1024
    assert all(knob["description"] for knob in takes["settings"]["properties"].values())
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(tool["inputSchema"])
    given = call(page, prompt="hello", model="fake")["structuredContent"]
    Draft202012Validator(tool["outputSchema"]).validate(given)


def test_its_links_lead_to_the_trace_and_to_the_page(page):
    given = call(page, prompt="hello", model="fake", settings={"steps": 9, "seed": 4})["structuredContent"]
    trace = Trace.from_json(httpx.get(given["trace"]).text)
    assert trace.final_text == given["text"] and trace.settings["steps"] == 9
    link = read_link(given["page"])
    assert given["page"].startswith(page.url) and (link.prompt, link.model, link.knobs["seed"]) == ("hello", "fake", 4)
    assert httpx.get(f"{page.url}/mcp/traces/nobody.json").status_code == 404


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"prompt": "x", "model": "fake", "settings": {"steps": 0}}, "Steps must be between 1 and 1024"),
        ({"prompt": "x", "model": "fake", "settings": {"nothing": 1}}, "no setting called"),
        ({"prompt": "x", "model": "nobody"}, "no model called"),
        ({"prompt": "x", "model": "fake", "mode": "sideways"}, "Mode must be one of"),
        ({"prompt": 7}, "must be text"),
        ({"prompt": "x", "other": 1}, "denoise takes prompt"),
        ({"prompt": "x", "settings": "fast"}, "must map names"),
    ],
)
def test_a_bad_value_gets_the_same_sentence_as_on_the_page(page, arguments, said):
    passes = page.fake.passes
    result = call(page, **arguments)
    assert result["isError"] and said in result["content"][0]["text"] and page.fake.passes == passes


def test_what_is_no_request_is_refused_in_the_protocols_words(page):
    assert say(page, b"{").status_code == 400
    assert say(page, [1]).json()["error"]["code"] == -32600
    assert say(page, {"jsonrpc": "2.0", "id": 1, "method": "resources/list"}).json()["error"]["code"] == -32601
    assert say(page, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "shell"}}).json()["error"]
    assert say(page, {"jsonrpc": "2.0", "method": "notifications/initialized"}).status_code == 202
    assert httpx.get(f"{page.url}/mcp").status_code == 405
    assert say(page, {"id": 1}, **{"content-type": "text/plain"}).status_code == 415
    assert say(page, {"id": 1}, host="evil.example").status_code == 403
    assert say(page, {"id": 1}, origin="http://evil.example").status_code == 403


def test_a_client_that_leaves_ends_its_run(page):
    page.fake.delay = 0.1
    try:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        body["params"] = {"name": "denoise", "arguments": {"prompt": "x", "model": "fake", "settings": {"steps": 64}}}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{page.url}/mcp", json=body, timeout=0.5)
        assert page.idle(3)
    finally:
        page.fake.delay = 0.0


def test_traces_are_kept_for_a_while_only(page):
    assistant = Assistant(page.engine)
    with page.engine.run(read_request()) as run:
        list(run)
    names = [assistant.given(run.trace, "http://x")["trace"] for _ in range(70)]
    assert len(assistant.traces) == 64 and len(set(names)) == 70


def read_request():
    from model.engine.parsing import parse_request

    return parse_request("hello", {}, model="fake")


def test_it_is_off_where_others_can_reach_the_page(server):
    assert httpx.post(f"{server.url}/mcp", json={}).status_code in (404, 405)


# ---------------------------------------------------------------- the README's examples, and the page about the API
def here(code, page):
    return code.replace("http://127.0.0.1:7860", page.url).replace('"worlds"', '"fake"')


def test_the_readmes_python_over_http_runs(page):
    code = next(code for language, code in BLOCKS if language == "python" and "gradio_client" in code)
    done = subprocess.run([sys.executable, "-c", here(code, page)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stdout.strip() == SCRIPT


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("bash"), reason="no curl here")
@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "bash"], ids=range(2))
def test_the_readmes_curl_runs(page, code):
    done = subprocess.run(["bash", "-c", here(code, page)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and ("event: complete" in done.stdout or '"isError":false' in done.stdout), done.stdout[
        -500:
    ]


def test_the_page_about_the_api_shows_what_can_be_sent(page):
    told = httpx.get(f"{page.url}/gradio_api/info").json()["named_endpoints"]
    for name, endpoint in told.items():
        for parameter in endpoint["parameters"]:
            assert not parameter["label"].startswith("parameter_"), (name, parameter["parameter_name"])
            assert parameter["example_input"] not in ("Hello!!", {"foo": "bar"}), (name, parameter["parameter_name"])
        assert len(endpoint.get("description") or "") > 20


def test_a_full_house_says_so(page):
    page.fake.delay, answers = 0.05, []
    ask = lambda: answers.append(call(page, prompt="x", model="fake", settings={"steps": 32}))  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(10)]
    try:
        for thread in threads:
            thread.start()
            time.sleep(0.02)
        page.fake.delay = 0.0
        for thread in threads:
            thread.join(30)
    finally:
        page.fake.delay = 0.0
    assert sum(answer["isError"] for answer in answers) >= 1
    assert any("Too many runs wait" in answer["content"][0]["text"] for answer in answers)
