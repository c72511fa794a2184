"""axe-core on the Watch page, folded and with everything open, and on the tour: nothing serious, in light and dark, desktop and phone."""

import json
from pathlib import Path

import axe_playwright_python
import pytest

from tests.conftest import serving
from tests.e2e.player_harness import shapes

pytestmark = pytest.mark.e2e
PLAYER = "document.querySelector('#player .ib-host').__player"
BAD = ("serious", "critical")


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    (folder / "1.json").write_text(shapes()["pinned"].to_json())
    with serving(recordings=folder, delay=0.01) as server:
        yield server


@pytest.fixture(scope="module")
def axe() -> str:
    return Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf-8")


def found(page, axe: str) -> list[str]:
    """Every serious or critical violation, as what it is and where."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(axe)
    result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert len(result["passes"]) > 20  # it looked
    return [
        f"{v['id']}: {json.dumps([n['target'] for n in v['nodes']][:3])}"
        for v in result["violations"]
        if v["impact"] in BAD
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1366])
def test_axe_finds_nothing_serious(shown, visit, axe, width, dark):
    page = visit(shown, width=width, height=768, dark=dark, reduced_motion="reduce")
    page.wait_for_function(f"() => document.querySelector('#player .ib-host') && {PLAYER}.run")
    page.evaluate(f"{PLAYER}.seek(Math.floor({PLAYER}.length / 2))")
    assert found(page, axe) == []
    for name in ("more", "extras", "recipe"):
        page.locator(f"#{name}").get_by_role("button").first.click()
    page.locator("#write-recipe").click()
    page.locator("#heatmap summary").click()
    page.wait_for_function("() => document.querySelector('#heatmap .ink-chart').data")
    page.locator("#player .ib-cell").nth(10).click()
    assert found(page, axe) == []
    page.locator("#open-tour [data-open=tour]").click()
    assert found(page, axe) == []


def test_axe_would_find_something(shown, visit, axe):
    page = visit(shown)
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<button></button><p style=\"color:#777;background:#888\">faint</p>')"
    )
    assert {line.split(":")[0] for line in found(page, axe)} == {"button-name", "color-contrast"}
