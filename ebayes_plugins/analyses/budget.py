"""Budget: whether a network's synapses share one budget of energy, or each layer, neuron or synapse has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_plugins.analyses._budget_slopes import (
    PER,
    Synapses,
    across,
    between_layers,
    centred,
    expected,
    held,
    in_a_sample,
    means,
    pooled,
    spread,
    within,
)
from ebayes_plugins.analyses._budget_synapses import exponent_at_median, synapses
from ebayes_plugins.analyses._common import finished, label
from ebayes_plugins.analyses._regression import over_seeds, running_quantiles, without

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]
NEURONS, BINS = 200, 12  #: most neurons whose means are stored, and bins of synapses
SAMPLES = np.array([1.0, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000])  #: synapses measured of each neuron
FIT = ("within", "across", "pooled")
PRICE = "price"  #: the budget of networks that pay a given price


class Budget(Analysis):
    """Slope of log sigma^2 on log H within and across neurons, beside those of a budget for each kind of unit."""

    kind: Literal["budget"] = "budget"
    flat_below: float = Field(
        1e-6,
        ge=0,
        lt=1,
        description="synapses with less than this share of their layer's median curvature count as flat and are left "
        "out",
    )
    rows: int = Field(5, ge=1, le=7, description="largest number of sweep points drawn, each with its first seed")

    def measure(self, run: Run) -> Arrays:
        """Per network and layer: slopes within and across neurons and pooled, and those that each budget implies.

        Raises UserError if no network has sigmas that differ.
        """
        found = [row for member in finished(run) if _differ(run, member) for row in self._rows(run, member)]
        if not found:
            raise UserError(
                "no network has sigmas that differ: budget needs a noise with a sigma for each synapse, such as "
                'noise = { kind = "heterogeneous" }, and a network that did not diverge'
            )
        arrays = {name: np.array([row[name] for row in found]) for name in found[0]}
        skipped = np.array([run.n_members - len(set(arrays["member"].tolist()))])
        return {**arrays, "skipped": skipped, **_over_seeds(arrays)}

    def _rows(self, run: Run, member: int) -> list[dict[str, Any]]:
        """The layers of a network that have synapses which are not flat."""
        s = synapses(run, member, self.flat_below)
        if not len(s.x):
            return []
        spec, rho = run.member_spec(member), exponent_at_median(run, member)
        inference = spec["inference"]
        budget = inference["per"] if inference["kind"] == "budget" else PRICE
        about = {
            "member": member, "seed": run.seeds[member], "label": label(run, member),
            "point": label(run, member, ("seed",)), "budget": budget, "rho": rho, "layers_slope": between_layers(s),
        }  # fmt: skip
        implied = expected(s, rho)
        about["layers_expected"] = [between_layers(implied[per]) for per in PER]
        rows = []
        for layer in np.unique(s.layer):
            mine = s.layer == layer
            numbers = _numbers(s.of(mine), {per: other.of(mine) for per, other in implied.items()})
            rows.append({**about, "layer": layer, **numbers, **_met(run, member, layer)})
        return rows

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per network and layer: slopes with 95% intervals, what its budget implies, and how far the budget is met."""
        named = {"network": "label", "budget": "budget", "layer": "layer", "neurons": "neurons", "n": "n"}
        for fit in FIT:
            named |= {fit: fit, f"± ({fit}, neurons)": f"{fit}_half"}
            if fit != "pooled":
                named |= {f"± ({fit}, seeds)": f"{fit}_seeds_half", f"expected {fit}": f"{fit}_own"}
        named |= {
            "share of var(log H) across": "share_across", "synapses per neuron": "needed",
            "across layers": "layers_slope",
            "expected across layers": "layers_own", "sum R/E - 1": "budget_excess", "margin": "margin",
        }  # fmt: skip
        own = {f"{name}_own": _own(arrays, f"{name}_expected") for name in ("within", "across", "layers")}
        return {heading: {**arrays, **own}[name] for heading, name in named.items()}

    def headline(self, arrays: Arrays) -> str:
        """The slopes within and across neurons under each budget, beside those that it implies."""
        parts = []
        for budget in dict.fromkeys(arrays["budget"].tolist()):
            mine = {name: v[arrays["budget"] == budget] for name, v in arrays.items() if name != "skipped"}
            parts.append(
                f"{title(budget)} {_middle(mine['within'])} and {_middle(mine['across'])} "
                f"(implied: {_middle(_own(mine, 'within_expected'))} and {_middle(_own(mine, 'across_expected'))})"
            )
        return f"Median slope of log sigma^2 on log H within and across neurons: {'; '.join(parts)}."

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """A row for each sweep point: within neurons, across neurons, and across neurons of which few are measured."""
        from ebayes_plugins.analyses import _budget_figure

        _budget_figure.draw(arrays, figure, self.rows, self.headline(arrays))


