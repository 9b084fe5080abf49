"""The figure of uncertainty: errors among the most certain examples, and what each pattern of noise foretells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.report.canvas import spread
from ebayes_plugins.analyses._contraction_figure import as_colour
from ebayes_plugins.analyses._layout import ENTRIES, counted, short
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses._regression import over_seeds
from ebayes_plugins.analyses._titles import WIDTH, count, counts, key, page, small, titled
from ebayes_plugins.analyses._uncertainty_words import finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: marker, size and name of each pattern of noise
LOOKS: dict[str, tuple[str, float, str]] = {
    "own": ("o", 4.5, "sigma as trained"), "equal": ("|", 9, "one sigma per layer, the RMS"),
    "shuffled": ("x", 4.5, "shuffled within layers"),
}  # fmt: skip
DOTS = (
    ("rank", "rank correlation of variance\nand squared error"),
    ("saved", "NLL at the best temperatures, minus that\nof the mean weights, tempered (nat)"),
    ("ood", "AUROC of telling the second\ndata set by the variance"),
)


PANEL = "First panel: solid with sigma as trained, dotted with it shuffled, in the colours of the others. "


def draw(arrays: Arrays, figure: Figure) -> None:
    """Four panels: risk against coverage, rank correlation, loss, second data set."""
    axes = page(figure, 2, 2, 2.2).ravel()
    figure.set_figwidth(WIDTH)  # names of networks stand beside each panel
    kinds = list(dict.fromkeys(arrays["arm"].tolist()))
    shown = spread(kinds, ENTRIES)
    arrays = arrays | {"saved": arrays["nll"] - arrays["nll_tempered"]}
    if np.isfinite(arrays["error"]).any():
        _risks(axes[0], arrays, shown)
    else:  # predictions of numbers are not right or wrong
        axes[0].remove()
    for ax, (name, label) in zip(axes[1:], DOTS, strict=True):
        _dots(ax, arrays, shown, name)
        ax.set_xlabel(label)
    axes[2].set_ylabel("kind of network")
    axes[2].axvline(0, color="0.6", linewidth=0.8, zorder=0)
    axes[3].axvline(0.5, color="0.6", linewidth=0.8, zorder=0)
    small(figure)
    key(figure, _pattern_handles(arrays), *_notes(arrays, len(shown), len(kinds)), ncols=4)
    titled(figure, finding(arrays))


def _tone(arrays: Arrays, kind: str) -> Any:
    return as_colour(str(arrays["tone"][arrays["arm"] == kind][0]))


def _risks(ax: Axes, arrays: Arrays, shown: list[str]) -> None:
    """Mean over seeds of the share of errors among the most certain examples; dashed with the sigmas shuffled."""
    for kind in shown:
        for pattern, style in (("own", "-"), ("shuffled", ":")):
            mine = (arrays["arm"] == kind) & (arrays["pattern"] == pattern)
            if mine.any() and np.isfinite(arrays["risk"][mine]).any():
                risk = arrays["risk"][mine].mean(0)
                ax.plot(100 * arrays["coverage"], 100 * risk, style, color=_tone(arrays, kind), linewidth=1)
    ax.set(
        xlabel="examples answered, those of\nleast variance first (%)", ylabel="errors among them (%)", xlim=(0, 100)
    )


def _dots(ax: Axes, arrays: Arrays, shown: list[str], name: str) -> None:
    """Each kind of network in a row, patterns by marker; bars are 95% intervals over seeds."""
    for row, kind in enumerate(shown):
        for pattern, (marker, size, _) in LOOKS.items():
            values = arrays[name][(arrays["arm"] == kind) & (arrays["pattern"] == pattern)]
            middle, half = over_seeds(values)
            bars = half if np.isfinite(half) and pattern == "own" else 0.0
            ax.errorbar(
                middle, -row, xerr=bars, marker=marker, markersize=size, color=_tone(arrays, kind), elinewidth=1
            )
    ax.set_yticks([-row for row in range(len(shown))], [short(kind, 30) for kind in shown])
    ax.set_ylim(-len(shown) + 0.4, 0.6)
    ax.locator_params(axis="x", nbins=5)


def _pattern_handles(arrays: Arrays) -> list[Any]:
    from matplotlib.lines import Line2D

    known = [LOOKS[p] for p in LOOKS if p in arrays["pattern"]]
    return [
        Line2D([], [], marker=marker, markersize=size, color="0.2", linestyle="", label=name)
        for marker, size, name in known
    ]


def _notes(arrays: Arrays, shown: int, kinds: int) -> list[str]:
    """What is shown, and, of classifiers, how accurate they are."""
    own = arrays["pattern"] == "own"
    of = [own & (arrays["arm"] == kind) for kind in dict.fromkeys(arrays["arm"].tolist())]
    seeds, error = [int(mine.sum()) for mine in of], [100 * float(arrays["error"][mine].mean()) for mine in of]
    classes = bool(np.isfinite(error).all())
    return [
        f"{counts(arrays['n'], 'test example')}, {count(int(arrays['others'][0]), 'example')} of the second data set; "
        f"means and 95% intervals over {counts(seeds, 'seed')}"
        + (f"; error rates of the mean weights {min(error):.1f} to {max(error):.1f}%" if classes else "")
        + ". Variance of the predictions over sampled networks. "
        + (PANEL if classes else "")
        + f"Temperatures: one multiplies every σ²{', another divides log probabilities' if classes else ''}; chosen "
        "on one half of the test examples, measured on the other",
        counted(**{"kinds of network": (shown, kinds)}),
    ]
