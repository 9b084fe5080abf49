"""Panels of a pair of synapses: loss as a function of both weights, noise on them, and its costs (Fig. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._layout import heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Arrays = dict[str, np.ndarray]
Tones = dict[int, Any]  #: network -> colour
NOISES = ("heterogeneous", "homogeneous")
LINES = {"colors": "tab:purple", "linestyles": "-", "linewidths": 0.7, "alpha": 0.7}


def row(axes: np.ndarray, p: dict[str, Any]) -> None:
    """Profiles of the loss, the plane under both noise modes, and the costs."""
    tone = p["tone"]
    _profiles(axes[0], p)
    for ax, sigma, color, name in ((axes[1], p["shared"], "0.5", NOISES[1]), (axes[2], p["sigma"], tone, NOISES[0])):
        if np.ptp(p["plane"]) > 0:  # no contours if the loss does not depend on the pair
            ax.contour(p["at"], p["at"], p["plane"].T, levels=7, **LINES)
        ax.plot(*(p["xi"] * sigma).T, ".", color=color, markersize=2.5, alpha=0.8)
        ax.set(title=name, xlabel="w1 - its mean", ylabel="w2 - its mean")
        ax.set(xlim=p["at"][[0, -1]], ylim=p["at"][[0, -1]])
        ax.locator_params(nbins=4)
    _bars(axes[3], p, tone)


def _profiles(ax: Axes, p: dict[str, Any]) -> None:
    """Loss along either weight, with the other at its mean."""
    middle = len(p["at"]) // 2
    ax.plot(p["at"], p["plane"][:, middle], color="tab:purple", label="w1, high H")
    ax.plot(p["at"], p["plane"][middle], color="tab:purple", linestyle="--", label="w2, low H")
    ax.set(xlabel="w - its mean", ylabel="added loss (nat)")
    ax.set_title(heading(p["title"], 48), fontsize=7, loc="left")
    ax.locator_params(nbins=4)
    ax.margins(y=0.25)  # room for the legend
    ax.legend(loc="upper center", fontsize=7)


def _bars(ax: Axes, p: dict[str, Any], tone: Any) -> None:
    """Both costs relative to homogeneous noise, with their values in nat below."""
    (own, shared), paid = p["performance"], p["price"][1]
    known = np.isfinite(p["ratio"])
    heights = [p["ratio"] if known else 0.0, 1]
    ax.bar([0, 1.5], [float(known), 1], 0.6, color="0.6", hatch=["", "///"], edgecolor="white", label=NOISES[1])
    ax.bar([0.6, 2.1], heights, 0.6, color=tone, hatch=["", "///"], edgecolor="white", label=NOISES[0])
    if known:
        ax.plot([0.6, 0.6], p["interval"], color="0.1", linewidth=1)
    ax.axhline(0.5, color="0.3", linewidth=0.8, linestyle=":")
    names = [f"loss\n{shared:.2g} to {own:.2g}", f"reliability\n{paid:.2g}"]
    ax.set_xticks([0.3, 1.8], names, fontsize=6.5)
    ax.set(ylabel="cost / homogeneous", ylim=(0, 1.35), xlabel="cost (nat)")
    ax.set_title(f"added loss: ratio {p['ratio']:.2f}" if known else "noise on the pair adds no loss")


def curves(ax: Axes, a: Arrays, shown: list[int], tones: Tones) -> None:
    """The exact ratio of the quadratic pair as a function of the ratio of curvatures."""
    for rho, i in {float(a["rho"][i]): i for i in shown}.items():
        ax.semilogx(a["steepness"][i], a["curve"][i], color=tones[i], label=f"rho = {rho:.2g}")
    ax.axhline(0.5, color="0.3", linewidth=0.8, linestyle=":")
    ax.set(xlabel="H11 / H22", ylabel="ratio of added losses", ylim=(0, 1.05), title="quadratic pair, exact")
    ax.legend(fontsize=7)


def ratios(ax: Axes, a: Arrays, i: int, tone: Any) -> None:
    """The ratio for random pairs of the layer, estimated from their curvatures."""
    bins = np.linspace(0, 2, 41).tolist()
    ax.hist(a["any"][i].clip(max=2), bins, color=tone, alpha=0.5, label="any two")
    ax.hist(a["far"][i].clip(max=2), bins, color="0.2", histtype="step", label="highest, lowest H")
    ax.axvline(0.5, color="0.3", linewidth=0.8, linestyle=":")
    ax.set(xlabel="ratio of added losses, from H", ylabel="pairs", title="pairs drawn at random")
    ax.set_ylim(top=1.5 * ax.get_ylim()[1])
    ax.legend(loc="upper left", fontsize=7)
