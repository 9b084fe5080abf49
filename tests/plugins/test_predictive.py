"""Predictive distributions: a linear network's closed form, planted bands, distances, balance, and planted claims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ebayes_core.contract.claim import CONSTRUCTED, FAILED, HELD, Measured
from ebayes_core.errors import UserError
from ebayes_core.report.chance import LEVEL, p_value
from ebayes_plugins.analyses._gaussian import calibration, places, share, similarity, transport
from ebayes_plugins.analyses._rebuilt import rebuilt
from ebayes_plugins.analyses.predictive import Predictive
from tests.drawn import examples
from tests.plugins.test_analyses import ENERGY, FakeRun, figure_of, legible, power

BAYES = {"kind": "variational_bayes", "scale": 1.0}
KINDS = ("calcium", "trafficking")


class ToyRun(FakeRun):
    """A run on the cubic whose networks can be rebuilt; hidden units and sigma differ between networks."""

    def member_spec(self, i: int) -> dict[str, Any]:
        member = self.members[i]
        network = {"kind": "mlp", "hidden": member.get("hidden", [6])}
        return {
            **super().member_spec(i), "network": network, "dataset": member.get("dataset", {"kind": "cubic"}),
        }  # fmt: skip

    def metric(self, name: str) -> np.ndarray:
        slack = np.array([m.get("slack", 1.0) for m in self.members])
        return {"slack": slack, "elbo": -slack, "bound": -2 * slack, "balance": 1 / slack}[name]

    def n_layers(self, i: int) -> int:
        return len(self.members[i].get("hidden", [6])) + 1

    def layer(self, i: int, layer: int, name: str) -> np.ndarray:
        widths = [self.members[i].get("inputs", 1), *self.members[i].get("hidden", [6]), 1]
        shape = (widths[layer], widths[layer - 1] + 1)
        if name == "sigma":
            return np.full(shape, self.members[i].get("sigma", 0.05))
        return self.members[i].get("mu", np.random.default_rng(layer).normal(size=shape))


def energy(kind: str = "calcium", s: float = 0.1, **more: Any) -> dict[str, Any]:
    return {"cost": {"kind": kind, "s": s}, "inference": ENERGY, **more}


def vi(**more: Any) -> dict[str, Any]:
    return {"cost": {"kind": "entropic"}, "inference": BAYES, **more}


def run_of(*members: dict[str, Any]) -> ToyRun:
    return ToyRun(list(members), {}, power(1, 1))


def grid_of(seeds: int = 1) -> ToyRun:
    """VI and two mechanisms at three values of c, with a sigma that follows s."""
    own = [energy(kind, s, sigma=s) for s in (0.01, 0.1, 1.0) for kind in KINDS]
    return run_of(*({**m, "seed": seed} for m in (vi(sigma=0.1), *own) for seed in range(seeds)))


@given(seed=st.integers(0, 1000))
@examples(10)
def test_the_predictive_variance_of_a_linear_network_is_the_sum_of_its_synapses(seed: int) -> None:
    """Var = sum sigma_i^2 x_i^2, the bias's x being one."""
    random = np.random.default_rng(seed)
    mu, sigma, x = random.normal(size=(1, 2)), random.uniform(0.1, 2, (1, 2)), random.normal(size=(7, 1))
    run = run_of({**energy(), "hidden": [], "mu": mu, "sigma": sigma})
    mean, sd = Predictive(samples=40_000)._moments(run, 0, torch.as_tensor(x))
    known = np.sqrt(sigma[0, 0] ** 2 * x[:, 0] ** 2 + sigma[0, 1] ** 2)
    np.testing.assert_allclose(sd, known, rtol=0.02)  # 40,000 samples know an s.d. to 0.4%
    np.testing.assert_allclose(mean, mu[0, 0] * x[:, 0] + mu[0, 1], atol=6 * known.max() / 200)


def test_planted_bands_give_the_planted_calibration() -> None:
    z = np.random.default_rng(0).standard_normal(200_000)
    found = calibration(1.5 + 0.3 * z, np.full_like(z, 1.5), np.full_like(z, 0.3))
    assert found["covered"] == pytest.approx(0.9545, abs=0.002)
    assert found["log_density"] == pytest.approx(-0.5 - np.log(0.3) - 0.5 * np.log(2 * np.pi), abs=0.01)
    assert calibration(z, np.zeros_like(z), np.full_like(z, 0.5))["covered"] == pytest.approx(0.6827, abs=0.004)


@given(m=st.floats(-2, 2), n=st.floats(-2, 2), s=st.floats(0.2, 3), t=st.floats(0.2, 3))
@examples(30)
def test_distances_are_those_of_gaussians(m: float, n: float, s: float, t: float) -> None:
    a, b = torch.distributions.Normal(m, s), torch.distributions.Normal(n, t)
    kl = torch.distributions.kl_divergence
    known = (kl(a, b) + kl(b, a)).item() / 2
    found = similarity(*map(np.float64, (m, s, n, t)))
    assert found == pytest.approx(known, rel=1e-4, abs=1e-4)
    assert transport(*map(np.float64, (m, s, n, t))) == pytest.approx(np.hypot(m - n, s - t))
    assert similarity(*map(np.float64, (m, s, m, s))) == pytest.approx(0, abs=1e-12)


