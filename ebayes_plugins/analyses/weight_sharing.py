"""Weight sharing: how precise is a synapse that many positions share, against one that each has to itself?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_core.wording import span
from ebayes_plugins.analyses._common import NOISE, exponent, label, mechanism
from ebayes_plugins.analyses._intervals import by_ratio
from ebayes_plugins.analyses._panels import Arrays, table
from ebayes_plugins.analyses._sharing import FIELD, Examples, Pair, compared, pairs
from ebayes_plugins.analyses._sharing_ratios import MEASURED, PREDICTIONS, points, ratio, value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run


class WeightSharing(Analysis):
    """sigma of synapses shared by P positions, relative to those of a position's own, against what P predicts."""

    kind: Literal["weight_sharing"] = "weight_sharing"
    examples: int = Field(
        1000, ge=2, le=1_000_000, description="largest number of test examples on which curvatures are compared"
    )

    def measure(self, run: Run) -> Arrays:
        """Per pair of networks and layer: the ratio of the sigmas, and the three terms of its prediction.

        Evaluates each network on test examples, which have set no sigma. Raises UserError if no two networks differ in
        `noise_per` alone, or if their data cannot be read.
        """
        twins = pairs(run)
        if not twins:
            raise UserError(
                "no two networks that finished training differ in noise_per alone, with a power law of sigma as cost "
                'and without a budget: add  [sweep]  "network.noise_per" = ["kernel", "position"]  to a spec with a '
                "convolutional network"
            )
        examples = Examples.of(run, [i for pair in twins for i in pair], self.kind, self.examples)
        return table([row for pair in twins for row in _rows(run, pair, examples)])

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per mechanism and layer: measured and predicted ratios with their 95% intervals over seeds, and agreement."""
        rows = [_row(arrays, point) for point in points(arrays)]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def headline(self, arrays: Arrays) -> str:
        """How much smaller the sigma of a shared synapse is, beside what P alone and P with agreement predict."""
        shared = [point for point in points(arrays) if value(arrays, point, "positions") > 1]
        if not shared:
            return ""
        times = {
            name: span([ratio(arrays, point, name).value for point in shared]) for name in (MEASURED, *PREDICTIONS)
        }
        counts = span([value(arrays, point, "positions") for point in shared])
        return (
            f"sigma of a synapse that {counts} positions share is {times[MEASURED]} times smaller than that of a "
            f"synapse for each; their number alone predicts {times['P']}, with their agreement "
            f"{times['P and their agreement']}."
        )

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """The ratio against P, between independent and agreeing positions, and against its predictions."""
        from ebayes_plugins.analyses import _sharing_figure

        _sharing_figure.draw(arrays, figure, self.headline(arrays))


def _rows(run: Run, pair: Pair, examples: Examples) -> list[dict[str, Any]]:
    """The layers of a pair, with what they are called; those of other seeds have the same `point`."""
    network = tuple(name for name in run.swept if name.startswith("network"))
    rest, spec = label(run, pair.kernel, ("seed", f"network.{FIELD}")), run.member_spec(pair.kernel)
    named = {
        "mechanism": ", ".join(mechanism(run, pair.kernel, (*NOISE, *network))), "rho": exponent(spec),
        "seed": int(run.seeds[pair.kernel]),
    }  # fmt: skip
    balance = run.layer_metric("balance")[list(pair)]
    return [
        {
            **named, **row, "point": f"{rest}, layer {row['layer']}", "count": float(np.log(row["positions"])),
            "balance_kernel": balance[0, row["layer"] - 1], "balance_position": balance[1, row["layer"] - 1],
        }
        for row in compared(run, pair, examples)
    ]  # fmt: skip


def _row(arrays: Arrays, point: str) -> dict[str, Any]:
    mine = arrays["point"] == point
    found: dict[str, Any] = {name: value(arrays, point, name) for name in ("mechanism", "layer", "positions")}
    found |= {"synapses": int(np.min(arrays["n"][mine])), "seeds": int(np.isfinite(arrays["ratio"][mine]).sum())}
    for name in (MEASURED, *PREDICTIONS):
        known = ratio(arrays, point, name)
        found |= {name: known.value, f"95%, {name}": f"{known.low:.2f} to {known.high:.2f}"}
    for name, heading in (("agreement", "agreement"), ("networks", "curvature, kernel / position")):
        known = by_ratio(name, arrays[name][mine])
        found |= {heading: known.value, f"95%, {heading}": f"{known.low:.2f} to {known.high:.2f}"}
    balances = np.concatenate([arrays["balance_kernel"][mine], arrays["balance_position"][mine]])
    return found | {"B": f"{balances.min():.2f} to {balances.max():.2f}"}
