"""Predictive distributions under energies compared with those of variational Bayes (Appendix 4, figure 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.claim import Claim
from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_core.report.canvas import spread
from ebayes_core.trained.data import examples_of
from ebayes_plugins.analyses._colours import colour
from ebayes_plugins.analyses._common import exponent, finished, multiplier
from ebayes_plugins.analyses._gaussian import calibration, places, similarity, transport
from ebayes_plugins.analyses._layout import COLUMNS, ROWS, counted, few_ticks
from ebayes_plugins.analyses._predictive_claims import CLAIMS, by_value
from ebayes_plugins.analyses._predictive_words import finding, notes
from ebayes_plugins.analyses._rebuilt import dataset_of, rebuilt
from ebayes_plugins.analyses._titles import key, page, small, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]
BAYES = "0.3"  #: colour of variational Bayes
GRID = 241  #: number of points of x


class Predictive(Analysis):
    """Predictive distributions of variational Bayes and of energies, over rho and c, for a function of one variable."""

    kind: Literal["predictive"] = "predictive"
    claims: ClassVar[tuple[Claim, ...]] = CLAIMS
    samples: int = Field(
        400, ge=2, le=100_000, description="number of sampled networks for the predictive mean and s.d."
    )
    reach: float = Field(
        0.25, ge=0, le=2, description="how far x extends beyond the data on either side, as a share of their range"
    )

    def measure(self, run: Run) -> Arrays:
        """Data; per network predictive mean and s.d. over x, and fit, widths, calibration, divergence from VI, slack.

        Widths are those of the noisy network's output; calibration and divergence include the observation noise. Raises
        UserError without a variational_bayes network, without energies to compare, or if x is not a single number.
        """
        members = _members(run)
        data = self._data(run, members)
        panels = [self._panel(run, i, data) for i in members]
        arrays = {name: np.array([panel[name] for panel in panels]) for name in panels[0]}
        by = "s" if len(np.unique(arrays["s"])) <= len(np.unique(arrays["c"])) else "c"
        kept = {name: data[name] for name in ("x", "x_train", "y_train", "x_test", "y_test", "f", "noise_sd")}
        prices = {
            "price": arrays[by],
            "priced_by": np.array([by]),
            "left_out": np.array([run.n_members - len(members)]),
        }
        return {**kept, **arrays, **prices, **_compared(arrays, data)}

    def _data(self, run: Run, members: list[int]) -> dict[str, Any]:
        """Training and held-out points, x that extends beyond them, the noise-free function, the task."""
        dataset = dataset_of(run, members, self.kind)
        (x, y), (x_test, y_test) = (examples_of(run, members, dataset, split) for split in ("train", "test"))
        task = dataset.task()
        if not hasattr(task, "noise_sd") or x.shape[1] != 1 or task.outputs != 1:
            raise UserError(
                f"predictive draws a function of one variable, which '{dataset.kind}' is not: "
                'set  dataset = { kind = "cubic" }  in the spec'
            )
        flat = {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}
        points = {name: values.double().numpy()[:, 0] for name, values in flat.items()}
        beyond = self.reach * np.ptp(points["x_train"])
        at = np.linspace(points["x_train"].min() - beyond, points["x_train"].max() + beyond, GRID)
        known = dataset.f(at) if hasattr(dataset, "f") else np.full(GRID, np.nan)
        return {**points, "x": at, "f": known, "noise_sd": np.array([task.noise_sd])}

    def _panel(self, run: Run, member: int, data: dict[str, Any]) -> dict[str, Any]:
        """The numbers of one network."""
        import torch

        spec = run.member_spec(member)
        column = lambda name: torch.as_tensor(data[name])[:, None]
        mean, sd = self._moments(run, member, torch.cat([column("x"), column("x_test")]))
        total = np.hypot(sd, data["noise_sd"])
        where = places(data["x"], data["x_train"])
        rho, c = exponent(spec), multiplier(spec)
        known = {name: float(run.metric(name)[member]) for name in ("slack", "elbo", "bound", "balance")}
        return {
            "member": member, "seed": run.seeds[member], "rho": rho, "c": c if np.isfinite(rho) else np.nan,
            "s": float(f"{(c * rho) ** (1 / rho):.6g}"), "mean": mean[:GRID], "sd": sd[:GRID], "sd_y": total[:GRID],
            "fit": _rms((mean[:GRID] - data["f"])[~where["beyond"]]),
            **{f"width_{name}": sd[:GRID][mine].mean() if mine.any() else np.nan for name, mine in where.items()},
            **calibration(data["y_test"], mean[GRID:], total[GRID:]), **known,
            "synapses": sum(run.layer(member, k + 1, "mu").size for k in range(run.n_layers(member))),
        }  # fmt: skip

    def _moments(self, run: Run, member: int, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and s.d. of the noisy network's output at x (points, 1); all networks share their noise."""
        import torch

        net = rebuilt(run, member)
        draws = net.network.draws(tuple(x.shape[1:]), (1,))
        outputs = net.network.forward(net.weights(net.xi(self.samples, draws, torch.Generator().manual_seed(0))), x)[
            ..., 0
        ]
        return outputs.mean(0).numpy(), outputs.std(0).numpy()

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per network: fit, widths near and away from the data, calibration, divergence from VI, slack, balance."""
        named = {
            "rho": "rho", "c": "c", "s": "s", "seed": "seed", "RMSE to f (target)": "fit",
            "width near (target)": "width_near", "in gaps (target)": "width_gap", "beyond (target)": "width_beyond",
            "in 2 s.d.": "covered", "log density": "log_density",
            "KL to VI": "divergence", "W2 to VI": "transport", "B": "balance",
        }  # fmt: skip
        return {heading: arrays[name] for heading, name in named.items()} | {
            "slack / synapse": arrays["slack"] / arrays["synapses"]
        }

    def headline(self, arrays: Arrays) -> str:
        """How near the energies come to variational Bayes, at their best price."""
        return finding(arrays)

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """VI and widths above; below, rho to the right and the multiplier downwards; for the first seed."""
        known = {name: np.unique(arrays[name][np.isfinite(arrays["rho"])]) for name in ("rho", "price")}
        rhos, prices = spread(known["rho"].tolist(), COLUMNS), spread(known["price"].tolist(), ROWS - 1)
        axes = page(figure, len(prices) + 1, max(len(rhos), 2), 1.4)
        first = arrays["seed"] == arrays["seed"][0]
        bayes, widths = _above(figure, axes[0])
        _band(bayes, arrays, int(np.flatnonzero(first & ~np.isfinite(arrays["rho"]))[0]))
        bayes.set_title("variational Bayes")
        _widths(widths, arrays, first, rhos)
        for (row, column), ax in np.ndenumerate(axes[1:]):
            mine = first & (arrays["rho"] == rhos[column % len(rhos)]) & (arrays["price"] == prices[row])
            if column < len(rhos) and mine.any():
                _band(ax, arrays, int(np.flatnonzero(mine)[0]))
                ax.set_title(
                    f"rho = {rhos[column]:.2g}, {arrays['priced_by'][0]} = {prices[row]:.2g}".replace("rho", "ρ")
                )
                ax.set(xlabel="x" if row == len(prices) - 1 else "", ylabel="" if column else "y")
            else:
                figure.delaxes(ax)
        small(figure)
        exponents, price = (len(rhos), len(known["rho"])), (len(prices), len(known["price"]))
        seeds = (1, len(set(arrays["seed"].tolist())))
        left_out = counted(**{"rho": exponents, str(arrays["priced_by"][0]): price, "seeds": seeds})
        key(figure, bayes.get_legend_handles_labels()[0], *notes(arrays), left_out, ncols=5)
        titled(figure, finding(arrays))


def _members(run: Run) -> list[int]:
    """Networks that did not diverge: variational Bayes first, then power laws, by multiplier within rho."""
    done = finished(run)
    bayes = [i for i in done if run.member_spec(i)["inference"]["kind"] == "variational_bayes"]
    energy = [i for i in done if np.isfinite(exponent(run.member_spec(i)))]
    if not bayes:
        raise UserError(
            'predictive has no posterior to compare with: add  { kind = "variational_bayes" }  to the sweep over '
            "inference, and make sure that its network does not diverge"
        )
    if not energy:
        raise UserError(
            "predictive has no energy to compare with: sweep  cost  over mechanisms, with energy_efficient inference"
        )
    return bayes + energy


def _compared(arrays: Arrays, data: dict[str, Any]) -> Arrays:
    """Divergence (within the data's range) and transport (over all x) from VI of the same seed, and between seeds."""
    bayes = np.flatnonzero(~np.isfinite(arrays["rho"])).tolist()
    by_seed = {int(arrays["seed"][i]): i for i in bayes}
    inside = ~places(data["x"], data["x_train"])["beyond"]

    def between(i: int, j: int) -> tuple[float, float]:
        pair = [arrays[name][k] for k in (i, j) for name in ("mean", "sd_y")]
        return float(similarity(*pair)[inside].mean()), float(_rms(transport(*pair)))

    found = [between(i, by_seed.get(int(seed), bayes[0])) for i, seed in enumerate(arrays["seed"])]
    pairs = [between(i, j)[0] for n, i in enumerate(bayes) for j in bayes[n + 1 :]]
    return {**dict(zip(("divergence", "transport"), np.array(found).T, strict=True)), "between_seeds": np.array(pairs)}


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def _above(figure: Figure, axes: np.ndarray) -> tuple[Axes, Axes]:
    """Two wide panels instead of the first row."""
    places, half = axes[0].get_gridspec(), len(axes) // 2
    for ax in axes:
        figure.delaxes(ax)
    return figure.add_subplot(places[0, :half]), figure.add_subplot(places[0, half:])


def _tone(rho: float) -> Any:
    """Colour of an energy; dark grey for variational Bayes, to which all are compared."""
    return BAYES if np.isnan(rho) else colour(rho)


def _band(ax: Axes, a: Arrays, i: int) -> None:
    """One predictive distribution: data, the function, mean and two standard deviations; its numbers in a corner."""
    x, mean, tone = a["x"], a["mean"][i], _tone(float(a["rho"][i]))
    for sd, alpha, label in (("sd_y", 0.25, "2 s.d., with noise"), ("sd", 0.45, "2 s.d., network")):
        ax.fill_between(x, mean - 2 * a[sd][i], mean + 2 * a[sd][i], color=tone, alpha=alpha, linewidth=0, label=label)
    ax.plot(x, mean, color=tone, linewidth=1, label="mean prediction")
    ax.plot(x, a["f"], color="0.1", linewidth=0.8, linestyle=":", label="true function")
    ax.plot(a["x_train"], a["y_train"], "k.", markersize=1.5, label="data", rasterized=len(a["x_train"]) > 2000)
    low, high = a["y_train"].min(), a["y_train"].max()
    room = 0.3 * (high - low)
    ax.set(xlim=(x[0], x[-1]), ylim=(low - room, high + 3 * room), xlabel="x", ylabel="y")
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1}
    ax.text(0.02, 0.98, _remark(a, i), transform=ax.transAxes, fontsize=6, va="top", color="0.2", bbox=box)


