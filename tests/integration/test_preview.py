"""What other sites show of a link to the page."""

import re
from typing import Any

import httpx


def shown(url: str, **headers: str) -> dict[str, str]:
    """Return what a site that unfolds links reads."""
    page = httpx.get(url, headers={"accept-encoding": "identity", **headers}).text
    found = re.findall(r'<meta\s+(?:property|name)="((?:og|twitter):[^"]+|description)"\s+content="([^"]*)"', page)
    assert len(found) == len(dict(found)), "said twice"
    assert "header-image" not in page and "@teamGradio" not in page
    return dict(found)


def test_a_link_is_shown_with_our_title_sentence_and_picture(server: Any):
    told = shown(server.url)
    assert told["og:title"].startswith("Inkblot")
    assert "denoising" in told["og:description"] and told["description"] == told["og:description"]
    assert told["og:image"] == f"{server.url}/preview.png"
    picture = httpx.get(told["og:image"])
    assert picture.status_code == 200 and picture.content.startswith(b"\x89PNG")


def test_behind_a_proxy_the_picture_has_the_address_outside(server: Any, monkeypatch: Any):
    monkeypatch.setenv("GRADIO_ROOT_PATH", "/spaces/inkblot")
    outside = {"x-forwarded-host": "demo.example", "x-forwarded-proto": "https"}
    assert shown(server.url, **outside)["og:image"] == "https://demo.example/spaces/inkblot/preview.png"
    strange = shown(server.url, **{"x-forwarded-host": '"><script>alert(1)</script>'})
    assert "<script>" not in strange["og:image"]
