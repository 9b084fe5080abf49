"""Colours of mechanisms: the same exponent has the same colour in every figure."""

from __future__ import annotations

from typing import Any

import numpy as np

#: The paper's four exponents and their positions on the scale, chosen so that they can be distinguished from each other
#: and from grey with any colour vision, with room for other exponents on either side.
PAPER = ((0.5, 2 / 3, 4 / 3, 2.0), (0.17, 0.36, 0.6, 0.76))
#: Colours of costs that are not power laws, in turn; none of them is on the scale.
OTHERS = ("#c2185b", "#e6743e", "#7a3b0c", "#f2a7c3", "#4a1030", "#d4a017")
NOISES = {"homogeneous": "0.45", "none": "0.0"}  #: grey, and black for networks without noise


def colour(rho: float, noise: str = "heterogeneous", other: int = 0) -> Any:
    """Colour of an exponent; grey for homogeneous noise, black without noise.

    The perceptually uniform scale viridis: dark blue for small exponents, then green, then yellow. A cost that is not a
    power law (NaN) has the colour number `other`.
    """
    from matplotlib import colormaps

    if noise in NOISES:
        return NOISES[noise]
    return OTHERS[other % len(OTHERS)] if np.isnan(rho) else colormaps["viridis"](_place(rho))


def colours(names: np.ndarray, rho: np.ndarray) -> dict[str, Any]:
    """Mechanism -> colour, from one row per network; costs without exponent have colours in their order."""
    first = dict(zip(names.tolist()[::-1], rho.tolist()[::-1], strict=True))
    others = [name for name in dict.fromkeys(names.tolist()) if np.isnan(first[name])]
    return {name: colour(first[name], other=others.index(name) if name in others else 0) for name in first}


def _place(rho: float) -> float:
    """Position of an exponent on the scale; it increases with every exponent above 0."""
    known, places = PAPER
    if rho < known[0]:
        return float(places[0] * np.sqrt(rho / known[0]))
    if rho > known[-1]:
        return float(1 - (1 - places[-1]) * (known[-1] / rho) ** 1.4)
    return float(np.interp(np.log(rho), np.log(known), places))
