"""Every masked family, from a checkpoint in its own published format to text: loaded, decoded, and equal to a naive reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.errors import SettingError
from model.models.masked import load as hf_masked
from model.models.masked import records as families
from model.settings import Settings
from model.trace.frame import AFTER_END
from tests import tiny_checkpoints as tiny

torch.set_num_threads(1)
ENTRIES = {entry.spec.id: entry for entry in families.ENTRIES}
# published format, shift, block (0: the whole canvas is seen) and where blocks are counted from; section 1.2 and 2.10 of sampling.md
FACTS = {
    "llada-8b": ("llada", False, 0, ""),
    "llada-1.5": ("llada", False, 0, ""),
    "llada-moe": ("llada_moe", False, 0, ""),
    "dream-7b": ("Dream", True, 0, ""),
    "dream-coder-7b": ("Dream", True, 0, ""),
    "diffucoder-7b": ("Dream", True, 0, ""),
    "qwen3-0.6b-mdlm": ("a2d-qwen3", False, 0, ""),
    "qwen3-0.6b-bd3lm": ("a2d-qwen3", False, 32, "answer"),
    "qwen2.5-coder-0.5b-mdlm": ("a2d-qwen2", False, 0, ""),
    "qwen2.5-coder-0.5b-bd3lm": ("a2d-qwen2", False, 32, "answer"),
    "modernbert-base-chat": ("modernbert", False, 0, ""),
    "modernbert-large-chat": ("modernbert", False, 0, ""),
    "open-dcoder-0.5b": ("qwen2", True, 0, ""),
    "sdar-1.7b": ("sdar", False, 4, "sequence"),
    "sdar-4b": ("sdar", False, 4, "sequence"),
    "sdar-8b": ("sdar", False, 4, "sequence"),
    "sdar-30b-a3b": ("sdar_moe", False, 4, "sequence"),
    "fast-dllm-v2-1.5b": ("Fast_dLLM_Qwen", True, 32, "sequence"),
    "mdlm-owt": ("mdlm", False, 0, ""),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    made: dict[str, tiny.Tiny] = {}

    def get(kind: str) -> tiny.Tiny:
        if kind not in made:
            made[kind] = tiny.write(kind, tmp_path_factory.mktemp("checkpoint") / kind)
        return made[kind]

    return get


def load(entry, folder: Path, endless: bool = True, **options) -> hf_masked.HFMasked:
    model = hf_masked.load(**entry.options, where=str(folder), way="cpu", **({"dtype": "float32"} | options))
    if endless:  # an end token would hide what comes behind it
        model.spec = replace(model.spec, eos_ids=())
    return model


# ---------------------------------------------------------------- the naive reference: no cache, everything computed from nothing
def naive(
    logits, prompt: list[int], canvas: list[int], mask: int, facts, width: int, threshold: float, part: int = 0
) -> list[int]:
    """Fill canvas (-1: open), block by block (in parts, if asked): all guesses with p >= threshold, else the surest.

    logits(ids, sees) -> (n, V).
    """
    kind, shift, block, counted_from = facts
    written = logits

    def logits(ids: list[int], sees: torch.Tensor) -> torch.Tensor:
        out = written(ids, sees).clone()
        out[
            :, 256 + len(tiny.TOKENS[kind][0]) :
        ] = -torch.inf  # rows that the tokenizer has no token for are never written
        return out

    origin = len(prompt) if counted_from == "answer" or not block else 0
    rest = -(len(prompt) + len(canvas)) % block if counted_from == "sequence" else 0  # denoised with the rest, then cut
    asked, x = len(prompt) + len(canvas), prompt + canvas + [-1] * rest
    end = len(x)
    while -1 in x:
        first = x.index(-1)
        start = first if not block else origin + (first - origin) // block * block
        whole = min(end, start + (block or width))
        begin = start + (first - start) // part * part if part else start
        stop = min(whole, begin + part) if part else whole
        if block and shift and start >= len(prompt):
            x[start] = int(guess(logits, x[:start], mask, origin, block)[-1].argmax()) if x[start] < 0 else x[start]
        while -1 in x[begin:stop]:
            seen = [mask if token < 0 else token for token in (x[:whole] if block else x)]
            open_ = [i for i in range(max(begin, len(prompt)), stop) if x[i] < 0]
            p, token = guess(logits, seen, mask, origin, block)[[i - shift for i in open_]].softmax(-1).max(-1)
            sure = [row for row in range(len(open_)) if p[row] >= threshold] or [int(p.argmax())]
            for row in sure:
                x[open_[row]] = int(token[row])
    return x[len(prompt) : asked]


def guess(logits, ids: list[int], mask: int, origin: int, block: int) -> torch.Tensor:
    number = torch.tensor([(i - origin) // block if block else 0 for i in range(len(ids))])
    out = logits(ids, number[:, None] >= number[None]).clone()
    out[:, mask] = -torch.inf
    return out


def reference_logits(model, checkpoint: tiny.Tiny):
    if checkpoint.kind != "modernbert":
        return checkpoint.logits
    from transformers import AutoModelForMaskedLM  # transformers' own class is this family's published code

    whole = AutoModelForMaskedLM.from_pretrained(checkpoint.folder, dtype=torch.float32).eval()
    return lambda ids, sees: whole(input_ids=torch.tensor([ids])).logits[0].detach()


@pytest.mark.parametrize("threshold", [2.0, 0.4], ids=["one token a step", "several tokens a step"])
@pytest.mark.parametrize("model_id", FACTS)
def test_a_record_loads_its_format_and_decodes_as_the_naive_reference(written, model_id, threshold):
    checkpoint = written(FACTS[model_id][0])
    model = load(ENTRIES[model_id], checkpoint.folder)
    logits, several = reference_logits(model, checkpoint), 0
    for prompt in ("ab", "Why is the sky blue? Say it in one line."):
        knobs = {"new_tokens": 44, "steps": 60, "block_length": 0 if FACTS[model_id][2] else 16}
        rule = {"rule": "schedule"} if threshold > 1 else {"rule": "threshold", "threshold": threshold}
        trace = model.denoise(prompt, Settings(**knobs, **rule)).finish()
        expected = naive(logits, list(trace.prompt_ids), [-1] * 44, model.spec.mask_id, FACTS[model_id], 16, threshold)
        assert trace.final_ids == expected
        several += sum(len(frame.committed) > 1 for frame in trace.frames)
    assert (several > 0) == (threshold < 1)


@pytest.mark.parametrize("model_id", ["llada-8b", "sdar-1.7b", "fast-dllm-v2-1.5b", "qwen3-0.6b-bd3lm"])
def test_pinned_words_stand_and_the_rest_equals_the_reference(written, model_id):
    checkpoint = written(FACTS[model_id][0])
    model = load(ENTRIES[model_id], checkpoint.folder)
    pins = {0: "A", 5: "upon", 39: "z"}
    canvas = [-1] * 44
    for at, words in pins.items():
        canvas[at : at + len(words)] = model.tokens(words)
    trace = model.denoise(
        "ab", Settings(new_tokens=44, steps=60, block_length=0 if FACTS[model_id][2] else 16), pinned=pins
    ).finish()
    expected = naive(checkpoint.logits, list(trace.prompt_ids), canvas, model.spec.mask_id, FACTS[model_id], 16, 2.0)
    assert trace.final_ids == expected and all(
        trace.final_ids[i] == token for i, token in enumerate(canvas) if token >= 0
    )


@pytest.mark.parametrize("model_id", [id for id, facts in FACTS.items() if not facts[2] and facts[0] != "modernbert"])
def test_logits_equal_the_published_network(written, model_id):
    checkpoint = written(FACTS[model_id][0])
    model = load(ENTRIES[model_id], checkpoint.folder)
    ids = [*range(40, 70), model.spec.mask_id, 3, model.spec.mask_id]
    got = model.network(torch.tensor(ids), torch.tensor([0, 7, 31, 32]))
    assert torch.allclose(got, checkpoint.logits(ids)[[0, 7, 31, 32]], atol=1e-4)


def test_guidance_adds_what_the_prompt_adds_and_counts_both_passes(written):
    checkpoint = written("llada")
    model = load(ENTRIES["llada-8b"], checkpoint.folder)
    trace = model.denoise("Hello", Settings(new_tokens=12, steps=12, guidance=1.5)).finish()
    prompt, mask = list(trace.prompt_ids), model.spec.mask_id

    def guided(ids: list[int], sees: torch.Tensor) -> torch.Tensor:
        wanted, plain = checkpoint.logits(ids), checkpoint.logits([mask] * len(prompt) + ids[len(prompt) :])
        return plain + 2.5 * (wanted - plain)

    assert trace.final_ids == naive(guided, prompt, [-1] * 12, mask, FACTS["llada-8b"], 32, 2.0)
    assert trace.result.forwards == 24
    plain = model.denoise("Hello", Settings(new_tokens=12, steps=12)).finish()
    assert plain.result.forwards == 12 and plain.final_ids != trace.final_ids
    with pytest.raises(SettingError, match="Guidance"):
        load(ENTRIES["dream-7b"], written("Dream").folder).denoise("Hello", Settings(guidance=1.0))


# ---------------------------------------------------------------- tokens
@pytest.mark.parametrize("model_id", FACTS)
def test_what_a_visitor_types_never_becomes_a_control_token(written, model_id):
    checkpoint = written(FACTS[model_id][0])
    model = load(ENTRIES[model_id], checkpoint.folder, endless=False)
    plain, typed = model.encode("hi", "be brief"), model.encode("hi" + "".join(checkpoint.ids), "be brief")
    control = set(checkpoint.ids.values())
    assert [i for i in typed if i in control] == [i for i in plain if i in control]
    assert "".join(checkpoint.ids).encode() in b"".join(map(model.piece, typed))
    assert not control & set(model.tokens("".join(checkpoint.ids)))
    assert model.spec.mask_id not in plain and model.spec.mask_id not in model.spec.eos_ids and model.spec.eos_ids
    assert set(model.spec.eos_ids) <= control


def test_templates_are_the_published_ones(written):
    encoder, llada = (load(ENTRIES[id], written(FACTS[id][0]).folder) for id in ("modernbert-base-chat", "llada-8b"))
    text = lambda model, *args: b"".join(map(model.piece, model.encode(*args))).decode()  # noqa: E731
    assert text(encoder, "hi", "be brief") == "[SYS]\nbe brief\n[/SYS]\n\n[Question]\nhi\n[/Question]\n\n[Answer]\n"
    head = "<|start_header_id|>{}<|end_header_id|>\n\n"
    assert text(llada, " hi ") == f"<|startoftext|>{head.format('user')}hi<|eot_id|>{head.format('assistant')}"
    assert text(load(ENTRIES["mdlm-owt"], written("mdlm").folder), "Once") == "Once"


def test_text_ends_at_an_end_token(written):
    model = load(ENTRIES["sdar-1.7b"], written("sdar").folder)
    full = model.denoise("ab", Settings(new_tokens=24, steps=24)).finish().final_ids
    model.spec = replace(model.spec, eos_ids=(full[9],))
    trace = model.denoise("ab", Settings(new_tokens=24, steps=24)).finish()
    assert trace.result.stopped == "end" and list(trace.final_ids) == full[: full.index(full[9]) + 1]


# ---------------------------------------------------------------- blocks
@pytest.mark.parametrize("threshold", [2.0, 0.4], ids=["one token a step", "several tokens a step"])
@pytest.mark.parametrize("length", [44, 64])
def test_a_block_filled_in_parts_equals_the_reference_and_differs_from_one_filled_whole(written, threshold, length):
    checkpoint, id = written("Fast_dLLM_Qwen"), "fast-dllm-v2-1.5b"
    model, rule = (
        load(ENTRIES[id], checkpoint.folder),
        {"rule": "schedule"} if threshold > 1 else {"rule": "threshold", "threshold": 0.4},
    )
    pins = {9: "A", 30: "upon"}
    canvas = [-1] * length
    for at, words in pins.items():
        canvas[at : at + len(words)] = model.tokens(words)
    for prompt in ("ab", "Why is the sky blue? Say it in one line."):
        run = model.denoise(prompt, Settings(new_tokens=length, steps=90, block_length=8, **rule), pinned=pins)
        trace = run.finish()
        expected = naive(
            checkpoint.logits, list(trace.prompt_ids), canvas, model.spec.mask_id, FACTS[id], 16, threshold, 8
        )
        assert trace.final_ids == expected
        assert expected != naive(
            checkpoint.logits, list(trace.prompt_ids), canvas, model.spec.mask_id, FACTS[id], 16, threshold
        )
        assert all(b - a <= 8 for a, b in (frame.span for frame in trace.frames))
        prompt_tokens, frames = (
            len(trace.prompt_ids),
            [{reason.rule for reason in frame.reasons} for frame in trace.frames],
        )
        whole = length + -(prompt_tokens + length) % 32
        stored = (
            (prompt_tokens >= 32) + (prompt_tokens + whole - 1) // 32 - prompt_tokens // 32
        )  # whole blocks only, never a part
        assert trace.result.forwards == stored + sum(bool(rules - {"causal"}) for rules in frames)
    with pytest.raises(SettingError, match="Block length must be one of 32, 8"):
        model.denoise("ab", Settings(new_tokens=44, steps=60, block_length=16))


def test_passes_that_store_are_counted_and_none_is_where_nothing_is_stored(written):
    model = load(ENTRIES["sdar-1.7b"], written("sdar").folder)
    prompt = len(model.encode("ab"))
    trace = model.denoise("ab", Settings(new_tokens=12 - prompt % 4, steps=12 - prompt % 4)).finish()
    assert trace.result.forwards == 1 + 2 + (
        12 - prompt % 4
    )  # the prompt's whole blocks, two finished blocks, one pass a token
    fast = load(ENTRIES["fast-dllm-v2-1.5b"], written("Fast_dLLM_Qwen").folder)
    fast.chat.encode = lambda prompt, system="": list(range(60, 70))
    assert (
        fast.denoise("ab", Settings(new_tokens=8, steps=8)).finish().result.forwards == 22
    )  # nothing to store before the only block


def test_a_prompt_that_reaches_into_a_block_may_ask_for_one_step_more(written):
    model = load(ENTRIES["sdar-1.7b"], written("sdar").folder)
    assert len(model.encode("ab")) % 4
    with pytest.raises(SettingError, match="Steps must be at least 4, one for each block of 4.*it was 3"):
        model.denoise("ab", Settings(new_tokens=12, steps=3)).finish()
    with pytest.raises(SettingError, match="Block length must be one of 4"):
        model.denoise("ab", Settings(new_tokens=12, steps=12, block_length=6))


@pytest.mark.parametrize("model_id", ["sdar-1.7b", "fast-dllm-v2-1.5b"])
def test_the_last_trained_block_is_denoised_whole_and_cut_afterwards(written, model_id):
    """JetAstra/SDAR@c2041a8, generate.py, and Fast-dLLM v2: whole blocks of masks; only what was asked for is kept."""
    checkpoint = written(FACTS[model_id][0])
    model = load(ENTRIES[model_id], checkpoint.folder)
    for length in (9, 13, 33):
        trace = model.denoise("ab", Settings(new_tokens=length, steps=length)).finish()
        whole = length + -(len(trace.prompt_ids) + length) % model.family.block
        last = trace.frames[-1]
        assert len(last.ids) == whole > length and len(trace.final_ids) == length == trace.result.tokens
        assert trace.result.stopped == "full" and (last.states[length:] == AFTER_END).all()
        assert trace.result.after_end == whole - length
        prompt, mask = list(trace.prompt_ids), model.spec.mask_id
        assert trace.final_ids == naive(checkpoint.logits, prompt, [-1] * length, mask, FACTS[model_id], 0, 2.0)


def test_a_text_that_ends_in_the_cut_part_is_full_and_one_that_ends_before_it_ends(written):
    model = load(ENTRIES["sdar-1.7b"], written("sdar").folder)
    trace = model.denoise("ab", Settings(new_tokens=9, steps=9)).finish()
    written_ids = trace.frames[-1].ids.tolist()
    spec = model.spec
    for at, stopped in ((10, "full"), (4, "end")):
        if written_ids[at] in written_ids[:at] or at >= len(written_ids):
            continue
        model.spec = replace(spec, eos_ids=(written_ids[at],))
        ended = model.denoise("ab", Settings(new_tokens=9, steps=9)).finish()
        assert ended.result.stopped == stopped and ended.result.tokens == min(9, at + 1)
