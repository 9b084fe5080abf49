"""Every estimator of the curvature against networks whose curvature is known: an integrator, and a linear teacher."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.parameters import Parameters
from ebayes_core.engine.randomness import MEASURE, generator
from ebayes_core.measure.probes import curvature, held_out
from tests.build import cohort, trained

INTEGRATOR = """
name = "integrator"
dataset = { kind = "integrator", steps = 12, examples = 40 }
network = { kind = "recurrent", hidden = 1, activation = "linear" }
noise = { kind = "heterogeneous", sigma_0 = 0.01 }
training = { batch_size = 40, dtype = "float64" }
"""


def at(c: Cohort, means: list[np.ndarray], sigma: float | list[np.ndarray]) -> Parameters:
    """Parameters with these means and standard deviations, per layer (post, pre)."""
    start = c.start().parameters
    sigmas = sigma if isinstance(sigma, list) else [np.full(m.shape, sigma) for m in means]
    mu = [torch.as_tensor(m, dtype=c.dtype).reshape(1, -1) for m in means]
    phi = [torch.as_tensor(s, dtype=c.dtype).reshape(1, -1).expm1().log() for s in sigmas]
    assert [tuple(m.shape) for m in mu] == [tuple(m.shape) for m in start.mu]
    return c.parameters(mu, {"phi": phi})


PERFECT = [np.array([[1.0, 1.0, 0.0]]), np.array([[1.0, 0.0]])]
"""x_t = w x_(t-1) + u_t with w = 1: input, recurrent synapse and bias; then the readout and its bias."""


def known(noise: str, steps: int, s: float) -> list[list[float]]:
    """Curvature of each synapse of the perfect integrator, by hand, in the order of PERFECT."""
    fresh = noise == "fresh"
    w = s**2 * (steps * (steps - 1) / 2 if fresh else (steps - 1) * steps * (2 * steps - 1) / 6)
    return [[s**2 * steps, w, steps if fresh else steps**2], [s**2 * steps, 1]]


@pytest.mark.parametrize("steps, s", [(12, 1.0), (1, 1.0), (5, 0.5)])
@pytest.mark.parametrize("noise", ["fresh", "frozen"])
def test_the_integrator_at_its_means(registry: Registry, noise: str, steps: int, s: float) -> None:
    """s^2 T(T-1)/2 with fresh noise and s^2 (T-1)T(2T-1)/6 with frozen noise: 66 and 506 for T = 12."""
    settings = (f"network.noise={noise}", f"dataset.steps={steps}", f"dataset.input_sd={s}")
    c = cohort(registry, INTEGRATOR, *settings)
    found = curvature(c, at(c, PERFECT, 0.1), generator(0, MEASURE))["gauss_newton_mean"]
    for layer, wanted in zip(found, known(noise, steps, s), strict=True):
        np.testing.assert_allclose(layer[0, 0], wanted, atol=1e-12)
    if (steps, s) == (12, 1.0):
        assert found[0][0, 0, 1].item() == pytest.approx({"fresh": 66, "frozen": 506}[noise])
    assert curvature(c, at(c, PERFECT, 0.1), generator(0, MEASURE))["fisher_empirical_mean"][0].abs().max() < 1e-20


def fresh_under_noise(steps: int, sigma: float) -> float:
    """E[H] of the recurrent synapse alone noisy: sum_t E[x_(t-1)^2] (1 + sigma^2)^(T - t), E[x_t^2] by recursion."""
    second = [0.0]
    for _ in range(steps):
        second.append((1 + sigma**2) * second[-1] + 1)
    return sum(second[t - 1] * (1 + sigma**2) ** (steps - t) for t in range(1, steps + 1))


def frozen_under_noise(steps: int, sigma: float) -> float:
    """E_w[(d/dw sum_t w^(T-t) u_t)^2] = sum_k k^2 E[w^(2k - 2)] over powers of w = 1 + sigma xi, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    w = 1 + sigma * nodes
    return sum(k**2 * weights @ w ** (2 * k - 2) for k in range(1, steps)) / weights.sum()


