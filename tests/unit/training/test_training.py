"""Training on a tiny network with a byte tokenizer: data, losses, both modes, resuming, and the way from answers to shipped weights."""

import json
import random
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from model.models.chat135m.network import Network as Fast
from model.models.chat135m.weights import LINEARS, Config
from training import self_distill
from training.data import AHEAD, DATA, IGNORED, Chat, Noise, Row, collate, lines, read_rows, repetitive
from training.losses import _told, losses
from training.metrics import doubled, kendall_tau, mean_and_error
from training.network import EOS, MASK, Kept, Network, causal, cut, new_adapter, read_base

CONFIG = Config(layers=2, width=32, heads=4, kv_heads=2, head_dim=8, inner=48, vocab=17 + 256)


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a random two-layer Llama whose tokens are bytes; ids 0 to 16 are SmolLM2's special tokens."""
    folder = tmp_path_factory.mktemp("base")
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<s{i}>" for i in range(3, 16)), "<empty_output>"]
    vocab = {token: i for i, token in enumerate([*special, *sorted(ByteLevel.alphabet())])}
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    told = {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "intermediate_size": 48,
        "vocab_size": CONFIG.vocab,
        "rope_theta": 1e5,
        "rms_norm_eps": 9.999999747378752e-06,
    }
    (folder / "config.json").write_text(json.dumps(told))
    torch.manual_seed(0)
    state = {"model.embed_tokens.weight": torch.randn(CONFIG.vocab, 32), "model.norm.weight": torch.ones(32)}
    for i in range(2):
        sizes = {
            "self_attn.q_proj": (32, 32),
            "self_attn.k_proj": (16, 32),
            "self_attn.v_proj": (16, 32),
            "self_attn.o_proj": (32, 32),
            "mlp.gate_proj": (48, 32),
            "mlp.up_proj": (48, 32),
            "mlp.down_proj": (32, 48),
        }
        state |= {f"model.layers.{i}.{name}.weight": torch.randn(size) / 6 for name, size in sizes.items()}
        state |= {
            f"model.layers.{i}.{name}.weight": torch.ones(32)
            for name in ("input_layernorm", "post_attention_layernorm")
        }
    save_file(state, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def network(base_folder: Path) -> Network:
    config, base = read_base(base_folder)
    adapter = new_adapter(config, 4, base["embedding"][MASK], seed=1)
    adapter |= {name: torch.randn(t.shape) / 10 for name, t in adapter.items() if name.endswith("B")}
    return Network(config, base, adapter)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, base_folder: Path) -> Path:
    """Forty short answers, three held out by their hash."""
    path, chat = tmp_path_factory.mktemp("answers") / "answers.jsonl", Chat(base_folder)
    rows = [json.dumps({"p": f"Say {i}.", "r": [*chat.tokens(f"I say {i}, and {i * 7}."), EOS]}) for i in range(250)]
    path.write_text("\n".join(rows) + "\n")
    return path


def row(length: int, ends: bool = True) -> Row:
    tokens = [30 + i for i in range(length)]
    return Row("x", [1, 40, 41, 42], [*tokens[:-1], EOS] if ends else tokens)


def test_the_base_is_read_exactly(base_folder: Path):
    config, base = read_base(base_folder)
    state = load_file(base_folder / "model.safetensors")
    assert asdict(config) == asdict(CONFIG)
    torch.testing.assert_close(
        base["layers.1.qkv"][32:48], state["model.layers.1.self_attn.k_proj.weight"], atol=0, rtol=0
    )
    torch.testing.assert_close(
        base["layers.0.gate_up"][48:], state["model.layers.0.mlp.up_proj.weight"], atol=0, rtol=0
    )
    others = torch.arange(CONFIG.vocab) != MASK
    torch.testing.assert_close(base["embedding"][MASK], base["embedding"][others].mean(0))


def shipped(network: Network) -> dict[str, torch.Tensor]:
    """The tensors as `weights.load_builtin` returns them."""
    tensors = network.base | {name: t for name, t in network.adapter.items() if name.startswith("follow.")}
    for i in range(2):
        for name in LINEARS:
            tensors |= {f"decoder.{i}.{name}.{half}": network.adapter[f"{i}.{name}.{half}"] for half in "AB"}
    tensors["embedding"] = tensors["embedding"].clone()
    tensors["embedding"][MASK] = network.adapter["mask"]
    return tensors


