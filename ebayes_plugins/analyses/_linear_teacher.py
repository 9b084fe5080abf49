"""The exact curvature of a linear network of two layers on the data of the data set `teacher`."""

from __future__ import annotations

import numpy as np


def exact(means: list[np.ndarray], sigmas: list[np.ndarray], spectrum: np.ndarray) -> list[np.ndarray]:
    """E[H] of each weight per example, (post, pre + 1) of each layer, for independent weights of any distribution.

    Weights are linear in the outputs one by one, so that this is the Hessian itself: L_j sum_k E[W2_ki^2] of W1_ij, and
    sum_j L_j E[W1_ij^2] of W2_ki. A bias is the weight of an input that is always 1. spectrum: L, (inputs,).
    """
    first, second = (m.astype(float) ** 2 + s.astype(float) ** 2 for m, s in zip(means, sigmas, strict=True))
    moments = np.append(spectrum, 1.0)
    hidden = np.append(first @ moments, 1.0)
    return [np.outer(second[:, :-1].sum(0), moments), np.broadcast_to(hidden, second.shape)]