def test_places_are_near_in_gaps_and_beyond() -> None:
    data = np.array([0.0, 0.1, 0.9, 1.0])
    found = places(np.array([-0.2, 0.0, 0.11, 0.5, 0.99, 1.5]), data)
    assert [found[name].astype(int).tolist() for name in ("near", "gap", "beyond")] == [
        [0, 1, 1, 0, 1, 0], [0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 1],
    ]  # fmt: skip


def test_the_interval_of_a_share_is_wilsons() -> None:
    """Newcombe (1998): 81 of 263 is 0.2553 to 0.3662."""
    assert share(81 / 263, 263) == pytest.approx((0.30798, 0.2553, 0.3662), abs=1e-4)


def test_networks_of_one_seed_share_their_noise() -> None:
    nets = [rebuilt(grid_of(), i) for i in (0, 1)]
    xi = [net.xi(3, [1, 1], torch.Generator().manual_seed(0)) for net in nets]
    for a, b in zip(*xi, strict=True):
        assert torch.equal(a, b)


def test_measured_panels_know_their_price_and_their_distance() -> None:
    run = grid_of(seeds=2)
    a = Predictive(samples=100).measure(run)
    assert len(a["mean"]) == 14 and a["priced_by"] == ["s"] and a["left_out"] == [0]
    np.testing.assert_allclose(a["divergence"][:2], 0)  # VI from itself
    assert a["between_seeds"].shape == (1,)
    for rho in (0.5, 2.0):
        mine = (a["rho"] == rho) & (a["seed"] == 0)
        assert a["s"][mine].tolist() == [0.01, 0.1, 1.0] and (np.diff(a["width_near"][mine]) > 0).all()
        assert a["divergence"][mine].argmin() == 1  # the price whose sigma is VI's own


def test_prices_are_c_where_c_is_what_mechanisms_share() -> None:
    costs = [{"kind": kind, "c": c} for c in (0.1, 1.0) for kind in KINDS]
    a = Predictive(samples=4).measure(run_of(vi(), *({"cost": cost} for cost in costs)))
    assert a["priced_by"] == ["c"] and a["price"][1:].tolist() == [0.1, 0.1, 1.0, 1.0]


@pytest.fixture(scope="module")
def measured() -> dict[str, np.ndarray]:
    return Predictive(samples=50).measure(grid_of(seeds=3))


def verdicts(arrays: dict[str, np.ndarray], number: int, statement: str) -> set[str]:
    claim = next(c for c in Predictive.claims if c.number == number and statement in c.statement)
    return {claim.verdict(found) for found in claim.measure(Predictive(), arrays)}