def _differ(run: Run, member: int) -> bool:
    sigma = run.layer(member, 1, "sigma")
    return bool(sigma.min() < sigma.max())


def title(budget: str) -> str:
    """A budget in words."""
    return "one price for all" if budget == PRICE else f"budget per {budget}"


def _middle(values: np.ndarray) -> str:
    """The median of the finite values, with two decimals and no minus before a zero."""
    known = values[np.isfinite(values)]
    return f"{round(float(np.median(known)), 2) + 0.0:.2f}" if len(known) else "-"


def _own(arrays: Arrays, name: str) -> np.ndarray:
    """What the budget of each row implies, (rows,); one price for all is one multiplier for the network."""
    place = [PER.index("network" if budget == PRICE else budget) for budget in arrays["budget"].tolist()]
    return np.asarray(arrays[name][np.arange(len(place)), place])


def _numbers(s: Synapses, implied: dict[str, Synapses]) -> dict[str, Any]:
    """What is stored of a layer: slopes, those that each budget implies, and points for the figure."""
    fits = {"within": within(s), "across": across(s), "pooled": pooled(s)}
    at = spread(s)
    return {
        "n": len(s.x), "neurons": len(np.unique(s.neuron)), "needed": at.within / max(at.across, 1e-12),
        "price_varies": held(s) is not None, "share_across": at.across / (at.across + at.within),
        **{name: fit.value for name, fit in fits.items()}, **{f"{name}_half": fit.half for name, fit in fits.items()},
        "within_expected": [within(implied[per]).value for per in PER],
        "across_expected": [across(implied[per]).value for per in PER],
        "measured": np.where(at.size >= SAMPLES, SAMPLES, np.nan),
        "in_sample": in_a_sample(fits["within"].value, fits["across"].value, at, SAMPLES), **_points(s),
    }  # fmt: skip


def _points(s: Synapses) -> dict[str, np.ndarray]:
    """Bins of the synapses about their neuron's mean, and the means of neurons, the level of the price held."""
    w = held(s)
    inner = [without(centred(v, s.neuron), None if w is None else centred(w, s.neuron)) for v in (s.x, s.y)]
    outer = [without(means(v, s.neuron), None if w is None else means(w, s.neuron)) for v in (s.x, s.y)]
    bins = np.full((4, BINS), np.nan)
    if len(s.x) >= BINS:
        bins = running_quantiles(inner[0], inner[1], (0.25, 0.5, 0.75), BINS)
    kept = [np.pad(v[:NEURONS], (0, max(0, NEURONS - len(v))), constant_values=np.nan) for v in outer]
    return {"bins": bins, "neuron_x": kept[0], "neuron_y": kept[1]}


def _met(run: Run, member: int, layer: int) -> dict[str, float]:
    """How far the budget of a layer is met, and whether it pays at the margin as others do; NaN without a budget."""
    names = ("budget_excess", "margin")
    return {n: run.layer_metric(n)[member, layer - 1] if n in run.layer_metrics else np.nan for n in names}


def _over_seeds(arrays: Arrays) -> Arrays:
    """Half widths of the 95% intervals over the seeds of each sweep point and layer, (rows,)."""
    keys = np.array([f"{point}, {layer}" for point, layer in zip(arrays["point"], arrays["layer"], strict=True)])
    found = {f"{name}_seeds_half": np.full(len(keys), np.nan) for name in FIT}
    for key in np.unique(keys):
        for name in FIT:
            found[f"{name}_seeds_half"][keys == key] = over_seeds(arrays[name][keys == key])[1]
    return found
