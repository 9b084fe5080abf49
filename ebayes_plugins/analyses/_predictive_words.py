"""The finding of Appendix 4 in words, and what its panels show."""

from __future__ import annotations

import numpy as np

from ebayes_plugins.analyses._titles import count, counts

Arrays = dict[str, np.ndarray]


def finding(a: Arrays) -> str:
    """How near the energies come to variational Bayes, at their best price."""
    found = {float(rho): _nearest(a, a["rho"] == rho) for rho in np.unique(a["rho"][np.isfinite(a["rho"])])}
    near = " to ".join(f"{least:.2g} (rho = {rho:.2g})" for rho, least in _ends(found))
    seeds = f"; seeds of variational Bayes differ by {a['between_seeds'].mean():.2g}" if a["between_seeds"].size else ""
    return (
        f"At the best {a['priced_by'][0]}, predictions under the energy differ from those of variational Bayes by "
        f"{near} nat{seeds}."
    )


def _nearest(a: Arrays, mine: np.ndarray) -> float:
    """The smallest divergence over prices, each the mean over seeds (nat)."""
    return min(float(a["divergence"][mine & (a["price"] == price)].mean()) for price in np.unique(a["price"][mine]))


def _ends(found: dict[float, float]) -> list[tuple[float, float]]:
    """The smallest and the largest exponent."""
    known = sorted(found.items())
    return known if len(known) < 3 else [known[0], known[-1]]


def notes(a: Arrays) -> list[str]:
    """What the bands and the numbers in the panels are."""
    left_out = int(a["left_out"][0])
    return [
        f"Seed {a['seed'][0]}; {counts([len(a['x_train'])], 'training point')}, "
        f"{counts([len(a['x_test'])], 'held-out point')}. Bands: 2 s.d. of the network's output (dark) and with "
        "observation noise (light). Numbers: error of the mean (root mean square) and held-out points within 2 s.d.; "
        "width in the gap and beyond the data, relative to that near data; KL: divergence from variational Bayes "
        "(nat); B: balance, 1 at the optimum.",
        f"{count(left_out, 'network')} left out." if left_out else "",
    ]
