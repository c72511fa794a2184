"""The built-in network equals transformers' own Llama, with and without its cache."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.models.chat135m.network import Network, Session
from tests.tiny import CONFIG, MASK, Tiny, tensors

torch.set_num_threads(1)


def llama(weights: dict[str, torch.Tensor], dtype: torch.dtype):
    """transformers' LlamaForCausalLM with the same weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    c = CONFIG
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=c.vocab,
            hidden_size=c.width,
            intermediate_size=c.inner,
            num_hidden_layers=c.layers,
            num_attention_heads=c.heads,
            num_key_value_heads=c.kv_heads,
            head_dim=c.head_dim,
            rms_norm_eps=c.norm_eps,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta},
            max_position_embeddings=512,
        )
    )
    q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    table = weights["embedding"]
    state = {"model.embed_tokens.weight": table, "lm_head.weight": table, "model.norm.weight": weights["norm"]}
    for i in range(c.layers):
        at, qkv, gate_up = f"model.layers.{i}.", weights[f"layers.{i}.qkv"], weights[f"layers.{i}.gate_up"]
        state |= {f"{at}self_attn.{n}_proj.weight": w for n, w in zip("qkv", qkv.split([q, kv, kv]), strict=True)}
        state |= {f"{at}mlp.{n}_proj.weight": w for n, w in zip(("gate", "up"), gate_up.chunk(2), strict=True)}
        state |= {
            f"{at}self_attn.o_proj.weight": weights[f"layers.{i}.o"],
            f"{at}mlp.down_proj.weight": weights[f"layers.{i}.down"],
        }
        norms = (
            ("input_layernorm", weights[f"layers.{i}.norm1"]),
            ("post_attention_layernorm", weights[f"layers.{i}.norm2"]),
        )
        state |= {f"{at}{name}.weight": weight for name, weight in norms}
    model.load_state_dict(state)
    return model.to(dtype).eval()


@pytest.mark.parametrize("dtype, close", [(torch.float32, 1e-4), (torch.bfloat16, 0.25)])
@torch.no_grad()
def test_the_causal_pass_equals_llama(dtype, close):
    weights = tensors(3, dtype)
    ids = torch.randint(6, CONFIG.vocab, (40,), generator=torch.Generator().manual_seed(1))
    theirs = llama(weights, dtype)(ids[None]).logits[0].float()
    network = Network(dict(weights), CONFIG, 64)
    ours = network.logits(network.forward(ids, 0, network.new_cache(40), causal=True)).float()
    assert (ours - theirs).abs().max() < close
    assert (ours.argmax(-1) == theirs.argmax(-1)).float().mean() > (0.999 if dtype == torch.float32 else 0.85)


@pytest.mark.parametrize("cuts", [[1] * 12, [5, 7], [3, 1, 8]])
def test_the_cache_changes_nothing(cuts):
    network = Network(tensors(), CONFIG, 64)
    ids = torch.arange(6, 18)
    whole = network.forward(ids, 0, network.new_cache(12), causal=True)
    cache, at, parts = network.new_cache(12), 0, []
    for n in cuts:
        parts.append(network.forward(ids[at : at + n], at, cache, causal=True))
        at += n
    assert torch.allclose(torch.cat(parts), whole, atol=1e-5)


