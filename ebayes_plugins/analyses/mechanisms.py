"""Mechanisms: reliability costs of a synapse with n vesicles, release probability p and quantal size q (Fig. 1c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_plugins.analyses._colours import colour
from ebayes_plugins.analyses._layout import caption, few_ticks, grid, note
from ebayes_plugins.analyses._regression import fit_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

POINTS = 60


class Mechanism(NamedTuple):
    """An energy as a function of (n, p, r), r a vesicle's radius, and the variable that controls reliability."""

    name: str
    rho: float
    energy: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    moves: str  #: n or p; the other is constant, and q keeps the mean constant


MECHANISMS = (
    Mechanism(
        "calcium efflux", 1 / 2, lambda n, p, r: (p / (1 - p)) ** 0.25, "p"
    ),  # Eq. 12: the fourth root of the odds
    Mechanism("vesicle membrane", 2 / 3, lambda n, p, r: n * r**2, "n"),  # Eq. 14
    Mechanism("actin", 4 / 3, lambda n, p, r: n * r, "n"),  # Eq. 16
    Mechanism("trafficking", 2.0, lambda n, p, r: n * p, "n"),  # Eq. 17
    Mechanism("trafficking, p moves", 2.0, lambda n, p, r: n * p, "p"),  # Eq. 18: a power law only for small p
)


class Mechanisms(Analysis):
    """Mechanisms' costs as functions of n, p and q at constant mean, and their fitted exponents; uses no network."""

    kind: Literal["mechanisms"] = "mechanisms"
    mean: float = Field(1.0, gt=0, le=1e3, description="mean PSP (mV), kept constant by q = mean / (n p)")
    n: float = Field(
        10.0, ge=1, le=1e4, description="number of vesicles while p varies, and the smallest while n varies"
    )
    p: float = Field(0.3, gt=0, lt=1, description="release probability while n varies")
    span: float = Field(100.0, gt=1, le=1e6, description="factor by which n, or the odds of p, vary")

    def measure(self, run: Run) -> dict[str, np.ndarray]:
        """Per mechanism, along the variable that varies: n, p, q, sigma, cost relative to the smallest; and the fit."""
        found = [self._along(mechanism) for mechanism in MECHANISMS]
        arrays = {name: np.stack([part[name] for part in found]) for name in found[0]}
        fits = [fit_line(np.log(s), np.log(c)) for s, c in zip(arrays["sigma"], arrays["cost"], strict=True)]
        texts = {name: np.array([getattr(m, name) for m in MECHANISMS]) for name in ("name", "rho", "moves")}
        exponents, widths = (np.array([fit[name] for fit in fits]) for name in ("slope", "slope_half_width"))
        return {**arrays, **texts, "exponent": exponents, "half_width": widths}

    def _along(self, mechanism: Mechanism) -> dict[str, np.ndarray]:
        steps = np.geomspace(1, self.span, POINTS)
        odds = steps / np.sqrt(self.span)  # from well below to well above even
        n = self.n * steps if mechanism.moves == "n" else np.full(POINTS, self.n)
        p = odds / (1 + odds) if mechanism.moves == "p" else np.full(POINTS, self.p)
        q = self.mean / (n * p)  # Eq. 9, solved for q
        sigma = np.sqrt(n * p * (1 - p)) * q  # Eq. 8
        cost = mechanism.energy(n, p, np.cbrt(q))  # a vesicle's volume is proportional to the quantal size
        return {"n": n, "p": p, "q": q, "sigma": sigma, "cost": cost / cost.min()}

    def statistics(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The fitted exponents beside the paper's."""
        return {
            "mechanism": arrays["name"], "moves": arrays["moves"], "exponent": arrays["exponent"],
            "± 95%": arrays["half_width"], "-rho": -arrays["rho"],
        }  # fmt: skip

    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        """Cost above; below it n or p, and the quantal size that compensates, relative to their smallest values."""
        axes = grid(figure, 2, 4, 2.4)
        for i in range(4):
            _cost(axes[0, i], arrays, i)
            _variables(axes[1, i], arrays, i)
        ax, last = axes[0, 3], len(MECHANISMS) - 1
        ax.loglog(arrays["sigma"][last], arrays["cost"][last], ":", color="0.4", label="p varies (Eq. 18)")
        ax.legend(loc="upper right", fontsize=7)
        axes[0, 0].set_ylabel("cost / smallest cost")
        axes[1, 0].set_ylabel("relative to smallest")
        caption(figure, f"mean PSP kept constant at {self.mean:g} mV by q")


def _cost(ax: Axes, arrays: dict[str, np.ndarray], i: int) -> None:
    """One mechanism's cost against sigma."""
    ax.loglog(arrays["sigma"][i], arrays["cost"][i], color=colour(float(arrays["rho"][i])))
    ax.set_title(str(arrays["name"][i]), fontsize=9)
    ax.set_xlabel("sigma (mV)")
    few_ticks(ax)
    ax.set_ylim(bottom=arrays["cost"][i].max() ** -0.4)  # room for the numbers below the line
    note(ax, f"fitted exponent {arrays['exponent'][i]:.3f}\n-rho = {-arrays['rho'][i]:.3f}")


def _variables(ax: Axes, arrays: dict[str, np.ndarray], i: int) -> None:
    """The variable that varies, and how q compensates."""
    moves = str(arrays["moves"][i])
    held = "n" if moves == "p" else "p"
    for name, style in ((moves, "-"), ("q", "--")):
        values = arrays[name][i]
        ax.loglog(arrays["sigma"][i], values / values.min(), style, color="0.2", label=name)
    ax.set_xlabel("sigma (mV)")
    few_ticks(ax)
    ax.legend(loc="best", fontsize=7, title=f"{held} = {arrays[held][i][0]:g}", title_fontsize=7)
