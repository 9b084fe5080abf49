"""The posterior: energy-efficient noise compared with Bayesian uncertainty, synapse by synapse (Fig. 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.claim import Claim
from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_plugins.analyses._common import (
    curvature,
    exponent,
    finished,
    mechanism,
    multiplier,
    offering,
    paid,
    pays,
    slope_of,
)
from ebayes_plugins.analyses._headlines import fit_sentence
from ebayes_plugins.analyses._posterior_claims import CLAIMS, table
from ebayes_plugins.analyses._posterior_numbers import expected, observed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]
Share = Annotated[float, Field(ge=0, le=1)]
Logs = tuple[np.ndarray, np.ndarray]  #: log10 of the posterior's variance and of sigma^2, per synapse
LACKS = (
    'add a network of [{ kind = "entropic" }, { kind = "variational_bayes", scale = 1e4 }] to the sweep over '
    '"cost, inference", with heterogeneous noise and the same seeds, or use against = "laplace"'
)


class Posterior(Analysis):
    """Energy-efficient sigma^2 against the variance of the posterior: ellipses of a pair, and all synapses."""

    kind: Literal["posterior"] = "posterior"
    layer: int = Field(2, ge=1, le=65, description="layer whose synapses are compared, counted from 1")
    against: Literal["variational", "laplace"] = Field(
        "variational",
        description="the posterior: that of the variational_bayes network with the same seed, or 1 / (N H) at the "
        "energy-efficient network's own weights (Appendix 5)",
    )
    pair: tuple[Share, Share] = Field(
        (0.1, 0.9), description="quantiles of the posterior variance at which the two synapses of the pair are chosen"
    )
    claims: ClassVar[tuple[Claim, ...]] = CLAIMS

    def measure(self, run: Run) -> Arrays:
        """A row per energy-efficient network: fits of log10 sigma^2 on log10 posterior variance (weight^2), Eq. 54.

        Each row has running medians, the analytic line 2/(rho+2) (log sigma_post^2 + log c rho), and the variances (2,)
        of one pair of synapses. Flat synapses are left out. Raises UserError if there is nothing to compare.
        """
        compared = self._compared(run)
        logs = [self._logs(run, i, j) for i, j in compared]
        rows = [self._row(run, i, j, *both) for (i, j), both in zip(compared, logs, strict=True)]
        for row, pair in zip(rows, _pairs(rows, logs, self.pair), strict=True):
            row |= pair
        arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        others = [i for i in range(run.n_members) if pays(run.member_spec(i))]
        return {**arrays, "row": _rank_of_c(arrays), "skipped": np.array([len(others) - len(rows)])}

    def _compared(self, run: Run) -> list[tuple[int, int]]:
        """Each energy-efficient network with the network whose posterior it is compared with; -1 for its own, by
        Laplace.
        """
        noisy = [i for i in finished(run) if self._spreads(run, i)]
        bayes = [i for i in noisy if _bayesian(run, i)]
        energy = [i for i in noisy if pays(run.member_spec(i))]
        if not energy:
            raise UserError(
                'posterior needs networks with inference = { kind = "energy_efficient" } and '
                'noise = { kind = "heterogeneous" }'
            )
        if self.against == "laplace":
            return [(i, -1) for i in offering(run, energy, "gauss_newton_noise")]
        found = [(i, j) for i in energy for j in _partner(run, i, bayes)]
        if not found:
            raise UserError(
                f"there is no variational_bayes network to compare with, with noise and not diverged: {LACKS}"
            )
        return found

    def _spreads(self, run: Run, member: int) -> bool:
        if run.n_layers(member) < self.layer:
            raise UserError(
                f"layer = {self.layer}: network {member} has {run.n_layers(member)} layers; choose one of them"
            )
        sigma = run.layer(member, self.layer, "sigma")
        return bool(sigma.min() < sigma.max())

    def _logs(self, run: Run, i: int, j: int) -> Logs:
        """log10 of the posterior's variance and of sigma^2, per synapse; NaN for synapses that are flat in either
        network.

        A flat synapse has no finite optimum and the likelihood does not constrain it: its sigma depends on its initial
        value, or on the prior.
        """
        read = lambda member, name: run.layer(member, self.layer, name).astype(float).ravel()
        h, theirs = (curvature(run, member, self.layer).astype(float).ravel() for member in (i, j if j >= 0 else i))
        variance = read(i, "sigma") ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            posterior = read(j, "sigma") ** 2 if j >= 0 else 1 / (run.metric("n_examples")[i] * h)
            curved = (h > 0) & (theirs > 0)
            curved &= (variance > 0) & (posterior > 0) & np.isfinite(variance + posterior)
            return np.where(curved, np.log10(posterior), np.nan), np.where(curved, np.log10(variance), np.nan)

    def _row(self, run: Run, i: int, j: int, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        """One network: its settings, the prediction of its cost, and the statistics of its synapses."""
        spec, total = run.member_spec(i), x.size
        x, y = (v[np.isfinite(v)] for v in (x, y))
        balance = run.layer_metric("balance")[:, self.layer - 1]
        mu = float(np.median(np.abs(run.layer(i, self.layer, "mu"))))
        slope = slope_of(spec, mu, paid(run, i, self.layer))
        return {
            "member": i, "posterior": j, "solved": spec["training"]["sigma"] == "fixed_point",
            "mechanism": _mechanism(run, i), "rho": exponent(spec),
            "c": multiplier(spec), "seed": int(run.seeds[i]), "layer": self.layer, "n": len(x),
            "flat": total - len(x), "balance": balance[i], "posterior_balance": balance[j] if j >= 0 else np.nan,
            **expected(slope, x, y), **observed(x, y),
        }  # fmt: skip

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per mechanism and c: the slope with its 95% intervals, the analytic one, and the axis ratio of the noise."""
        named = {
            "layer": "layer", "n": "n", "slope": "slope", "± (synapses)": "slope_half_width",
            "analytic": "analytic_slope", "above line": "above", "rank r": "rank_correlation",
            "spread": "spread_ratio", "log10 axis ratio": "aspect", "posterior's": "posterior_aspect", "B": "balance",
            "posterior's B": "posterior_balance",
        }  # fmt: skip
        return table(arrays, named)

    def headline(self, arrays: Arrays) -> str:
        """Sign and strength of the rank correlation over the networks, and the slope beside theory's (Eq. 54)."""
        of = f", in layer {self.layer}"
        return fit_sentence(
            "sigma^2", "the posterior's variance", arrays["rank_correlation"], "network", of, arrays["slope"],
            arrays["analytic_slope"],
        )  # fmt: skip

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """(a) ellipses of 2 s.d., mechanisms by c; (b) all synapses, by mechanism; (c) by c, of the smallest rho."""
        from ebayes_plugins.analyses import _posterior_figure

        _posterior_figure.draw(arrays, figure, self.against, self.pair, self.headline(arrays))