def _remark(a: Arrays, i: int) -> str:
    """The numbers of a panel."""
    gap, beyond = (a[f"width_{name}"][i] / a["width_near"][i] for name in ("gap", "beyond"))
    far = "" if np.isnan(a["rho"][i]) else f"KL {a['divergence'][i]:.2g}, "
    return (
        f"error {a['fit'][i]:.2g}, within {a['covered'][i]:.0%}\n"
        f"gap {gap:.2g}, beyond {beyond:.2g}\n{far}B {a['balance'][i]:.2g}"
    )


def _widths(ax: Axes, a: Arrays, first: np.ndarray, rhos: list[float]) -> None:
    """Width over x for VI, and for each rho at the multiplier where it is nearest to VI; ticks mark the data."""
    for rho, mine in by_value(a, "rho"):
        own = np.flatnonzero(mine & first)
        if len(own) and rho in rhos:
            i = own[np.argmin(a["divergence"][own])]
            name = f"ρ = {rho:.2g}, {a['priced_by'][0]} = {a['price'][i]:.2g}"
            ax.semilogy(a["x"], a["sd"][i], color=colour(rho), label=name)
    bayes = np.flatnonzero(first & ~np.isfinite(a["rho"]))[0]
    ax.semilogy(a["x"], a["sd"][bayes], color=BAYES, linewidth=2, linestyle="--", label="variational Bayes")
    ax.plot(a["x_train"], np.full(len(a["x_train"]), 0.02), "k|", transform=ax.get_xaxis_transform())
    ax.set(
        xlabel="x",
        ylabel="s.d. of y",
        xlim=(a["x"][0], a["x"][-1]),
        title=f"width, at the {a['priced_by'][0]} nearest to variational Bayes",
    )
    ax.set_ylim(0.5 * a["sd"][bayes].min(), 4 * a["sd"][bayes].max())  # room for the ticks and the legend
    few_ticks(ax)
    ax.legend(loc="upper left", fontsize=6, ncols=2)
