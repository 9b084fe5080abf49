"""What analyses share: groups and labels of members, colours, and the optimum of any cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ebayes_core.runfile import Run
    from ebayes_core.slots import Cost

MECHANISMS = ("calcium", "membrane", "actin", "trafficking")
GREY = "0.55"
MARKERS = "osD^vP*X"


def label(run: Run, member: int, leave_out: tuple[str, ...] = ()) -> str:
    """A member by what the sweep set, and by its seed where there are several."""
    parts = [f"{name.split('.')[-1]} = {_short(v[member])}" for name, v in run.swept.items() if name not in leave_out]
    if len(set(run.seeds.tolist())) > 1 and "seed" not in leave_out:
        parts.append(f"seed {run.seeds[member]}")
    return ", ".join(parts) or run.member_spec(member)["cost"]["kind"]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("kind", value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def colour(kind: str, noise: str = "heterogeneous") -> Any:
    """The paper's colours: greens of 'summer', one per mechanism, dark for small rho; grey for homogeneous noise."""
    from matplotlib import colormaps

    if noise == "homogeneous":
        return GREY
    place = MECHANISMS.index(kind) if kind in MECHANISMS else 1.5
    return colormaps["summer"](0.12 + 0.2 * place)


def cost_of(spec: dict[str, Any]) -> Cost:
    """The cost plugin of a member's resolved spec."""
    from ebayes_core.registry import Registry

    registry = Registry.load()
    return registry.composed(registry.kinds("cost")[spec["cost"]["kind"]]).model_validate(spec["cost"])


def slope_of(spec: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """sigma -> -sigma d(reliability cost)/d sigma of a member: c rho sigma**-rho for a power law, 1 for an entropy.

    At the optimum it equals N H sigma^2 (Eq. 27), for any cost and for variational Bayes with a wide prior.
    """
    from ebayes_core.bound import elasticity
    from ebayes_core.registry import Registry

    import torch

    inference = Registry.load().kinds("inference")[spec["inference"]["kind"]].model_validate(spec["inference"])
    cost = cost_of(spec)

    def slope(sigma: np.ndarray) -> np.ndarray:
        at = torch.as_tensor(sigma, dtype=torch.float64)
        return elasticity(lambda s: inference.reliability_cost(torch.zeros_like(s), s, cost), at).numpy()

    return slope


def optimum(slope: Callable[[np.ndarray], np.ndarray], curvature: np.ndarray) -> np.ndarray:
    """sigma with curvature * sigma^2 = slope(sigma), by bisection on log sigma; curvature is the data-set sum, positive."""
    low, high = np.full_like(curvature, -60.0), np.full_like(curvature, 60.0)
    for _ in range(60):
        middle = (low + high) / 2
        small = curvature * np.exp(2 * middle) < slope(np.exp(middle))
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    return np.exp((low + high) / 2)


def analytic_slope(slope: Callable[[np.ndarray], np.ndarray], sigma: float) -> float:
    """d log sigma^2 / d log H along the optimum: -2/(rho + 2) for a power law, -1 for an entropy (Appendix 5)."""
    step = 1e-4
    above, below = slope(np.array([sigma * np.exp(step), sigma * np.exp(-step)]))
    exponent = (np.log(above) - np.log(below)) / (2 * step)
    return float(2 / (exponent - 2))


def finished(run: Run) -> list[int]:
    """Members that did not diverge."""
    return [i for i, status in enumerate(run.status) if status == "done"]


def grid(figure: Any, rows: int, columns: int, size: float = 2.7) -> np.ndarray:
    """Axes (rows, columns) in a figure that is large enough for them."""
    figure.set_size_inches(max(size * columns, 3.4), max(0.85 * size * rows + 0.4, 2.6))
    return figure.subplots(rows, columns, squeeze=False)


def note(axes: Axes, text: str) -> None:
    """A remark in a corner of the panel."""
    axes.text(0.03, 0.03, text, transform=axes.transAxes, fontsize=7, va="bottom", color="0.25")