def _bayesian(run: Run, member: int) -> bool:
    return bool(run.member_spec(member)["inference"]["kind"] == "variational_bayes")


def _partner(run: Run, member: int, bayes: list[int]) -> list[int]:
    """The variational network with the same seed, if there is one; those with the same training are preferred."""
    mine = run.member_spec(member)
    alike = lambda j, names: all(run.member_spec(j).get(name) == mine.get(name) for name in names)
    found = [j for j in bayes if run.seeds[j] == run.seeds[member] and alike(j, ("network", "dataset"))]
    found = [j for j in found if alike(j, ("training",))] or found
    if len(found) > 1:
        raise UserError(
            f"networks {', '.join(map(str, found))} are all posteriors for network {member} (seed "
            f"{run.seeds[member]}): keep one variational_bayes network per seed in the sweep"
        )
    return found


def _mechanism(run: Run, member: int) -> str:
    """What distinguishes the energies, except c and seed."""
    return ", ".join(part for part in mechanism(run, member, ("inference.kind",)) if part != "energy_efficient")


def _pairs(arrays: list[dict[str, Any]], logs: list[Logs], shares: tuple[float, float]) -> list[dict[str, np.ndarray]]:
    """The illustrated pair of each network: the same two synapses for all networks of a seed, chosen by rank alone."""
    groups = [(row["seed"], len(x)) for row, (x, _) in zip(arrays, logs, strict=True)]
    chosen = {}
    for group in dict.fromkeys(groups):
        mine = [both for both, g in zip(logs, groups, strict=True) if g == group]
        known = np.flatnonzero(np.isfinite([x + y for x, y in mine]).all(0))
        order = known[np.argsort(mine[0][0][known], kind="stable")]
        chosen[group] = order[np.round(np.array(shares) * (len(order) - 1)).astype(int)] if len(order) > 1 else None
    return [
        {"pair_x": np.full(2, np.nan), "pair_y": np.full(2, np.nan)} if chosen[group] is None
        else {"pair_x": x[chosen[group]], "pair_y": y[chosen[group]]}
        for group, (x, y) in zip(groups, logs, strict=True)
    ]  # fmt: skip


def _rank_of_c(arrays: Arrays) -> np.ndarray:
    """Per row the rank of its c within its mechanism, from 0."""
    c = [np.unique(arrays["c"][arrays["mechanism"] == name]) for name in arrays["mechanism"]]
    return np.array([np.searchsorted(known, mine) for known, mine in zip(c, arrays["c"], strict=True)])
