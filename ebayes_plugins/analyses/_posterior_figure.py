"""Figure 7: ellipses of one pair of synapses, and the variances of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ebayes_core.report.canvas import spread
from ebayes_core.wording import span
from ebayes_plugins.analyses._colours import colours
from ebayes_plugins.analyses._layout import COLUMNS, MARKERS, counted, heading, short
from ebayes_plugins.analyses._posterior_claims import interval, mechanisms, points
from ebayes_plugins.analyses._titles import WIDTH, count, counts, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arrays = dict[str, np.ndarray]
NAMES = {"variational": "variational posterior", "laplace": "Laplace posterior, 1 / (N H)"}
ELLIPSES = 5  #: largest number of rows of (a)
LONGEST = 8.0  #: half of the largest width and height of a panel of (a); a longer ellipse is cut, as it would be a line
ROOMS = ("mechanisms in (a)", "values of c in (a)", "mechanisms in (b)", "values of c in (c)")


class Shown(NamedTuple):
    """What is shown: mechanisms and ranks of c in (a), mechanisms in (b), and ranks of c in (c)."""

    names: list[str]
    rows: list[int]
    lines: list[str]
    shades: list[int]


def draw(arrays: Arrays, figure: Figure, against: str, pair: tuple[float, float], finding: str) -> None:
    """(a) mechanisms in columns, c in rows; (b) the mechanisms at their middle c; (c) every c of the smallest rho."""
    known, found = mechanisms(arrays), points(arrays)
    ranks = {name: [row for n, row in found if n == name] for name in known}
    shown = Shown(*(spread(*part) for part in _rooms(arrays, known, ranks)))
    above, below = 1.55 * len(shown.rows) + 0.6, 2.8 + 0.14 * max(len(shown.lines), len(shown.shades))
    figure.set_size_inches(WIDTH, above + below + 1.1)
    halves: Any = figure.subfigures(2, 1, height_ratios=(above, below))
    upper, lower = halves
    _ellipses(upper, arrays, shown)
    left, right = lower.subplots(1, 2)
    _clouds(left, arrays, [found[n, ranks[n][len(ranks[n]) // 2]] for n in shown.lines], against, shade=False)
    _clouds(right, arrays, [found[known[0], row] for row in shown.shades], against, shade=True)
    prices = " at each price c" if len(shown.shades) > 1 else ""
    left.set_title(f"b  all synapses, {'each mechanism' if len(shown.lines) > 1 else known[0]}", loc="left")
    right.set_title(heading(f"c  all synapses, {known[0]}{prices}", 44, 2), loc="left")
    seen: tuple[Sequence[Any], ...] = shown
    rooms = [(len(part), len(of)) for part, (of, _) in zip(seen, _rooms(arrays, known, ranks), strict=True)]
    titled(figure, finding, *_notes(arrays, against, pair), counted(**dict(zip(ROOMS, rooms, strict=True))))


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
    wide, high = _reach(arrays, [int(at[0]) for at in found.values() if at is not None])
    for (row, column), ax in np.ndenumerate(axes):
        if (at := found[row, column]) is None:
            part.delaxes(ax)
            continue
        _ellipse(ax, arrays, at[0])
        ax.set(xlim=(-wide, wide), ylim=(-high - 0.4 * wide, high))
        name = f"{heading(_heading(arrays, at[0]), 26)}\n" if row == 0 else ""
        ax.set_title(f"{name}c = {arrays['c'][at[0]]:.2g}", fontsize=8)
        ax.tick_params(labelbottom=found.get((row + 1, column)) is None)
        ax.set_xlabel("$w_2$ / mean s.d." if found.get((row + 1, column)) is None else "", fontsize=8)
        ax.set_ylabel("$w_1$ / mean s.d." if column == 0 else "", fontsize=8)
    part.suptitle(
        "a  noise and posterior of one pair of synapses, drawn with equal areas", x=0.01, ha="left", fontsize=9
    )


def _reach(arrays: Arrays, rows: list[int]) -> tuple[float, float]:
    """Half the width and height of the panels, which contain every ellipse at equal area that is not too long."""
    gaps = np.array([np.diff(arrays[name][row])[0] / 2 for row in rows for name in ("pair_x", "pair_y")])
    known = gaps[np.isfinite(gaps)]
    longest, shortest = (max(known, default=0.0), min(known, default=0.0))
    wide, high = (min(2.15 * 10 ** (max(gap, 0.0) / 2), LONGEST) for gap in (longest, -shortest))
    return float(wide), float(high)


def _heading(arrays: Arrays, row: int) -> str:
    rho = arrays["rho"][row]
    return f"{arrays['mechanism'][row]}, $\\rho$ = {rho:.2g}" if np.isfinite(rho) else str(arrays["mechanism"][row])


def _ellipse(ax: Axes, arrays: Arrays, row: int) -> None:
    """The posterior and the noise, each in units of its own size, so that their shapes can be compared."""
    x, y = arrays["pair_x"][row] / 2, arrays["pair_y"][row] / 2
    ax.set_aspect("equal")
    ax.locator_params(nbins=5, integer=True)
    ax.tick_params(labelsize=7)
    if not np.isfinite(x + y).all():
        ax.text(0.5, 0.5, "fewer than two\nsynapses not flat", transform=ax.transAxes, ha="center", fontsize=7)
        return
    _outline(ax, y - y.mean(), color=_tone(arrays, row))
    _outline(ax, x - x.mean(), color="0.3", linestyle="--", linewidth=1.2)
    ratios = [10 ** abs(v[1] - v[0]) for v in (y, x)]
    said = f"axes {_short(ratios[0])}:1 ({_short(ratios[1])}:1)\nsize {10 ** (y - x).mean():.2g}"
    ax.text(0.5, 0.02, said, transform=ax.transAxes, fontsize=6.5, ha="center", color="0.25")


def _short(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"


def _outline(ax: Axes, log_sd: np.ndarray, **style: Any) -> None:
    """2 s.d. of two independent Gaussians; the second synapse is on the horizontal axis."""
    turn = np.linspace(0, 2 * np.pi, 100)
    ax.plot(2 * 10 ** log_sd[1] * np.cos(turn), 2 * 10 ** log_sd[0] * np.sin(turn), **style)


def _clouds(ax: Axes, arrays: Arrays, groups: list[np.ndarray], against: str, *, shade: bool) -> None:
    """Running medians with the central 80% of the synapses, the fit, and the analytic line, one group at a time."""
    for number, at in enumerate(groups):
        tone = _tone(arrays, at[0])
        if shade:  # lighter for larger c, as in the paper
            tone = 1 - (1 - np.array(_rgb(tone))) * (1 - 0.5 * number / max(len(groups) - 1, 1))
        mechanism = "" if shade else f"{short(str(arrays['mechanism'][at[0]]), 30)}, "
        name = f"{mechanism}c = {arrays['c'][at[0]]:.2g}"
        _cloud(ax, arrays, at[0], tone, MARKERS[number % len(MARKERS)], f"{name}: {_numbers(arrays, at)}")
    known = arrays["line_x"][np.isfinite(arrays["line_x"])]
    ends = np.array([known.min(), known.max()] if known.size else [-1.0, 0.0])
    ax.plot(ends, ends, color="0.2", linestyle=(0, (1, 1)), linewidth=1)
    ax.set_xlabel(f"log$_{{10}}$ variance of {NAMES[against]} (weight$^2$)", fontsize=8)
    ax.set_ylabel(r"log$_{10}$ $\sigma^2$ of the noise (weight$^2$)", fontsize=8)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=7, title="slope (of theory)", title_fontsize=7)


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
    """Slope with its interval, over seeds if there are several, and the slope of theory."""
    mean, low, _ = interval(arrays["slope"][at], arrays["slope_half_width"][at])
    return f"{mean:.2f} ± {mean - low:.1g} ({arrays['analytic_slope'][at[0]]:.2f})"


def _notes(arrays: Arrays, against: str, pair: tuple[float, float]) -> list[str]:
    """What is drawn, of how many synapses and seeds, and how far noise and posterior are from their optimum."""
    seeds, skipped = len(set(arrays["seed"].tolist())), int(arrays["skipped"][0])
    own, theirs = (arrays[name][np.isfinite(arrays[name])] for name in ("balance", "posterior_balance"))
    return [
        f"Layer {arrays['layer'][0]}, {counts(arrays['n'], 'synapse')} per network, {count(seeds, 'seed')}.",
        f"(a) 2 s.d. around the means; colour: noise; grey, dashed: {NAMES[against]}. Axes: ratio of the longer to the "
        "shorter, noise (posterior); size: s.d. of the noise over that of the posterior, geometric means of both "
        "synapses, by which each ellipse is divided. The synapses "
        f"are those at percentiles {100 * pair[0]:g} and {100 * pair[1]:g} of the posterior's variance.",
        f"{'(b) at the middle price c of each. ' if len(set(arrays['row'].tolist())) > 1 else ''}(b, c) Markers: "
        "medians of equally many synapses; bands: their central 80%; dashed: optimum of theory; dotted: noise equal "
        f"to posterior; ±: 95% interval over {'seeds' if seeds > 1 else 'synapses'}. Synapses "
        "without curvature are left out.",
        f"Balance (1 at the optimum): noise {span(own)}" + (f", posterior {span(theirs)}." if len(theirs) else "."),
        f"Networks left out (without noise or posterior, or diverged): {skipped}." if skipped else "",
    ]
