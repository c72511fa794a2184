"""The player on somebody else's page: in a frame on another origin, and as an element from one script."""

import functools
import http.server
import json
import threading

import httpx
import pytest

from playground.web.components.embed import element, recordings
from tests.e2e.player_harness import shapes

pytestmark = pytest.mark.e2e


@pytest.fixture
def blog(tmp_path):
    """A folder served by a plain server on an origin of its own; yields (folder, address)."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def reader(browser):
    """A reader's page whose console is watched."""
    context, wrong = browser.new_context(viewport={"width": 900, "height": 900}), []
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console",
        lambda said: (
            wrong.append(said.text) if said.type == "error" and "favicon" not in said.location["url"] else None
        ),
    )
    yield page
    context.close()
    assert wrong == []


def test_a_frame_on_another_origin_plays_a_recording_and_says_how_tall_it_is(shared, blog, reader):
    folder, address = blog
    (folder / "post.html").write_text(
        f'<iframe src="{shared.url}/?embed=player&run=1-notice&theme=dark" style="width:100%;height:200px;border:0"></iframe>'
        "<script>onmessage = ({ data }) => {"
        " if (data.inkblot) document.querySelector('iframe').style.height = data.inkblot.height + 'px'; };</script>"
    )
    reader.goto(f"{address}/post.html")
    frame = reader.frame_locator("iframe")
    frame.locator(".ib-player.ib-dark .ib-cell").first.wait_for()
    inside = reader.frames[1]
    height = inside.evaluate("Math.ceil(document.documentElement.getBoundingClientRect().height)")
    reader.wait_for_function("(h) => Math.abs(document.querySelector('iframe').clientHeight - h) < 40", arg=height)
    assert height > 300 and frame.locator("#run, .gradio-container").count() == 0
    said = inside.locator(".ib-prompt p").inner_text()
    assert said == json.loads(recordings()["1-notice"].read_text("utf-8"))["header"]["prompt"]


def test_only_the_player_may_be_framed_and_only_recordings_are_shown(shared):
    plain, framed = httpx.get(shared.url + "/"), httpx.get(shared.url + "/?embed=player")
    assert "frame-ancestors 'self'" in plain.headers["content-security-policy"]
    assert framed.status_code == 200 and framed.headers["content-security-policy"].endswith("frame-ancestors *")
    assert "default-src 'none'" in framed.headers["content-security-policy"]
    for run in ("no-such-run", "../../README", "1-notice.json", "%00"):
        assert httpx.get(shared.url + "/", params={"embed": "player", "run": run}).status_code == 404
    assert "<script>x" not in httpx.get(shared.url + "/", params={"embed": "player", "theme": "<script>x"}).text
    assert (
        httpx.get(shared.url + "/?embed=other").headers["content-security-policy"]
        == plain.headers["content-security-policy"]
    )


def test_the_element_needs_one_file_and_says_what_it_cannot_show(shared, blog, reader):
    folder, address = blog
    script = httpx.get(shared.url + "/inkblot-player.js")
    assert script.headers["content-type"].startswith("text/javascript") and script.text == element()
    (folder / "inkblot-player.js").write_text(script.text, encoding="utf-8")
    (folder / "trace.json").write_text(shapes()["hostile"].to_json(), encoding="utf-8")
    (folder / "other.json").write_text("{}")
    (folder / "post.html").write_text(
        '<!doctype html><script src="inkblot-player.js"></script><style>p { color: red }</style>'
        '<inkblot-player id="a" src="trace.json" theme="dark"></inkblot-player><inkblot-player id="b" src="other.json"></inkblot-player>'
    )
    reader.goto(f"{address}/post.html")
    reader.locator("#a .ib-cell").first.wait_for()
    assert reader.locator("#a .ib-player.ib-dark").evaluate("(el) => getComputedStyle(el).position") == "relative"
    assert reader.locator("#a .ib-text .ib-cell").count() == 16 and reader.evaluate("window.hit") is None
    reader.locator("#b .ib-empty").filter(has_text="The trace other.json cannot be shown: it has no steps.").wait_for()
    before = reader.locator("#a .ib-step").inner_text()
    reader.locator("#a [data-do=back]").click()
    assert reader.locator("#a .ib-step").inner_text() != before
    reader.evaluate("document.getElementById('b').setAttribute('src', 'trace.json')")
    reader.locator("#b .ib-cell").first.wait_for()