@pytest.mark.parametrize("noise, exact", [("fresh", fresh_under_noise), ("frozen", frozen_under_noise)])
def test_the_integrator_under_noise(registry: Registry, noise: str, exact) -> None:
    """The recurrent synapse alone noisy, with a sigma that raises its curvature: within four standard errors."""
    sigma = {"fresh": 0.15, "frozen": 0.05}[noise]
    c = cohort(registry, INTEGRATOR, f"network.noise={noise}", "dataset.examples=500", "measurement.probe_batch=5")
    quiet = [np.full(m.shape, 1e-9) for m in PERFECT]
    quiet[0][0, 1] = sigma
    p = at(c, PERFECT, quiet)
    draws = [curvature(c, p, generator(k, MEASURE)) for k in range(10)]
    each = np.array([[d[name][0][0, 0, 1] for d in draws] for name in ("gauss_newton_noise", "fisher_true_noise")])
    error = each.std(1, ddof=1) / len(draws) ** 0.5
    wanted = exact(12, sigma)
    assert wanted > 1.15 * known(noise, 12, 1.0)[0][1] and (np.abs(each.mean(1) - wanted) < 4 * error).all()
    assert (error < 0.1 * wanted).all()


@pytest.mark.parametrize("noise", ["fresh", "frozen"])
def test_sigma_of_the_integrator_is_the_optimum_that_follows(registry: Registry, noise: str) -> None:
    """sigma^(rho + 2) = c rho / (N H), at a price so low that noise does not change H, in the recurrent layer."""
    price, n = 1e-5, 200
    settings = ('training.sigma="fixed_point"', 'training.means="held"', "training.epochs=100", f"dataset.examples={n}")
    sweep = f'sweep.cost=[{{kind="calcium", c={price}}}, {{kind="trafficking", c={price}}}]'
    c = cohort(
        registry, INTEGRATOR, f"network.noise={noise}", "training.batch_size=50", "noise.sigma_0=1e-3", *settings, sweep
    )
    state = c.start()
    for mu, mean in zip(state.parameters.mu, PERFECT, strict=True):
        mu.copy_(torch.as_tensor(mean).reshape(1, -1))
    (recurrent, _), h = c.formulas.sigmas(trained(c, state).parameters), np.array(known(noise, 12, 1.0)[0])
    for sigma, rho in zip(recurrent.numpy(), (1 / 2, 2), strict=True):
        np.testing.assert_allclose(sigma, (price * rho / (n * h)) ** (1 / (rho + 2)), rtol=0.03)


TEACHER = """
name = "teacher"
dataset = { kind = "teacher", inputs = 4, hidden = 2, outputs = 3, examples = 400 }
network = { kind = "mlp", hidden = [3], activations = ["linear", "linear"] }
noise = { kind = "heterogeneous", sigma_0 = 0.01 }
training = { batch_size = 40, dtype = "float64" }
measurement = { probe_batch = 20 }
"""


def student() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Means and standard deviations of both layers, biases last; noise is as large as the means."""
    random = np.random.default_rng(1)
    shapes = (3, 5), (3, 4)
    return [random.normal(0, 0.5, s) for s in shapes], [random.uniform(0.1, 0.8, s) for s in shapes]


def by_hand(means: list[np.ndarray], sigmas: list[np.ndarray], spectrum: np.ndarray) -> list[np.ndarray]:
    """E[H] of each weight per example: one loop for every sum, a bias being the weight of an input of variance 1."""
    lam = [*spectrum, 1.0]
    m1, m2, s1, s2 = *means, *sigmas
    above = [sum(m2[k, i] ** 2 + s2[k, i] ** 2 for k in range(3)) for i in range(3)]
    below = [sum(lam[j] * (m1[i, j] ** 2 + s1[i, j] ** 2) for j in range(5)) for i in range(3)]
    return [np.array([[lam[j] * above[i] for j in range(5)] for i in range(3)]), np.array([[*below, 1.0]] * 3)]


def repeated(c: Cohort, p: Parameters, times: int) -> dict[str, np.ndarray]:
    """Each estimator of all synapses, (times, synapses), with new noise and labels each time."""
    found: dict[str, list[np.ndarray]] = {}
    for seed in range(times):
        noise = generator(seed, MEASURE)
        for name, layers in {**curvature(c, p, noise), **held_out(c, p, noise)}.items():
            found.setdefault(name, []).append(np.concatenate([t[0].numpy().ravel() for t in layers]))
    return {name: np.array(values) for name, values in found.items()}


@pytest.fixture(scope="module")
def estimates(registry: Registry) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Sixty repetitions of every estimator, and the exact curvature under noise and at the means."""
    c = cohort(registry, TEACHER)
    means, sigmas = student()
    spectrum = c.member.dataset.spectrum()
    noisy, quiet = (by_hand(means, s, spectrum) for s in (sigmas, [0 * s for s in sigmas]))
    flat = lambda layers: np.concatenate([layer.ravel() for layer in layers])
    return repeated(c, at(c, means, sigmas), 60), flat(noisy), flat(quiet)


