"""Two synapses at equal reliability cost: noise adds least to the loss where curvature is low (Fig. 4)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack

import numpy as np
from pydantic import Field

from ebayes_core.contract.claim import Claim, Measured
from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_core.report.canvas import spread
from ebayes_core.trained.data import examples_of
from ebayes_plugins.analyses._colours import colours
from ebayes_plugins.analyses._common import NOISE, exponent, finished, label, mechanism, offering
from ebayes_plugins.analyses._intervals import Why, by_ratio
from ebayes_plugins.analyses._layout import ROWS, counted
from ebayes_plugins.analyses._pair_panels import curves, finished_off, ratios, row
from ebayes_plugins.analyses._pair_words import finding, notes
from ebayes_plugins.analyses._pairs import (
    Surface,
    behind,
    pair_ratios,
    price_of,
    quadratic_cost,
    quadratic_pair,
    shared_sigma,
)
from ebayes_plugins.analyses._rebuilt import dataset_of, rebuilt
from ebayes_plugins.analyses._titles import page, titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from ebayes_core.contract.slots import Network
    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]
GRID, RESAMPLES = 21, 1000
STEEPNESS = np.logspace(0, 5, 21)  #: H11 / H22 along the exact curve
REACH = 2.5  #: half width of the surface, in units of the largest sigma
STEEPEST, FLATTEST = 90, 30  #: percentiles of curvature between which no synapse of a far pair lies


def _over_seeds(a: Arrays, ratios: np.ndarray, **why: Unpack[Why]) -> Iterator[Measured]:
    """The ratio of each mechanism, a geometric mean over seeds: pairs of one network share its weights."""
    for name in dict.fromkeys(a["mechanism"].tolist()):
        yield by_ratio(str(name), np.log(ratios[a["mechanism"] == name]), **why)


def _exact(analysis: TwoSynapses, a: Arrays) -> Iterator[Measured]:
    own, shared = a["quadratic_performance"].T
    yield from _over_seeds(a, own / shared, because="a formula of rho and of H11 / H22 alone")


def _sampled(analysis: TwoSynapses, a: Arrays) -> Iterator[Measured]:
    yield from _over_seeds(a, a["ratio"])


def _median(which: str, analysis: TwoSynapses, a: Arrays) -> Iterator[Measured]:
    yield from _over_seeds(a, np.median(a[which], axis=1))


HALF = (-np.inf, 0.5)  #: "much lower" is interpreted as less than half
STATEMENT = "at equal reliability cost heterogeneous noise has a much lower performance cost"
CLAIMS = tuple(
    Claim(8, f"{STATEMENT}: {which}", f"{what} heterogeneous / homogeneous", HALF, measure, history=("before", "after"))
    for which, what, measure in (
        ("a synapse of high and one of low curvature, quadratic model", "added loss", _exact),
        ("a synapse of high and one of low curvature of the network", "added loss", _sampled),
        (
            "one of the highest and one of the lowest curvatures, at random",
            "median added loss",
            partial(_median, "far"),
        ),
        ("any two synapses, at random", "median added loss", partial(_median, "any")),
    )
)


class TwoSynapses(Analysis):
    """Loss added by noise on a synapse of high and one of low curvature, with two sigmas or one, at equal reliability
    cost.
    """

    kind: Literal["two_synapses"] = "two_synapses"
    claims: ClassVar[tuple[Claim, ...]] = CLAIMS
    layer: int = Field(
        2, ge=1, le=65, description="layer of the pair, counted from 1; the last layer of a shallower network"
    )
    steep: float = Field(95.0, gt=50, le=100, description="percentile of the curvature of the first synapse")
    flat: float = Field(20.0, ge=0, lt=50, description="percentile of the curvature of the second synapse")
    steepness: float = Field(100.0, gt=1, le=1e9, description="H11 / H22 of the pair in the quadratic model")
    examples: int = Field(2000, ge=1, description="largest number of training examples, drawn at random, for the loss")
    samples: int = Field(200, ge=2, le=100_000, description="number of samples of the noise for the expected loss")
    pairs: int = Field(500, ge=2, le=100_000, description="number of random pairs of the layer")
    rows: int = Field(
        4, ge=1, le=ROWS - 1, description="largest number of networks drawn, spread evenly over the sweep"
    )

    def measure(self, run: Run) -> Arrays:
        """Per network: the pair with its loss surface, samples and costs; the quadratic pair; ratios for random pairs.

        Losses in nat, summed over the data set. Reads the training set again. Raises UserError if no network has sigmas
        that differ, or the data set cannot be read.
        """
        members = [i for i in finished(run) if np.ptp(run.layer(i, self._layer(run, i), "sigma")) > 0]
        if not members:
            raise UserError(
                'two_synapses needs a network with  noise = { kind = "heterogeneous" }  that did not diverge; set it '
                "in the spec"
            )
        members = offering(run, members, "gauss_newton_noise")
        data = self._data(run, members)
        panels = [self._panel(run, i, data) for i in members]
        return {name: np.array([panel[name] for panel in panels]) for name in panels[0]}

    def _layer(self, run: Run, member: int) -> int:
        return min(self.layer, run.n_layers(member))

    def _data(self, run: Run, members: list[int]) -> tuple[Any, ...]:
        """The task, some training examples, and the size of the data set."""
        dataset = dataset_of(run, members, self.kind)
        try:
            x, y = examples_of(run, members, dataset, "train")
        except UserError as error:
            raise UserError(f"two_synapses evaluates networks on the training set again: {error}") from error
        keep = np.random.default_rng(0).permutation(len(x))[: self.examples]
        y = y.double() if y.is_floating_point() else y  # in single precision the loss would round off what noise adds
        return dataset.task(), x[keep].double(), y[keep], len(x)

    def _panel(self, run: Run, member: int, data: tuple[Any, ...]) -> dict[str, Any]:
        """The numbers of one network."""
        layer, spec = self._layer(run, member), run.member_spec(member)
        h, sigma, mu, where = _curved(run, member, layer)
        pair, price = np.array([_nearest(h, self.steep), _nearest(h, self.flat)]), price_of(spec)
        shared = shared_sigma(price, sigma[pair], mu[pair])
        net = rebuilt(run, member)
        _drawn_once(net.network, layer, *data[:2])
        task, x, y, total = data
        network, mean, x = behind(net.network, net.mu, x, layer - 1)
        surface = Surface(network, mean, len(mean) - len(net.mu) + layer - 1, where[pair])
        quadratic = quadratic_pair(spec, np.array([self.steepness, 1.0]))
        return {
            "member": member, "label": label(run, member),
            "mechanism": ", ".join(mechanism(run, member, NOISE)), "seed": run.seeds[member], "rho": exponent(spec),
            "balance": run.layer_metric("balance")[member, layer - 1], "layer": layer, "synapse": where[pair],
            "h": h[pair], "sigma": sigma[pair], "shared": shared,
            "price": np.array([price(s, mu[pair]).sum() for s in (sigma[pair], np.full(2, shared))]),
            "estimate": quadratic_cost(h[pair], sigma[pair]) / quadratic_cost(h[pair], shared),
            **self._real(surface, sigma[pair], float(shared), (task, x, y, total)),
            **{f"quadratic_{name}": value for name, value in quadratic.items()},
            "steepness": STEEPNESS, "curve": _steeper(spec),
            **{name: pair_ratios(h, sigma, mu, price, drawn) for name, drawn in self._drawn(h).items()},
        }  # fmt: skip

    def _real(self, surface: Surface, sigma: np.ndarray, shared: float, data: tuple[Any, ...]) -> dict[str, Any]:
        """Added loss over the plane of two weights, and for noisy pairs (noise mode, samples) that share their xi."""
        ends = REACH * max(sigma.max(), shared)
        at = np.linspace(-ends, ends, GRID)
        least = surface(np.zeros((1, 2)), data)[0]
        plane = surface(np.stack(np.meshgrid(at, at, indexing="ij"), -1).reshape(-1, 2), data) - least
        half = np.random.default_rng(0).standard_normal((-(-self.samples // 2), 2))
        xi = np.concatenate([half, -half])  # antithetic: the contribution of the gradient cancels
        extra = np.stack([surface(xi * s, data) - least for s in (sigma, shared)])
        ratio, interval = _ratio(extra.reshape(2, 2, -1).mean(1))
        return {"at": at, "plane": plane.reshape(GRID, GRID), "xi": xi, "extra": extra, "ratio": ratio,
                "interval": interval}  # fmt: skip

    def _drawn(self, h: np.ndarray) -> dict[str, np.ndarray]:
        """Random pairs of synapses, (pairs, 2): any two, and one of high with one of low curvature."""
        random = np.random.default_rng(0)
        steepest, flattest = (np.flatnonzero(mine) for mine in (
            h >= np.percentile(h, STEEPEST), h <= np.percentile(h, FLATTEST)))  # fmt: skip
        far = [random.choice(group, self.pairs) for group in (steepest, flattest)]
        return {"any": random.integers(len(h), size=(self.pairs, 2)), "far": np.stack(far, -1)}

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per network the pair, and added loss heterogeneous / homogeneous: exact, sampled, and for random pairs."""
        steep, flat = (arrays["sigma"][:, k] for k in (0, 1))
        own, one = arrays["quadratic_performance"].T
        with np.errstate(invalid="ignore"):
            limit = 2.0 ** (-2 / arrays["rho"])  # limit for the quadratic pair as H11 / H22 grows
        return {
            "network": arrays["label"], "H11 / H22": arrays["h"][:, 0] / arrays["h"][:, 1], "sigma 1 (weight)": steep,
            "sigma 2 (weight)": flat, "shared (weight)": arrays["shared"],
            "ratio": arrays["ratio"], "low": arrays["interval"][:, 0], "high": arrays["interval"][:, 1],
            "from H": arrays["estimate"], "quadratic": own / one, "its limit": limit,
            "far pairs": np.median(arrays["far"], axis=1), "any pair": np.median(arrays["any"], axis=1),
            "B": arrays["balance"],
        }  # fmt: skip

    def headline(self, arrays: Arrays) -> str:
        """How many times the loss of equal noise the matched noise adds."""
        return finding(arrays)

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """The quadratic pair in the first row, then a row per network, for the first seed."""
        first = np.flatnonzero(arrays["seed"] == arrays["seed"][0]).tolist()
        shown, named = spread(first, self.rows), arrays.get("mechanism", arrays["label"])
        known = colours(named, arrays["rho"])
        tones = {i: known[str(named[i])] for i in shown}
        axes = page(figure, len(shown) + 1, 5, 1.5)
        row(axes[0], {**_quadratic(arrays, shown[0]), "tone": tones[shown[0]]})
        curves(axes[0, 4], arrays, shown, tones)
        for panels, i in zip(axes[1:], shown, strict=True):
            row(panels, {**_network(arrays, i), "tone": tones[i]})
            ratios(panels[4], arrays, i, tones[i])
        left_out = counted(networks=(len(shown), len(arrays["seed"])))
        finished_off(figure, axes, *notes(arrays, shown), left_out)
        titled(figure, finding(arrays))


