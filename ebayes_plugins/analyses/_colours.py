"""Colours of mechanisms: the same exponent has the same colour in every figure."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Red, green and blue of the paper's four exponents: violet, teal, ochre and crimson. They are about equally light, and
#: dark enough for a thin line on white; with any colour vision they differ from each other and from grey.
PAPER = {
    0.5: (0.431, 0.400, 0.827),
    2 / 3: (0.008, 0.596, 0.596),
    4 / 3: (0.631, 0.514, 0.0),
    2.0: (0.871, 0.118, 0.435),
}
#: Ends of the scale, for exponents near zero and very large ones: indigo and plum.
ENDS = ((0.13, 0.10, 0.42), (0.36, 0.02, 0.26))
#: Colours of costs that are not power laws, in turn; none of them is on the scale.
OTHERS = ("#b30000", "#005348", "#5a1abe", "#4f653e", "#661819", "#4e225b")
NOISES = {"homogeneous": "0.45", "none": "0.0"}  #: grey, and black for networks without noise


def colour(rho: float, noise: str = "heterogeneous", other: int = 0) -> Any:
    """Colour of an exponent; grey for homogeneous noise, black without noise.

    A scale from cold to warm: violet for small exponents, then teal, ochre and crimson. A cost that is not a power law
    (NaN) has the colour number `other`.
    """
    if noise in NOISES:
        return NOISES[noise]
    return OTHERS[other % len(OTHERS)] if np.isnan(rho) else _on_scale(rho)


def colours(names: np.ndarray, rho: np.ndarray) -> dict[str, Any]:
    """Mechanism -> colour in the order of the rows, one per network; costs without exponent have colours in theirs."""
    first = dict(zip(names.tolist()[::-1], rho.tolist()[::-1], strict=True))
    order = list(dict.fromkeys(names.tolist()))
    others = [name for name in order if np.isnan(first[name])]
    return {name: colour(first[name], other=others.index(name) if name in others else 0) for name in order}


def _on_scale(rho: float) -> tuple[float, ...]:
    """Red, green and blue of an exponent: between its neighbours on the scale, by its logarithm within the paper's."""
    known = list(PAPER)
    stops = np.array([ENDS[0], *PAPER.values(), ENDS[1]])
    return tuple(float(np.interp(_place(rho, known), range(len(stops)), part)) for part in stops.T)


def _place(rho: float, known: list[float]) -> float:
    """Position of an exponent on the scale, 1 for the first of those known; it increases with the exponent."""
    if rho < known[0]:
        return float(np.sqrt(rho / known[0]))
    if rho > known[-1]:
        return float(1 + len(known) - (known[-1] / rho) ** 1.4)
    return 1 + float(np.interp(np.log(rho), np.log(known), range(len(known))))
