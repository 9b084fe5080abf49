"""Shared weights: curvatures against sums written out, and ratios that were planted are found with their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import ebayes
from ebayes_core.contract.likelihoods import Regression
from ebayes_core.errors import UserError
from ebayes_core.trained.network import Trained
from ebayes_plugins.analyses._sharing import Examples, Pair, curvatures, pairs
from ebayes_plugins.analyses._sharing_ratios import MEASURED, PREDICTIONS, factor, ratio
from ebayes_plugins.analyses.weight_sharing import WeightSharing
from ebayes_plugins.networks import Convolutional
from ebayes_plugins.noise import Heterogeneous
from tests.drawn import words
from tests.plugins.test_analyses import FakeRun, figure_of, legible

SIDE, POSITIONS, READOUT = 4, 16, 3.0
T = 4.302653  #: Student's t, 2 degrees of freedom, 97.5%


def averaging(per: str, sigma: float = 0.0) -> Trained:
    """One kernel entry, whose mean over all positions is read out."""
    layers = [{"channels": 1, "size": 1, "pool": SIDE}]
    network = Convolutional(layers=layers, pooling="mean", activation="linear", noise_per=per)
    mu = [torch.tensor([[2.0, 0.0]]).double(), torch.tensor([[READOUT, 0.0]]).double()]
    return Trained(network, Heterogeneous(), mu, [{"sigma": torch.full_like(m, sigma)} for m in mu])


def images(x: torch.Tensor) -> Examples:
    return Examples(Regression(1, 1.0), x, torch.zeros(len(x), 1).double())


def test_the_curvature_of_a_shared_entry_and_of_separate_ones() -> None:
    """E[(sum_pos delta x)^2] and E[sum_pos (delta x)^2], where delta is the readout over the number of positions."""
    x = torch.randn(50, 1, SIDE, SIDE, dtype=torch.float64)
    delta, squares = READOUT / POSITIONS, x.flatten(1).square().sum(1).mean()
    shared = curvatures(averaging("kernel"), images(x), 0)
    assert shared.own[0][0, 0] == pytest.approx(float(delta**2 * x.flatten(1).sum(1).square().mean()))
    assert shared.separate[0][0, 0] == pytest.approx(float(delta**2 * squares))
    separate = curvatures(averaging("position"), images(x), 0)
    assert separate.own[0][0, 0] == separate.separate[0][0, 0] == pytest.approx(float(delta**2 * squares))
    assert shared.own[1][0, 0] == pytest.approx(float(4 * x.flatten(1).mean(1).square().mean()))
    np.testing.assert_array_equal(shared.own[1], shared.separate[1])


def test_equal_positions_agree_and_independent_ones_do_not() -> None:
    """The ratio of the two curvatures is P for images of one grey, and 1 if pixels are independent and of mean 0."""
    grey = torch.randn(50, 1, 1, 1, dtype=torch.float64).expand(-1, -1, SIDE, SIDE)
    noise = torch.randn(20_000, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for x, agreement in ((grey, pytest.approx(POSITIONS)), (noise, pytest.approx(1, abs=0.05))):
        found = curvatures(averaging("kernel"), images(x), 0)
        assert found.own[0][0, 0] / found.separate[0][0, 0] == agreement


def test_the_curvatures_are_averages_over_the_noise() -> None:
    """Of a linear network: the readout's square is that of its mean plus its variance."""
    x = torch.ones(20, 1, SIDE, SIDE, dtype=torch.float64)
    found = [curvatures(averaging("kernel", 1.0), images(x), seed).own[0][0, 0] for seed in range(100)]
    assert np.mean(found) == pytest.approx(READOUT**2 + 1, rel=0.05)


TERMS = {"count": np.log(36.0), "agreement": np.array([0.1, 0.3, 0.2]), "networks": np.array([-0.2, 0.1, 0.4])}


def planted() -> dict[str, np.ndarray]:
    """Three seeds of a layer with 36 positions, at their optimum, and of one with a single position."""
    rho, zero = 0.5, np.zeros(3)
    parts = {name: np.concatenate([zero + part, zero]) for name, part in TERMS.items()}
    return {
        **parts, "ratio": sum(parts.values()) / (rho + 2), "rho": np.full(6, rho), "seed": np.tile(range(3), 2),
        "positions": np.repeat([36.0, 1.0], 3), "layer": np.repeat([1, 2], 3), "mechanism": np.full(6, "calcium"),
        "point": np.repeat(["a, layer 1", "a, layer 2"], 3), "n": np.full(6, 80), "left_out": np.zeros(6, int),
        "balance_kernel": np.full(6, 0.9), "balance_position": np.full(6, 1.1),
    }  # fmt: skip


