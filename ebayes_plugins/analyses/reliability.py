"""Reliability: which synapses may be noisy, and how much energy that saves at the same expected loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_core.report.canvas import spread
from ebayes_core.wording import span
from ebayes_plugins.analyses._common import copies, curvature, finished, label
from ebayes_plugins.analyses._layout import counted, heading
from ebayes_plugins.analyses._pairs import price_of
from ebayes_plugins.analyses._titles import counts, key, page, small, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]
EDGES = np.linspace(-3.0, 3.0, 61)  #: of the histogram of log10(sigma / |mu|); its ends hold what lies beyond
WHOLE = 0  #: the number of the whole network among its layers
COMMON = ("edges", "skipped")  #: arrays that do not belong to a network and layer
SCORES = ("accuracy", "rmse")


class Synapses(NamedTuple):
    """The synapses of a layer or of a network, (synapses,) each."""

    mu: np.ndarray
    sigma: np.ndarray
    h: np.ndarray  #: curvature of the loss summed over the training set, N E[H] (nat / weight^2)
    times: np.ndarray  #: how many synapses pay with this mean and sigma


class Reliability(Analysis):
    """Distribution of sigma / |mu| by layer, and the energy of the sigmas beside that of one sigma for all."""

    kind: Literal["reliability"] = "reliability"
    columns: int = Field(5, ge=1, le=12, description="largest number of networks drawn, spread evenly")

    def measure(self, run: Run) -> Arrays:
        """Per network and layer (0 is the whole network): sigma / |mu|, the loss that noise adds, and energies.

        Flat synapses are left out, since any sigma would do for them. The loss that noise adds is that of its quadratic
        expansion, sum h sigma^2 / 2. Raises UserError if no network has noise.
        """
        members = [i for i in finished(run) if np.isfinite(run.metric("reliability_cost")[i])]
        if not members:
            raise UserError("no network that finished training has noise, of which reliability shows the energy")
        rows = [row for member in members for row in self._rows(run, member)]
        skipped = np.array([run.n_members - len(members)])
        return {name: np.array([row[name] for row in rows]) for name in rows[0]} | {"edges": EDGES, "skipped": skipped}

    def _rows(self, run: Run, member: int) -> list[dict[str, Any]]:
        """The whole network, then each of its layers."""
        layers = [_synapses(run, member, layer) for layer in range(1, run.n_layers(member) + 1)]
        whole = Synapses(*(np.concatenate(parts) for parts in zip(*layers, strict=True)))
        price = price_of(run.member_spec(member))
        about = {"member": member, "label": label(run, member), "balance": run.metric("balance")[member]}
        about |= {f"score_{at}": _score(run, member, at) for at in ("mean", "sample")}
        return [{**about, "layer": i, **_numbers(s, price)} for i, s in enumerate([whole, *layers])]

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per network and layer: how noisy synapses are, the loss that adds, and the energy with one sigma for all."""
        layer = np.where(arrays["layer"] == WHOLE, "all", arrays["layer"].astype(str))
        named = {
            "n": "n", "median sigma/|mu|": "median_ratio", "share sigma > |mu|": "share_noisy",
            "added loss (nat)": "added_loss", "energy (nat)": "energy", "energy with one sigma (nat)": "energy_common",
            "times as much": "factor", "score mean": "score_mean", "score sample": "score_sample", "B": "balance",
        }  # fmt: skip
        return {"network": arrays["label"], "layer": layer, **{title: arrays[name] for title, name in named.items()}}

    def headline(self, arrays: Arrays) -> str:
        """The share of synapses that may vary by more than their mean, and what one sigma for all would cost."""
        whole = arrays["layer"] == WHOLE
        share, factor = 100 * arrays["share_noisy"][whole], arrays["factor"][whole]
        of = "the network" if whole.sum() == 1 else f"{whole.sum()} networks"
        return (
            f"{span(share)}% of the synapses of {of} vary by more than their mean; at the same expected loss, one "
            f"sigma for all synapses would cost {span(factor)} times the energy."
        )

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """Networks in columns: above, the distribution of sigma / |mu| in each layer; below, the energies compared."""
        members = list(dict.fromkeys(arrays["member"].tolist()))
        shown = spread(members, self.columns)
        axes = page(figure, 2, len(shown), 1.9, 1.0)
        for column, member in enumerate(shown):
            mine = {
                name: v[arrays["member"] == member] for name, v in arrays.items() if name not in ("edges", "skipped")
            }
            _distribution(axes[0, column], mine, arrays["edges"])
            _energies(axes[1, column], mine)
        axes[0, 0].set_ylabel("share of synapses")
        axes[1, 0].set_ylabel("energy, one σ / own")
        small(figure)
        handles, _ = axes[0, 0].get_legend_handles_labels()
        words = (*_notes(arrays), counted(networks=(len(shown), len(members))))
        key(figure, handles, *words, ncols=min(3 * len(shown), max(len(handles), 1)))
        titled(figure, self.headline(arrays))


