"""The claims about predictive distributions (App. 4), and the bound that the energy is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ebayes_core.contract.claim import POSITIVE, SIGN, Claim, Measured
from ebayes_plugins.analyses._gaussian import EXPECTED, share
from ebayes_plugins.analyses._intervals import by_ratio, ranked

Arrays = dict[str, np.ndarray]


def by_value(arrays: Arrays, by: str) -> Iterator[tuple[float, np.ndarray]]:
    """The panels of energy-efficient networks that share rho, or the multiplier (c or s)."""
    energy = np.isfinite(arrays["rho"])
    for value in np.unique(arrays[by][energy]):
        yield float(value), energy & (arrays[by] == value)


def _ranked(a: Arrays, by: str, x: np.ndarray, y: np.ndarray, named: str) -> Iterator[Measured]:
    """The rank correlation of x and y within seeds, for the networks that share rho or the multiplier."""
    for value, mine in by_value(a, by):
        if len(np.unique(x[mine])) > 1:
            yield ranked(f"{named} = {value:.3g}", x[mine], y[mine], a["seed"][mine])


def _bounded(analysis: Any, a: Arrays) -> Iterator[Measured]:
    for rho, mine in by_value(a, "rho"):
        least = np.fmin(a["slack"], a["elbo"] - a["bound"])[mine] / a["synapses"][mine]
        yield Measured(f"rho = {rho:.3g}", float(least.min()), because="an inequality (Eq. 43 to 49)")


def _tightens(analysis: Any, a: Arrays) -> Iterator[Measured]:
    yield from _ranked(a, "s", a["rho"], a["slack"] / a["synapses"], "s")


def _by_seed(part: str, a: Arrays, values: np.ndarray, mine: np.ndarray) -> Measured:
    """A ratio of these networks over seeds, the geometric mean of those of one seed."""
    logs = [np.log(values[mine & (a["seed"] == seed)]).mean() for seed in np.unique(a["seed"][mine])]
    return by_ratio(part, np.array(logs))


def _widens(analysis: Any, a: Arrays) -> Iterator[Measured]:
    for part in ("gap", "beyond"):
        yield _by_seed(part, a, a[f"width_{part}"] / a["width_near"], ~np.isfinite(a["rho"]))


def _similar(analysis: Any, a: Arrays) -> Iterator[Measured]:
    """Divergence at the multiplier that is the nearest for the other seeds: a minimum would be chosen by its noise."""
    for rho, mine in by_value(a, "rho"):
        near = {seed: np.log(_at_nearest(a, mine, seed)) for seed in np.unique(a["seed"][mine]).tolist()}
        known = [seed for seed, value in near.items() if np.isfinite(value)]
        yield by_ratio(f"rho = {rho:.3g}", np.array([near[seed] for seed in known]) - _between(a, known))


def _between(a: Arrays, seeds: list[int]) -> np.ndarray:
    """Log of the mean divergence between variational Bayes of different seeds, in parts of each seed whose mean it is.

    It is as uncertain as what it divides: a seed's part in a mean over pairs is what leaving the seed out takes from it
    (jackknife). NaN for two seeds, whose one pair has no spread.
    """
    if len(seeds) < 3:
        return np.full(len(seeds), np.nan)
    without = np.log([_of_pairs(a, seed) for seed in seeds])
    return np.asarray(np.log(_of_pairs(a)) - (len(seeds) - 1) * (without - without.mean()))


def _of_pairs(a: Arrays, left_out: int | None = None) -> float:
    """Mean divergence between variational Bayes of different seeds, or of all seeds but one; NaN without a pair."""
    bayes = a["seed"][~np.isfinite(a["rho"])]
    pairs = bayes[np.stack(np.triu_indices(len(bayes), 1))]  # in the order in which they were measured
    chosen = a["between_seeds"][(pairs[0] != pairs[1]) & (pairs != left_out).all(0)]
    return float(chosen.mean()) if chosen.size else np.nan


def _at_nearest(a: Arrays, mine: np.ndarray, seed: int) -> float:
    """Divergence of one seed at the multiplier with the smallest mean divergence over all other seeds.

    NaN if this seed has no multiplier that another has.
    """
    others, own = (mine & (is_own == (a["seed"] == seed)) for is_own in (False, True))
    prices = np.intersect1d(a["price"][others], a["price"][own])
    if not len(prices):
        return np.nan
    best = min(prices, key=lambda price: a["divergence"][others & (a["price"] == price)].mean())
    return float(a["divergence"][own & (a["price"] == best)].mean())


def _worsens(analysis: Any, a: Arrays) -> Iterator[Measured]:
    yield from _ranked(a, "price", a["rho"], a["divergence"], str(a["priced_by"][0]))


def _least(a: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    """The networks of each rho that pay the smallest multiplier."""
    for rho, mine in by_value(a, "rho"):
        yield f"rho = {rho:.3g}", mine & (a["price"] == a["price"][mine].min())


def _narrow(analysis: Any, a: Arrays) -> Iterator[Measured]:
    from scipy.special import ndtr

    n = len(a["x_test"])
    error = np.sqrt(EXPECTED * (1 - EXPECTED) / n)  # of the share where it is as expected, as in Wilson's interval
    for part, mine in _least(a):
        found = share(float(a["covered"][mine].mean()), n)
        below = float(ndtr((found[0] - EXPECTED) / error))
        yield Measured(part, *found, f"{n} held-out points (Wilson)", chances=(1 - below, below))


def _blind(analysis: Any, a: Arrays) -> Iterator[Measured]:
    """Widening of the energy's predictive distribution over that of variational Bayes of the same seed."""
    widening, bayes = a["width_beyond"] / a["width_near"], ~np.isfinite(a["rho"])
    theirs = {int(seed): widening[bayes & (a["seed"] == seed)].mean() for seed in np.unique(a["seed"][bayes])}
    relative = widening / np.array([theirs.get(int(seed), np.nan) for seed in a["seed"]])
    for part, mine in _least(a):
        yield _by_seed(part, a, relative, mine)


