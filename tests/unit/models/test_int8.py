"""8-bit products: as exact as their 14 bits, each row for itself, and the same network behind them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.models.chat135m import int8
from model.models.chat135m import model as builtin
from model.models.chat135m.int8 import Rows, product8, stacked
from model.models.chat135m.network import Network, Session
from model.models.chat135m.weights import load_builtin
from tests.tiny import CONFIG, MASK, tensors

pytestmark = pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines, reason="this build of torch has no fbgemm"
)
torch.set_num_threads(1)


def rows(count: int = 96, columns: int = 64, seed: int = 0) -> Rows:
    rng = torch.Generator().manual_seed(seed)
    return Rows(
        torch.randint(-127, 128, (count, columns), generator=rng, dtype=torch.int8),
        torch.rand(count, generator=rng) + 0.01,
    )


def eighths(seed: int) -> tuple[Network, Network]:
    """The same random network with 8-bit rows, and with their values as floats."""
    told = tensors(seed, rank=4)
    packed = {n: Rows.of(t) if t.ndim == 2 and not n.endswith(".B") or n == "follow.B" else t for n, t in told.items()}
    plain = {name: tensor.expanded() if isinstance(tensor, Rows) else tensor.clone() for name, tensor in packed.items()}
    return Network(packed, CONFIG, 64), Network(plain, CONFIG, 64)


@pytest.mark.parametrize("n", [1, 2, 5, 33])
@pytest.mark.parametrize("outlier", [1.0, 50.0])
def test_a_product_is_exact_to_fourteen_bits(n: int, outlier: float):
    weight, x = rows(), torch.randn(n, 64, generator=torch.Generator().manual_seed(n))
    x[:, 3] *= outlier  # one number dwarfs the rest of its row, as in a trained network
    wanted = x.double() @ weight.expanded().double().t()
    bound = x.abs().amax(1, True).double() / (63 * 126) / 2 * weight.expanded().double().abs().sum(1)
    assert ((product8(weight)(x).double() - wanted).abs() <= bound * 1.01 + 1e-5).all()


def test_whole_steps_lose_nothing_and_the_largest_bytes_do_not_saturate():
    weight = Rows(torch.full((8, 64), -127, dtype=torch.int8), torch.ones(8))
    x = torch.full((3, 64), 63.0)
    assert torch.equal(product8(weight)(x), x @ weight.expanded().t())
    assert torch.equal(product8(weight)(-x), -x @ weight.expanded().t())


def test_a_row_depends_on_no_other_row_and_zeros_stay_zeros():
    own, x = product8(rows()), torch.randn(9, 64)
    x[4], x[5] = 0, x[5] * 1e4
    whole = own(x)
    assert torch.equal(whole, torch.cat([own(row[None]) for row in x])) and not whole[4].any()


def test_packing_changes_neither_the_engine_nor_the_weights():
    before, weight = torch.backends.quantized.engine, rows()
    kept = weight.values.clone()
    product8(weight)(torch.ones(1, 64))
    assert torch.backends.quantized.engine == before and torch.equal(weight.values, kept)


def test_rows_are_taken_and_stacked_as_of_the_whole_matrix():
    above, below = rows(5), rows(3, seed=1)
    both = stacked(above, below).expanded()
    assert torch.equal(both, torch.cat([above.expanded(), below.expanded()]))
    ids = torch.tensor([[0, 4], [2, 2]])
    assert torch.equal(above.take(ids), above.expanded()[ids]) and torch.equal(
        above.take(torch.tensor(3)), above.expanded()[3]
    )
    torch.testing.assert_close(Rows.of(above.expanded()).expanded(), above.expanded(), atol=1.0, rtol=0.01)


def test_the_network_is_the_one_of_its_values_in_both_modes():
    ours, plain = eighths(3)
    prompt, ids, behind = [1, 9, 17, 3], [20, 21, 22], [[-1, -1, -1]] * 3
    answers = []
    for network in (ours, plain):
        session = Session(network, prompt, 8, MASK)
        first = session.ahead(0, ids, behind)
        likely, told = session.follow(2, 0, 9)
        answers.append(
            (first, session.logits, session.predict([22, -1, 30, -1], (0, 4), [1, 3]), torch.tensor(told).sort()[0])
        )
    for mine, theirs in zip(*answers, strict=True):
        assert mine.dtype == torch.float32 and (mine - theirs).abs().max() < 0.02 * theirs.abs().max()


CHOICES = [(True, True, torch.bfloat16), (False, True, torch.int8), (False, False, torch.float32)]


@pytest.mark.parametrize(("bfloat16", "faster", "chosen"), CHOICES)
def test_what_is_fast_here_is_chosen(monkeypatch, bfloat16: bool, faster: bool, chosen: torch.dtype):
    monkeypatch.setattr(builtin, "fast_dtype", lambda: torch.bfloat16 if bfloat16 else torch.float32)
    monkeypatch.setattr(int8, "faster", lambda: faster)
    assert builtin.chosen_dtype() == chosen


def test_a_build_without_the_product_is_not_faster(monkeypatch):
    def gone(weight: Rows) -> int8.Product:
        raise RuntimeError("Didn't find engine for operation quantized::linear_prepack")

    assert isinstance(int8.faster(48, 32, 0.001), bool)
    monkeypatch.setattr(int8, "product8", gone)
    assert int8.faster(48, 32, 0.001) is False


def test_stored_rows_are_loaded_as_they_are(tmp_path: Path):
    from tests.unit.models.test_weights import CONFIG as STORED
    from tests.unit.models.test_weights import adapter, base_tensors
    from training.export import packed, write

    write(tmp_path, STORED, packed(base_tensors(), "base"), adapter(), {"tokenizer.json": b"{}"}, "test", {})
    floats, bytes8 = load_builtin(tmp_path, torch.float32), load_builtin(tmp_path, torch.int8)
    assert (
        set(floats) == set(bytes8)
        and isinstance(bytes8["embedding"], Rows)
        and bytes8["layers.0.qkv"].values.dtype == torch.int8
    )
    for name, tensor in floats.items():
        found = bytes8[name].expanded() if isinstance(bytes8[name], Rows) else bytes8[name]
        if name == "embedding":  # the mask's row is rounded to 8 bits like the others
            torch.testing.assert_close(found[16], tensor[16], atol=float(tensor[16].abs().max()) / 250, rtol=0)
            found[16] = tensor[16]
        assert found.dtype == torch.float32 and torch.equal(found, tensor), name
