"""Reliability: energies against their closed form at the optimum of a power law, and shares against plain counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ebayes
from ebayes_plugins.analyses.reliability import EDGES, Reliability, Synapses, _numbers, common_sigma


@pytest.mark.parametrize("rho", [0.5, 2 / 3, 2.0])
def test_the_factor_is_that_of_the_closed_form(rho: float) -> None:
    """At the optimum of c sigma^-rho, with k = rho/(rho + 2): n (sum h)^(rho/2) (sum h^k)^-(1 + rho/2)."""
    h, c = np.array([0.25, 1.0, 4.0, 16.0, 64.0]), 0.3
    sigma, k = (c * rho / h) ** (1 / (rho + 2)), rho / (rho + 2)
    s = Synapses(np.array([0.1, -2.0, 0.3, 1e-4, 5.0]), sigma, h, np.full(5, 3.0))
    found = _numbers(s, lambda sigma, mu: c * sigma**-rho)
    expected = 5 * h.sum() ** (rho / 2) * (h**k).sum() ** -(1 + rho / 2)
    assert found["factor"] == pytest.approx(expected, rel=1e-12)
    assert found["energy"] == pytest.approx(3 * c * (sigma**-rho).sum())
    assert h.sum() * common_sigma(s) ** 2 == pytest.approx(2 * found["added_loss"])
    assert found["share_noisy"] == np.mean(sigma > np.abs(s.mu)) and found["shares"].sum() == pytest.approx(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ebayes.Run:
    text = """
    name = "r"
    dataset = { kind = "digits" }
    network = { kind = "mlp", hidden = [5] }
    training = { epochs = 3, batch_size = 50, sigma = "fixed_point" }
    [sweep]
    noise = [{ kind = "heterogeneous" }, { kind = "homogeneous" }, { kind = "none" }]
    """
    return ebayes.run(text, out=tmp_path_factory.mktemp("r") / "r.h5", progress=False)


def test_the_numbers_are_those_of_the_file(run: ebayes.Run) -> None:
    table = run.statistics("reliability")
    assert list(table["layer"]) == ["all", "1", "2"] * 2, "a network without noise has no energy"
    synapses = run.synapses(0, layer=2)
    curved = synapses[synapses["gauss_newton_noise"] > 0].astype({"sigma": float})
    row = table.iloc[2]
    assert row["n"] == len(curved)
    assert row["share sigma > |mu|"] == pytest.approx((curved["sigma"] > curved["mu"].abs()).mean())
    n = run.metric("n_examples")[0]
    added = 0.5 * n * (curved["gauss_newton_noise"] * curved["sigma"] ** 2).sum()
    assert row["added loss (nat)"] == pytest.approx(added, rel=1e-6)
    spec = run.member_spec(0)["cost"]
    energy = spec.get("c", 1.0) * (curved["sigma"] ** -spec["rho"]).sum()
    assert row["energy (nat)"] == pytest.approx(energy, rel=1e-6)
    np.testing.assert_allclose(table["times as much"][3:], 1.0, rtol=1e-5, err_msg="a homogeneous sigma is common")


def test_what_is_drawn_is_what_was_measured(run: ebayes.Run) -> None:
    figure = run.figure("reliability")
    above, below = figure.axes[0], figure.axes[2]
    shares = Reliability().measure(run)["shares"]
    np.testing.assert_allclose(np.diff(above.lines[0].get_ydata()), shares[1], atol=1e-12)
    np.testing.assert_allclose(above.lines[0].get_xdata(), 10**EDGES)
    heights = [bar.get_height() for bar in below.patches]
    np.testing.assert_allclose(heights, run.statistics("reliability")["times as much"][:3])
    with pytest.raises(ebayes.UserError, match="no network that finished training has noise"):
        Reliability().measure(ebayes.run({**run.spec, "sweep": {}, "noise": {"kind": "none"}},
                                         out=Path(run.path).with_name("none.h5"), progress=False))  # fmt: skip
