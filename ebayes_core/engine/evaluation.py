"""Evaluation of networks: predictions with mean and sampled weights, and the sizes of sigma and of the costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.confidence import Confidence
from ebayes_core.engine.parameters import Parameters, layered

Watch = Callable[[list[Tensor], Tensor], None]  #: is shown the weights of a network and its outputs on the test set


def snapshot(cohort: Cohort, p: Parameters) -> dict[str, Tensor]:
    """Costs, sigma, and test accuracy with the mean weights; (member,) each."""
    sigmas = cohort.formulas.sigmas(p)
    (magnitude, reliability), sigma = costs(cohort, p, sigmas), torch.cat(sigmas, -1)
    accuracy = mean_weights(cohort, p).get("accuracy_mean", torch.full_like(magnitude, math.nan))
    log_mean = sigma.log().mean(-1) if p.noisy else torch.full_like(magnitude, math.nan)
    return {
        "magnitude": magnitude, "reliability": reliability, "accuracy_test": accuracy, "sigma_log_mean": log_mean,
        **consolidation(cohort, p, sigmas), **spread(sigma),
    }  # fmt: skip


def spread(sigma: Tensor) -> dict[str, Tensor]:
    """Mean, median and RMS of sigma over the synapses of each network, biases included."""
    return {
        "sigma_mean": sigma.mean(-1),
        "sigma_median": sigma.median(-1).values,
        "sigma_rms": sigma.square().mean(-1).sqrt(),
    }


def consolidation(cohort: Cohort, p: Parameters, sigmas: list[Tensor]) -> dict[str, Tensor]:
    """The consolidation cost, summed over the network (nat), (member,), if earlier stages are remembered."""
    if not p.remembered:
        return {}
    each = zip(p.mu, sigmas, p.memories(), cohort.copies, strict=True)
    found = [n * cohort.formulas.inference.consolidation_cost(mu, s, memory).sum(-1) for mu, s, memory, n in each]
    return {"consolidation": torch.stack(found).sum(0)}


def costs(cohort: Cohort, p: Parameters, sigmas: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """Magnitude cost and reliability cost, summed over the network (Eq. 3, 4); (member,) each, in nats.

    sigmas: of each layer, if they are known.
    """
    f = cohort.formulas
    zero = torch.zeros(len(cohort), device=cohort.device, dtype=cohort.dtype)
    magnitude, reliability = zero, zero
    for mu, sigma, n, price in zip(p.mu, sigmas or f.sigmas(p), f.copies, f.prices(p), strict=True):
        magnitude = magnitude + n * f.inference.magnitude_cost(mu, sigma).sum(-1)
        if p.noisy:
            reliability = reliability + n * f.inference.reliability_cost(mu, sigma, price).sum(-1)
    return magnitude, reliability


def reliability_costs(cohort: Cohort, p: Parameters) -> dict[str, Tensor]:
    """Reliability cost summed over synapses, and as if each synapse had the network's RMS sigma (the authors' axis).

    The latter is NaN for a cost of vesicles, which sigma does not determine.
    """
    f, sigmas = cohort.formulas, cohort.formulas.sigmas(p)
    rms = torch.cat(sigmas, 1).square().mean(-1, keepdim=True).sqrt()
    summed = [torch.zeros_like(rms[:, 0]), torch.zeros_like(rms[:, 0])]
    for mu, sigma, price, n in zip(p.mu, sigmas, f.prices(p), f.copies, strict=True):
        at_rms = mu.new_full(mu.shape, math.nan) if f.quantal else price(rms.expand_as(sigma), mu)
        summed = [total + n * t.sum(-1) for total, t in zip(summed, (price(sigma, mu), at_rms), strict=True)]
    return dict(zip(("reliability_cost", "reliability_cost_at_rms"), summed, strict=True))


class Predictive:
    """Average over sampled networks of their predictions, and of their likelihoods."""

    def __init__(self, cohort: Cohort) -> None:
        self.task, self.samples = cohort.data.task, 0
        self.prediction, self.log_likelihood = (torch.tensor(v, device=cohort.device) for v in (0.0, -math.inf))

    def add(self, outputs: Tensor, y: Tensor) -> None:
        """Add one sampled network's outputs (member, examples, outputs) on all examples."""
        log_likelihood = -self.task.nll(outputs, y)
        self.log_likelihood = torch.logaddexp(self.log_likelihood, log_likelihood)
        self.prediction = self.prediction + self.task.predict(outputs)
        self.samples += 1

    def scores(self, y: Tensor, label: str) -> dict[str, Tensor]:
        """`nll_<label>` and the task's own scores; (member,) each."""
        nll = math.log(self.samples) - self.log_likelihood.mean(-1)
        scores = {"nll": nll, **self.task.scores(self.prediction / self.samples, y)}
        return {f"{name}_{label}": value for name, value in scores.items()}


def mean_weights(cohort: Cohort, p: Parameters) -> dict[str, Tensor]:
    """Test scores with the mean weights, without noise."""
    return _scores(cohort, iter([cohort.repeated(p.mu)]), 1, "mean")


def stage_accuracies(cohort: Cohort, p: Parameters, name: str) -> dict[str, Tensor]:
    """`<name>_stage_1`, ...: accuracy with the mean weights on the test data of each stage; empty without stages."""
    alone = [cohort.given(data) for data in cohort.data.tests]
    found = [mean_weights(one, p).get("accuracy_mean") for one in alone]
    return {f"{name}_stage_{k}": value for k, value in enumerate(found, 1) if value is not None}


def evaluate(cohort: Cohort, p: Parameters, noise: torch.Generator) -> dict[str, Tensor]:
    """Test scores with the mean weights, with a sampled network for every few examples, and with an ensemble.

    One sampled network predicts `sample_batch` examples (20, as in the authors' code), so that the score is that of a
    typical network and not of a single draw. The networks of the ensemble predict a second data set as well.
    """
    options = cohort.member.measurement
    weights, confidence = sampled_weights(cohort, p, noise), Confidence(cohort, p)
    few = min(options.sample_batch, len(cohort.data.x_test))
    return {
        **mean_weights(cohort, p),
        **_scores(cohort, weights, 1, "sample", few),
        **_scores(cohort, weights, options.samples, "ensemble", watch=confidence.add),
        **confidence.scores(),
    }


def sampled_weights(cohort: Cohort, p: Parameters, noise: torch.Generator) -> Iterator[list[Tensor]]:
    """An endless iterator of sampled networks, per layer as `State.weights`; members share the draws."""
    mu, free = cohort.formulas.place(p)
    per_layer = layered(free, len(mu))
    while True:
        yield cohort.formulas.drawn(mu, per_layer, cohort.by_layer(cohort.draw(noise)))


def _scores(
    cohort: Cohort,
    weights: Iterator[list[Tensor]],
    samples: int,
    label: str,
    per_network: int | None = None,
    watch: Watch | None = None,
) -> dict[str, Tensor]:
    """Scores of the average over `samples` networks; each predicts all examples, or only `per_network` of them.

    watch: is shown each network that predicts all examples.
    """
    x, y, predictive = cohort.data.x_test, cohort.data.y_test, Predictive(cohort)
    for _ in range(samples):
        if per_network:
            few = x.split(per_network)
            outputs = torch.cat([cohort.network.forward(cohort.layered(next(weights)), chunk) for chunk in few], 1)
        else:
            fixed = cohort.layered(next(weights))
            outputs = cohort.outputs_of(fixed, x)
            if watch:
                watch(fixed, outputs)
        predictive.add(outputs, y)
    return predictive.scores(y, label)
