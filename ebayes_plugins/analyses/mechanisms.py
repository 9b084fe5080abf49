"""Mechanisms: reliability costs of a synapse with n vesicles, release probability p and quantal size q (Fig. 1c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from ebayes_core.contract.slots import Analysis
from ebayes_plugins.analyses._colours import colour
from ebayes_plugins.analyses._layout import few_ticks, note
from ebayes_plugins.analyses._regression import fit_line
from ebayes_plugins.analyses._titles import page, small, titled
from ebayes_plugins.costs.quantal import Quantal

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


FREE = "n, p and q free"
TURNOVER = 2 / 5  #: the exponent if calcium and turnover alone have prices and nothing is held


class Mechanisms(Analysis):
    """Mechanisms' costs as functions of n, p and q at constant mean, and their fitted exponents; uses no network.

    The fifth is the least energy if nothing but the mean is held.
    """

    kind: Literal["mechanisms"] = "mechanisms"
    mean: float = Field(1.0, gt=0, le=1e3, description="mean PSP (mV), kept constant by q = mean / (n p)")
    n: float = Field(
        10.0, ge=1, le=1e4, description="number of vesicles while p varies, and the smallest while n varies"
    )
    p: float = Field(0.3, gt=0, lt=1, description="release probability while n varies")
    span: float = Field(100.0, gt=1, le=1e6, description="factor by which n, or the odds of p, vary")
    calcium: float = Field(
        1.0, ge=1e-6, le=1e6, description="price of (p / (1 - p)) ** (1/4) where n, p and q are free"
    )
    turnover: float = Field(0.05, ge=0, le=1e6, description="price of a vesicle, n, where n, p and q are free")
    membrane: float = Field(0.0, ge=0, le=1e6, description="price of n q ** (2/3) where n, p and q are free")
    actin: float = Field(0.0, ge=0, le=1e6, description="price of n q ** (1/3) where n, p and q are free")

    @model_validator(mode="after")
    def _vesicles_cost(self) -> Mechanisms:
        self._free()
        return self

    def _free(self) -> Quantal:
        """The cost of a synapse whose n, p and q are free. Raises ValueError if no vesicle has a price."""
        prices = {name: getattr(self, name) for name in ("calcium", "turnover", "membrane", "actin")}
        return Quantal(**prices, mu_floor=0.0)

    def measure(self, run: Run) -> dict[str, np.ndarray]:
        """Per mechanism, along what varies: n, p, q, sigma, cost relative to the smallest; and the fits.

        share_n is the part of the precision that n accounts for: precision mu^2/sigma^2 is n times the odds of p.
        """
        found = [*(self._along(mechanism) for mechanism in MECHANISMS), self._all_free()]
        arrays = {name: np.stack([part[name] for part in found]) for name in found[0]}
        s, c, n = (np.log(arrays[name]) for name in ("sigma", "cost", "n"))
        fits = [fit_line(*row) for row in zip(s, c, strict=True)]
        arrays |= {
            "exponent": np.array([fit["slope"] for fit in fits]),
            "half_width": np.array([fit["slope_half_width"] for fit in fits]),
            "share_n": np.array([fit_line(*row)["slope"] for row in zip(-2 * s, n, strict=True)]),
        }
        rho = np.nan if self.membrane or self.actin else TURNOVER
        free = {"name": FREE, "rho": rho, "moves": "n and p"}
        return arrays | {key: np.array([*(getattr(m, key) for m in MECHANISMS), free[key]]) for key in free}

    def _all_free(self) -> dict[str, np.ndarray]:
        """The least energy at the sigmas of a synapse whose p alone varies."""
        import torch

        odds = np.geomspace(1, self.span, POINTS) / np.sqrt(self.span)
        sigma = torch.as_tensor(self.mean / np.sqrt(self.n * odds))
        mu, least = torch.full_like(sigma, self.mean), self._free()
        energy = least.energy(sigma, mu).numpy()
        n, p, q = (t.numpy() for t in least.quanta(sigma, mu))
        return {"n": n, "p": p, "q": q, "sigma": sigma.numpy(), "cost": energy / energy.min()}

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
        """The fitted exponents beside those of theory, and how much of the precision is due to n, the rest to p."""
        return {
            "mechanism": arrays["name"], "moves": arrays["moves"], "exponent": arrays["exponent"],
            "± 95%": arrays["half_width"], "-rho": -arrays["rho"], "share of n in precision": arrays["share_n"],
        }  # fmt: skip

    def headline(self, arrays: dict[str, np.ndarray]) -> str:
        """The fitted exponents of the mechanisms, and that of a synapse whose n, p and q are free."""
        known = dict(zip(arrays["name"].tolist(), arrays["exponent"].tolist(), strict=True))
        powers = ", ".join(f"{-known[m.name]:.2g} ({m.name})" for m in MECHANISMS[:4])
        return (
            f"At a constant mean, the cost of reliability goes as sigma^-rho, rho = {powers}; {self._finding(arrays)}."
        )

    def _finding(self, arrays: dict[str, np.ndarray]) -> str:
        """What moves at least energy if nothing but the mean is held."""
        return (
            f"with {FREE}, {-arrays['exponent'][-1]:.2g}, and p makes {1 - arrays['share_n'][-1]:.0%} of the precision"
        )

    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        """Cost above; below it what varies, and the quantal size that compensates, relative to their smallest."""
        shown = [0, 1, 2, 3, len(MECHANISMS)]
        axes = page(figure, 2, len(shown), 1.5)
        for column, i in enumerate(shown):
            _cost(axes[0, column], arrays, i)
            _variables(axes[1, column], arrays, i)
        ax, last = axes[0, 3], len(MECHANISMS) - 1
        ax.loglog(arrays["sigma"][last], arrays["cost"][last], ":", color="0.4", label="p varies")
        ax.legend(loc="upper right", fontsize=6)
        axes[0, 0].set_ylabel("cost / smallest cost")
        axes[1, 0].set_ylabel("value / smallest value")
        small(figure)
        titled(figure, self.headline(arrays), *self._notes(arrays))

    def _notes(self, arrays: dict[str, np.ndarray]) -> list[str]:
        """What is held, the prices, and what moves where all are free."""
        named = {name: getattr(self, name) for name in ("calcium", "turnover", "membrane", "actin")}
        prices = ", ".join(f"{name} {value:g}" for name, value in named.items() if value)
        return [
            f"Computed from n vesicles of release probability p and quantal size q; q keeps the mean PSP at "
            f"{self.mean:g} mV. Above: cost against the standard deviation σ of the PSP, and the fitted exponent. "
            f"Below: what moves. Last column: least energy at the prices {prices}; {_moves(arrays, len(MECHANISMS))}."
        ]


def _cost(ax: Axes, arrays: dict[str, np.ndarray], i: int) -> None:
    """One mechanism's cost against sigma."""
    rho = float(arrays["rho"][i])
    ax.loglog(arrays["sigma"][i], arrays["cost"][i], color=colour(rho))
    ax.set_title(str(arrays["name"][i]))
    few_ticks(ax)
    ax.set_ylim(bottom=arrays["cost"][i].max() ** -0.4)  # room for the numbers below the line
    theory = "no power law" if np.isnan(rho) else f"theory {-rho:.3f}"
    note(ax, f"exponent {arrays['exponent'][i]:.3f}\n{theory}", 6.5)