def _notes(arrays: Arrays) -> list[str]:
    """What is drawn, of how many synapses, and how far the noise is from its optimum."""
    whole = arrays["layer"] == WHOLE
    return [
        f"{counts(arrays['n'][whole], 'synapse')} per network, without those that do not affect the loss. Above: share "
        "of synapses with a smaller ratio of noise to mean; dotted: as large as the mean. Below: energy with one sigma "
        "for the layer, or for all, that adds the same loss, over the energy of the synapses' own.",
        f"Balance (1 at the optimum): {span(arrays['balance'][whole])}.",
    ]


def _synapses(run: Run, member: int, layer: int) -> Synapses:
    """The synapses of a layer that are not flat, in double precision."""
    mu, sigma, h = (
        np.asarray(values, dtype=np.float64).ravel()
        for values in (run.layer(member, layer, "mu"), run.layer(member, layer, "sigma"), curvature(run, member, layer))
    )
    times, curved = np.full(mu.shape, copies(run)[member, layer - 1]), (h > 0) & np.isfinite(h)
    return Synapses(mu[curved], sigma[curved], run.metric("n_examples")[member] * h[curved], times[curved])


def _numbers(s: Synapses, price: Any) -> dict[str, Any]:
    """What is stored of a layer or a network."""
    ratio = np.log10(s.sigma) - np.log10(np.maximum(np.abs(s.mu), 1e-300))
    energy, common = _energy(s, s.sigma, price), _energy(s, np.full_like(s.sigma, common_sigma(s)), price)
    n = len(ratio)
    shares = np.histogram(np.clip(ratio, EDGES[0], EDGES[-1]), EDGES)[0] / max(n, 1)
    return {
        "n": n, "median_ratio": 10 ** np.median(ratio) if n else np.nan,
        "share_noisy": (ratio > 0).mean() if n else np.nan, "added_loss": 0.5 * float(s.h @ s.sigma**2),
        "energy": energy, "energy_common": common, "factor": common / energy if n else np.nan, "shares": shares,
    }  # fmt: skip


def common_sigma(s: Synapses) -> float:
    """The one sigma that adds the same expected loss as those of the synapses: the mean of sigma^2, weighted by h."""
    return float(np.sqrt(s.h @ s.sigma**2 / s.h.sum())) if len(s.h) else np.nan


def _energy(s: Synapses, sigma: np.ndarray, price: Any) -> float:
    """Reliability cost, summed over the synapses (nat)."""
    return float(s.times @ price(sigma, s.mu))


def _score(run: Run, member: int, at: str) -> float:
    """Accuracy, or the error of a regression; NaN if the network has neither."""
    known = [run.metric(f"{name}_{at}")[member] for name in SCORES if f"{name}_{at}" in run.metrics]
    return next((float(value) for value in known if np.isfinite(value)), np.nan)


def _distribution(ax: Axes, mine: Arrays, edges: np.ndarray) -> None:
    """A cumulative line for each layer, since some have few synapses; beyond the dotted line, sigma exceeds |mu|."""
    for number, (layer, shares) in enumerate(zip(mine["layer"], mine["shares"], strict=True)):
        if layer != WHOLE:
            below = np.concatenate([[0.0], np.cumsum(shares)])
            ax.plot(10**edges, below, color=f"C{number - 1}", label=f"layer {layer}", linewidth=1.2)
    ax.axvline(1.0, color="0.4", linewidth=0.8, linestyle=":")
    ax.set(xscale="log", xlabel="σ / |μ|")
    scores = f"score {mine['score_mean'][0]:.3g},\nnoisy {mine['score_sample'][0]:.3g}"
    ax.set_title(f"{heading(str(mine['label'][0]), 34)}\n{scores}")


def _energies(ax: Axes, mine: Arrays) -> None:
    """A bar for the network, one for each layer with a sigma of its own, and a line at equality."""
    names = ["all" if layer == WHOLE else str(layer) for layer in mine["layer"]]
    colours = ["0.6", *(f"C{i}" for i in range(len(names) - 1))]
    bars = ax.bar(names, mine["factor"], color=colours)
    ax.bar_label(bars, fmt="%.3g", fontsize=6.5)
    ax.axhline(1.0, color="0.4", linewidth=0.8, linestyle=":")
    most = np.nanmax(mine["factor"], initial=1.0)
    ax.set(xlabel="layer with one σ", yscale="log" if most > 20 else "linear")
    ax.margins(y=0.2)
