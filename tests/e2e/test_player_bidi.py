"""Right-to-left and mixed text stand in the order of plain text; an emoji of several tokens is one."""

# ruff: noqa: F811
from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.player_harness import masked
from tests.e2e.player_page import PLAYER, copied, show  # noqa: F401
from tests.e2e.test_player_layout import faults

pytestmark = pytest.mark.e2e
HEBREW = [
    "מדינת",
    " ישראל",
    " הוקמה",
    " בשנת",
    " ",
    "19",
    "48",
    ",",
    " לפי",
    " Reuters",
    " ו",
    "-",
    "BBC",
    " News",
    ",",
    " ב",
    "-",
    "14",
    " במאי",
    ".",
]
ARABIC = ["في", " عام", " ", "20", "24", " كتب", "ت", " ليلى", " 3", ".", "5", "%", " (", "ثلاثة", ")", " رسائل", "."]
MIXED = ["The", " word", " שלום", " עולם", " means", " ", "12", " ×", " سلام", " 7", ",", "5", " for", " all", "."]
# the x of every visible letter or digit, in the order of the text
PLACES = r"""element => {
  const out = [], walk = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), range = document.createRange();
  for (let node; (node = walk.nextNode()); )
    for (let i = 0; i < node.length; i++) {
      if (!/[\p{L}\p{N}]/u.test(node.data[i])) continue;
      range.setStart(node, i), range.setEnd(node, i + 1);
      const box = range.getBoundingClientRect();
      out.push([node.data[i], box.left + box.width / 2, box.top + box.height / 2]);
    }
  return out;
}"""


def seen_order(places: list[list[Any]]) -> str:
    """Return letters line by line, from left to right."""
    lines: list[list[list[Any]]] = []
    for place in sorted(places, key=lambda p: p[2]):
        if lines and place[2] - lines[-1][-1][2] < 12:
            lines[-1].append(place)
        else:
            lines.append([place])
    return "|".join("".join(p[0] for p in sorted(line, key=lambda p: p[1])) for line in lines)


@pytest.mark.parametrize("tokens", [HEBREW, ARABIC, MIXED], ids=["hebrew", "arabic", "mixed"])
def test_the_order_seen_is_that_of_plain_text(show: Any, tokens: list[str]):
    trace = masked([token.encode() for token in tokens], length=len(tokens), steps=5, seed=12)
    page, text = show(trace), "".join(tokens)
    page.evaluate(f"{PLAYER}.seek({len(trace.frames) - 1})")
    assert faults(page, len(trace.frames)) == []
    mine = page.locator(".ib-text").evaluate(PLACES)
    plain = page.evaluate(
        """text => {
          const div = document.createElement('div'), like = getComputedStyle(document.querySelector('.ib-text'));
          div.dir = 'auto', div.textContent = text;
          Object.assign(div.style, { font: like.font, width: like.width, lineHeight: like.lineHeight });
          document.body.append(div);
          return (""" + PLACES + """)(div);
        }""",
        text,
    )  # fmt: skip
    assert seen_order(mine) == seen_order(plain)
    assert copied(page) == text


@pytest.mark.parametrize(
    "tokens",
    [
        ["👨", "\u200d", "👩", "\u200d", "👧"],
        ["👍", "🏽"],
        ["🇩", "🇪", "🇫", "🇷"],
        ["❤", "\ufe0f", "\u200d", "🔥"],
        ["1", "\ufe0f", "\u20e3"],
        ["🏴", *map(chr, [0xE0067, 0xE0062, 0xE0065, 0xE006E, 0xE0067, 0xE007F])],
    ],
    ids=["family", "tone", "flags", "heart", "keycap", "England"],
)
def test_an_emoji_of_several_tokens_is_copied_whole(show: Any, tokens: list[str]):
    pieces = ["So", ":", *tokens, " ok"]
    page = show(masked([piece.encode() for piece in pieces], length=len(pieces), steps=3, seed=12))
    page.evaluate(f"{PLAYER}.seek({PLAYER}.length - 1)")
    assert copied(page) == "".join(pieces) and page.locator(".ib-text .ib-badge").count() == 0
    inks = page.locator(".ib-text .ib-base").all_text_contents()
    whole = "".join(tokens)
    assert whole in inks or (whole == "🇩🇪🇫🇷" and {"🇩🇪", "🇫🇷"} <= set(inks))


def test_a_zero_width_joiner_outside_an_emoji_is_shown(show: Any):
    pieces = ["a", "\u200d", "b"]
    page = show(masked([piece.encode() for piece in pieces], length=3, steps=2, seed=12))
    page.evaluate(f"{PLAYER}.seek({PLAYER}.length - 1)")
    assert page.locator(".ib-text .ib-badge").all_text_contents() == ["ZWJ"]


def test_fields_and_the_prompt_that_is_shown_follow_the_direction_of_what_is_typed(server: Any, visit: Any):
    page = visit(server)
    shown = page.locator("#player .ib-prompt p")
    page.fill("#prompt textarea", "שנת 1948, מה קרה?")
    page.click("#run")
    expect(shown).to_have_text("שנת 1948, מה קרה?")
    assert shown.evaluate("el => el.matches(':dir(rtl)')")
    for field in page.locator("textarea:visible, input[type=text]:visible").all():
        assert field.evaluate("el => getComputedStyle(el).unicodeBidi") == "plaintext"
    expect(page.locator("#player .ib-badge-now")).to_have_count(0)