def test_ratios_and_their_intervals_are_the_planted_ones() -> None:
    logs = sum(TERMS.values()) / 2.5
    found = ratio(planted(), "a, layer 1", MEASURED)
    half = T * logs.std(ddof=1) / np.sqrt(3)
    np.testing.assert_allclose([found.value, found.low], np.exp([logs.mean(), logs.mean() - half]), rtol=1e-6)
    alone = ratio(planted(), "a, layer 1", "P")
    assert alone.value == alone.low == pytest.approx(36 ** (1 / 2.5))
    table = WeightSharing().statistics(planted())
    np.testing.assert_allclose(table[list(PREDICTIONS)[-1]], table[MEASURED])  # at the optimum nothing is left
    np.testing.assert_allclose(table["agreement"], [np.exp(0.2), 1.0])


def test_the_factors_are_the_planted_ones_and_leave_nothing_at_the_optimum() -> None:
    expected = {"measured / from P": 0.2 + 0.1, "positions agree": 0.2, "curvatures differ": 0.1, "rest": 0.0}
    for name, terms in expected.items():
        assert factor(planted(), "a, layer 1", name).value == pytest.approx(np.exp(terms / 2.5)), name
    off = planted()
    off["ratio"][:3] += np.log(1.3)  # sigma is not at its optimum in one of the networks
    found = factor(off, "a, layer 1", "rest")
    assert found.value == pytest.approx(1.3) and found.low == pytest.approx(1.3)


def test_the_figure_says_what_was_found(tmp_path: Any) -> None:
    figure = figure_of(WeightSharing(), planted(), tmp_path)
    legible(figure)
    said = " ".join(figure._suptitle.get_text().split())
    value = np.exp((sum(TERMS.values()) / 2.5).mean())
    assert f"36 positions share is {value:.3g} times smaller" in said and "number alone predicts 4.19" in said


def test_pairs_are_counted_whatever_their_numbers_of_layers(tmp_path: Any) -> None:
    """Three seeds of two layers, and a network of a third layer: three pairs, as planted."""
    third = {name: values[:1] for name, values in planted().items()} | {"layer": np.array([3])}
    arrays = {name: np.concatenate([values, third[name]]) for name, values in planted().items()}
    assert "3 pairs of networks" in words(figure_of(WeightSharing(), arrays, tmp_path))


@pytest.mark.parametrize(
    ("cost", "inference", "free"),
    [
        ("calcium", "energy_efficient", True), ("calcium", "elastic_weight_consolidation", True),
        ("calcium", "budget", False), ("cv", "energy_efficient", False), ("entropic", "energy_efficient", False),
        ("calcium", "variational_bayes", False), ("calcium", "variational_continual", False),
    ],
)  # fmt: skip
def test_twins_are_compared_where_theory_predicts_their_ratio(cost: str, inference: str, free: bool) -> None:
    members = [
        {"cost": {"kind": cost}, "inference": {"kind": inference}, "network": {"kind": "conv", "noise_per": per}}
        for per in ("kernel", "position")
    ]
    assert pairs(FakeRun(members, {}, None)) == [Pair(0, 1)] * free


SPEC = """
name = "w"
dataset = { kind = "digits", layout = "image" }
training = { epochs = 1, batch_size = 50 }
noise = { kind = "heterogeneous", sigma_0 = 0.05 }
measurement = { probe_examples = 100 }
network = { kind = "convolutional", layers = [{ channels = 2, size = 3, stride = 2 }] }
"""


def test_the_numbers_are_those_of_the_file(tmp_path: Any) -> None:
    text = SPEC + '[sweep]\n"network.noise_per" = ["kernel", "position"]\n"cost.kind" = ["calcium", "entropic"]\n'
    ebayes.run(text, out=tmp_path / "w.h5", progress=False)
    with ebayes.open(tmp_path / "w.h5") as run:
        arrays = WeightSharing(examples=60).measure(run)
        pair = [i for i in range(run.n_members) if run.member_spec(i)["cost"]["kind"] == "calcium"]
        assert arrays["positions"].tolist() == [9, 1] and arrays["rho"].tolist() == [0.5, 0.5]
        for row, layer in enumerate((1, 2)):
            kept = [run.layer(i, layer, "gauss_newton_noise") > 0 for i in pair]
            one, other = (np.log(run.layer(i, layer, "sigma").astype(float)[kept[0] & kept[1]]) for i in pair)
            assert arrays["ratio"][row] == pytest.approx((other - one).mean(), abs=1e-3)
        np.testing.assert_allclose(arrays["agreement"][1], 0, atol=1e-12)  # a dense layer has one position


def test_without_a_twin_there_is_nothing_to_compare(tmp_path: Any) -> None:
    ebayes.run(SPEC, out=tmp_path / "w.h5", progress=False)
    with ebayes.open(tmp_path / "w.h5") as run, pytest.raises(UserError, match="noise_per"):
        WeightSharing().measure(run)
