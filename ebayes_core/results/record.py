"""The result of a trained network, with the units and the meaning of every number in a results file."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


def fingerprint(plain: Any) -> str:
    """SHA-256 of plain data, in 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


#: field of a plugin with the digest of its files, and field with the folder where they are, on this machine
CONTENT, PLACE = "digest", "folder"


class Setting(NamedTuple):
    """The spec of one network."""

    spec: dict[str, Any]  #: its complete resolved spec
    swept: dict[str, Any]  #: dotted field -> value, of the fields that the sweep set

    @property
    def digest(self) -> str:
        """A digest that identifies the network, whatever sweep it belongs to, and wherever its files are."""
        return fingerprint({name: _placeless(value) for name, value in self.spec.items()})


def _placeless(value: Any) -> Any:
    """A table without the place of files whose content is known; a table inside it may name files too."""
    if not isinstance(value, dict):
        return value
    return {k: _placeless(v) for k, v in value.items() if k != PLACE or CONTENT not in value}


@dataclass
class MemberResult:
    """The result of one network: status, scalar metrics, training curves, and arrays per layer."""

    status: str  #: "done", or "diverged at step N: ... is not finite", naming the term and its plugin
    metrics: dict[str, float]  #: NaN if a number does not apply
    curves: dict[str, np.ndarray]  #: (epochs + 1,), starting before the first epoch
    layers: list[dict[str, np.ndarray]]  #: per layer, arrays shaped as its weights; of its inputs, (pre,)
    layer_metrics: dict[str, np.ndarray]  #: (layers,)


_WHERE = {
    "mean": "with the mean weights",
    "sample": "with one sampled network for every few test examples",
    "ensemble": "with the average of the predictions of several sampled networks",
}
_SCORES = {
    "accuracy": ("1", "share of test examples classified correctly"),
    "nll": ("nat", "negative log-likelihood per test example"),
    "brier": ("1", "Brier score on the test set: squared distance between predicted probabilities and label"),
    "ece": ("1", "expected calibration error on the test set, 15 bins"),
    "rmse": ("target", "root mean squared error on the test set"),
}
_BY = {
    "entropy": "entropy of the ensemble's prediction",
    "mutual_information": "mutual information of class and weights",
}
#: whether an ensemble's uncertainty tells errors and unfamiliar examples
_TOLD = {
    "aurc": "area under the risk-coverage curve: share of errors of the mean weights among the test examples that are "
    "least uncertain by the {}, averaged over all coverages",
    "auroc_errors": "area under the ROC of telling the mean weights' errors on the test set by the {}; NaN without "
    "errors",
    "auroc_ood": "area under the ROC of telling the examples of the second data set (measurement.ood) from test "
    "examples by the {}",
}
_AT = {"mean": "at the mean weights", "noise": "averaged over the noise of the weights"}
_CURVATURE = {
    "fisher_true": "true Fisher diagonal, labels sampled from the model (Eq. 31)",
    "fisher_empirical": "empirical Fisher diagonal, labels of the data (as in the authors' code)",
    "gauss_newton": "exact Gauss-Newton diagonal",
}

#: the curvature of each half of the test examples
HELD_OUT = ("gauss_newton_test_1", "gauss_newton_test_2")
FREE = "free_"  #: begins the name of a free parameter of the noise that is stored for each synapse

