"""Permalinks in Chromium: what is set goes into the fragment and comes back, Back and Forward work, a reload keeps the last run."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import expect

from model.models.scripted import SCRIPT
from model.settings import FIELDS
from playground.links import link_of
from tests.e2e.test_watch import choose, until

pytestmark = pytest.mark.e2e
VALUES = {
    "int": lambda field: st.integers(int(field.low), int(min(field.high, 10**6))),
    "float": lambda field: st.floats(field.low, field.high, allow_nan=False),
    "choice": lambda field: st.sampled_from(field.choices),
}


def seen(page, name):
    return page.locator(f"#knob-{name} input[type=number]").first.input_value()


def test_a_run_puts_its_settings_into_the_address_and_a_new_page_takes_them(shared, visit):
    page = visit(shared, width=1440, height=1200)
    page.locator("#prompt textarea").fill("Warum ist der Himmel blau? \U0001f600")
    choose(page, "rule", "schedule")
    page.locator("#knob-steps input[type=number]").first.fill("19")
    page.locator("#knob-steps input[type=number]").first.blur()
    page.locator("#run").click()
    until(page, "p.run && p.run.result")
    page.wait_for_function("location.hash.startsWith('#v1=')")
    address = page.evaluate("location.href")
    page = visit(shared, path=address.removeprefix(shared.url))
    expect(page.locator("#prompt textarea")).to_have_value("Warum ist der Himmel blau? \U0001f600")
    expect(page.locator("#knob-steps input[type=number]").first).to_have_value("19")
    expect(page.locator("#knob-rule input")).to_have_value("planned count")


def test_back_brings_the_settings_of_the_run_before(shared, visit):
    page = visit(shared, width=1440, height=1200)
    for prompt in ("first", "second"):
        page.locator("#prompt textarea").fill(prompt)
        page.locator("#run").click()
        until(page, f"p.run && p.run.result && p.run.header.prompt === {json.dumps(prompt)}")
        page.wait_for_function(f"inkblotLink.read(location.hash)?.prompt === {json.dumps(prompt)}")
    page.go_back()
    expect(page.locator("#prompt textarea")).to_have_value("first")
    page.go_forward()
    expect(page.locator("#prompt textarea")).to_have_value("second")


def test_a_reload_shows_the_last_run_and_its_prompt(shared, visit):
    page = visit(shared)
    page.locator("#prompt textarea").fill("keep me")
    page.locator("#run").click()
    until(page, "p.run && p.run.result")
    page.wait_for_function("location.hash.startsWith('#v1=')")
    page.reload()
    page.locator("#run").wait_for()
    expect(page.locator("#prompt textarea")).to_have_value("keep me")
    assert until(page, "p.run && p.run.text(p.run.frames[p.length - 1])") == SCRIPT


def test_a_link_to_a_model_that_is_not_here_says_so(shared, visit):
    page = visit(shared)
    link = page.evaluate("inkblotLink.fragment('no-such-model', 'diffusion', 'hello', '', '')")
    page = visit(shared, path="/" + link)
    expect(page.locator("#status")).to_contain_text('for the model "no-such-model", which is not here')
    expect(page.locator("#prompt textarea")).to_have_value("hello")


@pytest.mark.parametrize(
    "hash_", ["#v1=", "#v1=!!!!", "#v1=bnVsbA", "#v1=e30", "#v9=abc", "#v1=W10", "#v1=IjxzY3JpcHQ-Ig"]
)
def test_a_broken_link_opens_the_page_as_it_is(shared, visit, hash_):
    before = visit(shared).locator("#prompt textarea").input_value()
    page = visit(shared, path="/" + hash_)
    page.wait_for_timeout(500)
    assert page.locator("#prompt textarea").input_value() == before


def test_every_knob_comes_back_from_its_link(shared, visit):
    page = visit(shared)
    names = [field.name for field in FIELDS]

    @given(st.fixed_dictionaries({field.name: VALUES[field.kind](field) for field in FIELDS}), st.text(max_size=60))
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    def check(values, prompt):
        asked = [prompt, [values[name] for name in names]]
        link = page.evaluate("([p, v]) => inkblotLink.fragment('fake', 'diffusion', p, 's', '3: x', ...v)", asked)
        assert link == link_of("fake", "diffusion", prompt, "s", "3: x", values)  # the command line's own
        told = page.evaluate("(link) => inkblotLink.read(link)", link)
        assert (
            told["prompt"] == prompt and told["system"] == "s" and told["pinned"] == "3: x" and told["model"] == "fake"
        )
        start = page.evaluate("INKBLOT.models.fake.start")
        assert {**start, **told["knobs"]} == {**start, **values}

    check()
