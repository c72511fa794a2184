"""The one way in: from untrusted values to a request, the same for page, API and command line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from model import pictures, worlds
from model.aliases import ours
from model.branch import continued
from model.conversation import parse_messages
from model.draft import Draft
from model.engine import catalog
from model.engine.catalog import entry
from model.errors import SettingError
from model.holes import Filling, Hole, Part, asked_of, parse_holes
from model.request import Request, parse_pinned, visible_text
from model.settings import LOCAL, MODES, Limits, Settings
from model.slots import parse_form
from model.text import Conversation, messages_of, normalise
from model.trace.trace import Trace


def parse_request(
    prompt: Any,
    settings: Mapping[str, Any] | None = None,
    *,
    model: Any = "builtin",
    mode: Any = "diffusion",
    system: Any = "",
    pinned: Any = "",
    image: bytes | Sequence[bytes] = (),
    draft: Draft | None = None,
    messages: Any = None,
    limits: Limits = LOCAL,
) -> Request:
    """Return a request from untrusted values; raise SettingError with one sentence before anything is computed.

    messages: what was said before the prompt, or, where that is empty, a whole conversation, its last message what is to be answered.

    Knobs that are not given are the model's own (see `model.entry.Entry.defaults`). pinned: text of lines 'position: words', or a mapping.
    image: a picture file's bytes, or several files'.
    """
    if messages:
        last = [{"role": "user", "content": prompt}] if prompt else []
        prompt, told = parse_messages([*messages, *last] if isinstance(messages, list) else messages, limits)
        if told and system:
            raise SettingError("The system prompt was given twice, once among the messages.", "messages")
        system = told or system
    elif isinstance(prompt, Conversation):
        prompt = parse_messages(messages_of(prompt), limits)[0]
    else:
        prompt = visible_text("The prompt", prompt, limits.prompt_chars)
    if not prompt.strip():
        raise SettingError("Write a prompt first: it must have at least 1 character.", "prompt")
    if mode not in MODES:
        raise SettingError(f"Mode must be one of {', '.join(MODES)}; it was {str(mode)[:40]!r}.", "mode")
    model = parse_model(model, limits)
    entry, given = catalog.known(model), {} if settings is None else settings
    given = ours(given) if isinstance(given, Mapping) else given
    parsed = Settings.parse({**entry.start(limits), **given} if entry and isinstance(given, Mapping) else given, limits)
    system = visible_text("The system prompt", "" if system is None else system, limits.prompt_chars)
    images = tuple(filter(None, (image,) if isinstance(image, bytes) else image))
    asked = Request(prompt, model, mode, parsed, system, parse_pinned(pinned), images, draft, tuple(given))
    pictures.check(images, entry.spec if entry else None, limits)
    for each in images:  # what is no picture is refused before a model is loaded for it
        pictures.opened(each)
    if entry:  # what is wrong for this model whatever its files say is said before it loads
        asked.check_pinned(entry.spec)
    return asked


def parse_continuation(
    document: Any, step: Any, edits: Any = None, keep: Any = False, settings: Any = None, limits: Limits = LOCAL
) -> Request:
    """Return the request that goes on from a frame of a trace; raise SettingError or TraceError with one sentence.

    document: a trace as JSON text or parsed. The rest as `branch.continued` has it.
    """
    trace = Trace.from_json(document if isinstance(document, str) else json.dumps(document), limits.trace_bytes)
    given, draft = continued(trace, step, edits, keep, settings)
    if not entry(trace.spec.id).spec.canvas:
        given["new_tokens"] = max(1, len(draft.ids))
    return parse_request(
        trace.prompt,
        given,
        model=trace.spec.id,
        mode=trace.mode,
        system=trace.system,
        draft=draft,
        limits=limits,
    )


def parse_ripple(document: Any, change: Any, settings: Any = None, limits: Limits = LOCAL) -> Request:
    """Return the request that changes one word of a finished text of the small worlds and frees those that hang on it.

    change: one of `worlds.CHANGES`. Raise SettingError or TraceError with one sentence.
    """
    if change not in worlds.CHANGES:
        raise SettingError(
            f"A change must be one of {', '.join(worlds.CHANGES)}; it was {str(change)[:40]!r}.", "change"
        )
    trace = Trace.from_json(document if isinstance(document, str) else json.dumps(document), limits.trace_bytes)
    text = [token for token in trace.final_ids if token not in trace.spec.eos_ids]
    words = [trace.pieces.get(token, b"").decode("utf-8", "replace").strip() for token in text]
    found = None
    if trace.spec.checked and not trace.spec.view and not trace.frames[-1].undecided:
        found = worlds.ripple(words, worlds.read_prompt(trace.prompt).form, change, trace.seed)
    if found is None:
        raise SettingError(
            "Only in a finished text of the small worlds can a word be changed so that others follow; run one.", "trace"
        )
    edits = [{"at": [found.position, found.position + 1], "do": "type", "text": found.new}]
    edits += [{"at": [at, at + 1], "do": "erase"} for at in found.free]
    asked = parse_continuation(document, len(trace.frames) - 1, edits, False, settings, limits)
    assert asked.draft is not None
    # a prompt that asks for the old word would bring it back
    prompt = re.sub(rf"\b{re.escape(found.old)}\b", found.new, asked.prompt, flags=re.IGNORECASE)
    too = ", in the prompt too" if prompt != asked.prompt else ""
    count = "1 contradiction" if len(found.faults) == 1 else f"{len(found.faults)} contradictions"
    before = f": until they follow, {count}" if found.faults else ""
    says = f"'{found.old}' was made '{found.new}' and pinned{too}; {len(found.free)} words that hang on it were erased{before}."
    return replace(
        asked,
        prompt=prompt,
        draft=replace(asked.draft, says=says.replace("1 words that hang on it were", "1 word that hangs on it was")),
    )


def parse_fill(
    text: Any, settings: Any = None, *, model: Any = "builtin", prompt: Any = "", limits: Limits = LOCAL
) -> tuple[Request, tuple[Part, ...]]:
    """Return the request that fills a text's holes, and the text's parts; raise SettingError with one sentence.

    prompt: what the text is written for; empty: what `asked_of` says. The lengths of the holes are for `holes.Tries` to set.
    """
    parts = parse_holes(text, limits)
    known = catalog.known(parse_model(model, limits))
    asked = asked_of(known.spec if known else None, parts, prompt if isinstance(prompt, str) else "")
    return parse_request(asked, settings, model=model, draft=Filling(parts=parts), limits=limits), parts


def parse_slots(document: Any, limits: Limits = LOCAL) -> Request:
    """Return the request that reads a form (see `model.slots`); raise SettingError with one sentence."""
    form, said = parse_form(document, limits)
    model = parse_model(said.get("model", "worlds"), limits)
    parts = [part if isinstance(part, str) else Hole() for part in form.parts]
    own = asked_of(known.spec, parts) if (known := catalog.known(model)) else ""
    return Request(said["prompt"] or own, model, settings=Settings(seed=said.get("seed", 0)), form=form)


def parse_model(model: Any, limits: Limits) -> str:
    """Return a model's id from an untrusted value; raise SettingError, or ModelUnavailable where these limits do not offer it."""
    if not isinstance(model, str) or len(model) > 300 or normalise(model) != model:
        raise SettingError("Model must be a name of at most 300 characters.", "model")
    catalog.offered(model, limits)
    return model