def _steeper(spec: dict[str, Any]) -> np.ndarray:
    """Added loss heterogeneous / homogeneous of the quadratic pair, for each steepness."""
    own, shared = quadratic_pair(spec, np.stack([STEEPNESS, np.ones(len(STEEPNESS))], -1))["performance"].T
    return np.asarray(own / shared)


def _drawn_once(network: Network, layer: int, task: Any, x: Tensor) -> None:
    """Raise UserError if a weight of the layer has several draws for an example: two numbers do not move it."""
    draws = network.draws(tuple(x.shape[1:]), task.shape)[layer - 1]
    if draws > 1:
        raise UserError(
            f"two_synapses moves two weights of layer {layer}, which '{network.kind}' draws {draws} times for each "
            "example; choose a layer that is drawn once"
        )


def _curved(run: Run, member: int, layer: int) -> tuple[np.ndarray, ...]:
    """Curvature summed over the data set, sigma and mu of the synapses that are not flat, and their indices."""
    h, sigma, mu = (
        run.layer(member, layer, name).astype(float).ravel() for name in ("gauss_newton_noise", "sigma", "mu")
    )
    where = np.flatnonzero(np.isfinite(h) & (h > 0))
    if len(where) < 2:
        raise UserError(
            f"layer {layer} of network {member} has fewer than two synapses that are not flat: choose another"
        )
    return run.metric("n_examples")[member] * h[where], sigma[where], mu[where], where


