"""A stochastic frontier: values that lie at a boundary or above it, each with a normal error on top."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

#: theta -> the values of a boundary but for its height, (n,), and their derivatives, (n, parameters)
Curve = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
Excess = Literal["half_normal", "exponential"]
LOG_2_PI = np.log(2 * np.pi)
SMALLEST = -7.0, 0.01  #: ln of the error, and the excess, over the spread of y: such an excess is as good as none
GAIN = 1e-6  #: log-likelihood (nat) that an excess has to gain over a normal error alone
NEARLY = 0.5  #: log-likelihood (nat) by which a moderate excess may be behind for a better one to be looked for


class Box(NamedTuple):
    """Where to look for the parameters of a shape."""

    start: np.ndarray
    limits: tuple[float, float] = (-np.inf, np.inf)


class Fit(NamedTuple):
    """The parameters of greatest likelihood."""

    theta: np.ndarray  #: of the boundary's shape
    height: float
    error: float  #: standard deviation of the normal error
    excess: float  #: scale of the one-sided excess; 0 where a normal error alone is at least as likely


def log_density(rest: np.ndarray, fit: Fit, excess: Excess) -> np.ndarray:
    """Log density (nat) of residuals `rest` from a boundary without its height, (n,)."""
    error = rest - fit.height
    if not fit.excess:
        return np.asarray(-0.5 * (error / fit.error) ** 2 - np.log(fit.error) - LOG_2_PI / 2)
    return FORMS[excess](error, fit.error, fit.excess)[0]


def fit(curve: Curve, box: Box, y: np.ndarray, excess: Excess, start: Fit | None = None) -> Fit:
    """Maximum likelihood of y (n,) = height + curve(theta) + normal error + excess.

    start: a fit of nearly the same data, to begin with. Where the residuals of least squares are not skewed upwards, no
    excess is a maximum (Waldman 1982), and another is looked for only if a moderate excess is almost as likely.
    """
    plain = _plain(curve, box if start is None else box._replace(start=start.theta), y)
    rest = y - curve(plain.theta)[0]
    guess, least = _guess(rest, plain), log_density(rest, plain, excess).sum()
    if ((rest - plain.height) ** 3).sum() <= 0 and log_density(rest, guess, excess).sum() < least - NEARLY:
        return plain
    start = guess if start is None or not start.excess else start
    both = _frontier(curve, box, start, y, excess)
    gain = log_density(y - curve(both.theta)[0], both, excess).sum() - least
    return both if gain > GAIN else plain


def _plain(curve: Curve, box: Box, y: np.ndarray) -> Fit:
    """Least squares: the boundary of greatest likelihood if errors are normal."""
    from scipy.optimize import least_squares

    def centred(values: np.ndarray) -> np.ndarray:
        return values - values.mean(0)

    theta = box.start
    if len(theta):
        inside = np.clip(theta, box.limits[0] + 1e-6, box.limits[1] - 1e-6)
        residual, slopes = lambda t: centred(y - curve(t)[0]), lambda t: -centred(curve(t)[1])
        theta = least_squares(residual, inside, slopes, box.limits, xtol=1e-9, ftol=1e-10).x
    rest = y - curve(theta)[0]
    return Fit(theta, float(rest.mean()), float(max(rest.std(), 1e-12)), 0.0)


def _guess(rest: np.ndarray, plain: Fit) -> Fit:
    """Half-normal excess by the method of moments, at least a third of the spread: its skewness fixes its scale."""
    third = max(float(((rest - plain.height) ** 3).mean()), 0.0) / (np.sqrt(2 / np.pi) * (4 / np.pi - 1))
    most = 0.95 * plain.error / np.sqrt(1 - 2 / np.pi)
    excess = float(np.clip(np.cbrt(third), plain.error / 3, most))
    error = np.sqrt(plain.error**2 - (1 - 2 / np.pi) * excess**2)
    return Fit(plain.theta, plain.height - excess * np.sqrt(2 / np.pi), float(error), excess)


def _frontier(curve: Curve, box: Box, start: Fit, y: np.ndarray, excess: Excess) -> Fit:
    from scipy.optimize import minimize

    k, unit = len(start.theta), float(y.std()) + 1e-12

    def cost(x: np.ndarray) -> tuple[float, np.ndarray]:
        values, slopes = curve(x[:k])
        density, by_error, by_scales = FORMS[excess](y - values - x[k], np.exp(x[k + 1]), unit * x[k + 2])
        error, scale = by_scales.sum(1)
        return -float(density.sum()), -np.array([*(-by_error @ slopes), -by_error.sum(), error, scale / x[k + 2]])

    x0 = np.array([*start.theta, start.height, np.log(start.error), start.excess / unit])
    error = np.log(unit) + SMALLEST[0], np.log(unit) + 5
    bounds = [box.limits] * k + [(-np.inf, np.inf), error, (SMALLEST[1], 100.0)]
    x = minimize(cost, x0, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-6}).x
    return Fit(x[:k], float(x[k]), float(np.exp(x[k + 1])), float(unit * x[k + 2]))


def _hazard(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log Phi and its derivative phi/Phi, which does not overflow where Phi vanishes if it is written with erfcx."""
    from scipy.special import erfcx, log_ndtr

    return log_ndtr(z), np.sqrt(2 / np.pi) / erfcx(-z / np.sqrt(2))


def _half_normal(e: np.ndarray, error: float, excess: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log density of a normal error plus |N(0, excess^2)|, and its derivatives by e and by the logarithm of each scale
    (Aigner, Lovell and Schmidt 1977).
    """
    square = error**2 + excess**2
    z = e * excess / (error * np.sqrt(square))
    log, r = _hazard(z)
    density = np.log(2) - 0.5 * np.log(square) - LOG_2_PI / 2 - e**2 / (2 * square) + log
    far = (e**2 / square - 1) / square
    by_scales = [error**2 * far - r * z * (1 + error**2 / square), excess**2 * far + r * z * (1 - excess**2 / square)]
    return density, -e / square + r * excess / (error * np.sqrt(square)), np.array(by_scales)


def _exponential(e: np.ndarray, error: float, excess: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same for an exponential excess of mean `excess` (Meeusen and van den Broeck 1977)."""
    ratio = error / excess
    log, r = _hazard(e / error - ratio)
    density = -np.log(excess) + ratio**2 / 2 - e / excess + log
    by_scales = [ratio**2 - r * (e / error + ratio), e / excess - 1 - ratio**2 + r * ratio]
    return density, -1 / excess + r / error, np.array(by_scales)


FORMS = {"half_normal": _half_normal, "exponential": _exponential}