@torch.no_grad()
def test_the_block_pass_equals_llama_with_the_same_mask():
    weights = tensors(4, same=True)
    prompt, block = [1, 9, 17, 25, 3], [30, MASK, MASK, 33]
    session = Session(Network(dict(weights), CONFIG, 64), prompt, 4, MASK)
    session.advance(0, [], [-1])
    ours = session.predict([30, -1, -1, 33], (0, 4), [1, 2])
    ids, n = torch.tensor([prompt + block]), len(prompt)
    sees = torch.ones(9, 9, dtype=torch.bool).tril()
    sees[n:, n:] = True
    theirs = llama(weights, torch.float32)(ids, attention_mask=sees[None, None]).logits[0, [n, n + 1]]
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_one_pass_ahead_equals_the_causal_pass_and_a_block_pass_behind_each_token():
    model = Tiny(5, rank=4)
    prompt, ids, masks = model.encode("ab"), [20, 21, 22], 3
    behind = [[-1] * masks, [-1, 31, -1], [-1] * masks]
    session = Session(model.network, prompt, 8, MASK)
    session.advance(0, [], [-1])
    following = session.ahead(0, ids, behind)
    logits = session.logits
    assert following.shape == (3, CONFIG.vocab) and logits.shape == (3, 1 + masks, CONFIG.vocab)
    for row in range(3):
        other = Session(model.network, prompt, 12, MASK)
        causal = other.advance(0, ids[: row + 1], [row])
        assert torch.allclose(following[row], causal[0], atol=1e-4)
        tokens = torch.tensor([MASK if token < 0 else token for token in behind[row]])
        hidden = model.network.forward(tokens, len(prompt) + row + 1, other.cache, causal=False)
        assert torch.allclose(logits[row, 1:], model.network.logits(hidden), atol=1e-3)


def test_a_pass_ahead_leaves_only_the_causal_pass_in_the_cache():
    model = Tiny(6, rank=4)
    prompt = model.encode("ab")
    plain, ahead = (Session(model.network, prompt, 8, MASK) for _ in range(2))
    plain.advance(0, [20, 21, 22], [2])
    ahead.ahead(0, [20, 21, 22], [[-1] * 7] * 3)
    assert torch.allclose(plain.advance(3, [23, 24], [0, 1]), ahead.advance(3, [23, 24], [0, 1]), atol=1e-5)


def test_guesses_are_weighed_again_by_the_token_before_them():
    model = Tiny(7, rank=4)
    session = Session(model.network, model.encode("ab"), 8, MASK)
    session.ahead(0, [], [[-1] * 3])

    def told(*before: int) -> tuple[np.ndarray, np.ndarray]:
        return [session.follow(0, mask, token) for mask, token in enumerate(before)][-1]

    (names, ten), (_, eleven), (_, else_ten) = told(8, 10), told(8, 11), told(9, 10)
    assert ten.shape == names.shape and sorted(names) == list(range(CONFIG.vocab))
    assert not np.allclose(ten, eleven), "by the token right before"
    assert not np.allclose(ten, else_ten), "and by those before that"
    assert np.allclose(ten, told(8, 10)[1]), "and by nothing else"
    model.network.follower = []
    assert np.allclose(told(8, 10)[1], session.logits[0, 2, names].numpy(), atol=1e-4)


def test_one_row_is_normed_as_any_other():
    network, x = Tiny(1).network, torch.randn(CONFIG.width)
    torch.testing.assert_close(network._unit(x), torch.nn.functional.rms_norm(x, x.shape, None, CONFIG.norm_eps))


def test_block_passes_leave_no_trace_in_the_cache():
    model = Tiny(1)
    prompt = model.encode("ab")
    clean, used = (model.predictor("", "", prompt, 8, None, "diffusion") for _ in range(2))
    for session in (clean, used):
        session.advance(0, [], [-1])
    used.predict([10, -1, -1, -1], (0, 4), [1, 2, 3])
    used.predict([10, 11, -1, 12], (0, 4), [2])
    assert torch.equal(clean.advance(0, [20, 21, 22], [0, 1, 2]), used.advance(0, [20, 21, 22], [0, 1, 2]))


def test_a_shared_prefix_gives_the_same_answer_as_none():
    model = Tiny(2)
    prompt = model.encode("hello")
    cache = model.network.new_cache(3)
    model.network.forward(torch.tensor(prompt[:3]), 0, cache, causal=True)
    plain, prefixed = (
        Session(model.network, prompt, 4, MASK),
        Session(model.network, prompt, 4, MASK, (prompt[:3], cache)),
    )
    assert torch.allclose(plain.advance(0, [], [-1]), prefixed.advance(0, [], [-1]), atol=1e-5)


def test_outputs_carry_no_gradient():
    session = Tiny().predictor("", "", [1, 9, 3], 4, None, "ar")
    assert not session.advance(0, [], [-1]).requires_grad
