"""The exponent of precision on energy under calcium + turnover: what a table of synapses can say of it.

Precision is S = mean^2/variance, and the energy E = o^(1/4) + f n, in units of calcium's price, with o = p/(1 - p).
Least energy at each S gives S in proportion to E^5.

- n not measured: with n held S = n o, so that d ln S/d ln E = 4 E/o^(1/4): 4 or more for any data, and 5 where calcium
  pays 4/5. The price f that makes the median synapse optimal makes the exponent about 5.
- n and p measured, and f fitted so that synapses are optimal on average: E is smallest there at its S, so to first
  order E is in proportion to S^(1/5) whatever n and o do, and the exponent is about 5 again. What data can contradict
  is how they divide a change of S between n and o: least energy asks for n in proportion to S^(1/5).
- f known from elsewhere: the exponent is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ebayes_plugins.analyses._measured import Synapses
from ebayes_plugins.analyses._regression import regress

LEAST, FITTED, FREE = "4 or more by construction", "about 5 by construction", ""
EXPONENT, PATH, CALCIUM = "ln S on ln E", "ln n on ln S", "share that calcium pays"


def exponents(of: Synapses, sites: float, turnover: float | None) -> Iterator[dict[str, Any]]:
    """Rows: the exponent, the share of calcium, and, if n was measured, the path; 95% intervals over synapses.

    sites: n if it was not measured. turnover: f, or None to make synapses optimal on average.
    """
    s, n = of.precision, of.n if len(of.n) else np.full(len(of.mean), sites)
    odds = of.p / (1 - of.p) if len(of.n) and len(of.p) else s / n
    f = optimal_price(odds, n) if turnover is None else turnover
    energy = odds**0.25 + f * n
    why = LEAST if not len(of.n) else FITTED if turnover is None else FREE
    yield {"what": EXPONENT, "expected": "5", "note": why, **regress(np.log(energy), np.log(s))}
    share = odds**0.25 / energy
    low, middle, high = np.percentile(share, [2.5, 50, 97.5])
    spread = {"n": len(share), "slope": middle, "low": low, "high": high}
    yield {"what": CALCIUM, "expected": "0.8", "note": "median and 95% of synapses", **spread}
    if len(of.n):
        yield {"what": PATH, "expected": "0.2", "note": FREE, **regress(np.log(s), np.log(n))}


def optimal_price(odds: np.ndarray, n: np.ndarray) -> float:
    """f at which o^(1/4) = 4 f n holds on average over synapses, as least energy asks for: a geometric mean."""
    return float(np.exp(np.mean(np.log(odds) / 4 - np.log(n))) / 4)
