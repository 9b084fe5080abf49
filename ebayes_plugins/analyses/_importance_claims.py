"""The paper's claims about important synapses (Fig. 5, App. 5, App. 6), and the rules by which they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ebayes_core.contract.claim import NEGATIVE, POSITIVE, SIGN, Claim, Measured
from ebayes_plugins.analyses._intervals import Why, by_seed

Arrays = dict[str, np.ndarray]
#: Powers of the curvature to which other quantities are proportional, from which the slope at the optimum follows: a
#: learning rate is proportional to 1 / sqrt(H) (Eq. 7), and H to the mean square of the input (Eq. 6) or its square.
POWERS = {"learning_rate_rms": -1 / 2, "learning_rate_authors": -1 / 2, "input_abs": 1 / 2, "input_square": 1.0}
CURVATURE, RATE, INPUT = ("gauss", "fisher"), ("learning",), ("input",)
HELD_OUT = "gauss_newton_test"  #: the curvature of test examples under new noise, which has set no sigma
BALANCED = 0.1  #: how far B may be from 1 at the optimum
Panels = Callable[[Arrays], np.ndarray]


def _middle(a: Arrays) -> np.ndarray:
    return (a["layer"] > 1) & (a["layer"] < a["layers"])


def _outer(a: Arrays) -> np.ndarray:
    return (a["layers"] > 1) & ~_middle(a)


def _single(a: Arrays) -> np.ndarray:
    return a["layers"] == 1


def _over_seeds(
    analysis: Any, a: Arrays, values: np.ndarray, chosen: np.ndarray, judge: Callable[..., Why]
) -> Iterator[Measured]:
    """The mean over the seeds of each sweep point and layer, with its 95% interval; what judge says of its rows."""
    against = analysis.estimator.replace("_", " ")
    for point in dict.fromkeys(a["point"][chosen].tolist()):
        rows = chosen & (a["point"] == point)
        yield by_seed(f"{point}: {against}", values[rows], **judge(analysis, a, rows))


def _circular(analysis: Any, a: Arrays, rows: np.ndarray) -> Why:
    """Why a relation of sigma with this quantity is true by construction.

    The solver sets sigma from a curvature of the training examples, of which every estimate on these examples is a
    version; one on test examples is independent of it.
    """
    if analysis.estimator.startswith(RATE):
        return {"because": "Eq. 7 defines the learning rate by the gradients that are claim 9's Fisher information"}
    solved = a.get("solved", np.zeros(len(a["layer"]), bool))[rows].any()
    if solved and analysis.estimator.startswith(CURVATURE) and analysis.estimator != HELD_OUT:
        return {"because": f"the solver set sigma from this curvature; {HELD_OUT} did not"}
    return {}


def _converged(analysis: Any, a: Arrays, rows: np.ndarray) -> Why:
    """The same, and why the verdict is open if sigma is not at its optimum: poor convergence, too, changes slopes."""
    b = a["balance"][rows]
    if not (np.abs(b - 1) <= BALANCED).all():
        return {"unsettled": f"B {b.min():.2g} to {b.max():.2g}: sigma is not at its optimum"}
    return _circular(analysis, a, rows)


def _rank(of: tuple[str, ...], panels: Panels, towards: int = 1) -> Any:
    """The rank correlation of sigma^2 with the estimator of the analysis, if that is one of `of`."""

    def measured(analysis: Any, a: Arrays) -> Iterator[Measured]:
        if analysis.estimator.startswith(of):
            yield from _over_seeds(analysis, a, towards * a["rank_correlation"], panels(a), _circular)

    return measured


def _expected_rank(analysis: Any, a: Arrays) -> Iterator[Measured]:
    """The same, positive if the sign is that of theory, in the first and last layers."""
    sign = -np.sign(POWERS.get(analysis.estimator, 1.0))
    yield from _over_seeds(analysis, a, sign * a["rank_correlation"], _outer(a), _circular)


def _off(panels: Panels, change: Callable[[np.ndarray], np.ndarray], judge: Callable[..., Why]) -> Any:
    """The fitted slope minus the analytic one."""

    def measured(analysis: Any, a: Arrays) -> Iterator[Measured]:
        yield from _over_seeds(analysis, a, change(a["slope"] - a["analytic_slope"]), panels(a), judge)

    return measured


RANK = "rank correlation, middle layer"
CLAIMS = (
    Claim(
        9, "sigma^2 falls with the Hessian", RANK, NEGATIVE, _rank(CURVATURE, _middle),
        history=("pilot", "after"), source=SIGN
    ),
    Claim(
        10, "sigma^2 rises with the learning rate", RANK, POSITIVE, _rank(RATE, _middle),
        history=("before", "after", "after"), source=SIGN
    ),
    Claim(11, "sigma^2 falls with the input rate", RANK, NEGATIVE, _rank(INPUT, _middle),
        history=("before", "after", "after"), source=SIGN),
    Claim(
        12, "the same holds in the first and in the last layer",
        "rank correlation, with its expected sign as positive", POSITIVE, _expected_rank,
        history=("pilot", "after", "after"), source=SIGN,
    ),
    Claim(
        20, "without a hidden layer the slopes are the analytic ones", "slope - analytic slope", (-0.1, 0.1),
        _off(_single, np.asarray, _circular), history=("before", "after", "after"),
    ),
    Claim(
        21, "in deeper networks the exact slope is not kept", "|slope - analytic slope|, middle layer",
        (0.1, np.inf), _off(_middle, np.abs, _converged), history=("pilot", "after", "after"),
    ),
)  # fmt: skip
