"""Panels of a pair of synapses: loss as a function of both weights, noise on them, and its costs (Fig. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._layout import heading
from ebayes_plugins.analyses._titles import key, small

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Arrays = dict[str, np.ndarray]
Tones = dict[int, Any]  #: network -> colour
NOISES = ("matched", "equal")
LINES = {"colors": "tab:purple", "linestyles": "-", "linewidths": 0.7, "alpha": 0.7}


def finished_off(figure: Any, axes: np.ndarray, *words: str) -> None:
    """Small letters, names of axes where they change, and one legend with the notes."""
    for ax in axes[1:-1, :4].flat:
        ax.set_xlabel("")
    for ax in axes[1:-1, 4]:
        ax.set_xlabel("")
    for ax in axes[2:, 4]:
        ax.set_title("")
    for ax in axes[1:, 1:3].flat:
        ax.set_title("")
    for ax in axes[:, 2]:
        ax.set_ylabel("")
    small(figure)
    entries = [entry for ax in axes[-1, [0, 3, 4]] for entry in ax.get_legend_handles_labels()[0]]
    key(figure, entries, *words, ncols=6, columnspacing=1.0, handlelength=1.5)


def row(axes: np.ndarray, p: dict[str, Any]) -> None:
    """Profiles of the loss, the plane under both noise modes, and the costs."""
    tone, even = p["tone"], without_slope(p["plane"])
    _profiles(axes[0], p, even)
    for ax, sigma, color, name in ((axes[1], p["shared"], "0.5", NOISES[1]), (axes[2], p["sigma"], tone, NOISES[0])):
        if np.ptp(even) > 0:  # no contours if the loss does not depend on the pair
            ax.contour(p["at"], p["at"], even.T, levels=5, **LINES)
        ax.plot(*(p["xi"] * sigma).T, ".", color=color, markersize=2, alpha=0.8)
        ax.set(title=f"{name} noise", xlabel="$w_1$ - mean", ylabel="$w_2$ - mean")
        ax.set(xlim=p["at"][[0, -1]], ylim=p["at"][[0, -1]])
        ax.locator_params(nbins=3)
    _bars(axes[3], p, tone)


def without_slope(plane: np.ndarray) -> np.ndarray:
    """The mean of the loss at opposite displacements: all that noise symmetric about the means adds.

    While a network learns, its means are not at a minimum, and the loss of a single displacement is mostly its slope.
    """
    return np.asarray((plane + plane[::-1, ::-1]) / 2)


def _profiles(ax: Axes, p: dict[str, Any], even: np.ndarray) -> None:
    """Loss along either weight, with the other at its mean."""
    middle = len(p["at"]) // 2
    ax.plot(p["at"], even[:, middle], color="tab:purple", label="$w_1$, high curvature")
    ax.plot(p["at"], even[middle], color="tab:purple", linestyle="--", label="$w_2$, low curvature")
    ax.set(xlabel="w - mean", ylabel="added loss (nat)")
    ax.set_title(f"{heading(p['title'], 30, 2)}\n{p['beside']}", loc="left")
    ax.locator_params(nbins=3)
    ax.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)
    ax.yaxis.get_offset_text().set_fontsize(6)


def _bars(ax: Axes, p: dict[str, Any], tone: Any) -> None:
    """Both costs relative to equal noise, with their values in nat below."""
    (own, shared), paid = p["performance"], p["price"][1]
    known = np.isfinite(p["ratio"])
    heights = [p["ratio"] if known else 0.0, 1]
    ax.bar([0, 1.5], [float(known), 1], 0.6, color="0.6", edgecolor="white", label=NOISES[1])
    ax.bar([0.6, 2.1], heights, 0.6, color=tone, edgecolor="white", label=NOISES[0])
    if known:
        ax.plot([0.6, 0.6], p["interval"], color="0.1", linewidth=1)
    ax.axhline(0.5, color="0.3", linewidth=0.8, linestyle=":")
    names = [f"loss\n{shared:.2g}\nto {own:.2g}" if known else "loss\nnot\nadded", f"relia-\nbility\n{paid:.2g}"]
    ax.set_xticks([0.3, 1.8], names)
    ax.set(ylabel="relative cost", ylim=(0, 1.2), xlabel="cost (nat)")
    ax.set_title(f"added loss x {p['ratio']:.2f}" if known else "no loss added")


def curves(ax: Axes, a: Arrays, shown: list[int], tones: Tones) -> None:
    """The exact ratio of the quadratic pair as a function of the ratio of curvatures."""
    for rho, i in {float(a["rho"][i]): i for i in shown}.items():
        ax.semilogx(a["steepness"][i], a["curve"][i], color=tones[i], label=f"ρ = {rho:.2g}")
    ax.axhline(0.5, color="0.3", linewidth=0.8, linestyle=":")
    ax.set(xlabel="curvatures", ylabel="relative loss", ylim=(0, 1.05), title="exact")


def ratios(ax: Axes, a: Arrays, i: int, tone: Any) -> None:
    """The ratio for random pairs of the layer, estimated from their curvatures."""
    bins = np.linspace(0, 2, 41).tolist()
    ax.hist(a["any"][i].clip(max=2), bins, color=tone, alpha=0.5, label="any two")
    ax.hist(a["far"][i].clip(max=2), bins, color="0.2", histtype="step", label="high and low curvature")
    ax.axvline(0.5, color="0.3", linewidth=0.8, linestyle=":")
    ax.set(xlabel="relative loss", ylabel="pairs", title="random pairs")
