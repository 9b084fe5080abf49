"""Training curves: the terms of the objective separately, accuracy, sigma, and how far the means have moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ebayes_core.contract.slots import Analysis
from ebayes_core.report.canvas import spread
from ebayes_plugins.analyses._common import label
from ebayes_plugins.analyses._layout import axis_scale, counted, short
from ebayes_plugins.analyses._titles import count, key, page, small, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

Panel = tuple[str, str, bool, str, str | None]
#: title, unit, whether it spans decades, the curve drawn as a line, and one drawn as dots
PANELS = (
    ("loss on the training set", "sum over examples (nat)", True, "nll_sum", None),
    ("cost of large means", "sum over synapses (nat)", True, "magnitude", None),
    ("cost of reliability", "sum over synapses (nat)", True, "reliability", None),
    ("accuracy: test (line), training (dots)", "fraction correct", False, "accuracy_test", "accuracy_train"),
    ("noise: RMS (line), median (dots)", "σ (weight)", True, "sigma_rms", "sigma_median"),
    ("means: path (line), shortest (dots)", "sum over synapses (weight)", False, "mu_travelled", "mu_moved"),
)
Dash = Literal["-", "--", ":", "-."]
DASHES: tuple[Dash, ...] = ("-", "--", ":", "-.")
STAGES = 3  #: largest number of stages of the data with a panel
NAMED = 8  #: largest number of colours in the legend
LINES, DOTS = (
    100,
    100,
)  #: largest number of networks in a panel, and of dots along each; more could not be distinguished


class TrainingCurves(Analysis):
    """Training curves: the terms of the objective, accuracy, sigma, and the path of the means over the epochs."""

    kind: Literal["training"] = "training"

    def measure(self, run: Run) -> dict[str, np.ndarray]:
        """Every curve of the run, (member, epoch), and per network the value and the group that determine its line
        style.

        nll_sum is the loss summed over the training set, on the same scale as the other terms of the objective.
        """
        members = range(run.n_members)
        curves = {name: run.curve(name) for name in run.curves}
        field = next((n for n, values in run.swept.items() if all(map(_numeric, values))), None)
        value = [run.swept[field][i] for i in members] if field else list(members)
        return {
            **curves,
            "nll_sum": curves["nll"] * run.metric("n_examples")[:, None],
            "value": np.array(value, dtype=float),
            "field": np.array([field.split(".")[-1] if field else "member"]),
            "group": np.array([label(run, i, ("seed", field or "")) for i in members]),
            "label": np.array([label(run, i) for i in members]),
        }

    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        """One panel per quantity, one line per network: colour for the swept number, dashes for the rest."""
        shown = spread(np.argsort(arrays["value"], kind="stable").tolist(), LINES)
        panels = [panel for panel in (*PANELS, *_stages(arrays)) if _known(arrays, panel[3])]
        rows = max(2, -(-len(panels) // 3))
        axes = page(figure, rows, 3, 1.9).ravel()
        for ax, panel in zip(axes, panels, strict=False):
            self._panel(ax, arrays, panel, shown)
        for ax in axes[len(panels) :]:
            figure.delaxes(ax)
        small(figure)
        handles = [*_colour_handles(arrays), *_dash_handles(arrays)]
        width = max((len(short(h.get_label())) for h in handles), default=1)
        words = (count(len(shown), "network") + ", one line each.", _shared(arrays))
        key(figure, handles, *words, counted(networks=(len(shown), len(arrays["value"]))),
            ncols=max(1, min(8, int(100 / (width + 8)))))  # fmt: skip
        titled(figure, self.headline(arrays))

    def headline(self, arrays: dict[str, np.ndarray]) -> str:
        """By how much the loss falls and sigma grows, in the median network."""
        changes = [
            _change(arrays, *words) for words in (("nll_sum", "the loss"), ("sigma_rms", "the root mean square sigma"))
        ]
        told = " and ".join(change for change in changes if change)
        networks, epochs = len(arrays["value"]), arrays["nll_sum"].shape[1] - 1
        of = f", medians of {networks} networks" if networks > 1 else ""
        return f"In {count(epochs, 'epoch')}, {told}{of}." if told and epochs else ""

    def _panel(self, ax: Axes, arrays: dict[str, np.ndarray], panel: Panel, shown: list[int]) -> None:
        title, unit, wide, line, dots = panel
        width = 1.5 if len(shown) <= 12 else 0.8
        epochs, styles = np.arange(arrays[line].shape[1]), _styles(arrays)
        apart = -(-len(epochs) // DOTS)
        for member in shown:
            ax.plot(epochs, arrays[line][member], linewidth=width, **styles[member])
            if dots:
                tone = styles[member]["color"]
                ax.plot(epochs, arrays[dots][member], ".", color=tone, markersize=2, markevery=apart)
        ax.set(title=title, xlabel="epoch", ylabel=unit, yscale=axis_scale(arrays[line]) if wide else "linear")


def _known(arrays: dict[str, np.ndarray], curve: str) -> bool:
    """Whether there is a number to draw: a regression has no accuracy, an old file no path of the means."""
    return curve in arrays and bool(np.isfinite(arrays[curve]).any())


def _change(arrays: dict[str, np.ndarray], name: str, what: str) -> str:
    """How many times as large a curve ends, in the median network; empty if it is not known.

    The first value is that of the first epoch if, like the loss, the curve is not known before it.
    """
    curves = arrays[name]
    first = np.take_along_axis(curves, np.isfinite(curves).argmax(1)[:, None], 1)[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = curves[:, -1] / first
    known = ratio[np.isfinite(ratio) & (ratio > 0)]
    if not len(known):
        return ""
    times = float(f"{np.median(known):.2g}")
    return f"{what} {'falls' if times < 1 else 'grows'} to {times:,g} times its first value"


def _stages(arrays: dict[str, np.ndarray]) -> list[Panel]:
    """A panel for the accuracy on each stage of the data, such as several tasks in a row; of many, a selection."""
    known = sum(name.startswith("accuracy_test_stage_") for name in arrays)
    shown = spread(range(1, known + 1), STAGES)
    return [(f"test accuracy, stage {k}", "fraction correct", False, f"accuracy_test_stage_{k}", None) for k in shown]


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _colours(arrays: dict[str, np.ndarray]) -> dict[float, Any]:
    """Value -> colour, dark to light in the order of the values."""
    from matplotlib import colormaps

    values = np.unique(arrays["value"])
    return dict(zip(values.tolist(), colormaps["plasma"](np.linspace(0, 0.65, len(values))), strict=True))


def _dashes(arrays: dict[str, np.ndarray]) -> dict[str, Dash]:
    """Group -> dashes; solid lines for all if there are more groups than distinguishable dashes."""
    groups = list(dict.fromkeys(arrays["group"].tolist())) if arrays["field"][0] != "member" else []
    return dict(zip(groups, DASHES, strict=False)) if len(groups) <= len(DASHES) else {}


def _shared(arrays: dict[str, np.ndarray]) -> str:
    """A note for the reader if dashes cannot distinguish the groups."""
    groups = len(set(arrays["group"].tolist()))
    shared = arrays["field"][0] != "member" and not _dashes(arrays)
    return f"{groups} settings share each colour." if shared else ""


def _styles(arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Colour and dashes of each network."""
    colours, dashes = _colours(arrays), _dashes(arrays)
    pairs = zip(arrays["value"].tolist(), arrays["group"].tolist(), strict=True)
    return [{"color": colours[value], "linestyle": dashes.get(group, "-")} for value, group in pairs]


def _colour_handles(arrays: dict[str, np.ndarray]) -> list[Any]:
    """Legend of the colours: all of a few values, a selection of many."""
    from matplotlib.lines import Line2D

    field, colours = str(arrays["field"][0]), _colours(arrays)
    values = list(colours)
    shown = spread(range(len(values)), NAMED)
    member = field == "member"
    names = [str(arrays["label"][i]) if member else f"{field} = {values[i]:.3g}" for i in shown]
    return [Line2D([], [], color=colours[values[i]], label=name) for i, name in zip(shown, names, strict=True)]


def _dash_handles(arrays: dict[str, np.ndarray]) -> list[Any]:
    """Legend of the dashes, if there is more than one group of lines."""
    from matplotlib.lines import Line2D

    dashes = _dashes(arrays)
    if len(dashes) < 2:
        return []
    return [Line2D([], [], color="0.2", linestyle=dash, label=name) for name, dash in dashes.items()]