def more_exponents(a: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same networks once more as if their exponents were others, since two cannot settle a rank correlation."""
    rows, energy = len(a["rho"]), np.isfinite(a["rho"])
    each = {name: np.concatenate([v, v[energy]]) for name, v in a.items() if len(v) == rows}
    each["rho"][rows:] *= 1.5
    return {**a, **each}


def test_claims_read_what_is_planted(measured: dict[str, np.ndarray]) -> None:
    a = {**more_exponents(measured), "between_seeds": np.ones(3)}
    rho, bayes = np.nan_to_num(a["rho"]), np.isnan(a["rho"])
    alike = np.random.default_rng(0).uniform(0.99, 1, len(rho))  # seeds differ, if by little
    for statement, number, name, good in (
        ("tightens", 18, "slack", rho), ("worsens", 19, "divergence", rho),
        ("fit poorly", 19, "fit", a["price"]), ("too narrow", 19, "covered", np.full(len(rho), 0.5)),
        ("similar", 19, "divergence", alike / 2),
        ("does not depend", 19, "width_beyond", alike * np.where(bayes, 100, 0.1)),
        ("widens where", 19, "width_near", alike * 1e-3),
    ):  # fmt: skip
        assert verdicts({**a, name: good}, number, statement) == {HELD}, statement
    assert verdicts({**a, "slack": np.ones(len(rho))}, 18, "bounds") == {CONSTRUCTED}
    assert verdicts({**a, "slack": -np.ones(len(rho))}, 18, "bounds") == {FAILED}
    assert verdicts({**a, "slack": 3.0 - rho}, 18, "tightens") == {FAILED}
    assert verdicts({**a, "elbo": a["bound"] - 1}, 18, "bounds") == {FAILED}
    assert verdicts({**a, "fit": -a["price"]}, 19, "fit poorly") == {FAILED}
    assert verdicts({**a, "covered": np.ones(len(rho))}, 19, "too narrow") == {"open"}
    assert verdicts({**a, "between_seeds": np.full(3, 1e-9), "divergence": alike + rho}, 19, "similar") == {FAILED}


def test_the_nearest_price_is_chosen_by_other_seeds(measured: dict[str, np.ndarray]) -> None:
    """A minimum over prices of pure noise would be small for having been chosen."""
    random, found = np.random.default_rng(0), []
    for _ in range(200):
        luck = np.exp(random.normal(size=len(measured["rho"])))
        arrays = {**measured, "divergence": luck, "between_seeds": np.ones(3)}
        found += [part.value for part in similar(arrays)]
    assert np.log(found).mean() == pytest.approx(0, abs=0.1)  # the minimum of three would be at -0.85 / sqrt(3)


def test_the_p_value_of_a_share_is_that_of_wilsons_interval() -> None:
    """A normal distribution about the expected share, whose 2.5% the interval's end reaches."""
    claim = next(c for c in Predictive.claims if "too narrow" in c.statement)
    known = {"x_test": np.zeros(100), "rho": np.full(1, 0.5), "price": np.ones(1)}
    for covered in np.linspace(0.8, 1, 41):
        (found,) = claim.measure(Predictive(), {**known, "covered": np.full(1, covered)})
        assert (claim.verdict(found) == HELD) == (p_value(claim, found) < LEVEL)
    assert found.chances[1] == pytest.approx(stats.norm.cdf(1, 0.9545, np.sqrt(0.9545 * 0.0455 / 100)))


def similar(arrays: dict[str, np.ndarray]) -> list[Measured]:
    claim = next(c for c in Predictive.claims if "are similar" in c.statement)
    return list(claim.measure(Predictive(), arrays))


def compared(own: np.ndarray, between: np.ndarray) -> dict[str, np.ndarray]:
    """VI and one energy at one price for each seed: divergence from VI, and between VI of each pair of seeds."""
    k = len(own)
    return {
        "seed": np.tile(np.arange(k), 2), "rho": np.repeat([np.nan, 0.5], k), "price": np.ones(2 * k),
        "divergence": np.r_[np.zeros(k), own], "between_seeds": between[np.triu_indices(k, 1)],
    }  # fmt: skip


def test_the_difference_that_a_seed_makes_is_uncertain_too() -> None:
    """Of seeds whose differences are drawn, the interval contains the true ratio 95% of the time."""
    random, contained, k = np.random.default_rng(0), [], 8
    for _ in range(300):
        odd = random.uniform(size=k)  # how odd a seed is: two differ by the sum, 1 on average
        (found,) = similar(compared(np.ones(k), odd[:, None] + odd))
        contained.append(found.low < 1 < found.high)
    assert np.mean(contained) == pytest.approx(0.95, abs=0.03)


def test_two_seeds_do_not_know_the_difference_that_a_seed_makes() -> None:
    (found,) = similar(compared(np.array([0.1, 0.2]), np.ones((2, 2))))
    assert not found.known


def test_a_seed_that_shares_no_price_with_others_is_left_out() -> None:
    a = compared(np.array([0.1, 0.2, 0.4, 9.0]), np.ones((4, 4)))
    a["price"][-1] = 2.0
    (found,) = similar(a)
    assert (found.value, found.seeds) == (pytest.approx(0.2), 3)


def test_the_figure_is_legible(measured: dict[str, np.ndarray], tmp_path: Any) -> None:
    figure = figure_of(Predictive(), measured, tmp_path)
    legible(figure)
    assert len(figure.axes) == 2 + 3 * len(KINDS)
    for ax in figure.axes:
        assert all(np.isfinite(line.get_ydata()).all() for line in ax.lines)
        assert all(np.isfinite(part.get_paths()[0].vertices).all() for part in ax.collections)
    assert {len(values) for values in Predictive().statistics(measured).values()} == {21}


def test_a_run_with_holes_has_a_figure(tmp_path: Any) -> None:
    """One mechanism, a value of c that another lacks, a diverged network, and a cost that is not a power law."""
    members = [energy("calcium", 0.1), energy("calcium", 1.0), energy("actin", 0.1), energy("actin", 5.0)]
    members[3]["status"] = "diverged at step 2"
    for part in (members[:1], [*members, {"cost": {"kind": "entropic"}}]):
        a = Predictive(samples=5).measure(run_of(vi(), *part))
        legible(figure_of(Predictive(), a, tmp_path))
    assert a["left_out"] == [2]


def test_mistakes_say_the_way_out() -> None:
    with pytest.raises(UserError, match="variational_bayes"):
        Predictive().measure(run_of(energy()))
    with pytest.raises(UserError, match="sweep  cost"):
        Predictive().measure(run_of(vi()))
    linear = {"kind": "linear_gaussian", "inputs": 3}
    for table in (linear, {"kind": "digits"}):
        with pytest.raises(UserError, match='kind = "cubic"'):
            Predictive().measure(run_of(vi(dataset=table), energy(dataset=table)))
    with pytest.raises(UserError, match=r"from \[sweep\]"):
        Predictive().measure(run_of(vi(), energy(dataset=linear)))
