"""Texts written many at a time equal those written alone: same ids, same forward passes, whatever the others do meanwhile."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from model.models.chat135m.model import Builtin
from model.models.chat135m.weights import Config
from model.settings import Settings
from training import evaluate, export
from training.batched import Batched
from training.network import MASK, new_adapter

CONFIG = Config(layers=2, width=32, heads=4, kv_heads=2, head_dim=8, inner=48, vocab=17 + 256)
PROMPTS = (
    "Hi",
    "Name three fruits.",
    "Why is the sky blue at noon and red at night?",
    "And?",
    "Tell me more about whales, please.",
)
THRESHOLD = {"rule": "threshold", "threshold": 0.0, "steps": 400}
KINDS = {
    "token by token": ("ar", {}),
    "blocks of 8": ("diffusion", {**THRESHOLD, "threshold": 0.01, "block_length": 8}),
    "checked by separate passes": (
        "diffusion",
        {**THRESHOLD, "block_length": 8, "remasking": "verify", "remask_strength": 0.02},
    ),
    "checked and guessed in one pass": (
        "diffusion",
        {**THRESHOLD, "block_length": 4, "remasking": "verify", "remask_strength": 0.02},
    ),
}


def write_weights(out: Path, adapted: bool) -> Path:
    """A random network as it ships: 8-bit rows, and a tokenizer whose tokens are bytes behind 17 special ones."""
    torch.manual_seed(0)
    base = {"embedding": torch.randn(CONFIG.vocab, 32) / 6, "norm": torch.ones(32)}
    for i in range(CONFIG.layers):
        base |= {
            f"layers.{i}.{name}": torch.randn(*CONFIG.linear(name)) / 3 for name in ("qkv", "o", "gate_up", "down")
        }
        base |= {f"layers.{i}.norm{k}": torch.ones(32) for k in (1, 2)}
    adapter = new_adapter(CONFIG, 4, base["embedding"][MASK])
    adapter |= {name: torch.randn(t.shape) / 6 for name, t in adapter.items() if name.endswith("B")}
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<s{i}>" for i in range(3, 16)), "<empty_output>"]
    tokenizer = Tokenizer(
        BPE(vocab={token: i for i, token in enumerate([*special, *sorted(ByteLevel.alphabet())])}, merges=[])
    )
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    files = export.packed(base, "base")
    export.write(
        out, CONFIG, files, adapter if adapted else None, {"tokenizer.json": tokenizer.to_str().encode()}, "t", {}
    )
    return out


@pytest.fixture(scope="module", params=["a decoder of its own", "one set of weights"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"), request.param == "a decoder of its own")


@pytest.fixture(scope="module")
def alone(folder: Path) -> Builtin:
    return Builtin(folder, torch.float32)


@pytest.fixture
def batched(folder: Path) -> Batched:
    return Batched(folder, torch.float32)


def jobs(model: Builtin, kind: str, temperature: float = 0.0, tokens: int = 24) -> list:
    """One job a prompt, every other one for a shorter text."""
    mode, known = KINDS[kind]
    settings = [
        Settings(**known, new_tokens=tokens - 9 * (i % 2), temperature=temperature, seed=i) for i in range(len(PROMPTS))
    ]
    return [model.denoise(prompt, own, mode=mode).finish for prompt, own in zip(PROMPTS, settings, strict=True)]


def facts(traces: list) -> list:
    """What must be equal: frame by frame every id, and what had been spent on it."""
    return [
        [(frame.ids.tolist(), frame.forwards) for frame in trace.frames] + [trace.result.stopped] for trace in traces
    ]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("kind", KINDS)
def test_texts_equal_those_written_alone(alone: Builtin, batched: Batched, kind: str, temperature: float):
    expected = [job() for job in jobs(alone, kind, temperature)]
    written = batched.together(jobs(batched, kind, temperature))
    assert facts(written) == facts(expected)
    assert len({trace.result.forwards for trace in written}) > 1, "runs end at different times"
    if kind != "token by token":
        assert any(len(frame.committed) > 1 for trace in written for frame in trace.frames)


def test_runs_of_every_kind_share_their_passes(alone: Builtin, batched: Batched, monkeypatch: pytest.MonkeyPatch):
    passes, run = [], batched.network.network.run
    monkeypatch.setattr(batched.network.network, "run", lambda ids, *rest: passes.append(len(ids)) or run(ids, *rest))
    expected = [job() for kind in KINDS for job in jobs(alone, kind)]
    written = batched.together([job for kind in KINDS for job in jobs(batched, kind)])
    assert facts(written) == facts(expected)
    assert passes[0] == len(written) and passes == sorted(passes, reverse=True), "everyone who has not ended takes part"
    assert sum(passes) == sum(trace.result.forwards for trace in written)
    again = batched.together(
        jobs(batched, "token by token", tokens=60)
    )  # longer texts, in a cache that others have used
    assert facts(again) == facts([job() for job in jobs(alone, "token by token", tokens=60)])


def test_one_run_needs_no_others(alone: Builtin, batched: Batched):
    for kind in KINDS:
        assert facts([jobs(batched, kind)[2]()]) == facts([jobs(alone, kind)[2]()])
    assert batched.together([]) == []


def test_scores_equal_those_computed_alone(alone: Builtin, batched: Batched):
    answers = [
        batched.tokens(words)
        for words in ("Yes.", "An apple, a pear and a plum.", "It scatters.", "x" * 200, "They sing.")
    ]
    scores = batched.together(
        [partial(batched.score, prompt, ids) for prompt, ids in zip(PROMPTS, answers, strict=True)]
    )
    for prompt, ids, score in zip(PROMPTS, answers, scores, strict=True):
        assert score == pytest.approx(alone.score(prompt, ids), abs=1e-3)


def test_an_error_of_one_run_ends_them_all_and_is_told(batched: Batched):
    def fails() -> None:
        batched.score(PROMPTS[0], [30, 31])
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        batched.together([*jobs(batched, "blocks of 8"), fails])
    assert len(batched.together(jobs(batched, "blocks of 8"))) == len(PROMPTS), "and the next ones are not disturbed"


def test_an_error_of_the_network_is_told(batched: Batched, monkeypatch: pytest.MonkeyPatch):
    threads, run, calls = torch.get_num_threads(), batched.network.network.run, []

    def fails(*args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return run(*args)

    monkeypatch.setattr(batched.network.network, "run", fails)
    with pytest.raises(KeyboardInterrupt):
        batched.together(jobs(batched, "token by token"))
    assert len(calls) == 4 and torch.get_num_threads() == threads


def command(folder: Path, tmp_path: Path, *more: str) -> list[str]:
    return [
        "--weights",
        str(folder),
        "--work",
        str(tmp_path),
        "--out",
        str(tmp_path),
        "--new-tokens",
        "8",
        "--device",
        "cpu",
        "--dtype",
        "fp32",
        "--only",
        "0",
        "1",
        "--batch",
        "3",
        *more,
    ]


def test_an_evaluation_that_was_interrupted_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = evaluate.main(command(folder, tmp_path / "whole", "--prompts", "5"))
    measure, sizes = evaluate.measure, []

    def interrupted(model: Batched, chosen: list) -> list:
        if len(sizes) == 2:
            raise KeyboardInterrupt
        sizes.append(len(chosen))
        return measure(model, chosen)

    monkeypatch.setattr(evaluate, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate.main(command(folder, tmp_path, "--prompts", "5"))
    kept = (tmp_path / "samples.jsonl").read_text()
    assert sizes == [3, 3] and kept.count("\n") == 6
    monkeypatch.setattr(evaluate, "measure", measure)
    assert evaluate.main(command(folder, tmp_path, "--prompts", "5")) == whole
    written = (tmp_path / "samples.jsonl").read_text()
    assert written.startswith(kept) and written.count("\n") == 10
    assert all("seconds" not in json.loads(line)["result"] for line in written.splitlines())
    monkeypatch.setattr(evaluate, "Batched", None)  # nothing is loaded where nothing is missing
    assert evaluate.main(command(folder, tmp_path, "--prompts", "5")) == whole
