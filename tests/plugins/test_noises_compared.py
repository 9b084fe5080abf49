"""Noises at equal energy: planted curves are compared where they were planted, and numbers are those of the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ebayes
from ebayes_core.errors import UserError
from ebayes_plugins.analyses.noises import MEASURED, Noises, at_energy
from tests.plugins.test_analyses import FakeRun, figure_of, power, sweep

SEEDS = 4
GAIN = {"heterogeneous": 0.0, "bernoulli": -0.1, "binomial": -0.03}
EFFECT = np.array([0.01, -0.02, 0.03, 0.0])  #: of a seed on the score, whatever the noise
OWN = np.array([0.004, -0.001, 0.002, -0.003])  #: of a seed on Bernoulli release alone
REACH = {"heterogeneous": (0.1, 10.0), "bernoulli": (0.2, 20.0), "binomial": (0.05, 5.0)}


def planted() -> dict[str, np.ndarray]:
    """Scores that rise by 0.05 with each factor e of energy, at 5 energies of each noise and seed, in mixed order."""
    rows = []
    for line, gain in GAIN.items():
        for seed in range(SEEDS):
            for energy in np.random.default_rng(seed).permutation(np.geomspace(*REACH[line], 5)):
                own = OWN[seed] if line == "bernoulli" else 0.0
                score = 0.6 + 0.05 * np.log(energy) + gain + EFFECT[seed] + own
                rows.append({"line": line, "seed": seed, "energy": energy, "score": score})
    score = np.array([row["score"] for row in rows])
    return {
        **{name: np.array([row[name] for row in rows]) for name in ("line", "seed", "energy")},
        "column": np.full(len(rows), "quantal"), "setting": np.array([f"{r['line']} {r['energy']:.6g}" for r in rows]),
        **{name: (1 - score if name.startswith("nll") or name == "silent" else score) for name in MEASURED},
        "score": np.array(["accuracy"]), "balance": np.ones(len(rows)), "skipped": np.array([0]),
    }  # fmt: skip


def test_scores_at_equal_energy_and_their_intervals_are_the_planted_ones() -> None:
    table = Noises().statistics(planted())
    np.testing.assert_allclose(table["energy per synapse"][::3], [0.2, 1.0, 5.0])  # which all of them cover
    gain = np.array([GAIN[line] for line in table["noise"]])
    own = np.where(table["noise"] == "bernoulli", OWN.mean(), 0.0)
    mean = 0.6 + 0.05 * np.log(table["energy per synapse"]) + gain + EFFECT.mean() + own
    np.testing.assert_allclose(table["accuracy sample"], mean, rtol=1e-12)
    np.testing.assert_allclose(table["nll ensemble"], 1 - mean, rtol=1e-12)
    half = 3.182446 * np.std(EFFECT + OWN, ddof=1) / 2  # Student's t, 3 degrees of freedom
    np.testing.assert_allclose(table["± accuracy sample"][table["noise"] == "bernoulli"], half, rtol=1e-6)
    assert (table["seeds"] == SEEDS).all()


def test_the_gain_is_paired_within_seeds() -> None:
    """What a seed does to every noise cancels, so the interval is that of what it does to one."""
    table = Noises().statistics(planted())
    bernoulli = table["noise"] == "bernoulli"
    np.testing.assert_allclose(table["accuracy minus that of heterogeneous"][bernoulli], -0.1 + OWN.mean())
    np.testing.assert_allclose(table["± (paired)"][bernoulli], 3.182446 * OWN.std(ddof=1) / 2, rtol=1e-6)
    np.testing.assert_allclose(table["± (paired)"][table["noise"] == "binomial"], 0, atol=1e-12)


def test_nothing_is_extrapolated() -> None:
    found = at_energy(planted(), "quantal", 8.0)
    assert np.isnan(list(found["binomial"]["score_sample"].values())).all()
    assert np.isfinite(list(found["bernoulli"]["score_sample"].values())).all()
    table = Noises(energies=(8.0,)).statistics(planted())
    assert table["seeds"].tolist() == [4, 4, 0] and "(binomial)" not in Noises(energies=(8.0,)).headline(planted())


def test_the_figure_shows_the_means_over_seeds(tmp_path: Any) -> None:
    arrays = planted()
    figure = figure_of(Noises(), arrays, tmp_path)
    drawn = next(line for line in figure.axes[0].lines if len(line.get_xdata()) == 5)
    energies = np.geomspace(0.1, 10, 5)
    np.testing.assert_allclose(drawn.get_xdata(), energies)
    np.testing.assert_allclose(drawn.get_ydata(), 0.6 + 0.05 * np.log(energies) + EFFECT.mean())
    half = 3.182446 * EFFECT.std(ddof=1) / 2
    assert f"0.605 ± {half:.3f} (heterogeneous)" in " ".join(figure._suptitle.get_text().split())


def test_without_several_energies_there_is_nothing_to_compare() -> None:
    members, _ = sweep()
    with pytest.raises(UserError, match=r"cost\.c.*logspace"):
        Noises().measure(FakeRun(members[:1], {}, power(1, 1)))


def test_synapses_below_a_share_of_their_layer_are_silent() -> None:
    class Silenced(FakeRun):
        def layer(self, i: int, layer: int, name: str) -> np.ndarray:
            weight = np.ones((10, 7))
            weight[:3, :layer] = -0.008 if name == "mu" else 2.0  # a mean of zero transmits noise alone
            return weight

    found = Noises(silent_below=0.009).measure(Silenced(*sweep(), None))
    np.testing.assert_allclose(found["silent"], (3 * 1 + 3 * 2) / 140)
    np.testing.assert_allclose(Noises(silent_below=0.007).measure(Silenced(*sweep(), None))["silent"], 0)


def test_the_energies_are_those_of_the_file(tmp_path: Any) -> None:
    text = """
    name = "n"
    dataset = { kind = "digits" }
    network = { kind = "mlp", hidden = [5] }
    training = { epochs = 2, batch_size = 50 }
    cost = { kind = "power_law", rho = 0.5 }
    [sweep]
    noise = [{ kind = "heterogeneous", sigma_0 = 0.05 }, { kind = "multiplicative" }, { kind = "none" }]
    "cost.c" = [0.01, 0.1]
    """
    run = ebayes.run(text, out=tmp_path / "n.h5", progress=False)
    found = Noises().measure(run)
    assert found["line"].tolist() == ["heterogeneous"] * 2 + ["multiplicative"] * 2 and found["skipped"] == [2]
    for energy, member in zip(found["energy"], range(4), strict=True):
        sigma = run.synapses(member)["sigma"].astype(float)
        assert energy == pytest.approx((sigma**-0.5).mean(), rel=1e-5)
    np.testing.assert_allclose(found["score_sample"], run.metric("accuracy_sample")[:4])


def test_under_a_budget_the_energy_is_that_of_the_layers() -> None:
    class Budgeted(FakeRun):
        layer_metrics = (*FakeRun.layer_metrics, "energy")

        def layer_metric(self, name: str) -> np.ndarray:
            known = {"energy": [[1.0, 2.0, np.nan], [3.0, 5.0, np.nan]], "n_synapses": [[10.0, 30.0, np.nan]] * 2}
            return np.array(known[name]) if name in known else super().layer_metric(name)[:2] * [1, 1, np.nan]

    members = [{"cost": {"kind": "membrane"}}] * 2
    found = Noises().measure(Budgeted(members, {"inference.energy": [1.0, 2.0]}, power(1, 1)))
    np.testing.assert_allclose(found["energy"], [(10 * 1 + 30 * 2) / 40, (10 * 3 + 30 * 5) / 40])
    assert set(found["column"]) == {"membrane"}, "an amount of energy is no mechanism"
