"""The paper's claims about important synapses (Fig. 5, App. 5, App. 6), and the rules by which they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ebayes_core.contract.claim import Claim, Measured
from ebayes_plugins.analyses._regression import over_seeds

Arrays = dict[str, np.ndarray]
#: Powers of the curvature to which other quantities are proportional, from which the slope at the optimum follows: a
#: learning rate is proportional to 1 / sqrt(H) (Eq. 7), and H to the mean square of the input (Eq. 6) or its square.
POWERS = {"learning_rate_rms": -1 / 2, "learning_rate_authors": -1 / 2, "input_abs": 1 / 2, "input_square": 1.0}
CURVATURE, RATE, INPUT = ("gauss", "fisher"), ("learning",), ("input",)
Panels = Callable[[Arrays], np.ndarray]


def _middle(a: Arrays) -> np.ndarray:
    return (a["layer"] > 1) & (a["layer"] < a["layers"])


def _outer(a: Arrays) -> np.ndarray:
    return (a["layers"] > 1) & ~_middle(a)


def _single(a: Arrays) -> np.ndarray:
    return a["layers"] == 1


def _over_seeds(analysis: Any, a: Arrays, values: np.ndarray, chosen: np.ndarray) -> Iterator[Measured]:
    """The mean over the seeds of each sweep point and layer, with its 95% interval."""

    against = analysis.estimator.replace("_", " ")
    for point in dict.fromkeys(a["point"][chosen].tolist()):
        middle, half = over_seeds(values[chosen & (a["point"] == point)])
        yield Measured(f"{point}: {against}", middle, middle - half, middle + half)


def _rank(of: tuple[str, ...], panels: Panels, towards: int = 1) -> Any:
    """The rank correlation of sigma^2 with the estimator of the analysis, if that is one of `of`."""

    def measured(analysis: Any, a: Arrays) -> Iterator[Measured]:
        if analysis.estimator.startswith(of):
            yield from _over_seeds(analysis, a, towards * a["rank_correlation"], panels(a))

    return measured


def _expected_rank(analysis: Any, a: Arrays) -> Iterator[Measured]:
    """The same, positive if the sign is that of theory, in the first and last layers."""
    sign = -np.sign(POWERS.get(analysis.estimator, 1.0))
    yield from _over_seeds(analysis, a, sign * a["rank_correlation"], _outer(a))


def _off(panels: Panels, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """The fitted slope minus the analytic one."""

    def measured(analysis: Any, a: Arrays) -> Iterator[Measured]:
        yield from _over_seeds(analysis, a, change(a["slope"] - a["analytic_slope"]), panels(a))

    return measured


NEGATIVE, POSITIVE = (-np.inf, 0.0), (0.0, np.inf)
RANK = "rank correlation, middle layer"
CLAIMS = (
    Claim(9, "sigma^2 falls with the Hessian", RANK, NEGATIVE, _rank(CURVATURE, _middle)),
    Claim(10, "sigma^2 rises with the learning rate", RANK, POSITIVE, _rank(RATE, _middle)),
    Claim(11, "sigma^2 falls with the input rate", RANK, NEGATIVE, _rank(INPUT, _middle)),
    Claim(
        12, "the same holds in the first and in the last layer",
        "rank correlation, with its expected sign as positive", POSITIVE, _expected_rank,
    ),
    Claim(
        20, "without a hidden layer the slopes are the analytic ones", "slope - analytic slope", (-0.1, 0.1),
        _off(_single, np.asarray),
    ),
    Claim(
        21, "in deeper networks the exact slope is not kept", "|slope - analytic slope|, middle layer",
        (0.1, np.inf), _off(_middle, np.abs),
    ),
)  # fmt: skip
