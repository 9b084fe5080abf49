"""Sigma against the length of sequences: theory by hand and by simulation, planted slopes, and where curvature is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import t as student_t

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError
from ebayes_core.results.reader import Run
from ebayes_core.spec import loads
from ebayes_core.sweeps.run import run
from ebayes_plugins.analyses import recurrence
from ebayes_plugins.analyses._integrators import curvature, expected, expected_slope, power
from ebayes_plugins.analyses._tasks import differences
from ebayes_plugins.analyses.recurrence import Recurrence, _slopes, by_seed, title
from tests.plugins.test_analyses import ENERGY, FakeRun, figure_of

SPEC = """
name = "recurrence"
seeds = [0, 1]
dataset = { kind = "integrator", examples = 40 }
network = { kind = "recurrent", hidden = 1, activation = "linear", means = "integrator.npz" }
cost = { kind = "membrane", c = 1e-4 }
noise = { kind = "heterogeneous", sigma_0 = 1e-3 }
training = { epochs = 40, batch_size = 20, sigma = "fixed_point", means = "held" }
measurement = { samples = 2 }
[sweep]
"dataset.steps" = [3, 9]
"network.noise" = ["fresh", "frozen"]
"""


MECHANISMS = {
    "power_law, c 0.0001, rho 0.5": ({"kind": "power_law", "rho": 0.5, "c": 1e-4}, "heterogeneous", ENERGY),
    "power_law, c 1e-08, rho 4": ({"kind": "power_law", "rho": 4.0, "c": 1e-8}, "heterogeneous", ENERGY),
    "entropic": ({"kind": "entropic", "c": 1e-4}, "heterogeneous", ENERGY),
    "variational bayes": ({"kind": "trafficking"}, "heterogeneous", {"kind": "variational_bayes", "scale": 1e6}),
    "membrane": ({"kind": "membrane"}, "homogeneous", ENERGY),
    "actin": ({"kind": "actin"}, "heterogeneous", {"kind": "budget"}),
    "calcium": ({"kind": "calcium"}, "none", ENERGY),
}
STEEP = dict(zip(MECHANISMS, (-1 / 2.5, -1 / 6, -1 / 2, -1 / 2), strict=False))  #: of ln sigma on ln H, where known


class Planted(FakeRun):
    """Integrators of three lengths under every mechanism, with the power of curvature that each sigma has in theory."""

    def __init__(self) -> None:
        unit = {"kind": "recurrent", "hidden": 1, "activation": "linear", "noise": "fresh"}
        super().__init__([
            {"cost": cost, "noise": noise, "inference": inference, "name": name, "network": unit,
             "dataset": {"kind": "integrator", "steps": steps, "input_sd": 1.0}}
            for name, (cost, noise, inference) in MECHANISMS.items() for steps in (1, 3, 9)
        ], {}, None)  # fmt: skip

    def layer(self, i: int, layer: int, name: str) -> np.ndarray:
        member = self.members[i]
        h = np.full((1, 3), float(curvature("fresh", member["dataset"]["steps"])))
        if name != "sigma":
            return np.ones_like(h) if name == "mu" else h
        sigma = 0.01 * np.maximum(h, 1.0) ** STEEP.get(member["name"], 0.0)
        return sigma * (member["noise"] != "none")


@pytest.fixture
def every_mechanism(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    steps = lambda run, member: run.member_spec(member)["dataset"]["steps"]
    data = lambda run, members, kind: SimpleNamespace(load=lambda split: [torch.zeros(1, steps(run, *members), 1)])
    monkeypatch.setattr(recurrence, "dataset_of", data)
    monkeypatch.setattr(recurrence, "profile", lambda run, member, dataset: np.zeros(steps(run, member)))
    return Recurrence().measure(Planted())


def integrators(folder: Path, registry: Registry, text: str, recurrent: float = 1.0) -> Path:
    """A file of networks whose means are those of an integrator, or of a unit that forgets."""
    state = {
        "recurrent.weight": np.array([[1.0, recurrent]]),
        "recurrent.bias": np.zeros(1),
        "readout.weight": np.ones((1, 1)),
        "readout.bias": np.zeros(1),
    }
    np.savez(folder / "integrator.npz", **state)
    run(loads(text, registry, folder=folder), text, registry, folder / "r.h5")
    return folder / "r.h5"


@pytest.fixture(scope="module")
def trained(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return integrators(tmp_path_factory.mktemp("integrators"), registry, SPEC)


def test_the_curvature_of_an_integrator_by_hand() -> None:
    assert curvature("fresh", 12) == 66 and curvature("frozen", 12) == 506
    for steps in (1, 2, 7):
        assert curvature("fresh", steps, 2.0) == 4 * sum(range(steps))
        assert curvature("frozen", steps, 2.0) == 4 * sum(k**2 for k in range(steps))


@pytest.mark.parametrize("noise", ["fresh", "frozen"])
def test_what_is_expected_of_a_linear_unit_is_what_it_does(noise: str) -> None:
    """A decision by the sum of the evidence, and a cue that is kept, simulated: dlogit/dw at w = 1, squared."""
    random, found = np.random.default_rng(0), {}
    for task in ("decision", "memory"):
        found[task] = []
        for steps in (10, 40):
            u = random.standard_normal((40_000, steps)) / (np.sqrt(steps) if task == "decision" else 1)
            if task == "memory":
                u[:, 1:] = 0
            states = np.cumsum(u, 1)[:, :-1]  # x_(t-1), each of which is multiplied by w once
            gradient = (states**2).sum(1) if noise == "fresh" else states.sum(1) ** 2
            found[task].append(gradient.mean())
        ratio = expected(task, noise, np.array([40])) / expected(task, noise, np.array([10]))
        assert found[task][1] / found[task][0] == pytest.approx(ratio.item(), rel=0.04)


def test_expected_slopes_tend_to_the_power_laws() -> None:
    long = np.geomspace(1e4, 1e6, 9)
    for task, noise, tends_to in (
        ("integrator", "fresh", 2), ("integrator", "frozen", 3), ("decision", "fresh", 1), ("memory", "frozen", 2),
    ):  # fmt: skip
        assert expected_slope(task, noise, -1 / 4, long) == pytest.approx(-tends_to / 4, rel=1e-3)
        assert power(task, noise) == tends_to
    found = expected_slope("integrator", "fresh", -1 / 2.5, np.array([2, 8]))
    assert found == pytest.approx(-np.log(28) / np.log(4) / 2.5)
    assert np.isnan([expected_slope("images", "fresh", -0.25, long), power("images", "fresh")]).all()


def test_sigmas_of_trained_integrators_lie_on_the_exact_line(trained: Path) -> None:
    """The solver knows nothing of the formula; 40 epochs of two minibatches estimate the curvature to a few percent."""
    with Run(trained) as found:
        arrays = Recurrence().measure(found)
    assert arrays["integrator"].all() and arrays["n"].tolist() == [1] * 8 and set(arrays["task"]) == {"integrator"}
    np.testing.assert_allclose(np.exp(arrays["log_sigma"] - arrays["exact"]), 1, atol=0.12)
    for i in range(8):
        h = curvature(arrays["noise"][i], arrays["steps"][i])
        assert np.exp(arrays["exact"][i]) == pytest.approx((1e-4 * 2 / 3 / (40 * h)) ** (3 / 8))
        assert np.exp(arrays["log_h"][i]) == pytest.approx(h, rel=0.05)
    table = Recurrence().statistics(arrays)
    np.testing.assert_allclose(table["slope"], table["linear unit, same T"], atol=0.1)
    np.testing.assert_allclose(table["linear unit, long T"], [-3 / 4, -9 / 8])


def test_every_mechanism_has_the_slope_and_the_theory_of_what_it_pays(
    every_mechanism: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """Lengths of 3 and 9 have curvatures of 3 and 36, one of 1 has none; networks without noise have no sigma."""
    arrays, table = every_mechanism, Recurrence().statistics(every_mechanism)
    assert table["mechanism"].tolist() == list(MECHANISMS)[:-1] and set(arrays["steps"]) == {3, 9}
    wanted = np.log(12) / np.log(3) * np.array(list(STEEP.values()))
    np.testing.assert_allclose(table["slope"][:4], wanted)
    np.testing.assert_allclose(table["linear unit, same T"], [*wanted, np.nan, np.nan], rtol=1e-5)
    np.testing.assert_array_equal(np.isnan(arrays["exact"]), ~np.isfinite(arrays["response"]))
    assert "nan" not in Recurrence().headline(arrays) + title(arrays)
    figure_of(Recurrence(), arrays, tmp_path)


def test_mechanisms_are_divided_by_what_differs_at_one_length() -> None:
    """The number of epochs grows with the length; inputs are of two sizes, of which one was used at the first alone."""
    tables = [
        {"dataset": {"kind": "decision", "steps": steps, "sd": sd}, "training": {"epochs": 2 * steps}}
        for steps, sd in ((5, 1.0), (5, 2.0), (10, 1.0))
    ]
    assert differences(["a"] * 3, tables, [5, 5, 10]) == [["sd 1"], ["sd 2"], ["sd 1"]]
    assert differences(["a"] * 3, tables, [0, 1, 2]) == [[], [], []]


def test_the_curvature_of_an_integrator_comes_from_late_steps(trained: Path) -> None:
    """A draw at step t counts as x_(t-1)^2, whose mean is t - 1."""
    with Run(trained) as found:
        arrays = Recurrence().measure(found)
    (i,) = np.flatnonzero((arrays["steps"] == 9) & (arrays["noise"] == "fresh") & (arrays["seed"] == 0))
    np.testing.assert_allclose(arrays["profile"][i], np.arange(9) / 36, atol=0.01)


def planted(slopes: np.ndarray) -> dict[str, np.ndarray]:
    """Three lengths and as many seeds as slopes of ln sigma on ln T, for one task."""
    steps, seed = np.tile([5, 10, 20], len(slopes)), np.repeat(np.arange(len(slopes)), 3)
    text = lambda word: np.full(len(steps), word)
    return {
        "task": text("memory"), "noise": text("fresh"), "mechanism": text("calcium"), "rho": np.full(len(steps), 0.5),
        "response": np.full(len(steps), -1 / 2.5),
        "steps": steps, "seed": seed, "log_sigma": slopes[seed] * np.log(steps) - 3, "log_h": 2.0 * np.log(steps),
    }  # fmt: skip


def test_planted_slopes_are_found_with_their_interval_over_seeds() -> None:
    slopes = np.array([-0.5, -0.4, -0.3])
    arrays = planted(slopes)
    np.testing.assert_allclose(by_seed(arrays, np.ones(9, bool), "log_sigma"), slopes)
    found = _slopes(arrays)
    assert found["mean"] == pytest.approx(-0.4) and found["curvature"] == pytest.approx(2.0) and found["seeds"] == 3
    assert found["over_seeds"] == pytest.approx(student_t.ppf(0.975, 2) * 0.1 / 3**0.5)
    said = title(arrays | {f"slope_{name}": values for name, values in found.items()})
    x = np.log([5, 10, 20]) - np.log(10)
    wanted = -(x @ np.log([4, 9, 19])) / (x @ x) / 2.5
    assert f"{round(100 * -0.4 / wanted)}% (memory)" in said and "the smaller σ" in said
    rising = _slopes(planted(-slopes))
    assert "the larger σ" in title({f"slope_{name}": values for name, values in rising.items()})
    varied = _slopes(planted(np.array([-1.0, 0.2, 0.9])))
    assert title({f"slope_{name}": values for name, values in varied.items()}).endswith("theory: undecided (memory)")
    mixed = {f"slope_{name}": np.concatenate([found[name], varied[name]]) for name in found}
    mixed["slope_task"] = np.array(["decision", "memory"])
    assert title(mixed).startswith("Slopes of ln") and title(mixed).endswith("undecided (memory)")


def titled(slopes: list[float], **columns: float) -> str:
    found = _slopes(planted(np.array(slopes)))
    return title({f"slope_{name}": values for name, values in found.items()} | columns)


def test_a_single_seed_decides_nothing() -> None:
    said = titled([-0.05])
    assert said.startswith("Slopes of ln") and said.endswith("11% (memory, a single seed)")
    assert titled([-0.05, -0.06], slope_expected=np.array([np.nan])).endswith("theory: no theory (memory)")


def test_a_network_without_sigma_leaves_the_other_lengths() -> None:
    arrays = planted(np.array([-0.5, -0.4]))
    arrays["log_sigma"][0] = np.nan
    np.testing.assert_allclose(by_seed(arrays, np.ones(6, bool), "log_sigma"), [-0.5, -0.4])


def test_runs_without_recurrent_networks_of_several_lengths_are_refused(
    registry: Registry, trained: Path, tmp_path: Path
) -> None:
    text = 'name = "x"\ndataset = { kind = "memory", delay = 1, examples = 20 }\ntraining = { epochs = 1 }\n'
    text += 'network = { kind = "recurrent", hidden = 2 }'
    run(loads(text, registry), text, registry, tmp_path / "x.h5")
    with (
        Run(tmp_path / "x.h5") as found,
        pytest.raises(UserError, match="no recurrent network with noise has been trained on sequences"),
    ):
        Recurrence().measure(found)


def test_noise_that_decays_within_a_step_shows_in_the_last_one_only(registry: Registry, tmp_path: Path) -> None:
    """A unit without recurrence: only the drive of the last step reaches the read-out."""
    torch.manual_seed(0)
    text = SPEC.replace('"network.noise" = ["fresh", "frozen"]', "").replace("seeds = [0, 1]", "seeds = [0]")
    with Run(integrators(tmp_path, registry, text, recurrent=1e-6)) as found:
        shares = Recurrence().measure(found)["profile"]
    assert shares[0, 2] > 0.99 and shares[1, 8] > 0.99 and np.isnan(shares[0, 3:]).all()
