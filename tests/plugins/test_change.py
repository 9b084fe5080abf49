"""Changes under each learning rule against theory, on a regression at its optimum, and the synapses in cortex."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import ebayes
from ebayes_core.contract.likelihoods import Regression
from ebayes_core.trained.network import Trained
from ebayes_plugins.analyses._continued import RULES, Learning
from ebayes_plugins.analyses._plugins import plugin
from ebayes_plugins.analyses._regression import regress
from ebayes_plugins.analyses.change import Change, agrees, cortex, fits
from ebayes_plugins.networks.mlp import Mlp
from ebayes_plugins.networks.recurrent import Recurrent
from ebayes_plugins.noise import Heterogeneous
from ebayes_plugins.toys import LinearGaussian
from tests.plugins.test_analyses import figure_of, legible

INPUTS, EXAMPLES = 300, 4000
ENERGY = {"kind": "energy_efficient", "magnitude": 0.0}


def regression(rho: float, **more: Any) -> tuple[Learning, np.ndarray]:
    """A linear readout at the least-squares means, with sigma at the optimum of sigma^-rho, and ln sigma^2."""
    data = LinearGaussian(inputs=INPUTS, examples=EXAMPLES, spread=1.5, noise_sd=1.0)
    x, y = data.load("train")
    h = torch.as_tensor(data.hessian())[None] / EXAMPLES
    mu = torch.linalg.lstsq(torch.as_tensor(data.design()), y).solution.T
    c = 1e-4
    sigma = (c * rho / (EXAMPLES * h)) ** (1 / (rho + 2))
    net = Trained(Mlp(hidden=()), Heterogeneous(), [mu], [{"sigma": sigma}])
    spec = {"cost": {"kind": "power_law", "rho": rho, "c": c}, "inference": ENERGY, "noise": {"kind": "heterogeneous"}}
    sizes = {"batch": 20, "steps": 7, "repeats": 100, "warm_up": 300, "size": 1e-8} | more
    return Learning(net, spec, data.task(), x, y, [h], [1.0], **sizes), 2 * np.log(sigma.numpy().ravel())


@pytest.mark.parametrize("rho", [0.4, 2.0])
def test_the_slopes_of_a_regression_at_its_optimum_are_those_of_theory(rho: float) -> None:
    """-(rho + 2)/4, 0, (rho + 2)/4, and (2 - rho)/4 for steps times σ².

    A root mean square of 100 changes varies by 1/sqrt(200), which gives the slope over 301 synapses a standard error of
    0.005 at most; four of the errors that the residuals tell are allowed.
    """
    learning, variance = regression(rho)
    found = {}
    for rule, (change,) in zip(RULES, learning.changes(), strict=True):
        found[rule.name] = regress(variance, np.log(change.numpy().ravel()))
    known = {"SGD": -(rho + 2) / 4, "Adam": 0, "steps divided by H": (rho + 2) / 4, "steps times σ²": (2 - rho) / 4}
    for name, fit in found.items():
        assert fit["stderr"] < 0.006, name
        assert fit["slope"] == pytest.approx(known[name], abs=4 * fit["stderr"]), name


def test_a_smaller_step_changes_all_means_in_proportion() -> None:
    """The changes are those of a small learning rate: a sixteenth of the size makes each change a quarter."""
    (large, _), (small, _) = (regression(1.0, size=size, repeats=3, warm_up=40) for size in (1.6e-7, 1e-8))
    for (one,), (other,) in zip(large.changes(), small.changes(), strict=True):
        torch.testing.assert_close(other, one / 4, rtol=0.02, atol=0.02 * float(one.median()))


def test_the_first_step_is_of_the_wanted_size() -> None:
    """1/2 sum H change^2 is the size, on average over minibatches, of which the rate is set by one."""
    learning, _ = regression(1.0, steps=1, repeats=60, size=3e-9)
    for (change,) in learning.changes():
        added = 0.5 * float((learning.curvature[0] * change**2).sum())
        assert 0.3 * learning.size < added < 3 * learning.size


def test_flat_synapses_do_not_move_by_the_inverse_curvature() -> None:
    learning, _ = regression(1.0, repeats=2, warm_up=5)
    learning.curvature[0][0, 7] = 0.0
    (natural,) = learning.changes((RULES[2],))[0]
    assert natural[0, 7] == 0 and (natural[0, :7] > 0).all()


def test_the_gradient_is_that_of_the_objective_with_weights_drawn_at_each_position() -> None:
    """Against autograd through the mean of every draw, for a network that draws anew at each step."""
    torch.manual_seed(0)
    net = Recurrent(hidden=3, noise="fresh")
    x, y = torch.randn(11, 5, 2, dtype=torch.float64), torch.randn(11, 1, dtype=torch.float64)
    mu = [0.3 * torch.randn(*shape, dtype=torch.float64) for shape in net.shapes((5, 2), (1,))]
    free = [{"sigma": torch.full_like(m, 0.2)} for m in mu]
    spec = {
        "cost": {"kind": "cv", "c": 0.7},
        "inference": ENERGY | {"magnitude": 0.3},
        "noise": {"kind": "heterogeneous"},
    }
    copies = [float(n) for n in net.copies((5, 2), (1,))]
    learning = Learning(
        Trained(net, Heterogeneous(), mu, free), spec, Regression(1, 0.5), x, y, mu, copies, 4, 1, 1, 1, 1e-6
    )
    index, draws = torch.tensor([2, 9, 4]), net.draws((5, 2), (1,))
    assert max(draws) > 1
    leaves = [m.clone().requires_grad_() for m in mu]
    xi = learning.net.xi(1, draws, torch.Generator().manual_seed(8))
    weights = [m + 0.2 * e for m, e in zip(leaves, xi, strict=True)]
    loss = learning.task.nll(net.forward(weights, x[index]), y[index]).mean()
    cost = plugin(spec, "cost")
    terms = [n * (0.3 * m.abs() + cost(f["sigma"], m)).sum() for m, f, n in zip(leaves, free, copies, strict=True)]
    (loss + sum(terms) / 11).backward()
    with torch.no_grad():
        found = learning._gradient(mu, index, 8)
    for one, leaf in zip(found, leaves, strict=True):
        torch.testing.assert_close(one, leaf.grad, rtol=1e-10, atol=1e-12)


def test_the_regressions_are_those_of_scipy_and_of_residuals() -> None:
    random = np.random.default_rng(2)
    m, v, p = random.normal(size=(3, 57))
    d = 0.4 * v - 0.3 * m + 0.1 * random.normal(size=57)
    found = fits(*np.exp([m, v, d, p]))
    assert found["change_slope"] == pytest.approx(stats.linregress(v, d).slope)
    assert found["relative_slope"] == pytest.approx(stats.linregress(v - m, d - m).slope)
    assert found["release_slope"] == pytest.approx(stats.linregress(p, d - m).slope)
    assert np.isnan(fits(*np.exp([m, v, d]), np.full(57, np.nan))["release_slope"])
    beside = np.linalg.lstsq(np.column_stack([v, m, np.ones(57)]), d, rcond=None)[0]
    assert found["equal_slope"] == pytest.approx(beside[0])
    relative = np.linalg.lstsq(np.column_stack([v - m, m, np.ones(57)]), d - m, rcond=None)[0]
    assert relative[0] == pytest.approx(found["equal_slope"]), "the same on the experiment's axes"


def test_synapses_in_cortex_are_those_of_the_table() -> None:
    found = cortex()
    row = np.genfromtxt(files("ebayes_plugins") / "data" / "plasticity.csv", delimiter=",", skip_header=1)[0, 4:]
    p, p_after, q, q_after = row
    assert found["cortex_size"][0] == pytest.approx(p * q)
    assert found["cortex_variance"][0] == pytest.approx(p * (1 - p) * q**2)
    assert found["cortex_moved"][0] == pytest.approx(abs(p_after * q_after - p * q))
    assert found["cortex_change_n"] == found["cortex_release_n"] == 44
    known = stats.linregress(np.log(found["cortex_variance"]), np.log(found["cortex_moved"]))
    assert found["cortex_change_slope"][0] == pytest.approx(known.slope)
    assert found["cortex_change_low"][0] < known.slope < found["cortex_change_high"][0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ebayes.Run:
    text = """
    name = "c"
    seeds = [0, 1]
    dataset = { kind = "digits" }
    network = { kind = "mlp", hidden = [6] }
    training = { epochs = 8, batch_size = 50, sigma = "fixed_point" }
    optimizer = { kind = "adam", learning_rate = 5e-3 }
    sweep = { cost = [{ kind = "calcium", c = 0.01 }, { kind = "quantal", c = 0.01 }] }
    """
    return ebayes.run(text, out=tmp_path_factory.mktemp("c") / "c.h5", progress=False)


def test_of_a_results_file_all_layers_and_rules_are_measured_and_drawn(run: ebayes.Run, tmp_path: Path) -> None:
    analysis = Change(layer=1, steps=3, repeats=4, warm_up=20)
    arrays = analysis.measure(run)
    assert len(arrays["rule"]) == 4 * 2 * 4, "networks, layers, rules"
    np.testing.assert_allclose(arrays["rho"], np.repeat([0.5, 0.4], 16), rtol=1e-4)
    slopes = {rule.name: arrays["change_slope"][arrays["rule"] == rule.name] for rule in RULES}
    assert (slopes["SGD"] < slopes["Adam"]).all() and (slopes["Adam"] < slopes["steps divided by H"]).all()
    mine = (arrays["member"] == 0) & (arrays["layer"] == 1) & (arrays["rule"] == "SGD")
    pair = (arrays["point"] == arrays["point"][mine]).nonzero()[0]
    assert len(pair) == 2
    assert arrays["change_mean"][mine] == pytest.approx(arrays["change_slope"][pair].mean())
    np.testing.assert_array_equal(np.isfinite(arrays["release_slope"]), arrays["member"] > 1, "calcium has no p")
    figure = figure_of(analysis, arrays, tmp_path)
    legible(figure)
    assert [ax.get_title() for ax in figure.axes[:4]] == [rule.name for rule in RULES]
    statistics = analysis.statistics(arrays)
    assert len({len(column) for column in statistics.values()}) == 1 and statistics["source"][-1].startswith("cortex")
    inside = agrees(arrays, "equal", "SGD")
    assert f"({inside.sum()} of {len(inside)} within)" in analysis.headline(arrays).split("at equal")[1]


def test_networks_of_one_sigma_are_refused(run: ebayes.Run) -> None:
    alike = ebayes.run({**run.spec, "seeds": [0], "noise": {"kind": "homogeneous"}},
                       out=Path(run.path).with_name("h.h5"), progress=False)  # fmt: skip
    with pytest.raises(ebayes.UserError, match="heterogeneous"):
        Change().measure(alike)
