"""Arms of a comparison: networks that differ in objective, cost or noise, at one price and one amount of data."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._colours import colour
from ebayes_plugins.analyses._common import exponent, finished, follows, mechanism, pays, settings

if TYPE_CHECKING:
    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]
USUAL = ("energy_efficient", "variational_bayes", "heterogeneous")  #: what goes without saying
BAYES = {"gaussian": "0.0", "laplace": "#4f653e"}  #: colours of variational Bayes, by its prior: black and olive


def arm(run: Run, member: int) -> str:
    """What a network is in a comparison: its prior or its mechanism, whatever its price and its amount of data."""
    spec, data = run.member_spec(member), _of_data(run)
    if pays(spec):
        parts = mechanism(run, member, data)
    else:
        unpaid = (name for name in run.swept if name.split(".")[0] == "cost")
        left = ("seed", "inference.prior", "inference.scale", *data, *unpaid)
        parts = [_prior(spec["inference"]), *settings(run, member, left)]
    return ", ".join(part for part in parts if part not in USUAL)


def _of_data(run: Run) -> tuple[str, ...]:
    """The amount of data, and the number of epochs if it is the same wherever the amount of data is."""
    epochs, done = run.swept.get("training.epochs"), finished(run)
    if epochs and follows([epochs[i] for i in done], run.metric("n_examples")[done]):
        return ("dataset.examples", "training.epochs")
    return ("dataset.examples",)


def _prior(inference: dict[str, Any]) -> str:
    """Family of the prior, and its scale unless that is 1."""
    scale = float(inference.get("scale", 1.0))
    wide = "" if scale == 1 else f" of scale {scale:.3g}"
    return f"Bayes, {_family(inference).capitalize()} prior{wide}"


def _family(inference: dict[str, Any]) -> str:
    """Of the prior; of variational continual learning, that of the first task's."""
    return str(inference.get("prior", "gaussian"))


def tone(spec: dict[str, Any]) -> Any:
    """Colour of an arm: by prior for Bayes, else by exponent; grey for homogeneous noise."""
    if not pays(spec):
        return BAYES.get(_family(spec["inference"]), BAYES["gaussian"])
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
