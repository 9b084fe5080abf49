"""Uncertainty: whether the noise of synapses foretells where the mean network errs, and whether it has to be theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_core.trained.data import examples_of
from ebayes_plugins.analyses._arms import arm, common, noisy, tone
from ebayes_plugins.analyses._common import multiplier
from ebayes_plugins.analyses._foretelling import COVERAGES, PATTERNS, Questions
from ebayes_plugins.analyses._panels import Arrays, table
from ebayes_plugins.analyses._plugins import plugin
from ebayes_plugins.analyses._rebuilt import dataset_of, rebuilt
from ebayes_plugins.analyses._regression import over_seeds
from ebayes_plugins.analyses._uncertainty_words import finding, gain, groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

NUMBERS = {
    "rank": "rank correlation", "aurc": "AURC", "auroc": "AUROC, errors", "ood": "AUROC, 2nd data set",
    "nll": "NLL, best temperatures (nat)", "temperature": "temperature of the noise",
}  # fmt: skip
OWN = {"error": "error rate", "nll_mean": "NLL, mean weights (nat)", "nll_tempered": "the same, tempered (nat)"}


class Uncertainty(Analysis):
    """Whether the variance of predictions foretells errors: with the sigmas trained, shuffled, and all equal."""

    kind: Literal["uncertainty"] = "uncertainty"
    samples: int = Field(
        1000,
        ge=2,
        le=100_000,
        description="number of sampled networks from which a variance is estimated: errors of the estimate hide what "
        "it foretells, and the more so the less variances differ",
    )
    ensemble: int = Field(
        100, ge=1, le=10_000, description="number of sampled networks whose predictions are averaged, for the loss"
    )

    def measure(self, run: Run) -> Arrays:
        """Per network and pattern of its sigmas: rank correlation, risk-coverage, AUROCs, NLL at the best temperature.

        Of each kind of network, those of the most data and the middle price. Samples them again. Raises UserError if
        weights are not normal, targets are neither classes nor numbers, or the data cannot be read.
        """
        members = compared(run)
        if not members:
            raise UserError("uncertainty asks what noise foretells, and no network that finished training has any")
        rows = [row for i in members for row in self._patterns(run, i)]
        return table(rows) | {"skipped": np.array([run.n_members - len(members)]), "coverage": COVERAGES}

    def _patterns(self, run: Run, member: int) -> list[dict[str, Any]]:
        """The numbers of a network with each pattern; one alone if its sigmas are equal."""
        net, asked = rebuilt(run, member), self._questions(run, member)
        one = all(np.ptp(run.layer(member, i, "sigma")) == 0 for i in range(1, run.n_layers(member) + 1))
        named = {
            "member": member, "arm": arm(run, member), "seed": run.seeds[member],
            "c": multiplier(run.member_spec(member)), "tone": str(tone(run.member_spec(member))),
            "n": len(asked.x), "others": len(asked.other),
            "balance": run.metric("balance")[member], **asked.baseline(net),
        }  # fmt: skip
        return [{**named, "pattern": p, **asked.answers(net, p)} for p in (PATTERNS[:1] if one else PATTERNS)]

    def _questions(self, run: Run, member: int) -> Questions:
        """The test examples, and those of the second data set of the spec."""
        from ebayes_core.contract.likelihoods import Classification, Regression  # torch takes two seconds
        from ebayes_core.engine.data import shuffled

        dataset, spec = dataset_of(run, [member], self.kind), run.member_spec(member)
        task = dataset.task()
        if not isinstance(task, Classification | Regression):
            raise UserError(
                f"uncertainty compares predictions with classes or numbers, one target for each example, and the data "
                f"set '{dataset.kind}' has the likelihood {type(task).__name__}"
            )
        x, y = examples_of(run, [member], dataset, "test")
        table = spec["measurement"].get("ood")
        other = plugin({"dataset": table}, "dataset").load("test")[0] if table else shuffled(x)
        y = y.double() if y.is_floating_point() else y
        return Questions(task, x.double(), y, other.double(), self.samples, self.ensemble, int(run.seeds[member]))

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per kind of network and pattern: the numbers, and the gain of its own sigmas; 95% intervals over seeds."""
        rows = []
        for kind, pattern, mine in groups(arrays):
            row: dict[str, Any] = {"network": kind, "sigma": pattern, "seeds": int(mine.sum())}
            for name, heading in {**NUMBERS, **OWN}.items():
                row[heading], row[f"± {heading}"] = over_seeds(arrays[name][mine])
            row["own minus this, rank"], row["± own minus this, rank"] = over_seeds(gain(arrays, kind, pattern, "rank"))
            row["own minus this, NLL"], row["± own minus this, NLL"] = over_seeds(gain(arrays, kind, pattern, "nll"))
            rows.append(row)
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def headline(self, arrays: Arrays) -> str:
        """Rank correlation of variance and error, for Bayes, for energies, and for their sigmas shuffled."""
        return finding(arrays)

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """Errors among the most certain examples, rank correlations, losses, and what is told from other data."""
        from ebayes_plugins.analyses import _uncertainty_figure

        _uncertainty_figure.draw(arrays, figure)


def compared(run: Run) -> list[int]:
    """Of each kind of network, those of the most data and the middle price of it, one of each seed."""
    members = noisy(run)
    kinds = np.array([arm(run, i) for i in members])
    c = np.array([multiplier(run.member_spec(i)) for i in members])
    n = run.metric("n_examples")[members] if members else np.zeros(0)
    found: list[int] = []
    for kind in dict.fromkeys(kinds.tolist()):
        own = kinds == kind
        at = own & (n == n[own].max())
        prices = np.unique(c[at])
        price = common(c[own], n[own]) if common(c[own], n[own]) in prices else prices[len(prices) // 2]
        chosen = [i for i, is_one in zip(members, at & (c == price), strict=True) if is_one]
        found += {run.seeds[i]: i for i in chosen}.values()  # others of a seed differ in a cost that is not paid
    return sorted(found)
