"""n, p and q of synapses in results, tables and pages, and budgets in the tables and sentences about convergence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ebayes
from ebayes_core.report import optimality, tables
from ebayes_core.report.vesicles import vesicle_listing
from ebayes_plugins.analyses._common import paid

SPEC = """
name = "v"
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [5] }
training = { epochs = 2, batch_size = 50, sigma = "fixed_point" }
[sweep]
"cost, inference" = [
    [{ kind = "calcium" }, { kind = "energy_efficient" }],
    [{ kind = "quantal", membrane = 0.2, n_min = 1, c = 0.1 }, { kind = "energy_efficient" }],
    [{ kind = "quantal_turnover" }, { kind = "budget", energy = 1.5, per = "layer" }],
]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ebayes.Run:
    return ebayes.run(SPEC, out=tmp_path_factory.mktemp("v") / "v.h5", progress=False)


def test_synapses_have_the_n_p_and_q_that_their_cost_implies(run: ebayes.Run) -> None:
    s = run.synapses(1).astype(float)
    n, p, q = (s[name] for name in ("release_sites", "release_probability", "quantal_size"))
    np.testing.assert_allclose(n * p * q, s["mu"], rtol=1e-4, atol=1e-9)
    large = np.abs(s["mu"]) > 0.05  # below, the mean that is priced is rounded
    np.testing.assert_allclose((n * p * (1 - p) * q**2)[large], s["sigma"][large] ** 2, rtol=2e-2)
    assert (n >= 1 - 1e-6).all()
    assert "release_sites" not in run.synapses(0)


def test_the_table_of_vesicles_has_medians_of_each_layer(run: ebayes.Run) -> None:
    table = vesicle_listing(run)
    assert table is not None
    columns = {column.name: column.cells for column in table.columns}
    assert columns["layer"] == ["1", "2", "1", "2"]
    s = run.synapses(2, layer=2)
    assert float(columns["n"][-1]) == pytest.approx(np.median(s["release_sites"]), rel=1e-2)
    assert float(columns["n < 1"][-1]) == pytest.approx((s["release_sites"] < 1).mean(), rel=1e-2, abs=1e-3)


def test_the_page_shows_vesicles_if_there_are_any(run: ebayes.Run, tmp_path: Path) -> None:
    page = run.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h2>Vesicles</h2>" in page and "release probability" in page
    plain = SPEC[: SPEC.index("[sweep]")]
    other = ebayes.run(plain, out=tmp_path / "plain.h5", progress=False)
    assert "<h2>Vesicles</h2>" not in other.report(tmp_path / "plain.html").read_text(encoding="utf-8")
    assert vesicle_listing(other) is None


def test_budgets_are_reported(run: ebayes.Run) -> None:
    columns = {column.name: column.cells for column in tables.convergence_listing(run).columns}
    assert columns["over budget"][:2] == ["-", "-"] and columns["margin ratio"][:2] == ["-", "-"]
    assert float(columns["over budget"][2]) == pytest.approx(run.metric("budget_excess")[2], rel=1e-2)
    missed = abs(run.metric("budget_excess")[2]) > optimality.MET
    assert any("a budget is missed" in line for line in optimality.verdicts(run)) == missed
    c = run.layer(2, 1, "multiplier")
    assert c.min() == c.max() == pytest.approx(paid(run, 2, 1)) and paid(run, 0, 1) == 1


def test_a_single_sigma_cannot_be_divided_between_layers(tmp_path: Path) -> None:
    """With homogeneous noise margins differ by construction; a budget that is missed asks for longer training."""
    options = ("inference = { kind = 'budget', energy = 3.0 }", "cost = { kind = 'quantal_turnover' }")
    noises = "noise = [{kind='heterogeneous'}, {kind='homogeneous'}]"
    spec = "\n".join([SPEC[: SPEC.index("[sweep]")], *options, "[sweep]", noises]).replace("= 2", "= 1")
    run = ebayes.run(spec, out=tmp_path / "one.h5", progress=False)
    v = optimality.judged(run)
    assert (run.metric("margin") > 1 + optimality.BALANCED).all() and v.unequal.tolist() == [True, False]
    met = replace(v, done=v.noisy, moving=~v.noisy, unsure=~v.noisy, unmet=v.noisy)
    assert "training.epochs=2" in optimality.next_step(run, met)