def _nearest(h: np.ndarray, percentile: float) -> int:
    """The synapse whose curvature is nearest to a percentile of its layer."""
    return int(np.abs(np.log(h) - np.log(np.percentile(h, percentile))).argmin())


def _ratio(extra: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean of the first row over mean of the second, with a 95% bootstrap interval; extra (2, samples).

    NaN unless the second is significantly positive: if the mean weights are not a minimum with respect to these two,
    noise on them may not increase the loss, and the ratio has no meaning.
    """
    index = np.random.default_rng(0).integers(extra.shape[1], size=(RESAMPLES, extra.shape[1]))
    own, shared = extra[:, index].mean(-1)
    if np.percentile(shared, 2.5) <= 0:
        return np.nan, np.full(2, np.nan)
    return float(extra[0].mean() / extra[1].mean()), np.percentile(own / shared, [2.5, 97.5])


def _quadratic(a: Arrays, i: int) -> dict[str, Any]:
    """The quadratic pair as a row of panels; its loss is known in closed form."""
    h, sigma, shared = (a[f"quadratic_{name}"][i] for name in ("h", "sigma", "shared"))
    at = np.linspace(-1, 1, GRID) * REACH * sigma.max()
    plane = 0.5 * (h[0] * at[:, None] ** 2 + h[1] * at[None, :] ** 2)
    ratio = np.divide(*a["quadratic_performance"][i])
    return {"h": h, "sigma": sigma, "shared": shared, "at": at, "plane": plane, "xi": a["xi"][i], "ratio": ratio,
            "interval": (ratio, ratio), "price": a["quadratic_price"][i], "rho": a["rho"][i],
            "title": "quadratic model", "beside": f"{_exponent(a, i)}curvatures {h[0] / h[1]:g} : 1",
            "performance": a["quadratic_performance"][i]}  # fmt: skip


def _network(a: Arrays, i: int) -> dict[str, Any]:
    """The pair of one network as a row of panels."""
    names = ("h", "sigma", "shared", "at", "plane", "xi", "ratio", "interval", "price", "rho")
    beside = f"{_exponent(a, i)}layer {a['layer'][i]}, B {a['balance'][i]:.1g}"
    return {**{name: a[name][i] for name in names}, "title": str(a["label"][i]), "beside": beside,
            "performance": a["extra"][i].mean(1)}  # fmt: skip


def _exponent(a: Arrays, i: int) -> str:
    return f"ρ = {a['rho'][i]:.2g}, " if np.isfinite(a["rho"][i]) else ""