def _variables(ax: Axes, arrays: dict[str, np.ndarray], i: int) -> None:
    """What varies, and how q compensates."""
    moves = str(arrays["moves"][i]).split(" and ")
    styles = {"n": "-.", "p": "-", "q": "--"} if len(moves) > 1 else {moves[0]: "-", "q": "--"}
    for name, style in styles.items():
        values = arrays[name][i]
        ax.loglog(arrays["sigma"][i], values / values.min(), style, color="0.2", label=name)
    ax.set_xlabel("σ (mV)")
    few_ticks(ax)
    held = None if len(moves) > 1 else "n" if moves == ["p"] else "p"
    title = f"{held} = {arrays[held][i][0]:g}" if held else None
    ax.set_ylim(top=ax.get_ylim()[1] ** 1.5)  # room for the names above the lines
    look = {"fontsize": 6.5, "title_fontsize": 6.5, "handlelength": 1.5, "columnspacing": 1.0, "borderaxespad": 0.1}
    ax.legend(loc="upper center", ncols=len(styles), title=title, **look)


def _moves(arrays: dict[str, np.ndarray], i: int) -> str:
    """Which variable moves if all are free: the ranges of n and p, and the part of n in the precision."""
    n, p = ((arrays[name][i].min(), arrays[name][i].max()) for name in ("n", "p"))
    share = f"{arrays['share_n'][i]:.0%} of the logarithm of the precision μ²/σ²"
    return f"n goes from {n[0]:.2g} to {n[1]:.2g} and makes {share}, p from {p[0]:.2g} to {p[1]:.2g}"