#: name -> (units, description), for members, curves, layers and synapses alike
DESCRIPTIONS: dict[str, tuple[str, str]] = {
    **{f"{s}_{w}": (unit, f"{text}, {where}") for s, (unit, text) in _SCORES.items() for w, where in _WHERE.items()},
    **{
        f"{name}_{at}": ("nat / weight^2", f"{text}, {where}; per example: times n_examples for the data set")
        for name, text in _CURVATURE.items()
        for at, where in _AT.items()
    },
    **{
        name: (
            "nat / weight^2",
            f"exact Gauss-Newton diagonal of {which} half of the test examples, averaged over new noise; per example",
        )
        for name, which in zip(HELD_OUT, ("one", "the other"), strict=True)
    },
    "entropy_ensemble": ("nat", "mean entropy of the ensemble's predictions on the test set"),
    "mutual_information_ensemble": (
        "nat",
        "the same minus the mean entropy of single sampled networks: mutual information of class and weights",
    ),
    **{f"{name}_{by}": ("1", text.format(words)) for name, text in _TOLD.items() for by, words in _BY.items()},
    "spec": ("1", "resolved spec of the network, as JSON"),
    "seed": ("1", "seed of the initial means, the order of minibatches and the noise"),
    "status": ("1", "done, or the step at which the network diverged and what was not finite"),
    "n_examples": ("1", "number of training examples, N"),
    "mu": ("weight", "mean of each weight"),
    "sigma": ("weight", "standard deviation of each weight"),
    "release_sites": ("1", "number of release sites, n"),
    "release_probability": ("1", "release probability of a site, p"),
    "quantal_size": ("weight", "weight that one vesicle transmits, q; mu = n p q"),
    "multiplier": ("nat", "c, the factor of the energy that follows from a budget"),
    "energy": ("1", "mean energy of a synapse, before the multiplier, under a budget"),
    "budget_excess": ("1", "energy spent, relative to the budget, minus 1; of the unit that is furthest from 0"),
    "margin": ("1", "loss that a unit of energy saves in a layer, relative to the network; there, largest / smallest"),
    "learning_rate_rms": (
        "weight^2 / nat",
        "step per unit of gradient, g of a single example at the mean weights; for Adam eta / sqrt(<g^2>) (Eq. 7)",
    ),
    "learning_rate_authors": (
        "weight^2 / nat",
        "the same with <|g|> at noisy weights, g of a minibatch; for Adam eta / <|g|> (authors' code)",
    ),
    "input_abs": ("input", "mean |x| of each input under the noise; that of a bias is the constant 1"),
    "input_square": ("input^2", "mean x^2 of each input under the noise; that of a bias is the constant 1"),
    "nll": ("nat", "training loss per example at noisy weights, averaged over the minibatches of the epoch"),
    "magnitude": ("nat", "magnitude cost (Eq. 3)"),
    "reliability": ("nat", "reliability cost (Eq. 4)"),
    "consolidation": ("nat", "cost of leaving what earlier stages have taught, if the inference remembers them"),
    "mu_travelled": ("weight", "energy of learning: sizes of all changes of mu so far, summed over steps and synapses"),
    "mu_moved": ("weight", "distance of mu from its start, summed over synapses: the least that mu_travelled could be"),
    "accuracy_train": ("1", "share of the epoch's examples that the sampled networks classified correctly"),
    "accuracy_test": ("1", "accuracy on the test set (of the current stage) with the mean weights"),
    "sigma_mean": ("weight", "mean of sigma over all synapses"),
    "sigma_median": ("weight", "median of sigma over all synapses"),
    "sigma_rms": ("weight", "root mean square of sigma over all synapses"),
    "sigma_log_mean": ("1", "mean of the natural logarithm of sigma over all synapses"),
    "sigma_rms_curved": ("weight", "RMS of sigma over synapses that are not flat; the others have no finite optimum"),
    "sigma_rms_weights": ("weight", "RMS of sigma without biases (authors' code); NaN if biases are not marked"),
    "reliability_cost": ("nat", "reliability cost: c times the energy, summed over all synapses (Eq. 4)"),
    "reliability_cost_at_rms": ("nat", "the same if every synapse had the RMS sigma (the authors' axis)"),
    "magnitude_cost": ("nat", "magnitude cost at the end of training (Eq. 3)"),
    "nll_train": ("nat", "expected loss under the noise, summed over the training set"),
    "nll_train_error": ("nat", "standard error of nll_train, elbo and bound, from the average over the noise"),
    "elbo": ("nat", "evidence lower bound (Eq. 33)"),
    "bound": ("nat", "-(objective) - const, with E|w| in the magnitude cost: at most the ELBO (Eq. 49)"),
    "slack": ("nat", "elbo - bound, the sum of C_BI - C_VI over synapses (Eq. 44)"),
    "balance": ("1", "sum sigma E[g xi] / -sum sigma d cost/d sigma: 1 at the optimum, below 1 while sigma grows"),
    "balance_error": ("1", "standard error of the balance, from pairs of sampled networks"),
    "magnitude_balance": ("1", "-sum mu E[g] / sum mu d cost/d mu: 1 where the means are stationary; NaN if held"),
    "sigma_motion": ("1", "change of the mean of log sigma in the last tenth of training"),
    "stuck_fraction": ("1", "share of synapses whose sigma is within a factor of 2 of its start; NaN under budgets"),
    "flat_synapses": ("1", "number of flat synapses (curvature zero: silent input or dead unit)"),
    "n_synapses": ("1", "number of synapses, biases included"),
    "n_copies": ("1", "number of synapses that share each mean and sigma, and each pay the costs"),
    "mu_rms": ("weight", "RMS of the mean weights"),
}  # fmt: skip


#: the end of a name -> what it adds to the description of the rest
PARTS = {
    re.compile(r"_readout_(\d+)(?=_|$)"): "of read-out {}, counted from 1",
    re.compile(r"_stage_(\d+)$"): "on the data of stage {}, counted from 1",
}


def described(name: str) -> tuple[str, str]:
    """Units and description of a name; those of a plugin's own arrays are not known."""
    for pattern, words in PARTS.items():
        if found := pattern.search(name):
            units, text = described(pattern.sub("", name))
            return units, f"{text}, {words.format(found[1])}"
    if name.startswith(FREE):
        free = name.removeprefix(FREE)
        return "1", f"free parameter {free} of the noise, with which mu determines the distribution of the weight"
    return DESCRIPTIONS.get(name, ("1", name.replace("_", " ")))
