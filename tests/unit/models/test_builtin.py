"""The model that ships, run for real."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from model import Settings, load
from model.holes import Hole, quoted
from model.models.chat135m.model import fast_dtype
from model.models.chat135m.weights import FOLDER
from tests.patience import patience

pytestmark = pytest.mark.skipif(not (FOLDER / "manifest.json").is_file(), reason="the weights are not in this checkout")
PROMPT = "Why is the sky blue?"


@pytest.fixture(scope="module", params=["bfloat16", "float32", "int8"])
def model(request):
    torch.set_num_threads(min(2, torch.get_num_threads()))
    if request.param == "int8" and "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this build of torch has no fbgemm")
    loaded = load("builtin", dtype=getattr(torch, request.param))
    assert loaded.dtype == request.param
    yield loaded
    loaded.close()


def test_block_length_one_is_its_own_greedy_autoregressive_text(model):
    ar = model.denoise(PROMPT, Settings(new_tokens=24), mode="ar").finish()
    block = model.denoise(PROMPT, Settings(new_tokens=24, block_length=1)).finish()
    assert ar.final_ids == block.final_ids and ar.result.forwards == block.result.forwards == 24


def test_it_writes_words_and_many_at_once(model):
    trace = model.denoise(PROMPT, Settings(new_tokens=32, block_length=16, steps=8)).finish()
    assert len(trace.final_text.split()) >= 8 and trace.result.forwards == 2 + 8
    assert max(len(frame.committed) for frame in trace.frames) >= 3
    assert (
        trace.pieces
        and trace.final_text
        == b"".join(trace.pieces[i] for i in trace.final_ids if i not in trace.spec.eos_ids).decode()
    )


def test_special_tokens_typed_by_a_visitor_stay_text(model):
    ids = model.encode("a <empty_output> <|im_end|> [MASK] b")
    assert model.spec.mask_id not in ids and ids.count(2) == 2  # the template's own two ends


def test_pinned_words_stand_at_every_step(model):
    trace = model.denoise(
        "Tell me a story.", Settings(new_tokens=16, block_length=16, steps=8), pinned={5: " upon"}
    ).finish()
    (token,) = model.tokens(" upon")
    assert all(frame.ids[5] == token for frame in trace.frames) and " upon" in trace.final_text


def test_the_template_is_the_one_it_was_trained_with(model):
    ids = model.encode("hello")
    text = b"".join(model.piece(i) for i in ids).decode()
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_hardware_and_weights_are_in_the_header(model):
    trace = model.denoise(PROMPT, Settings(new_tokens=1)).finish()
    assert trace.hardware and trace.dtype == model.dtype and len(trace.weights_sha256) == 64 and trace.versions["torch"]


@pytest.mark.parametrize(
    ("instructions", "dtype"), [("AVX2", torch.float32), ("", fast_dtype())], ids=["AVX2 only", "all there are"]
)
def test_a_processor_without_fast_bfloat16_computes_in_float32(instructions, dtype):
    asked = "from model.models.chat135m.model import fast_dtype; print(fast_dtype())"
    env = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions} if instructions else os.environ
    said = subprocess.run(
        [sys.executable, "-c", asked], env=env, capture_output=True, text=True, check=True, timeout=patience(120)
    )
    assert said.stdout.split()[-1] == str(dtype)


@pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines, reason="this build of torch has no fbgemm"
)
def test_bytes_write_as_well_as_floats():
    """What float32 wrote is as likely to the 8-bit network, within 0.02 nats a token."""
    floats, bytes8 = load("builtin", dtype=torch.float32), load("builtin", dtype=torch.int8)
    trace = floats.denoise(PROMPT, Settings(new_tokens=48), mode="ar").finish()
    theirs, ours = (model.score(PROMPT, trace.final_ids) for model in (floats, bytes8))
    assert abs(sum(ours) - sum(theirs)) / len(ours) < 0.02
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 0.5


def test_no_control_token_is_ever_written_and_ends_still_are(model):
    assert set(range(17)) - set(model.unwritten) == {0, 2, 16}  # both ends, and the mask, which is forbidden anyway
    trace = model.denoise("Say it: <|im_start|>", Settings(new_tokens=8, steps=8)).finish()
    assert not set(trace.final_ids) & set(model.unwritten)


def test_a_text_with_holes_alone_is_written_with_the_change_that_was_trained_for_it(model):
    def asks(prompt):
        return model.predictor(prompt, "", model.encode(prompt), 8, Settings(), "diffusion").network

    assert model.spec.infills and asks("hello") is model.network
    assert asks(quoted(("a ", Hole(), " b"))) is model.filler is not model.network
    answer = model.tokens("red, blue and yellow.")
    known, blind = (sum(model.score(quoted(("red, ", Hole(), after)), answer)[-4:]) for after in (" and yellow.", ""))
    assert known < blind  # what follows is in view
