"""Change: do variable synapses change more or less than reliable ones, under which learning rule, and in cortex?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_core.trained.data import examples_of
from ebayes_core.wording import span
from ebayes_plugins.analyses._common import copies, curvature, finished, label, not_flat
from ebayes_plugins.analyses._continued import RULES, Learning
from ebayes_plugins.analyses._exponents import local_exponents
from ebayes_plugins.analyses._measured import deposited
from ebayes_plugins.analyses._panels import Arrays, over_points, points, table
from ebayes_plugins.analyses._rebuilt import dataset_of, rebuilt
from ebayes_plugins.analyses._regression import regress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

#: what is regressed on what, logarithms of each; `equal` is the same on the first two choices of axes
AXES = {
    "change": "|Δμ| on σ²",
    "relative": "|Δμ|/|μ| on σ²/|μ|",
    "equal": "|Δμ| on σ², at equal |μ|",
    "release": "|Δμ|/|μ| on p",
}
NUMBERS = ("n", "slope", "low", "high", "r")
SEEDS = ("mean", "over_seeds", "seeds")


class _Layer(NamedTuple):
    """The synapses of a layer that are not flat, (synapses,) each."""

    curved: np.ndarray  #: which of all weights they are, (*shape)
    mu: np.ndarray
    sigma: np.ndarray
    p: np.ndarray  #: release probability, NaN if neither cost nor noise has one

    @classmethod
    def of(cls, run: Run, member: int, layer: int, h: np.ndarray) -> _Layer:
        """From a results file; h: curvatures, 0 where a synapse is flat."""
        known, curved = run.layer_names(member), h > 0
        names = ("mu", "sigma", "release_probability")
        mu, sigma, p = (
            run.layer(member, layer, n)[curved] if n in known else np.full(curved.sum(), np.nan) for n in names
        )
        return cls(curved, mu.astype(float), sigma.astype(float), p.astype(float))


class Change(Analysis):
    """Size of a weight's change against its variance, under four learning rules with sigma held, and in cortex."""

    kind: Literal["change"] = "change"
    layer: int = Field(2, ge=1, le=65, description="layer drawn, counted from 1; the last one of a shallower network")
    steps: int = Field(10, ge=1, le=10_000, description="number of minibatches for which the trained means go on")
    repeats: int = Field(
        100, ge=1, le=10_000, description="number of continuations from the trained means, of which the RMS is taken"
    )
    warm_up: int = Field(
        300,
        ge=1,
        le=100_000,
        description="number of minibatches before, in which the means stay and Adam averages squared gradients",
    )
    size: float = Field(
        1e-6,
        gt=0,
        le=1,
        description="size of a step, which sets the learning rates: what it adds to the loss of an example (nat), to "
        "second order and without correlations",
    )
    near_zero: float = Field(
        0.1,
        gt=0,
        le=10,
        description="synapses with |mu| below this share of the layer's RMS mean are left out where |mu| is used",
    )
    flat_below: float = Field(
        1e-6, ge=0, lt=1, description="synapses with less than this share of their layer's median curvature are flat"
    )
    rows: int = Field(2, ge=1, le=5, description="largest number of sweep points drawn, spread evenly")
    points: int = Field(1500, ge=10, le=100_000, description="largest number of synapses in each panel")

    def measure(self, run: Run) -> Arrays:
        """Per network, layer and rule: the regressions of AXES, the slope that theory predicts, a sample of synapses.

        That on the release probability needs a cost that implies one, and is NaN otherwise. Trains each network again
        for a short while. Raises UserError if no network has sigmas that differ, if weights are not normal, or if the
        data cannot be read.
        """
        members = [i for i in finished(run) if np.ptp(run.layer(i, 1, "sigma")) > 0]
        if not members:
            raise UserError(
                "no network that finished training has sigmas that differ, with which change compares the changes of "
                'the means: use  noise = { kind = "heterogeneous" }'
            )
        arrays = table([panel for i in members for panel in self._panels(run, i)])
        arrays["point"] = np.array(
            [f"{p}: {rule}" for p, rule in zip(points(run, arrays), arrays["rule"], strict=True)]
        )
        for axes in AXES:
            means = over_points(arrays["point"], arrays[f"{axes}_slope"])
            arrays |= {f"{axes}_{name}": values for name, values in zip(SEEDS, means, strict=True)}
        return arrays | cortex() | {"skipped": np.array([run.n_members - len(members)])}

    def _panels(self, run: Run, member: int) -> Iterator[dict[str, Any]]:
        """The numbers of each layer under each rule."""
        learning = self._learning(run, member)
        layers = [_Layer.of(run, member, i, h.numpy()) for i, h in enumerate(learning.curvature, 1)]
        rhos = [float(np.nanmedian(local_exponents(learning.spec, at.sigma, at.mu)[1])) for at in layers]
        for rule, changes in zip(RULES, learning.changes(), strict=True):
            for layer, (at, rho, change) in enumerate(zip(layers, rhos, changes, strict=True), 1):
                yield {
                    "member": member, "layer": layer, "rule": rule.name, "label": label(run, member),
                    "seed": run.seeds[member], "layers": len(layers), "rho": rho, "predicted": rule.slope(rho),
                    "balance": run.layer_metric("balance")[member, layer - 1],
                    **self._fitted(at, change.numpy()[at.curved]),
                }  # fmt: skip

    def _learning(self, run: Run, member: int) -> Learning:
        """A network with its training data, and the curvatures of its synapses, 0 where they are flat."""
        import torch

        spec, dataset, layers = run.member_spec(member), dataset_of(run, [member], self.kind), run.n_layers(member)
        x, y = examples_of(run, [member], dataset, "train")
        flat = [self._curved(curvature(run, member, layer)) for layer in range(1, layers + 1)]
        net, batch = rebuilt(run, member), min(int(spec["training"]["batch_size"]), len(x))
        return Learning(
            net, spec, dataset.task(), x.double(), y.double() if y.is_floating_point() else y,
            [torch.as_tensor(h) for h in flat], [float(n) for n in copies(run)[member, :layers]], batch,
            self.steps, self.repeats, self.warm_up, self.size, int(run.seeds[member]),
        )  # fmt: skip

    def _curved(self, h: np.ndarray) -> np.ndarray:
        h = np.where(np.isfinite(h) & (h > 0), h, 0.0).astype(float)
        steep = h > 0
        steep[steep] = not_flat(h[steep], self.flat_below)
        return np.where(steep, h, 0.0)

    def _fitted(self, at: _Layer, change: np.ndarray) -> dict[str, Any]:
        """The regressions of the synapses of a layer that moved, and a sample of them; change: (synapses,)."""
        moved = np.isfinite(change) & (change > 0)
        size, variance, p, change = np.abs(at.mu[moved]), at.sigma[moved] ** 2, at.p[moved], change[moved]
        large = size > self.near_zero * np.sqrt((size**2).mean()) if len(size) else moved[moved]
        keep = np.random.default_rng(0).permutation(len(change))[: self.points]
        numbers = fits(size, variance, change, p, large)
        return {**numbers, "variance": variance[keep], "moved": change[keep], "left_out": int((~moved).sum())}

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per network, layer and rule, and in cortex: the slopes of the changes with their intervals."""
        columns: Arrays = {
            "source": np.append(arrays["label"], "cortex (Sjöström et al. 2001)"),
            "layer": np.append(arrays["layer"].astype(str), "-"), "rule": np.append(arrays["rule"], "-"),
            f"predicted, {AXES['equal']}": np.append(arrays["predicted"], np.nan),
        }  # fmt: skip
        for axes, heading in AXES.items():
            joined = {name: np.append(arrays[f"{axes}_{name}"], arrays[f"cortex_{axes}_{name}"]) for name in NUMBERS}
            columns |= {
                heading: joined["slope"], f"95%, {heading}": _intervals(joined["low"], joined["high"]),
                f"± (seeds), {heading}": np.append(arrays[f"{axes}_over_seeds"], np.nan),
            }  # fmt: skip
        return columns

    def headline(self, arrays: Arrays) -> str:
        """Which rules' slopes lie within the interval of cortex, on the experiment's axes and at equal mean."""
        parts = [f"{AXES[axes]}: {_compared(arrays, axes)}" for axes in ("relative", "equal")]
        return f"Slopes of the logarithms, {'; '.join(parts)}."

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """Rules in columns: synapses of a layer for each sweep point; below, synapses in cortex, and all slopes."""
        from ebayes_plugins.analyses import _change_figure

        _change_figure.draw(arrays, figure, self.layer, self.rows)


def fits(
    size: np.ndarray, variance: np.ndarray, change: np.ndarray, release: np.ndarray, large: np.ndarray | None = None
) -> dict[str, Any]:
    """The regressions of AXES, with natural logarithms, (n,) each.

    release: release probability, or NaN. large: which synapses are used where |mu| is.
    """
    k = np.ones(len(size), bool) if large is None else large
    m, v, d, p = (np.log(values) for values in (size, variance, change, release))
    found = {
        "change": regress(v, d), "relative": regress(v[k] - m[k], d[k] - m[k]), "equal": regress(v[k], d[k], m[k]),
        "release": regress(*(values[k & np.isfinite(p)] for values in (p, d - m))),
    }  # fmt: skip
    return {f"{axes}_{name}": fit[name] for axes, fit in found.items() for name in NUMBERS}


def cortex() -> Arrays:
    """The same of synapses in layer 5 of V1, before and after plasticity was induced; per release site, in mV.

    mu = p q and sigma^2 = p (1 - p) q^2 of a single site: the number of sites is unknown, and leaves the slopes as they
    are if it is the same for all pairs.
    """
    t = deposited("plasticity.csv")
    before, after = (t[f"p_{when}"] * t[f"q_{when}_mv"] for when in ("before", "after"))
    variance, change = before * (1 - t["p_before"]) * t["q_before_mv"], np.abs(after - before)
    found = {name: np.array([value]) for name, value in fits(before, variance, change, t["p_before"]).items()}
    known = {"size": before, "variance": variance, "moved": change}
    return {f"cortex_{name}": values for name, values in (found | known).items()}


def agrees(arrays: Arrays, axes: str, rule: str) -> np.ndarray:
    """Which networks and layers have a slope under this rule that lies within the interval of the slope in cortex."""
    slopes = arrays[f"{axes}_slope"][arrays["rule"] == rule]
    low, high = (arrays[f"cortex_{axes}_{end}"][0] for end in ("low", "high"))
    return np.asarray((slopes >= low) & (slopes <= high))


def _compared(arrays: Arrays, axes: str) -> str:
    """The slope in cortex with its interval, and that of each rule with how many of its layers lie within."""
    slope, low, high = (arrays[f"cortex_{axes}_{name}"][0] for name in ("slope", "low", "high"))
    rules = []
    for rule in dict.fromkeys(arrays["rule"].tolist()):
        within = agrees(arrays, axes, rule)
        found = span(arrays[f"{axes}_slope"][arrays["rule"] == rule])
        rules.append(f"{rule} {found} ({within.sum()} of {len(within)} within)")
    return f"in cortex {slope:.2f} ({low:.2f} to {high:.2f}), in the networks' layers {', '.join(rules)}"


def _intervals(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.array([f"{a:.2f} to {b:.2f}" for a, b in zip(low, high, strict=True)])