def _rough(analysis: Any, a: Arrays) -> Iterator[Measured]:
    yield from _ranked(a, "rho", a["price"], a["fit"], "rho")


BELOW_1 = (-np.inf, 1.0)
CLAIMS = (
    Claim(
        18, "the energy bounds the ELBO from below", "smallest slack per synapse (nat)", POSITIVE, _bounded,
        history=("before", "after"),
        source=SIGN,
    ),
    Claim(
        18, "the bound tightens as rho falls, at equal s", "rank correlation of rho and slack / synapse", POSITIVE,
        _tightens, history=("before", "before", "after"), source=SIGN,
    ),
    Claim(
        19, "under variational Bayes the predictive widens where there are no data", "width / width near the data",
        (1.0, np.inf), _widens, history=("before", "after"), source="1, equality", reference=None,
    ),
    Claim(
        19, "predictive distributions under the energy are similar to those of variational Bayes",
        "divergence from VI at the c nearest to it for other seeds / divergence between VI of different seeds", BELOW_1,
        _similar, history=("before", "after", "after"), source="1, the difference that a seed makes", reference=None,
    ),
    Claim(
        19, "the similarity worsens with rho", "rank correlation of rho and divergence from VI", POSITIVE, _worsens,
        history=("before", "before", "after"), source=SIGN,
    ),
    Claim(
        19, "at small c they are too narrow", "share of held-out points in 2 s.d.", (-np.inf, EXPECTED), _narrow,
        history=("before", "after"), source="0.9545, a normal distribution", reference=None,
    ),
    Claim(
        19, "at small c their width does not depend on where data are", "widening beyond the data / that of VI",
        BELOW_1, _blind, history=("before", "after"), source="1, equality", reference=None,
    ),
    Claim(
        19, "at large c they fit poorly", "rank correlation of c and RMSE of the predictive mean", POSITIVE, _rough,
        history=("before", "before", "after"), source=SIGN,
    ),
)  # fmt: skip
