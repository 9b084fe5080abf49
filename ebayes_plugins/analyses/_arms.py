"""Arms of a comparison: networks that differ in objective, cost or noise, at one price and one amount of data."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._colours import colour
from ebayes_plugins.analyses._common import exponent, finished, settings

if TYPE_CHECKING:
    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]
#: fields that an arm's name contains anyway, or in which its networks differ
KNOWN = (
    "seed", "inference", "inference.kind", "inference.prior", "inference.scale", "cost", "cost.kind", "cost.c",
    "cost.s", "noise", "noise.kind", "dataset.examples", "training.epochs",
)  # fmt: skip
BAYES = {"gaussian": "0.0", "laplace": "#4f653e"}  #: colours of variational Bayes, by its prior: black and olive


def arm(run: Run, member: int) -> str:
    """What a network is in a comparison: its prior or its cost, its noise unless that is of each synapse, the rest."""
    spec = run.member_spec(member)
    first = _prior(spec["inference"]) if spec["inference"]["kind"] == "variational_bayes" else str(spec["cost"]["kind"])
    noise = [] if spec["noise"]["kind"] == "heterogeneous" else [str(spec["noise"]["kind"])]
    return ", ".join([first, *noise, *settings(run, member, KNOWN)])


def _prior(inference: dict[str, Any]) -> str:
    """Family of the prior, and its scale unless that is 1."""
    scale = float(inference.get("scale", 1.0))
    wide = "" if scale == 1 else f" of scale {scale:.3g}"
    return f"Bayes, {str(inference.get('prior', 'laplace')).capitalize()} prior{wide}"


def tone(spec: dict[str, Any]) -> Any:
    """Colour of an arm: by prior for Bayes, else by exponent; grey for homogeneous noise."""
    if spec["inference"]["kind"] == "variational_bayes":
        return BAYES[spec["inference"].get("prior", "laplace")]
    return colour(exponent(spec), str(spec["noise"]["kind"]))


def noisy(run: Run) -> list[int]:
    """Networks that finished training and have noise."""
    return [i for i in finished(run) if run.layer(i, 1, "sigma").max() > 0]


def common(values: np.ndarray, others: np.ndarray) -> float:
    """The value at which most different others were trained; of several such, the middle one."""
    counts = Counter({float(v): len(set(others[values == v].tolist())) for v in np.unique(values)})
    most = max(counts.values())
    best = sorted(v for v, n in counts.items() if n == most)
    return best[len(best) // 2]
