"""Estimators of curvature beside the exact one: planted biases are found, and the exact formula is the Hessian."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.stats import t as student_t

from ebayes_core.errors import UserError
from ebayes_core.results.record import HELD_OUT
from ebayes_plugins.analyses._linear_teacher import exact
from ebayes_plugins.analyses.estimators import NAMES, TEST, Estimators
from tests.drawn import words

SPEC = {
    "dataset": {"kind": "teacher", "inputs": 4, "hidden": 2, "outputs": 3, "examples": 50},
    "network": {"kind": "mlp", "hidden": [2], "activations": ["linear", "linear"]},
    "cost": {"kind": "actin", "c": 0.01, "rho": 4 / 3}, "inference": {"kind": "energy_efficient"},
    "noise": {"kind": "heterogeneous"},
}  # fmt: skip
#: estimate over exact value, less 1, of each estimator in each seed
PLANTED = {name: np.array([0.0, 0.02, 0.04]) + 0.1 * i for i, name in enumerate(NAMES)}


def planted_run(specs: list[dict] | None = None) -> SimpleNamespace:
    """Three seeds, whose sigma is at the optimum of the exact curvature of 50 examples."""
    specs = specs or [SPEC] * 3
    layers = []
    for seed in range(3):
        random = np.random.default_rng(seed)
        mu = [random.normal(size=(2, 5)), random.normal(size=(3, 3))]
        spectrum = np.logspace(0, -2, 4)
        sigma = [np.full(m.shape, 0.3) for m in mu]
        for _ in range(200):  # the fixed point of Eq. 29 with its own curvature
            sigma = [(0.01 * 4 / 3 / (50 * h)) ** (3 / 10) for h in exact(mu, sigma, spectrum)]
        for m, s, h in zip(mu, sigma, exact(mu, sigma, spectrum), strict=True):
            found = {name: h * (1 + bias[seed]) for name, bias in PLANTED.items() if name != TEST}
            halves = {
                name: h * (1 + PLANTED[TEST][seed]) * (1 + d) for name, d in zip(HELD_OUT, (0.1, -0.1), strict=True)
            }
            layers.append({"mu": m, "sigma": s, **found, **halves})
    return SimpleNamespace(
        status=["done"] * 3, member_spec=lambda i: specs[i], seeds=np.arange(3), n_members=3, swept={},
        layer=lambda i, layer, name: layers[2 * i + layer - 1][name], layer_names=lambda i: list(layers[0]),
        metric=lambda name: {"n_examples": np.full(3, 50), "sigma_median": np.array([1.0, 3.0, 2.0])}[name],
        layer_metrics=[], layer_metric=lambda name: np.ones((3, 2)),
    )  # fmt: skip


def test_the_exact_curvature_is_the_average_of_the_hessian() -> None:
    """Second derivatives of the loss by autograd, averaged over weights and inputs drawn with these variances."""
    random = torch.Generator().manual_seed(0)
    mu = [
        torch.randn(2, 4, generator=random, dtype=torch.float64),
        torch.randn(2, 3, generator=random, dtype=torch.float64),
    ]
    sigma = [0.5 * torch.rand(m.shape, generator=random, dtype=torch.float64) for m in mu]
    spectrum = torch.tensor([1.0, 0.5, 0.1], dtype=torch.float64)

    def loss(first: torch.Tensor, second: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        h = torch.cat([first @ torch.cat([x, torch.ones(1)]), torch.ones(1)])
        return 0.5 * ((y - second @ h) ** 2).sum()

    def diagonals(
        first: torch.Tensor, second: torch.Tensor, x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        found = []
        for at, w in enumerate((first, second)):
            of = lambda v, at=at: loss(*((v.view(2, 4), second) if at == 0 else (first, v.view(2, 3))), x, y)
            found.append(torch.func.hessian(of)(w.flatten()).diagonal())
        return tuple(found)

    n = 40_000
    draw = lambda m, s: m + s * torch.randn(n, *m.shape, generator=random, dtype=torch.float64)
    weights = [draw(m, s) for m, s in zip(mu, sigma, strict=True)]
    x = spectrum.sqrt() * torch.randn(n, 3, generator=random, dtype=torch.float64)
    y = torch.randn(n, 2, generator=random, dtype=torch.float64)
    found = torch.func.vmap(diagonals)(*weights, x, y)
    known = exact([m.numpy() for m in mu], [s.numpy() for s in sigma], spectrum.numpy())
    for each, wanted in zip(found, known, strict=True):
        error = each.std(0) / n**0.5
        assert ((each.mean(0) - torch.from_numpy(wanted.ravel())).abs() <= 4.5 * error + 1e-9).all()


def test_planted_biases_are_found_with_their_intervals_over_seeds() -> None:
    analysis = Estimators()
    table = analysis.statistics(analysis.measure(planted_run()))
    assert len(table["estimator"]) == 2 * (1 + len(NAMES)) and set(table["seeds"]) == {3}
    for name, biases in PLANTED.items():
        rows = table["estimator"] == name
        np.testing.assert_allclose(table["bias (%)"][rows], 100 * biases.mean(), atol=1e-9)
        half = student_t.ppf(0.975, 2) * biases.std(ddof=1) / 3**0.5
        np.testing.assert_allclose(table["± bias (%)"][rows], 100 * half)


def test_sigma_at_the_optimum_has_its_slope_on_the_exact_curvature_and_the_line_goes_through_it() -> None:
    arrays = Estimators().measure(planted_run())
    exact_rows = arrays["estimator"] == "exact"
    np.testing.assert_allclose(arrays["slope"][exact_rows], -2 / (4 / 3 + 2))
    np.testing.assert_allclose(arrays["analytic_slope"], -0.6, rtol=1e-6)
    np.testing.assert_allclose(arrays["shown_optimum"], arrays["shown_variance"], rtol=1e-9)
    assert arrays["shown"] == [1]  # the noisiest


def test_the_figure_says_what_the_arrays_say() -> None:
    analysis, figure = Estimators(), Figure()
    arrays = analysis.measure(planted_run())
    analysis.draw(arrays, figure)
    text = words(figure)
    assert "averaged over the noise, +2.0 to +22% (2 of 6 intervals include 0)" in text
    assert "at the means +42%, of the empirical Fisher +32%" in text and "slope -0.60 ± 0.00 optimum -0.60" in text
    assert "3 networks, 3 seeds each" in text


def test_networks_of_several_prices_are_no_seeds_of_one_mechanism() -> None:
    specs = [SPEC | {"cost": SPEC["cost"] | {"c": c}} for c in (0.01, 0.01, 5.0)]
    table = Estimators().statistics(Estimators().measure(planted_run(specs)))
    rows = (table["layer"] == 1) & (table["estimator"] == "gauss_newton_mean")
    assert table["mechanism"][rows].tolist() == ["actin, c = 0.01", "actin, c = 5"]
    assert table["seeds"][rows].tolist() == [2, 1]
    biases = PLANTED["gauss_newton_mean"]
    np.testing.assert_allclose(table["bias (%)"][rows], [100 * biases[:2].mean(), 100 * biases[2]])


def test_of_many_outputs_the_fishers_are_shown_alone() -> None:
    run = planted_run()
    run.layer_names = lambda i: ["mu", "sigma", *(name for name in NAMES if name.startswith("fisher"))]
    arrays, figure = Estimators().measure(run), Figure()
    Estimators().draw(arrays, figure)
    assert (
        "of the true Fisher, averaged over the noise, +22% (0 of 2 intervals include 0), of the empirical Fisher"
        in (words(figure))
    )
    assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == [
        name for key, name in NAMES.items() if key.startswith("fisher")
    ]


def test_networks_without_a_known_curvature_are_refused() -> None:
    others = [SPEC | {"dataset": {"kind": "digits"}}, SPEC | {"network": {"kind": "mlp", "hidden": [2]}}]
    with pytest.raises(UserError, match=r"estimators needs dataset = \{ kind = .teacher. \}"):
        Estimators().measure(planted_run([others[0], others[1], others[0]]))
    assert set(Estimators().measure(planted_run([others[0], SPEC, others[1]]))["member"].tolist()) == {1}
