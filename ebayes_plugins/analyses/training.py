"""Training curves: the terms of the objective apart, accuracy, and the size of the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ebayes_core.slots import Analysis
from ebayes_plugins.analyses._common import grid, label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.runfile import Run

PANELS = {
    "nll": ("training loss", "nll (nat per example)", "linear"),
    "magnitude": ("magnitude cost", "sum over synapses (nat)", "log"),
    "reliability": ("reliability cost", "sum over synapses (nat)", "log"),
    "accuracy": ("accuracy, test (line), train (dots)", "share right", "linear"),
    "sigma_median": ("median sigma", "sigma (weight)", "log"),
    "sigma_rms": ("RMS sigma", "sigma (weight)", "log"),
}


class TrainingCurves(Analysis):
    """Loss terms apart, accuracy, and sigma over the epochs."""

    kind: Literal["training"] = "training"

    def measure(self, run: Run) -> dict[str, np.ndarray]:
        """Every curve of the run, (member, epoch), and the members' labels."""
        curves = {name: run.curve(name) for name in run.curves}
        return {**curves, "label": np.array([label(run, i) for i in range(run.n_members)])}

    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        """One panel per quantity, one line per member, from dark to light in the order of the sweep."""
        from matplotlib import colormaps

        labels = arrays["label"]
        axes = grid(figure, 2, 3).ravel()
        colours = colormaps["viridis"](np.linspace(0, 0.9, len(labels)))
        for ax, (name, (title, unit, scale)) in zip(axes, PANELS.items(), strict=True):
            for member, colour in enumerate(colours):
                self._line(ax, arrays, name, member, colour)
            values = np.concatenate([line.get_ydata() for line in ax.lines] or [np.zeros(1)])
            positive = np.isfinite(values).any() and np.nanmin(values) > 0
            ax.set(title=title, xlabel="epoch", ylabel=unit, yscale=scale if positive else "linear")
        lines = axes[0].lines[: len(labels)]
        if len(labels) <= 12:
            figure.legend(lines, labels, loc="outside lower center", ncols=min(4, len(labels)))
        else:
            ends = [lines[0], lines[-1]]
            figure.legend(ends, [f"first: {labels[0]}", f"last: {labels[-1]}"], loc="outside lower center", ncols=2)

    def _line(self, ax, arrays, name: str, member: int, colour) -> None:  # type: ignore[no-untyped-def]
        if name != "accuracy":
            ax.plot(arrays[name][member], color=colour)
            return
        ax.plot(arrays["accuracy_test"][member], color=colour)
        ax.plot(arrays["accuracy_train"][member], color=colour, linestyle="", marker=".", markersize=2)
