"""Formulas that are not finite somewhere are rejected before training, or named if training diverges."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ebayes_core.contract.registry import Registry
from ebayes_core.engine import checkpoint, preflight
from ebayes_core.engine.loop import train
from ebayes_core.errors import PluginError
from ebayes_core.report import optimality
from ebayes_core.results.reader import Run
from ebayes_core.spec import loads
from ebayes_core.storage import hdf5
from ebayes_core.sweeps.run import run
from tests.build import DIGITS, cohort, trained
from tests.faults import infinite

FAULTY = Registry.of(infinite)
SMALL = ("network.hidden=[4]", "training.epochs=1", "training.batch_size=100", 'training.dtype="float32"')
#: what is refused -> who is named, and how; the first of two overrides is the fault
REFUSED = {
    "no slope at 0": (['cost={kind="ratio"}'], r"cost 'ratio' \(tests.*energy\(\): .*mu = 0, sigma.*replace \|mu\| by"),
    "infinite at 0": (['cost={kind="pole"}'], r"cost 'pole' .*its value is not finite at mu = 0"),
    "a magnitude without slope at 0": (['inference={kind="rooted"}'], r"inference 'rooted' .*magnitude_cost.*mu = 0"),
    "no number where sigma will come": (
        ['cost={kind="bounded"}', "optimizer.learning_rate_phi=1.0"], r"cost 'bounded' .*its value is not finite"
    ),
    "an objective's own": (
        ['inference={kind="cut"}', "optimizer.learning_rate_phi=1.0"], r"inference 'cut' .*reliability_cost\(\)"
    ),
    "no number where the solver may come": (
        ['cost={kind="bounded"}', 'training.sigma="fixed_point"', "training.epochs=5"], r"cost 'bounded'"
    ),
    "lost in single precision": (
        ['cost={kind="cancelled"}', 'noise={kind="heterogeneous", sigma_0=1e-4}'], r"'cancelled' .*derivative in sigma"
    ),
    "a sigma without a number": (['noise={kind="burst"}', "optimizer.learning_rate_phi=1.0"], r"noise 'burst' .*sigma"),
}  # fmt: skip


def at_the_start(*overrides: str) -> None:
    c = cohort(FAULTY, DIGITS, *SMALL, *overrides)
    preflight.check(c, c.start())


@pytest.mark.parametrize("fault", REFUSED)
def test_what_training_will_meet_is_refused(fault: str) -> None:
    overrides, words = REFUSED[fault]
    with pytest.raises(PluginError, match=words) as caught:
        at_the_start(*overrides)
    assert str(caught.value).endswith("this is a mistake in the plugin")


@pytest.mark.parametrize(
    "overrides",
    [
        ['cost={kind="smooth"}'],
        ['cost={kind="bounded", most=1.0}', "optimizer.learning_rate_phi=1e-3"],  # out of this training's reach
        ['cost={kind="ratio"}', 'noise={kind="none"}'],  # never charged
        ['cost={kind="ratio"}', 'inference={kind="variational_bayes"}'],
        ['cost={kind="power_law", rho=8.0, c=1e12}', 'noise={kind="heterogeneous", sigma_0=1e-9}'],  # an overflow
        ['cost={kind="calcium", s=5e-324}', 'noise={kind="homogeneous", sigma_0=1e-30}'],
        ['inference={kind="energy_efficient", magnitude=1e6}', "optimizer.learning_rate=100.0"],
        ['noise={kind="burst", most=5.0}', "optimizer.learning_rate_phi=1e-3"],
    ],
)
def test_what_it_will_not_meet_is_not(overrides: list[str]) -> None:
    at_the_start(*overrides)


def test_a_mean_of_zero_trains_with_a_cost_that_is_smooth_there() -> None:
    c = cohort(FAULTY, DIGITS, *SMALL, 'cost={kind="smooth"}')
    state = c.start()
    state.parameters.mu[0][0, :3] = 0
    for _ in train(c, state):
        pass
    assert not state.died


#: a fault that only training met -> what the network says; all means of the first layer that can be are made 0 at first
SIGMA, SLOW = "optimizer.learning_rate_phi=0.5", "optimizer.learning_rate_phi=1e-3"
NETWORK = 'network={kind="breaking", fault="%s", most=%s}'
NAMED = {
    "cost, slope at 0": (['cost={kind="ratio"}', SLOW], "reliability (cost 'ratio')"),
    "cost, at a sigma": (['cost={kind="bounded", c=10.0}', SIGMA], "reliability (cost 'bounded')"),
    "cost, at the one sigma": (
        ['cost={kind="bounded", c=10.0}', SIGMA, 'noise={kind="homogeneous", sigma_0=1e-2}'],
        "reliability (cost 'bounded')",
    ),
    "objective, reliability": (['inference={kind="cut"}', "cost.c=10.0", SIGMA], "reliability (inference 'cut')"),
    "objective, magnitude": (['inference={kind="rooted"}', SLOW], "magnitude (inference 'rooted')"),
    "magnitude without noise": (['inference={kind="rooted"}', 'noise={kind="none"}'], "magnitude (inference 'rooted')"),
    "noise": (['noise={kind="burst"}', "cost.c=10.0", SIGMA], "sigma (noise 'burst')"),
    "outputs": ([NETWORK % ("outputs", 0.3), "optimizer.learning_rate=0.1"], "the loss"),
    "slopes of the loss": ([NETWORK % ("slopes", 0.3), "optimizer.learning_rate=0.1"], "the gradient of the loss"),
    "squared gradient": (
        ['cost={kind="power_law", rho=3.0, c=1e12}', 'noise={kind="heterogeneous", sigma_0=1e-4}'],
        "the squared gradient of reliability (cost 'power_law')",
    ),
    "slope beyond single precision": (
        ['cost={kind="power_law", rho=8.0, c=1e12}', 'noise={kind="heterogeneous", sigma_0=1e-3}'],
        "reliability (cost 'power_law')",
    ),
    "both sorts of a cost": (
        ['sweep.cost=[{kind="calcium", c=1e-4}, {kind="power_law", rho=3.0, c=1e12}]', 'noise.sigma_0=1e-4'],
        "the squared gradient of reliability (cost 'power_law')",
    ),
}  # fmt: skip


def told(c) -> list[str]:
    """Status of each diverged network; the mean of one of them was 0."""
    state = c.start()
    if len(state.parameters.mu) > 1:
        state.parameters.mu[0][:, :3] = 0
    for _ in train(c, state):
        pass
    return list(state.died.values())


@pytest.mark.parametrize("solved", [False, True], ids=["descent", "fixed_point"])
@pytest.mark.parametrize("fault", NAMED)
def test_a_frozen_network_names_the_term(fault: str, solved: bool) -> None:
    overrides, term = NAMED[fault]
    how = ['training.sigma="fixed_point"', "training.epochs=6"] if solved else ["training.epochs=3"]
    noise = ['noise={kind="heterogeneous", sigma_0=0.01}'] if not any("noise" in o for o in overrides) else []
    found = told(cohort(FAULTY, DIGITS, *SMALL, *how, *noise, *overrides))
    if solved and "squared" in term:  # sigma does not move by Adam then
        assert not found
    else:
        assert len(found) == 1 and found[0].endswith(f": {term} is not finite"), found


def test_what_was_found_is_kept_by_a_checkpoint_and_its_parts(tmp_path: Path) -> None:
    overrides, _ = NAMED["both sorts of a cost"]
    c = cohort(FAULTY, DIGITS, *SMALL, *overrides)
    state = trained(c)
    hdf5.save(tmp_path / "c.h5", checkpoint.pack(state))
    tree, _ = hdf5.load(tmp_path / "c.h5")
    assert list(state.died) == [1] and checkpoint.unpack(tree, c).died == state.died
    second = checkpoint.part(tree, slice(1, 2))
    assert checkpoint.unpack(second, c).died == {0: state.died[1]}
    assert not checkpoint.unpack(checkpoint.part(tree, slice(0, 1)), c).died


def test_the_file_and_the_warning_name_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Training passes through the region where the cost fails without ending there, so that no check can know
    beforehand.
    """
    text, term = f"{DIGITS}\nmeasurement = {{ samples = 2, probe_examples = 100 }}", "reliability (cost 'gap')"
    fault = ['cost={kind="gap", c=10.0}', SIGMA, 'noise={kind="heterogeneous", sigma_0=0.01}', "training.epochs=3"]
    experiment = loads(text, FAULTY, [*SMALL, *fault])
    with caplog.at_level(logging.WARNING):
        run(experiment, text, FAULTY, tmp_path / "r.h5")
    assert f"{term} is not finite; its training stops there" in caplog.text
    with Run(tmp_path / "r.h5") as found:
        (status,) = found.status
        assert status.startswith("diverged at step") and status.endswith(f"{term} is not finite")
        assert any(term in sentence for sentence in optimality.verdicts(found))
