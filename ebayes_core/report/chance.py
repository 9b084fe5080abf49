"""What chance does to many verdicts: p values at the edge of a rule, Holm's correction, and how many seeds it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ebayes_core.contract.claim import ALIKE, Claim, Measured

LEVEL = 0.025  #: chance that a statistic at its threshold has its whole 95% interval beyond it
MOST = 1000  #: seeds that anyone would train


def p_value(claim: Claim, found: Measured) -> float:
    """The chance of a statistic this far inside the range if the truth were at the nearer end; 1 without interval.

    That of its own test if it has one. Else from the interval: Student's t with seeds - 1 degrees of freedom, or normal
    if it is not over seeds.
    """
    if found.doubt or not found.known:
        return 1.0
    if found.chances:
        return max(chance for chance, end in zip(found.chances, claim.within, strict=True) if math.isfinite(end))
    (least, most), (value, low, high) = _even(claim, found)
    return max(_tail(value - least, value - low, found), _tail(most - value, high - value, found))


def _even(claim: Claim, found: Measured) -> tuple[list[float], list[float]]:
    """The ends of the range, and the statistic with its interval, on the scale on which the interval is even."""
    scale = _log if found.logs else float
    return [scale(end) for end in claim.within], [scale(x) for x in (found.value, found.low, found.high)]


def _log(ratio: float) -> float:
    """The logarithm of a ratio; an end that no ratio reaches is infinitely far."""
    return math.log(ratio) if ratio > 0 else -math.inf


def _tail(gap: float, half: float, found: Measured) -> float:
    """The chance beyond a gap, given half the width of the 95% interval on that side.

    Seeds of one value have no spread that Student's t could use: the chance is that of all of them on one side.
    """
    from scipy.special import ndtr, stdtr

    if found.alike or half <= 0:
        return 0.5**found.seeds if gap > 0 else 1.0
    distance = gap / half * _quantile(found.seeds)
    return float(stdtr(found.seeds - 1, -distance) if found.seeds > 1 else ndtr(-distance))


def _quantile(seeds: int) -> float:
    """Half the width of a 95% interval, in standard errors."""
    from scipy.special import ndtri, stdtrit

    return float(stdtrit(seeds - 1, 1 - LEVEL) if seeds > 1 else ndtri(1 - LEVEL))


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which of the verdicts stand if the chance that any of them is due to chance is kept below the level (Holm 1979).

    The smallest p value is compared with level / n, the next with level / (n - 1), and so on until one fails.
    """
    order, stand = sorted(range(len(p_values)), key=p_values.__getitem__), [False] * len(p_values)
    for rank, i in enumerate(order):
        if p_values[i] > level / (len(p_values) - rank):
            break
        stand[i] = True
    return stand


def seeds_needed(claim: Claim, found: Measured) -> int | None:
    """How many seeds would settle an open verdict, if mean and spread stay as they are: held or not.

    None if the interval is not over seeds, or more than a thousand are needed.
    """
    if found.seeds < 2 or not found.known or found.unsettled:
        return None
    ends, (value, low, high) = _even(claim, found)
    spread = (high - low) / 2 / _quantile(found.seeds) * math.sqrt(found.seeds)
    gap, least = min(abs(value - end) for end in ends), max(found.seeds, ALIKE * found.alike)
    enough = (n for n in range(least, MOST + 1) if _quantile(n) * spread / math.sqrt(n) < gap)
    return next(enough, None)
