"""What curves over c show, in a sentence: how score and sigma change with c, and what heterogeneous noise gains."""

from __future__ import annotations

import numpy as np

from ebayes_plugins.analyses._curves import Arrays, columns, curve, lines, mean_gain, pair


def noisy(arrays: Arrays) -> list[Arrays]:
    """The curves with noise at several values of c, one for each mechanism and noise mode."""
    found = [mine for column in columns(arrays) for line, mine in lines(arrays, column) if line != "none"]
    return [mine for mine in found if len(np.unique(mine["c"])) > 1]


def score_word(arrays: Arrays) -> str:
    """Accuracy, or RMSE."""
    return str(arrays["score"][0]).replace("rmse", "RMSE")


def ends(arrays: Arrays) -> str:
    """Score and sigma at the largest c compared with the smallest: values for one curve, counts for several."""
    found, score = noisy(arrays), score_word(arrays)
    if not found:
        return ""
    if len(found) == 1:
        c, scores, sigmas = (curve(found[0], name)[1] for name in ("c", "score_sample", "sigma_rms"))
        return f"As c increases {_ends(c)}, {score} goes {_ends(scores)} and RMS sigma {_ends(sigmas)}."
    score_up, sigma_up = (_rising(found, name) for name in ("score_sample", "sigma_rms"))
    return (
        f"From the smallest to the largest c, {score} increases in {score_up} and RMS sigma in {sigma_up} of "
        f"{len(found)} curves, one for each mechanism and noise mode."
    )


def _ends(values: np.ndarray) -> str:
    return f"from {values[0]:.3g} to {values[-1]:.3g}"


def _rising(found: list[Arrays], name: str) -> int:
    """In how many curves a quantity is larger at the largest c than at the smallest."""
    means = [curve(mine, name)[1] for mine in found]
    return sum(bool(mean[-1] > mean[0]) for mean in means)


def trends(arrays: Arrays) -> str:
    """Whether score and sigma rise or fall with c, as a title; empty without noise."""
    found, parts = noisy(arrays), []
    for word, name in ((score_word(arrays), "score_sample"), ("sigma", "sigma_rms")):
        rising = _rising(found, name)
        verb = "rises" if 2 * rising > len(found) else "falls"
        of = max(rising, len(found) - rising)
        parts.append(f"{word} {verb}" + (f" in {of} of {len(found)} curves" if of < len(found) else ""))
    text = f"With c, {parts[0]} and {parts[1]}"
    return text if found else ""


def gained(arrays: Arrays, axes: dict[str, str]) -> str:
    """What heterogeneous noise gains at equal values of each axis, as a title; empty if there is nothing to compare."""
    points = gains(arrays, axes)
    return f"heterogeneous noise gains {points}" if points else ""


def gains(arrays: Arrays, axes: dict[str, str]) -> str:
    """By how many points heterogeneous noise is more accurate at equal values of each axis: the range over mechanisms.

    axes: quantity -> its name. Empty without pairs of noise modes, or without accuracy.
    """
    pairs = [both for column in columns(arrays) if (both := pair(arrays, column))] if arrays else []
    if not pairs or arrays["score"][0] != "accuracy":
        return ""
    found = {name: np.array([mean_gain(*both, axis) for both in pairs]) for axis, name in axes.items()}
    points = {name: 100 * values[np.isfinite(values)] for name, values in found.items() if np.isfinite(values).any()}
    return " and ".join(f"{_range(values)} points at equal {name}" for name, values in points.items())


def _range(values: np.ndarray) -> str:
    """The smallest and the largest value; with signs if they differ or are negative."""
    low, high = (f"{v:.0f}" if values.min() > 0 else f"{v:+.0f}" for v in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def title(*parts: str) -> str:
    """The parts that are there as one sentence with a capital."""
    text = "; ".join(part for part in parts if part)
    return text[:1].upper() + text[1:]
