"""Figure 7: ellipses of one pair of synapses, and the variances of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ebayes_core.report.canvas import spread
from ebayes_plugins.analyses._colours import colours
from ebayes_plugins.analyses._layout import COLUMNS, MARKERS, caption, counted, heading, note, short
from ebayes_plugins.analyses._posterior_claims import interval, mechanisms, points
from ebayes_plugins.analyses._regression import over_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arrays = dict[str, np.ndarray]
NAMES = {"variational": "variational posterior", "laplace": "Laplace posterior 1 / (N H)"}
ELLIPSES = 5  #: largest number of rows of (a)
ROOMS = ("mechanisms in (a)", "values of c in (a)", "mechanisms in (b)", "values of c in (c)")


class Shown(NamedTuple):
    """What is shown: mechanisms and ranks of c in (a), mechanisms in (b), and ranks of c in (c)."""

    names: list[str]
    rows: list[int]
    lines: list[str]
    shades: list[int]


def draw(arrays: Arrays, figure: Figure, against: str, pair: tuple[float, float]) -> None:
    """(a) mechanisms in columns, c in rows; (b) the mechanisms at their middle c; (c) every c of the smallest rho."""
    known, found = mechanisms(arrays), points(arrays)
    ranks = {name: [row for n, row in found if n == name] for name in known}
    shown = Shown(*(spread(*part) for part in _rooms(arrays, known, ranks)))
    above, below = 1.75 * len(shown.rows) + 0.7, 4.2 + 0.17 * max(len(shown.lines), len(shown.shades))
    figure.set_size_inches(max(2.1 * len(shown.names), 7.6), above + below + 0.9)
    halves: Any = figure.subfigures(2, 1, height_ratios=(above, below))
    upper, lower = halves
    _ellipses(upper, arrays, shown)
    left, right = lower.subplots(1, 2)
    _clouds(left, arrays, [found[n, ranks[n][len(ranks[n]) // 2]] for n in shown.lines], against, shade=False)
    _clouds(right, arrays, [found[known[0], row] for row in shown.shades], against, shade=True)
    left.set_title("b  mechanisms, at the middle c of each", loc="left")
    right.set_title(heading(f"c  {known[0]}, every c", 40, 2), loc="left")
    seen: tuple[Sequence[Any], ...] = shown
    rooms = [(len(part), len(of)) for part, (of, _) in zip(seen, _rooms(arrays, known, ranks), strict=True)]
    _caption(figure, arrays, against, pair, counted(**dict(zip(ROOMS, rooms, strict=True))))


def _rooms(arrays: Arrays, known: list[str], ranks: dict[str, list[int]]) -> list[tuple[Sequence[Any], int]]:
    """Everything that each part of the figure could show, and how much of it fits."""
    rows = range(1 + int(arrays["row"].max()))
    return [(known, COLUMNS), (rows, ELLIPSES), (known, len(MARKERS)), (ranks[known[0]], len(MARKERS))]


def _tone(arrays: Arrays, row: int) -> Any:
    return colours(arrays["mechanism"], arrays["rho"])[str(arrays["mechanism"][row])]


def _ellipses(part: Any, arrays: Arrays, shown: Shown) -> None:
    """A panel per mechanism and c, for the first seed; none where a mechanism has fewer values of c."""
    axes = part.subplots(len(shown.rows), len(shown.names), squeeze=False)
    rows = points(arrays)
    found = {(i, j): rows.get((name, rank)) for i, rank in enumerate(shown.rows) for j, name in enumerate(shown.names)}
    for (row, column), ax in np.ndenumerate(axes):
        if (at := found[row, column]) is None:
            part.delaxes(ax)
            continue
        _ellipse(ax, arrays, at[0])
        if row == 0:
            ax.annotate(heading(_heading(arrays, at[0]), 24), (0.5, 1.22), xycoords="axes fraction", ha="center")
        ax.set_xlabel("w$_2$ (weight)" if found.get((row + 1, column)) is None else "")
        ax.set_ylabel("w$_1$ (weight)" if column == 0 else "")
    part.suptitle("a  one pair of synapses: noise, 2 s.d. around the means", x=0.01, ha="left", fontsize=9)


def _heading(arrays: Arrays, row: int) -> str:
    rho = arrays["rho"][row]
    return f"{arrays['mechanism'][row]}, $\\rho$ = {rho:.3g}" if np.isfinite(rho) else str(arrays["mechanism"][row])


def _ellipse(ax: Axes, arrays: Arrays, row: int) -> None:
    """The posterior, the optimised noise, and the noise scaled to the posterior's area, to compare shapes."""
    x, y = arrays["pair_x"][row] / 2, arrays["pair_y"][row] / 2
    ax.set_title(f"c = {arrays['c'][row]:.3g}", fontsize=8)
    ax.set_aspect("equal")
    ax.locator_params(nbins=3)
    if not np.isfinite(x + y).all():
        ax.text(0.5, 0.5, "fewer than two\nsynapses not flat", transform=ax.transAxes, ha="center", fontsize=7)
        return
    _outline(ax, x, color="0.4", linestyle="--")
    _outline(ax, y + (x - y).mean(), color=_tone(arrays, row), linestyle=":", linewidth=1.2)
    _outline(ax, y, color=_tone(arrays, row))
    reach = 2.3 * 10 ** max(x.max(), y.max(), (y + (x - y).mean()).max())
    ax.set(xlim=(-reach, reach), ylim=(-1.35 * reach, reach))
    ratios = [10 ** abs(v[1] - v[0]) for v in (y, x)]
    note(ax, f"axis ratio {ratios[0]:.2g} ({ratios[1]:.2g})")


