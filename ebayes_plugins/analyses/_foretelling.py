"""Predictions of a trained network under a pattern of noise, at several temperatures, and what they foretell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.engine.detection import auroc, risk_coverage
from ebayes_core.report.ranks import spearman

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ebayes_core.trained.network import Trained

Numbers = dict[str, Any]
PATTERNS = ("own", "equal", "shuffled")
#: factors of sigma^2 between which the best is sought, and numbers by which log probabilities are divided
TEMPERATURES, SOFTER = 2.0 ** np.arange(-6, 4), 2.0 ** np.linspace(-2, 2, 17)
COVERAGES = np.linspace(0.05, 1, 20)
WEIGHTS = 20_000_000  #: weights drawn at a time


@dataclass(frozen=True)
class Questions:
    """Test examples, those of a second data set, and how many networks are drawn to predict them."""

    task: Any
    x: Tensor
    y: Tensor
    other: Tensor
    samples: int  #: to estimate a variance: from few, its errors hide what it foretells
    ensemble: int  #: whose predictions are averaged
    seed: int

    def answers(self, net: Trained, pattern: str) -> Numbers:
        """What the variance of predictions over draws foretells, and the loss at the best temperatures.

        One temperature multiplies every sigma^2, another divides the log probabilities of the average prediction. They
        are chosen on one half of the test examples and the loss is measured on the other half, both ways.
        """
        net = patterned(net, pattern, self.seed)
        losses = [self._losses(heated(net, t)) for t in TEMPERATURES]
        variance, there, error = self._variance(net, self.x), self._variance(net, self.other), self._errors(net)
        kinds = np.arange(len(variance) + len(there)) >= len(variance)
        nll, at = held_out(np.concatenate(losses), np.repeat(TEMPERATURES, len(losses[0])))
        return {
            "rank": spearman(variance, error["squared"]), "nll": nll, "temperature": at,
            "ood": auroc(np.concatenate([variance, there]), kinds), **selective(variance, error["wrong"]),
        }  # fmt: skip

    def baseline(self, net: Trained) -> Numbers:
        """Error rate and loss of the mean network, and its loss with its logits divided by the best temperature."""
        outputs = self._mean(net, self.x)
        nll = held_out(self._softened(outputs[0]), np.ones(len(SOFTER)))[0]
        plain = float(self.task.nll(outputs, self.y).mean())
        return {"error": float(self._errors(net)["wrong"].mean()), "nll_mean": plain, "nll_tempered": nll}

    def _softened(self, outputs: Tensor) -> np.ndarray:
        """Loss of each example, (temperatures, examples), with outputs divided by temperatures; of numbers as is."""
        if self.task.label(outputs[None]) is None:
            return np.asarray(self.task.nll(outputs[None], self.y).numpy())
        return np.concatenate([self.task.nll(outputs[None] / t, self.y).numpy() for t in SOFTER])

    def _errors(self, net: Trained) -> dict[str, np.ndarray]:
        """Squared error of the mean network's predictions, and whether they are wrong (NaN without classes)."""
        import torch.nn.functional as F

        prediction = self.task.predict(self._mean(net, self.x))[0]
        label = self.task.label(prediction[None])
        target = self.y if label is None else F.one_hot(self.y, prediction.shape[-1])
        squared = ((prediction - target) ** 2).flatten(1).sum(1).numpy()
        wrong = np.full(len(squared), np.nan) if label is None else (label[0] != self.y).numpy()
        return {"squared": squared, "wrong": wrong}

    def _mean(self, net: Trained, x: Tensor) -> Tensor:
        draws = net.network.draws(tuple(x.shape[1:]), self.task.shape)
        weights = [
            m[None] if n == 1 else m[None, None].expand(1, n, *m.shape) for m, n in zip(net.mu, draws, strict=True)
        ]
        outputs: Tensor = net.network.forward(weights, x)
        return outputs

    def _losses(self, net: Trained) -> np.ndarray:
        """Losses of the average prediction of an ensemble, (temperatures, examples)."""
        import torch

        outputs = torch.cat(list(self._outputs(net, self.x, self.ensemble)))
        if self.task.label(outputs) is None:
            log_likelihood = (-self.task.nll(outputs, self.y)).logsumexp(0)
            return np.asarray((np.log(self.ensemble) - log_likelihood).numpy()[None])
        return self._softened(self.task.averaged(outputs))

    def _variance(self, net: Trained, x: Tensor) -> np.ndarray:
        """Variance over draws of each example's prediction, summed over its outputs."""
        import torch

        predictions = torch.cat([self.task.predict(part) for part in self._outputs(net, x, self.samples)])
        return np.asarray(predictions.var(0).flatten(1).sum(1).numpy())

    def _outputs(self, net: Trained, x: Tensor, left: int) -> Iterator[Tensor]:
        """Outputs of `left` sampled networks, (some, examples, *outputs); the same noise at every temperature."""
        import torch

        random = torch.Generator().manual_seed(self.seed)
        draws = net.network.draws(tuple(x.shape[1:]), self.task.shape)
        size = sum(n * m.numel() for n, m in zip(draws, net.mu, strict=True))
        at_once = max(1, min(left, WEIGHTS // size, WEIGHTS // (len(x) * self.task.outputs)))
        while left > 0:
            yield net.network.forward(net.weights(net.xi(min(left, at_once), draws, random)), x)
            left -= at_once


def patterned(net: Trained, pattern: str, seed: int) -> Trained:
    """The same means with other sigmas: its own, its own shuffled within each layer, or the layer's RMS for all."""
    import torch

    random = torch.Generator().manual_seed(seed)
    sigmas = [free["sigma"].expand_as(m) for m, free in zip(net.mu, net.free, strict=True)]
    return replace(net, free=[{"sigma": _arranged(sigma, pattern, random)} for sigma in sigmas])


def _arranged(sigma: Tensor, pattern: str, random: torch.Generator) -> Tensor:
    """The sigmas of a layer in this pattern."""
    import torch

    if pattern == "shuffled":
        return sigma.reshape(-1)[torch.randperm(sigma.numel(), generator=random)].view(sigma.shape)
    return sigma.square().mean().sqrt().expand_as(sigma) if pattern == "equal" else sigma


def heated(net: Trained, temperature: float) -> Trained:
    """The same network with every sigma^2 times a temperature."""
    return replace(net, free=[{"sigma": free["sigma"] * temperature**0.5} for free in net.free])


def held_out(losses: np.ndarray, temperatures: np.ndarray) -> tuple[float, float]:
    """Mean loss at the temperatures that are best on the other half of the examples, and their geometric mean.

    losses: (temperatures, examples); even examples are one half, odd ones the other.
    """
    halves = losses[:, ::2], losses[:, 1::2]
    best = [int(half.mean(1).argmin()) for half in halves]
    loss = [halves[1 - k][at] for k, at in enumerate(best)]
    return float(np.concatenate(loss).mean()), float(np.exp(np.log(temperatures[best]).mean()))


def selective(score: np.ndarray, wrong: np.ndarray) -> Numbers:
    """Area under the risk-coverage curve, the curve at some coverages, and the AUROC of telling errors; or NaN."""
    if np.isnan(wrong.astype(float)).any():
        return {"aurc": np.nan, "auroc": np.nan, "risk": np.full(len(COVERAGES), np.nan)}
    risk = risk_coverage(score, wrong)
    at = np.ceil(COVERAGES * len(risk) - 1e-9).astype(int) - 1
    return {"aurc": float(risk.mean()), "auroc": auroc(score, wrong), "risk": risk[at]}