@pytest.mark.parametrize("decoder", [False, True])
def test_it_computes_what_the_shipped_network_computes(network: Network, decoder: bool):
    fast = Fast(shipped(network), CONFIG)
    cache = fast.new_cache(12)
    text, block = torch.tensor([20, 31, 44, 100, 25, 60]), torch.tensor([50, MASK, 70, MASK])
    given = fast.forward(text, 0, cache, causal=True)
    hidden, past = network.run(text[None], torch.arange(6), causal(0, 6))
    torch.testing.assert_close(hidden[0], given, atol=1e-4, rtol=1e-4)
    new = fast.forward(block, 6, cache, causal=not decoder)
    mask = torch.ones(1, 1, 4, 10, dtype=torch.bool) if decoder else causal(6, 4)
    # the mask token is the decoder's: clean text never holds it
    block = block if decoder else torch.tensor([50, 51, 70, 71])
    new = new if decoder else fast.forward(block, 6, cache, causal=True)
    hidden, _ = network.run(block[None], torch.arange(6, 10), mask, past, decoder=decoder)
    torch.testing.assert_close(hidden[0], new, atol=1e-4, rtol=1e-4)
    store = network.new_store(1, 12)  # the same, the cache written in place
    network.run(text[None], torch.arange(6), causal(0, 6), Kept(store, torch.arange(6)[None]))
    kept, _ = network.run(
        block[None], torch.arange(6, 10), mask, Kept(store, torch.arange(6, 10)[None]), decoder=decoder
    )
    torch.testing.assert_close(kept, hidden, atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------- data
@pytest.mark.parametrize("complementary", [False, True])
@pytest.mark.parametrize("length", [1, 2, 5, 16])
def test_masks_spare_the_first_token_and_hide_something(length: int, complementary: bool):
    rng = random.Random(0)
    for _ in range(300):
        views = Noise(complementary=complementary).views(length, rng)
        assert all(not view[0] and len(view) == length for view in views)
        assert length == 1 or any(views[0])
        if len(views) == 2:
            assert all(a != b for a, b in zip(views[0][1:], views[1][1:], strict=True))


def test_gaps_have_their_right_part_given():
    rng, noise = random.Random(0), Noise(everything=0, right=0, gap=1)
    drawn = [noise.draw(16, rng) for _ in range(200)]
    runs = ["".join("x" if hidden else "." for hidden in masked).strip(".") for masked in drawn]
    assert all(set(run) == {"x"} for run in runs)
    assert not any(masked[-1] for masked in drawn) and len({sum(masked) for masked in drawn}) > 8


def test_streams_say_what_the_next_token_is():
    batch = collate([row(11), row(6, ends=False)], Noise(), [4], random.Random(3))
    for b, (answer, n) in enumerate(((row(11).answer + [EOS], 12), (row(6, ends=False).answer, 6))):
        clean = [1, 40, 41, 42, *answer]
        assert batch.clean[b, : 4 + n].tolist() == clean
        assert batch.positions[b, :n].tolist() == list(range(4, 4 + n))
        for i in range(n):
            first = i % 4 == 0
            assert batch.noised[b, i] in (clean[4 + i], MASK) and not (first and batch.noised[b, i] == MASK)
            hidden_next = i + 1 < n and (i + 1) % 4 and batch.noised[b, i + 1] == MASK
            assert batch.target[b, i] == (clean[4 + i + 1] if hidden_next else IGNORED)
        assert (
            batch.next_token[b, 3 : 3 + len((row(11), row(6, ends=False))[b].answer)].tolist()
            == (row(11), row(6, ends=False))[b].answer
        )
        assert (batch.next_token[b] != IGNORED).sum() == len((row(11), row(6, ends=False))[b].answer)
    assert not batch.taught[0, 10:].any(), "the teacher has nothing to say behind the end"


def test_a_block_never_sees_its_own_answer(network: Network):
    """Changing the clean text of a block, or anything after it, changes nothing of what that block's masks are told."""
    rows = [row(12)]
    batch = collate(rows, Noise(everything=1.0, right=0, gap=0), [4], random.Random(0))
    _, past = network.run(batch.clean, torch.arange(16), causal(0, 16))
    before, _ = network.run(batch.noised, batch.positions, batch.mask, past, decoder=True)
    changed = batch.clean.clone()
    changed[0, 8:] = 99  # blocks 1 and 2 of the answer
    _, past = network.run(changed, torch.arange(16), causal(0, 16))
    after, _ = network.run(batch.noised, batch.positions, batch.mask, past, decoder=True)
    torch.testing.assert_close(before[0, :8], after[0, :8], atol=0, rtol=0)
    assert (before[0, 8:] - after[0, 8:]).abs().max() > 1e-3


def test_masks_ahead_stand_behind_every_token_and_see_nothing_of_what_they_guess(network: Network):
    batch = collate([row(9)], Noise(ahead=1.0), [4], random.Random(0))
    assert (batch.noised == MASK).all()
    ids, sees = batch.clean[0].tolist(), batch.mask[0, 0, :, : batch.clean.shape[1]].sum(-1).tolist()
    for position, target, clean in zip(batch.positions[0].tolist(), batch.target[0].tolist(), sees, strict=True):
        assert target == ids[position + 1] and 4 <= clean <= position and position - clean < AHEAD - 1
    assert sorted(set(sees)) == list(
        range(4, 12)
    )  # behind the prompt's last token, and behind every answer token but the last
    assert not batch.taught.any()


def test_masks_ahead_are_what_the_shipped_network_computes(network: Network):
    """The trained rows of a batch equal the rows of one pass that checks and guesses, follow-up included."""
    answer = row(6)
    batch = collate([answer], Noise(ahead=1.0), [4], random.Random(0))
    length = batch.clean.shape[1]
    _, past = network.run(batch.clean, torch.arange(length), causal(0, length))
    trained, _ = network.run(batch.noised, batch.positions, batch.mask, past, decoder=True)
    fast = Fast(shipped(network), CONFIG)
    cache, ids = fast.new_cache(64), batch.clean[0]
    n = len(answer.before)
    shown = fast.ahead(ids[: n + 3], torch.full((4, AHEAD - 1), MASK), 0, cache)[
        :, 1:
    ]  # behind the prompt and three tokens of the answer
    groups = trained[0, : 4 * (AHEAD - 1)].view(4, AHEAD - 1, -1)
    torch.testing.assert_close(shown[:3], groups[:3], atol=1e-3, rtol=1e-3)
    told, before = None, batch.clean[0, batch.positions[0]]
    expected = _told(network, trained, batch)[0].view(-1, AHEAD - 1, network.config.width)
    for mask in range(AHEAD - 1):
        told = fast.follow(groups[1, mask], int(before.view(-1, AHEAD - 1)[1, mask]), told)
        torch.testing.assert_close(told, expected[1, mask], atol=1e-3, rtol=1e-3)
    assert before[3:6].tolist() == answer.answer[1:4], "what stands where the masks do"


def test_rows_are_read_once_a_prompt_without_repetition(answers: Path, base_folder: Path, tmp_path: Path):
    chat = Chat(base_folder)
    path = tmp_path / "more.jsonl"
    extra = [
        {"p": "again", "r": [50, 51, 52, 53] * 6},
        {"p": "short", "r": [EOS]},
        {"t": "Once", "r": [60, 61, 62, 63, EOS]},
    ]
    path.write_text(answers.read_text() + answers.read_text() + "".join(json.dumps(e) + "\n" for e in extra))
    held_out, rows = read_rows(path, chat)
    assert len(held_out) + len(rows) == 251 and held_out and not {r.prompt for r in held_out} & {r.prompt for r in rows}
    assert next(r for r in rows + held_out if r.prompt == "Once").before == [0, *chat.tokens("Once")]
    assert repetitive([1, 2, 3, 4] * 6) and not repetitive(range(40))


def test_a_typed_mask_token_stays_text(base_folder: Path):
    ids = Chat(base_folder).encode("<empty_output> <|im_end|>")
    assert MASK not in ids and ids.count(EOS) == 2


def test_held_out_prompts_share_no_template_and_no_topic_with_training():
    held_out = lines(DATA / "held_out_prompts.txt")
    words = {
        word.lower()
        for name in ("topics.txt", "topics_phrases.txt")
        for line in lines(DATA / name)
        for word in line.split()
    }
    for template in lines(DATA / "templates.txt"):
        topic = r"\S+( \S+){0,2}"  # no topic has more than three words
        pattern = re.compile(re.escape(template).replace(r"\{a\}", topic).replace(r"\{b\}", topic))
        assert not [prompt for prompt in held_out if pattern.match(prompt)], template
    for prompt in held_out:
        assert {word.strip(".,?").lower() for word in prompt.split()} - words, f"only topics of the training: {prompt}"


# ---------------------------------------------------------------- losses
def test_the_teacher_counts_only_where_nothing_to_the_right_is_known(network: Network):
    gap = collate([row(12, ends=False)], Noise(everything=0, right=0, gap=1), [12], random.Random(5))
    assert not gap.taught[0, :-1][gap.target[0, :-1] != IGNORED].any()
    assert losses(network, gap, 0.0).total == losses(network, gap, 1.0).total
    everything = collate([row(12, ends=False)], Noise(everything=1, right=0, gap=0), [12], random.Random(5))
    assert losses(network, everything, 0.0).total != losses(network, everything, 1.0).total


def test_the_divergence_is_zero_for_the_teacher_itself(base_folder: Path):
    """With every mask taught, kl_share 1 and a decoder that equals the temperature-scaled base, nothing is left to learn."""
    config, base = read_base(base_folder)
    student = Network(config, base)
    teacher = torch.randn(5, 32)
    from training.losses import TEMPERATURE, _masked_loss

    taught, target = torch.ones(5, dtype=torch.bool), torch.arange(20, 25)
    total, entropy, *_ = _masked_loss(student, teacher / TEMPERATURE, target, taught, teacher, teacher, ~taught, 1.0)
    assert abs(float(total)) < 1e-3 < float(entropy)


def test_an_adapter_is_cut_to_the_best_products_of_a_lower_rank(network: Network):
    low, high = cut(network.adapter, 2), network.adapter
    for i in range(2):
        for name in LINEARS:
            key = f"{i}.{name}"
            whole, part = high[f"{key}.B"] @ high[f"{key}.A"], low[f"{key}.B"] @ low[f"{key}.A"]
            assert low[f"{key}.A"].shape[0] == low[f"{key}.B"].shape[1] == 2
            lost = torch.linalg.svdvals(whole)[2:].square().sum()
            torch.testing.assert_close((whole - part).square().sum(), lost, atol=1e-4, rtol=1e-3)
    assert all(cut(high, 4)[name] is t for name, t in high.items()) and low["follow.A"] is high["follow.A"]


def test_a_frozen_base_gets_no_gradient(network: Network):
    for tensor in network.adapter.values():
        tensor.requires_grad_()
    batch = collate([row(12)] * 8, Noise(ahead=0.5), [4], random.Random(0))
    assert (batch.depth >= 0).any() and ((batch.depth < 0) & (batch.target != IGNORED)).any()
    losses(network, batch).total.backward()
    assert all(t.grad is not None and t.grad.isfinite().all() for t in network.adapter.values())
    assert all(t.grad is None for t in network.base.values())
    for tensor in network.adapter.values():
        tensor.grad = None
        tensor.requires_grad_(False)


def test_greedy_answers_equal_a_naive_loop(network: Network):
    base = Network(network.config, network.base)
    ids = torch.tensor([[20, 31, 44], [70, 71, 72]])
    got = self_distill.answer(base, ids, 10, 1.0, 1, torch.Generator().manual_seed(0))
    for row_ids, answer in zip(ids.tolist(), got.tolist(), strict=True):
        for token in answer:
            hidden, _ = base.run(torch.tensor([row_ids]), torch.arange(len(row_ids)), causal(0, len(row_ids)))
            assert int(base.logits(hidden[0, -1]).argmax()) == token
            row_ids.append(token)
            if token == EOS:
                break


# ---------------------------------------------------------------- metrics
def test_metrics_on_texts_worked_out_by_hand():
    assert doubled([1, 1, 2, 2, 3]) == pytest.approx(2 / 4) and doubled([]) == 0.0
    assert kendall_tau([1, 2, 3, 4]) == 1.0 and kendall_tau([4, 3, 2, 1]) == -1.0 and kendall_tau([7, 7, 7]) == 0.0
    assert kendall_tau([1, 1, 2, 2]) == pytest.approx(4 / (4 * 6) ** 0.5)
    assert mean_and_error([1.0, 3.0]) == (2.0, pytest.approx(1.0)) and mean_and_error([1.0, 3.0], [3, 1])[0] == 1.5
