"""What an ensemble is uncertain of, and whether that tells the errors of the mean network and unfamiliar examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ebayes_core.contract.likelihood import Likelihood
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.detection import aurc, auroc
from ebayes_core.engine.parameters import Parameters

LEAST = 1e-12  #: mutual information (nat) that rounding in double precision cannot tell from 0
Area = Callable[[np.ndarray, np.ndarray], float]
Scored = dict[str, np.ndarray]  #: entropy and mutual information of each prediction, (member, predictions)


class Doubt:
    """Sums over sampled networks: their predictions, and the entropy of each."""

    def __init__(self, task: Likelihood) -> None:
        self.task, self.samples = task, 0
        self.prediction, self.own = torch.zeros(()), torch.zeros(())

    def add(self, outputs: Tensor) -> None:
        """Add one sampled network's outputs (member, examples, *outputs); in double precision, since both parts of a
        mutual information may be large and their difference small.
        """
        prediction = self.task.predict(outputs.double())
        entropy = self.task.entropy(prediction)
        assert entropy is not None, "only likelihoods with an entropy are asked"
        self.prediction, self.own = self.prediction + prediction, self.own + entropy
        self.samples += 1

    def scored(self, y: Tensor | None) -> Scored:
        """Entropy of the mean prediction, and how much of it is due to the weights; of predictions with a target.

        y: the targets, None if there are none to be missing.
        """
        whole = self.task.entropy(self.prediction / self.samples)
        assert whole is not None
        shared = whole - self.own / self.samples
        parts = {"entropy": whole, "mutual_information": torch.where(shared < LEAST, 0.0, shared)}
        return {name: flat(self.task, values, y) for name, values in parts.items()}


class Confidence:
    """An ensemble's uncertainty on the test set and on a second one, accumulated network by network.

    Nothing for a likelihood without labels or without an entropy.
    """

    def __init__(self, cohort: Cohort, p: Parameters) -> None:
        self.cohort, self.p, self.task = cohort, p, cohort.data.task
        self.test, self.other = Doubt(self.task), Doubt(self.task)
        zeros = cohort.data.x.new_zeros(1, 1, *self.task.shape)
        self.applies = self.task.label(zeros) is not None and self.task.entropy(self.task.predict(zeros)) is not None

    def add(self, weights: list[Tensor], outputs: Tensor) -> None:
        """Add a sampled network, given its outputs on the test set."""
        if self.applies:
            self.test.add(outputs)
            self.other.add(self.cohort.outputs_of(weights, self.cohort.data.unfamiliar[0]))

    def scores(self) -> dict[str, Tensor]:
        """Mean uncertainties, areas under risk-coverage curves, and areas under receiver operating characteristics."""
        if not self.applies:
            return {}
        test = self.test.scored(self.cohort.data.y_test)
        other, wrong = self.other.scored(self.cohort.data.unfamiliar[1]), self._wrong()
        found = {f"{name}_ensemble": values.mean(1) for name, values in test.items()}
        for name in test:
            found |= {
                f"aurc_{name}": _each(aurc, test[name], wrong),
                f"auroc_errors_{name}": _each(auroc, test[name], wrong),
                f"auroc_ood_{name}": _each(_apart, test[name], other[name]),
            }
        like = self.cohort.data.x
        return {name: torch.as_tensor(values, dtype=like.dtype, device=like.device) for name, values in found.items()}

    def _wrong(self) -> np.ndarray:
        """Which predictions of the mean weights are wrong, (member, predictions)."""
        data, mean = self.cohort.data, self.cohort.layered(self.cohort.repeated(self.p.mu))
        label = self.task.label(self.task.predict(self.cohort.outputs_of(mean, data.x_test)))
        assert label is not None
        return flat(self.task, label != data.y_test, data.y_test)


def flat(task: Likelihood, values: Tensor, y: Tensor | None) -> np.ndarray:
    """Values (member, examples, ...) of the predictions that have a target, (member, predictions)."""
    kept = values if y is None else task.with_target(values, y)
    return np.asarray(kept.flatten(1).cpu())


def _each(area: Area, scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The area for each member."""
    return np.array([area(one, other) for one, other in zip(scores, others, strict=True)])


def _apart(test: np.ndarray, other: np.ndarray) -> float:
    """Area under the curve of telling examples of the second data set by a larger score."""
    second = np.arange(len(test) + len(other)) >= len(test)
    return auroc(np.concatenate([test, other]), second)
