"""The exact curvature of a linear network of two layers on the data set `teacher`, and the estimators beside it."""

from __future__ import annotations

import numpy as np

from ebayes_plugins.analyses._panels import Arrays

TEST = "gauss_newton_test"  #: the mean of two halves of the test examples
#: estimators in the order of the figure, and their names in it; in theory, the first three are unbiased for any sigma
NAMES = {
    "gauss_newton_noise": "Gauss-Newton", TEST: "Gauss-Newton, test set", "fisher_true_noise": "true Fisher",
    "fisher_empirical_noise": "empirical Fisher", "gauss_newton_mean": "Gauss-Newton, at means",
    "fisher_true_mean": "true Fisher, at means", "fisher_empirical_mean": "empirical Fisher, at means",
}  # fmt: skip
EXACT = "exact"


def exact(means: list[np.ndarray], sigmas: list[np.ndarray], spectrum: np.ndarray) -> list[np.ndarray]:
    """E[H] of each weight per example, (post, pre + 1) of each layer, for independent weights of any distribution.

    Weights are linear in the outputs one by one, so that this is the Hessian itself: L_j sum_k E[W2_ki^2] of W1_ij, and
    sum_j L_j E[W1_ij^2] of W2_ki. A bias is the weight of an input that is always 1. spectrum: L, (inputs,).
    """
    first, second = (m.astype(float) ** 2 + s.astype(float) ** 2 for m, s in zip(means, sigmas, strict=True))
    moments = np.append(spectrum, 1.0)
    hidden = np.append(first @ moments, 1.0)
    return [np.outer(second[:, :-1].sum(0), moments), np.broadcast_to(hidden, second.shape)]


def firsts(arrays: Arrays) -> np.ndarray:
    """The first row of each mechanism, layer and estimator, in order."""
    keys = list(zip(*(arrays[name].tolist() for name in ("mechanism", "layer", "estimator")), strict=True))
    return np.array([keys.index(key) for key in dict.fromkeys(keys)])