def unbiased(values: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether the means over repetitions are within five standard errors, which are below 15%, of every synapse."""
    error = values.std(0, ddof=1) / len(values) ** 0.5
    close = np.abs(values.mean(0) - wanted) <= 5 * error + 1e-9 * wanted
    return bool(close.all() and (error < 0.15 * wanted).all())


def test_gauss_newton_and_the_true_fisher_are_unbiased_for_any_sigma(estimates) -> None:
    found, noisy, quiet = estimates
    np.testing.assert_allclose(found["gauss_newton_mean"], np.broadcast_to(quiet, (60, len(quiet))), rtol=1e-9)
    assert unbiased(found["fisher_true_mean"], quiet) and not unbiased(found["fisher_true_mean"], noisy)
    for name in ("gauss_newton_noise", "fisher_true_noise"):
        assert unbiased(found[name], noisy) and not unbiased(found[name], quiet), name
    halves = (found["gauss_newton_test_1"] + found["gauss_newton_test_2"]) / 2
    assert unbiased(halves, noisy) and not unbiased(halves, quiet)


def empirical(means: list[np.ndarray], teacher: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """Expected empirical Fisher of weights that are not noisy, by Isserlis' theorem for normal inputs.

    The residual is r = e + D z with z the inputs and the constant 1. Of a gradient (a.r)(b.z) the mean square is
    |a|^2 E[(b.z)^2] + E[(d.z)^2 (b.z)^2] with d = D^T a.
    """
    m1, m2 = means
    gap = np.column_stack([teacher - m2[:, :-1] @ m1[:, :-1], -m2[:, :-1] @ m1[:, -1] - m2[:, -1]])
    first = [[_fourth(m2[:, i], np.eye(5)[j], gap, spectrum) for j in range(5)] for i in range(3)]
    hidden = [*m1, np.eye(5)[4]]
    second = [[_fourth(np.eye(3)[k], hidden[i], gap, spectrum) for i in range(4)] for k in range(3)]
    return np.array([*np.ravel(first), *np.ravel(second)])


def _fourth(a: np.ndarray, b: np.ndarray, gap: np.ndarray, spectrum: np.ndarray) -> float:
    d = gap.T @ a
    (c, e), cov = (d[-1], b[-1]), lambda u, v: (u[:-1] * v[:-1] * spectrum).sum()
    dd, bb, db = cov(d, d), cov(b, b), cov(d, b)
    fourth = dd * bb + 2 * db**2 + c**2 * bb + e**2 * dd + 4 * c * e * db + c**2 * e**2
    return a @ a * (bb + e**2) + fourth


def ratios(
    registry: Registry, name: str, w: list[np.ndarray], sigmas: list[np.ndarray], wanted: np.ndarray
) -> np.ndarray:
    """Mean over synapses of an estimator over what is wanted, once for each of ten data sets of one teacher."""
    found = []
    for seed in range(10):
        c = cohort(registry, TEACHER, "dataset.orthogonal=false", "dataset.examples=1500")
        x, fresh = (torch.randn(1500, n, generator=generator(seed, MEASURE), dtype=c.dtype) for n in (4, 3))
        c.data.x.copy_(x * torch.from_numpy(c.member.dataset.spectrum()).sqrt())
        first, second = map(torch.from_numpy, c.member.dataset.weights())
        c.data.y.copy_(c.data.x @ (second @ first).T + fresh)
        values = curvature(c, at(c, w, sigmas), generator(seed, MEASURE))[name]
        found.append((np.concatenate([t[0].numpy().ravel() for t in values]) / wanted).mean())
    return np.array(found)


def test_the_empirical_fisher_is_biased_by_what_the_residuals_hold_besides_noise(registry: Registry) -> None:
    """As the fourth moments say, at the means and averaged over the noise; this student fits badly."""
    means, sigmas = student()[0], [s / 3 for s in student()[1]]
    data = cohort(registry, TEACHER).member.dataset
    spectrum, teacher, random = data.spectrum(), data.weights()[1] @ data.weights()[0], np.random.default_rng(0)
    drawn = [[m + s * random.standard_normal(m.shape) for m, s in zip(means, sigmas, strict=True)] for _ in range(4000)]
    under = np.mean([empirical(w, teacher, spectrum) for w in drawn], axis=0)
    for name, wanted, t in (("mean", empirical(means, teacher, spectrum), 0.0), ("noise", under, 1.0)):
        found = ratios(registry, f"fisher_empirical_{name}", means, sigmas, wanted)
        error = found.std(ddof=1) / len(found) ** 0.5
        assert abs(found.mean() - 1) < 4 * error < 0.2, name
        exact = np.concatenate([h.ravel() for h in by_hand(means, [t * s for s in sigmas], spectrum)])
        assert np.median(wanted / exact) > 1.1
