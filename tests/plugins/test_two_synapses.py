"""Two synapses at equal cost: closed forms, equal costs, a linear network's own surface, and planted claims."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebayes_core.contract.claim import CONSTRUCTED, FAILED, HELD, OPEN
from ebayes_core.contract.likelihoods import Classification, Regression
from ebayes_core.errors import UserError
from ebayes_plugins.analyses._pairs import (
    CHUNK,
    Surface,
    behind,
    pair_ratios,
    price_of,
    quadratic_cost,
    quadratic_pair,
    shared_sigma,
)
from ebayes_plugins.analyses.two_synapses import TwoSynapses, _nearest, _ratio
from ebayes_plugins.networks import Mlp
from tests.drawn import examples
from tests.plugins.test_analyses import ENERGY, FakeRun, figure_of, legible, power

RHO = st.floats(0.1, 8)
CURVATURE = st.floats(1e-3, 1e6)


def spec_of(rho: float, c: float = 0.3, **inference: Any) -> dict[str, Any]:
    return {"cost": {"kind": "power_law", "rho": rho, "c": c}, "inference": inference or ENERGY}


@given(rho=RHO, first=CURVATURE, second=CURVATURE, c=st.floats(1e-3, 1e3))
@examples(30)
def test_the_quadratic_pair_is_the_closed_form(rho: float, first: float, second: float, c: float) -> None:
    h = np.array([first, second])
    pair = quadratic_pair(spec_of(rho, c), h)
    sigma = (c * rho / h) ** (1 / (rho + 2))  # Eq. 29
    shared = (sigma**-rho).mean() ** (-1 / rho)
    np.testing.assert_allclose(pair["sigma"], sigma, rtol=1e-8)
    assert pair["shared"] == pytest.approx(shared, rel=1e-8)
    np.testing.assert_allclose(pair["performance"], [(h * sigma**2).sum() / 2, h.sum() * shared**2 / 2], rtol=1e-7)


@given(rho=RHO, first=CURVATURE, second=CURVATURE)
@examples(30)
def test_at_the_optimum_a_sigma_of_its_own_is_never_worse(rho: float, first: float, second: float) -> None:
    own, shared = quadratic_pair(spec_of(rho), np.array([first, second]))["performance"]
    assert own <= shared * (1 + 1e-9)


@pytest.mark.parametrize("rho", [1 / 2, 2 / 3, 4 / 3, 2.0])
def test_however_steep_a_pair_saves_no_more_than_its_exponent_allows(rho: float) -> None:
    """As H11 / H22 grows the ratio decreases to 2**(-2 / rho): at rho = 2 no pair can save more than half."""
    own, shared = quadratic_pair(spec_of(rho), np.array([1e15, 1.0]))["performance"]
    assert own / shared == pytest.approx(2 ** (-2 / rho), rel=0.02)
    assert own / shared > 2 ** (-2 / rho)


@given(sigmas=st.lists(st.floats(1e-4, 10), min_size=2, max_size=5), which=st.integers(0, 3))
@examples(30)
def test_the_shared_sigma_costs_as_much_under_any_cost(sigmas: list[float], which: int) -> None:
    parts = [{"kind": "calcium", "c": 0.1}, {"kind": "trafficking", "c": 0.2}]
    cost = [{"kind": "membrane", "s": 0.1}, {"kind": "entropic"}, {"kind": "mixture", "costs": parts}, parts[1]][which]
    price = price_of({"cost": cost, "inference": ENERGY})
    sigma, mu = np.array(sigmas), np.zeros(len(sigmas))
    shared = shared_sigma(price, sigma, mu)
    np.testing.assert_allclose(
        price(np.full_like(sigma, shared), mu).sum(), price(sigma, mu).sum(), rtol=1e-6, atol=1e-9
    )
    assert sigma.min() * (1 - 1e-5) <= shared <= sigma.max() * (1 + 1e-5)


def test_variational_bayes_shares_the_geometric_mean() -> None:
    price = price_of(spec_of(1.0, kind="variational_bayes"))
    assert shared_sigma(price, np.array([0.01, 0.09]), np.zeros(2)) == pytest.approx(0.03)


def test_ratios_of_pairs_are_those_of_the_pairs() -> None:
    h, sigma = np.array([9.0, 1.0, 4.0]), np.array([0.1, 0.5, 0.2])
    price = price_of(spec_of(2.0))
    pairs = np.array([[0, 1], [2, 2]])
    shared = (np.array([0.1, 0.5]) ** -2.0).mean() ** -0.5
    expected = quadratic_cost(h[:2], sigma[:2]) / quadratic_cost(h[:2], np.full(2, shared))
    np.testing.assert_allclose(pair_ratios(h, sigma, np.zeros(3), price, pairs), [expected, 1.0])


def test_the_surface_of_a_linear_network_is_its_parabola() -> None:
    """Loss sum (y - w x)^2 / 2 sd^2 over the data set, of which half is evaluated."""
    random = np.random.default_rng(0)
    x, mu, offsets = random.normal(size=(60, 3)), random.normal(size=4), random.normal(size=(70, 2))
    y, task, net = x @ mu[:3] + mu[3], Regression(1, 0.5), Mlp(hidden=())
    data = (task, torch.as_tensor(x[:30]), torch.as_tensor(y[:30, None]), 60)
    surface = Surface(net, [torch.as_tensor(mu)[None]], 0, np.array([2, 3]))
    found = surface(offsets, data) - surface(np.zeros((1, 2)), data)
    error = offsets[:, :1] * x[:30, 2] + offsets[:, 1:]
    np.testing.assert_allclose(found, 60 * (error**2).mean(1) / (2 * 0.25))


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("activations", [None, ("tanh", "softplus", "linear")])
def test_the_surface_of_the_last_layers_is_that_of_the_whole_network(layer: int, activations: Any) -> None:
    """At a number of points that leaves a single one for the last forward pass, which must not move the means."""
    random, net = np.random.default_rng(0), Mlp(hidden=(5, 4), activations=activations)
    task, mu = Classification(3), [torch.as_tensor(random.normal(size=s)) for s in ((5, 8), (4, 6), (3, 5))]
    x, y = torch.as_tensor(random.normal(size=(11, 7))), torch.as_tensor(random.integers(0, 3, 11))
    offsets, pair, before = random.normal(size=(2 * CHUNK + 1, 2)), np.array([1, 9]), [m.clone() for m in mu]
    rest, means, seen = behind(net, mu, x, layer)
    for _ in range(2):
        found = Surface(rest, means, layer - (len(mu) - len(means)), pair)(offsets, (task, seen, y, 22))
    assert all(map(torch.equal, mu, before)) and len(means) == 3 - layer
    for at, (first, second) in zip(found, offsets, strict=True):
        moved = [m[None].clone() for m in mu]
        moved[layer].view(-1)[1] += first
        moved[layer].view(-1)[9] += second
        assert at == pytest.approx(22 * task.nll(net.forward(moved, x), y).mean().item(), rel=1e-12)


def test_the_interval_covers_the_ratio_of_two_means() -> None:
    xi = np.random.default_rng(0).standard_normal((2, 400, 40)) ** 2
    found = [_ratio(np.stack([0.3 * own, shared])) for own, shared in zip(*xi, strict=True)]
    covered = np.mean([low < 0.3 < high for _, (low, high) in found])
    assert 0.88 < covered < 0.98  # of 40 samples a bootstrap's interval is a little short


def test_no_ratio_where_noise_costs_nothing() -> None:
    ratio, interval = _ratio(np.stack([np.full(50, -1.0), np.random.default_rng(0).normal(size=50)]))
    assert np.isnan(ratio) and np.isnan(interval).all()


def test_the_pair_is_chosen_by_percentile() -> None:
    h = np.geomspace(1e-3, 1e3, 101)[np.random.default_rng(0).permutation(101)]
    assert h[_nearest(h, 95)] == pytest.approx(np.percentile(h, 95))
    assert h[_nearest(h, 20)] == pytest.approx(np.percentile(h, 20))


class PairRun(FakeRun):
    """A run on digits with a network that can be rebuilt; its noise and its curvatures are planted."""

    def member_spec(self, i: int) -> dict[str, Any]:
        more = {
            "network": {"kind": "mlp", "hidden": [12]},
            "dataset": self.members[i].get("dataset", {"kind": "digits"}),
        }
        return {**super().member_spec(i), **more}

    def layer(self, i: int, layer: int, name: str) -> np.ndarray:
        shape = [(12, 65), (10, 13)][layer - 1]
        random = np.random.default_rng([i, layer, len(name)])
        h = np.exp(np.random.default_rng([i, layer]).normal(-3, 2, shape))
        if name == "mu":
            return 0.1 * random.normal(size=shape)
        if name != "sigma":
            return h
        alike = self.members[i].get("noise") == "homogeneous"
        return np.full(shape, 0.1) if alike else self.sigma_of(i, h)


def run_of(*more: dict[str, Any], sigma_of: Any = None) -> PairRun:
    members = [{"cost": {"kind": "calcium", "c": 0.1}, **one} for one in more or ({},)]
    return PairRun(members, {}, sigma_of or power(0.5, 0.1))


SMALL = partial(TwoSynapses, examples=50, samples=20, pairs=50)


@pytest.fixture(scope="module")
def measured() -> dict[str, np.ndarray]:
    return SMALL().measure(run_of({}, {"noise": "homogeneous"}, {"cost": {"kind": "trafficking", "c": 0.1}}))


def test_measured_pairs_have_equal_prices_and_their_share_of_curvature(measured: dict[str, np.ndarray]) -> None:
    assert measured["member"].tolist() == [0, 2]  # one sigma for all leaves nothing to compare
    np.testing.assert_allclose(*measured["price"].T, rtol=1e-6)
    np.testing.assert_allclose(*measured["quadratic_price"].T, rtol=1e-6)
    assert (measured["h"][:, 0] > measured["h"][:, 1]).all()
    middle = measured["plane"].shape[-1] // 2
    np.testing.assert_allclose(measured["plane"][:, middle, middle], 0, atol=1e-9)


def test_random_pairs_at_the_optimum_never_lose(measured: dict[str, np.ndarray]) -> None:
    assert (measured["any"][0] <= 1 + 1e-9).all() and (measured["far"][0] < 1).all()


def test_claims_read_what_is_planted(measured: dict[str, np.ndarray]) -> None:
    exact, sampled, far, any_two = TwoSynapses.claims
    one = {name: values[:1] for name, values in measured.items()}
    verdict = lambda claim, **planted: [claim.verdict(m) for m in claim.measure(SMALL(), {**one, **planted})]
    assert verdict(exact, quadratic_performance=np.array([[0.4, 1.0]])) == [CONSTRUCTED]
    assert verdict(exact, quadratic_performance=np.array([[0.6, 1.0]])) == [FAILED]
    assert verdict(sampled, ratio=np.array([0.3])) == [OPEN]  # a single seed
    one |= {"mechanism": np.repeat(one["mechanism"], 3)}
    for seeds, expected in (([0.3, 0.35, 0.4], HELD), ([0.3, 0.5, 0.6], OPEN), ([0.7, 0.71, 0.72], FAILED)):
        assert verdict(sampled, ratio=np.array(seeds)) == [expected]
    near = lambda middle: middle * np.linspace(0.9, 1.1, 120).reshape(3, 40)
    assert verdict(far, far=near(0.2)) == [HELD] and verdict(any_two, any=near(0.9)) == [FAILED]


def test_the_figure_is_legible(measured: dict[str, np.ndarray], tmp_path: Any) -> None:
    figure = figure_of(SMALL(), measured, tmp_path)
    legible(figure)
    assert len(figure.axes) == 15
    columns = SMALL().statistics(measured)
    assert {len(values) for values in columns.values()} == {2}


def test_mistakes_say_the_way_out() -> None:
    with pytest.raises(UserError, match="heterogeneous"):
        SMALL().measure(run_of({"noise": "homogeneous"}))
    with pytest.raises(UserError, match=r"from \[sweep\]"):
        SMALL().measure(run_of({}, {"dataset": {"kind": "mnist5k"}}))


def test_a_data_set_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])  # nobody listens there
    monkeypatch.setenv("EBAYES_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"training set.*--cache"):
        SMALL().measure(run_of({"dataset": {"kind": "mnist"}}))
