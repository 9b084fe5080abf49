"""What is known of a trained network, with the units and the meaning of every number."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


def fingerprint(plain: Any) -> str:
    """SHA-256 of plain data, in 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


class Setting(NamedTuple):
    """What was asked of one network."""

    spec: dict[str, Any]  #: its whole resolved spec
    swept: dict[str, Any]  #: dotted field -> value, of the fields that the sweep set

    @property
    def digest(self) -> str:
        """What tells it from all other networks, whatever sweep it belongs to."""
        return fingerprint(self.spec)


@dataclass
class MemberResult:
    """One network: its status, numbers, curves over training, synapses and layers."""

    status: str  #: "done", or "diverged at step N: ... is not finite", naming the term and its plugin
    metrics: dict[str, float]  #: NaN where a number does not apply
    curves: dict[str, np.ndarray]  #: (epochs + 1,), the start first
    layers: list[dict[str, np.ndarray]]  #: per layer, arrays shaped as its weights; inputs' rates are (pre + 1,)
    layer_metrics: dict[str, np.ndarray]  #: (layers,)


_WHERE = {
    "mean": "with the mean weights",
    "sample": "with one sampled network per few examples",
    "ensemble": "with the average prediction of several sampled networks",
}
_SCORES = {
    "accuracy": ("1", "share of test examples classified rightly"),
    "nll": ("nat", "negative log-likelihood per test example"),
    "brier": ("1", "Brier score on the test set: squared distance of probabilities and label"),
    "ece": ("1", "expected calibration error on the test set, 15 bins"),
    "rmse": ("target", "root mean squared error on the test set"),
}
_AT = {"mean": "at the mean weights", "noise": "averaged over the weights' noise"}
_CURVATURE = {
    "fisher_true": "true Fisher diagonal, labels sampled from the model (Eq. 31)",
    "fisher_empirical": "empirical Fisher diagonal, labels of the data (as the authors)",
    "gauss_newton": "exact Gauss-Newton diagonal",
}

#: name -> (units, description), for members, curves, layers and synapses alike
DESCRIPTIONS: dict[str, tuple[str, str]] = {
    **{f"{s}_{w}": (unit, f"{text}, {where}") for s, (unit, text) in _SCORES.items() for w, where in _WHERE.items()},
    **{
        f"{name}_{at}": ("nat / weight^2", f"{text}, {where}; per datapoint: times n_examples is the data-set sum")
        for name, text in _CURVATURE.items()
        for at, where in _AT.items()
    },
    "spec": ("1", "resolved spec of the member, as JSON"),
    "seed": ("1", "seed of initial means, minibatches and noise"),
    "status": ("1", "done, or when the network diverged and what of it was not finite"),
    "n_examples": ("1", "training examples, N"),
    "mu": ("weight", "mean of each weight"),
    "sigma": ("weight", "standard deviation of each weight"),
    "learning_rate_rms": ("weight^2 / nat", "eta / sqrt(<g^2>) at the mean weights, g per datapoint (Eq. 7)"),
    "learning_rate_authors": ("weight^2 / nat", "eta / <|g|> at noisy weights, g of a minibatch (authors' code)"),
    "input_abs": ("input", "mean |x| of each input under the noise; the last is the constant one"),
    "input_square": ("input^2", "mean x^2 of each input under the noise; the last is the constant one"),
    "nll": ("nat", "training loss per datapoint at noisy weights, mean over the epoch's minibatches"),
    "magnitude": ("nat", "magnitude term of the objective, data-set scale (Eq. 3)"),
    "reliability": ("nat", "reliability term of the objective, data-set scale (Eq. 4)"),
    "accuracy_train": ("1", "share of the epoch's minibatches that the sampled networks classified rightly"),
    "accuracy_test": ("1", "accuracy on the test set with the mean weights"),
    "sigma_mean": ("weight", "mean of sigma over all synapses"),
    "sigma_median": ("weight", "median of sigma over all synapses"),
    "sigma_rms": ("weight", "root mean square of sigma over all synapses"),
    "sigma_log_mean": ("1", "mean of the natural logarithm of sigma over all synapses"),
    "sigma_rms_curved": ("weight", "RMS of sigma over the synapses with curvature; the others have no finite optimum"),
    "sigma_rms_weights": ("weight", "RMS of sigma without the biases (as the authors); NaN if the network names none"),
    "reliability_cost": ("nat", "energy of all synapses under the spec's cost, truly summed (Eq. 4)"),
    "reliability_cost_at_rms": ("nat", "the same as if every synapse had the RMS sigma (the authors' axis)"),
    "magnitude_cost": ("nat", "magnitude term of the objective at the end (Eq. 3)"),
    "nll_train": ("nat", "expected loss under the noise, summed over the training set"),
    "nll_train_error": ("nat", "standard error of nll_train, elbo and bound: of the average over the noise"),
    "elbo": ("nat", "evidence lower bound (Eq. 33)"),
    "bound": ("nat", "-(overall cost) - const, with E|w| for the magnitude: bounds the ELBO from below (Eq. 49)"),
    "slack": ("nat", "elbo - bound, the sum of C_BI - C_VI over synapses (Eq. 44)"),
    "balance": ("1", "sum sigma E[g xi] / -sum sigma d cost/d sigma: 1 where stationary, below 1 while sigma grows"),
    "balance_error": ("1", "standard error of the balance, from pairs of sampled networks"),
    "magnitude_balance": ("1", "-sum mu E[g] / sum mu d cost/d mu: 1 at a stationary point"),
    "sigma_motion": ("1", "change of the mean log sigma in the last tenth of training"),
    "stuck_fraction": ("1", "share of synapses whose sigma left its start by less than a factor of 2"),
    "flat_synapses": ("1", "synapses without curvature: silent inputs, dead units"),
    "n_synapses": ("1", "number of synapses, biases included"),
    "mu_rms": ("weight", "RMS of the mean weights"),
}  # fmt: skip


def described(name: str) -> tuple[str, str]:
    """Units and description of a name; a plugin's own names have none."""
    return DESCRIPTIONS.get(name, ("1", name.replace("_", " ")))