def _outline(ax: Axes, log_sd: np.ndarray, **style: Any) -> None:
    """2 s.d. of two independent Gaussians; the second synapse is on the horizontal axis."""
    turn = np.linspace(0, 2 * np.pi, 100)
    ax.plot(2 * 10 ** log_sd[1] * np.cos(turn), 2 * 10 ** log_sd[0] * np.sin(turn), **style)


def _clouds(ax: Axes, arrays: Arrays, groups: list[np.ndarray], against: str, *, shade: bool) -> None:
    """Running medians with the central 80% of the synapses, the fit, and the analytic line, one group at a time."""
    for number, at in enumerate(groups):
        tone = _tone(arrays, at[0])
        if shade:  # lighter for larger c, as in the paper
            tone = 1 - (1 - np.array(_rgb(tone))) * (1 - 0.65 * number / max(len(groups) - 1, 1))
        mechanism = "" if shade else f"{short(str(arrays['mechanism'][at[0]]), 30)}, "
        name = f"{mechanism}c = {arrays['c'][at[0]]:.3g}"
        _cloud(ax, arrays, at[0], tone, MARKERS[number % len(MARKERS)], f"{name}: {_numbers(arrays, at)}")
    known = arrays["line_x"][np.isfinite(arrays["line_x"])]
    ends = np.array([known.min(), known.max()] if known.size else [-1.0, 0.0])
    ax.plot(ends, ends, color="0.2", linestyle=(0, (1, 1)), linewidth=1)
    ax.set_xlabel(f"log$_{{10}}$ variance of {NAMES[against]} (weight$^2$)")
    ax.set_ylabel(r"log$_{10}$ $\sigma^2$ of energy-efficient noise (weight$^2$)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), fontsize=7)


def _rgb(tone: Any) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(tone)


def _cloud(ax: Axes, arrays: Arrays, row: int, tone: Any, marker: str, name: str) -> None:
    """One network."""
    x, low, middle, high = arrays["bins"][row]
    ax.fill_between(x, low, high, color=tone, alpha=0.18, linewidth=0)
    ax.plot(x, middle, color=tone, marker=marker, label=name)
    ax.plot(arrays["line_x"][row], arrays["line_y"][row], color=tone, linestyle="--", linewidth=1.2)


def _numbers(arrays: Arrays, at: np.ndarray) -> str:
    """Slope with its interval, over seeds if there are several, the analytic slope, rank correlation and balance."""
    mean, low, _ = interval(arrays["slope"][at], arrays["slope_half_width"][at])
    rank, balance = (over_seeds(arrays[name][at])[0] for name in ("rank_correlation", "balance"))
    return (
        f"slope {mean:.2f} ± {mean - low:.1g} (analytic {arrays['analytic_slope'][at[0]]:.2f}), "
        f"r {rank:.2f}, B {balance:.2g}"
    )


def _caption(figure: Figure, arrays: Arrays, against: str, pair: tuple[float, float], left_out: str) -> None:
    seeds, skipped = len(set(arrays["seed"].tolist())), int(arrays["skipped"][0])
    known = arrays["posterior_balance"][np.isfinite(arrays["posterior_balance"])]
    text = (
        f"layer {arrays['layer'][0]}. (a) illustrates: the pair at percentiles {100 * pair[0]:g} and "
        f"{100 * pair[1]:g} of the posterior variance among the synapses that are not flat; grey dashed: "
        f"{NAMES[against]}; dotted: the noise, scaled to the "
        "posterior's area. (b) and (c): all synapses that are not flat; markers and bands: medians and central 80%; "
        "dashed: analytic; black dots: slope one; r: rank correlation; "
        f"intervals: 95%, over {f'{seeds} seeds' if seeds > 1 else 'synapses'}; B: balance, 1 at the optimum"
        + (f" (posterior: {known.min():.2g} to {known.max():.2g})" if len(known) else "")
        + (f". Networks left out (without noise or posterior, or diverged): {skipped}" if skipped else "")
    )
    caption(figure, text, left_out)
