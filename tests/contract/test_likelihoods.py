"""Likelihoods: derivatives, samples, curvature and masks against independent computations."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ebayes_core.contract.compound import Several, Stepwise
from ebayes_core.contract.likelihoods import Classification, Likelihood, Regression
from ebayes_core.contract.uncertainty import Uncertainty
from ebayes_core.testing import check_likelihood

MEMBERS, BATCH = 2, 5


@dataclass(frozen=True)
class Poisson(Likelihood):
    """Counts with log rates: a likelihood that defines nothing but its nll."""

    units: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.units,)

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        return (outputs.exp() - y * outputs + torch.lgamma(y + 1)).sum(-1)


LIKELIHOODS = [
    Classification(4), Regression(3, 0.7), Stepwise(Classification(3), 4), Stepwise(Regression(2, 0.5), 3),
    Several((Classification(3), Regression(2, 0.4), Classification(2))),
    Several((Classification(2), Classification(3))),
    Several((Stepwise(Classification(2), 3), Regression(1, 1.5))),
    Stepwise(Several((Classification(2), Regression(1, 0.6))), 2),
]  # fmt: skip
NAMED = [f"{i} {type(task).__name__}" for i, task in enumerate(LIKELIHOODS)]


def outputs_of(task: Likelihood, members: int = MEMBERS, batch: int = BATCH) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(members, batch, *task.shape, generator=generator, dtype=torch.float64)


def targets_of(task: Likelihood, outputs: Tensor, seed: int = 2, y: Tensor | None = None) -> Tensor:
    found = task.sample(outputs, torch.Generator().manual_seed(seed), y)
    assert found is not None
    return found


@pytest.mark.parametrize("task", LIKELIHOODS, ids=NAMED)
def test_residuals_are_the_derivative_of_the_nll(task: Likelihood) -> None:
    outputs = outputs_of(task)
    for y in (targets_of(task, outputs), targets_of(task, outputs)[1]):
        assert torch.allclose(task.residual(outputs, y), Likelihood.residual(task, outputs, y), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("task", LIKELIHOODS, ids=NAMED)
def test_roots_of_the_curvature_multiply_to_the_hessian(task: Likelihood) -> None:
    outputs = outputs_of(task, 1)
    y = targets_of(task, outputs)[0]
    roots = task.curvature_roots(outputs, y)
    assert roots is not None
    flat = torch.stack(list(roots)).flatten(3)
    for i in range(BATCH):
        hessian = torch.func.hessian(lambda o, i=i: task.nll(o[None, None], y[i : i + 1])[0, 0])(outputs[0, i])
        product = torch.einsum("ka,kb->ab", flat[:, 0, i], flat[:, 0, i])
        assert torch.allclose(product, hessian.reshape(product.shape), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("task", LIKELIHOODS, ids=NAMED)
def test_samples_have_the_exact_fisher_information(task: Likelihood) -> None:
    """For these likelihoods E[r r^T] is the Hessian, so it is known without sampling; E[r] = 0."""
    many = 40_000
    one = outputs_of(task, 1, 1)
    y = targets_of(task, one.expand(1, many, *task.shape))[0]
    r = task.residual(one.expand(1, many, *task.shape), y)[0].flatten(1)
    roots = torch.stack(list(task.curvature_roots(one) or [])).flatten(3)[:, 0, 0]
    wanted, found = roots.T @ roots, r.T @ r / many
    error = ((r[:, :, None] * r[:, None]).var(0) / many).sqrt()
    assert ((found - wanted).abs() < 5 * error + 1e-9).all()
    assert (r.mean(0).abs() < 5 * (r.var(0) / many).sqrt() + 1e-9).all()


def random_roots_of(task: Likelihood, outputs: Tensor, y: Tensor | None = None) -> Tensor:
    return task.random_root(outputs, torch.Generator().manual_seed(6), y)


@pytest.mark.parametrize("task", LIKELIHOODS, ids=NAMED)
def test_random_roots_have_the_exact_fisher_information(task: Likelihood) -> None:
    """Against the roots, which are exact; all networks share the random numbers."""
    many = 40_000
    one = outputs_of(task, 1, 1)
    v = random_roots_of(task, one.expand(2, many, *task.shape))
    assert torch.equal(v[0], v[1])
    v = v[0].flatten(1)
    roots = torch.stack(list(task.curvature_roots(one) or [])).flatten(3)[:, 0, 0]
    error = ((v[:, :, None] * v[:, None]).var(0) / many).sqrt()
    assert ((v.T @ v / many - roots.T @ roots).abs() < 5 * error + 1e-9).all()


def test_random_roots_are_as_large_as_the_curvature_where_sampled_labels_hardly_ever_surprise() -> None:
    """Where one class is all but certain, the squared length varies little; that of the residual is mostly zero."""
    task, outputs = Classification(3), torch.tensor([8.0, 0.0, 0.0], dtype=torch.float64).expand(1, 10_000, 3)
    length = lambda v: v.square().sum(-1)[0]
    sampled = length(Likelihood.random_root(task, outputs, torch.Generator().manual_seed(6)))
    signed = length(random_roots_of(task, outputs))
    assert signed.std() < signed.mean() and sampled.std() > 10 * sampled.mean()


def test_a_likelihood_without_random_roots_of_its_own_takes_residuals_of_samples() -> None:
    task, outputs = Regression(2, 0.5), outputs_of(Regression(2, 0.5))
    sampled = targets_of(task, outputs, seed=6)
    found = Likelihood.random_root(task, outputs, torch.Generator().manual_seed(6))
    assert torch.equal(found, task.residual(outputs, sampled))


@pytest.mark.parametrize("task", LIKELIHOODS, ids=NAMED)
def test_the_check_for_authors_accepts_the_built_in_ones(task: Likelihood) -> None:
    check_likelihood(task)


def test_the_check_accepts_a_likelihood_that_defines_only_its_nll() -> None:
    task = Poisson(2)
    check_likelihood(task, torch.tensor([[0.0, 3.0], [1.0, 1.0], [7.0, 0.0]]))
    assert not task.can_sample and not task.has_roots and task.outputs == 2
    with pytest.raises(AssertionError, match="Poisson cannot be sampled: give check_likelihood targets"):
        check_likelihood(task)


@dataclass(frozen=True)
class Broken(Classification):
    """Mistakes, one by one."""

    fault: str = ""

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        found = super().nll(outputs.detach() if self.fault == "detached" else outputs, y)
        found = found + 0 * outputs.sum(-1)
        return {"summed": found.sum(-1), "mixed": found + outputs.sum(0).sum(-1)}.get(self.fault, found)

    def residual(self, outputs: Tensor, y: Tensor) -> Tensor:
        return super().residual(outputs, y) * (2 if self.fault == "factor" else 1)

    def sample(self, outputs: Tensor, generator: torch.Generator, y: Tensor | None = None) -> Tensor:
        found = super().sample(outputs, None if self.fault == "global" else generator)  # type: ignore[arg-type]
        return torch.zeros_like(found) if self.fault == "biased" else found

    def curvature_roots(self, outputs: Tensor, y: Tensor | None = None) -> Iterator[Tensor]:
        return (root * (1.1 if self.fault == "curved" else 1) for root in super().curvature_roots(outputs))

    def random_root(self, outputs: Tensor, generator: torch.Generator, y: Tensor | None = None) -> Tensor:
        return super().random_root(outputs, generator, y) * (1.1 if self.fault == "long" else 1)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(0 if self.fault == "members" else -1)

    def averaged(self, outputs: Tensor) -> Tensor:
        return outputs.mean(0) if self.fault == "logits" else super().averaged(outputs)

    def label(self, prediction: Tensor) -> Tensor:
        return prediction.argmax(-1).to(torch.int32 if self.fault == "short" else torch.int64)

    def uncertainty(self, outputs: Tensor) -> Uncertainty:
        found = super().uncertainty(outputs)
        changed = {"exchanged": (found.epistemic, found.aleatoric), "negative": (found.aleatoric, -found.epistemic)}
        return Uncertainty(*changed.get(self.fault, found[:2]), found.units)


MISTAKES = {
    "summed": r"nll returned shape \(2,\) instead of \(2, 5\)",
    "mixed": "nll of one network depends on the others",
    "detached": "residual is not the derivative of nll",
    "factor": "residual is not the derivative of nll",
    "global": "sample draws from the global random generator",
    "biased": "residuals of sampled targets do not average to zero",
    "curved": "curvature_roots do not multiply to the Hessian of nll",
    "long": "random_root is not as long as the residuals of sampled targets",
    "logits": "averaged returned outputs whose prediction is not the mean of the predictions",
    "short": "label must return int64",
    "exchanged": "uncertainty: networks that are equal disagree in nothing",
    "negative": "uncertainty: what networks disagree in cannot be negative",
    "members": "predict of one network depends on the others",
}


@pytest.mark.parametrize("fault", MISTAKES)
def test_mistakes_of_a_likelihood_are_named(fault: str) -> None:
    check_likelihood(Broken(3))
    with pytest.raises(AssertionError, match=f"Broken.{MISTAKES[fault]}"):
        check_likelihood(Broken(3, fault))


LENGTHS = [4, 1, 3, 2, 4]


def masked(task: Stepwise, y: Tensor) -> Tensor:
    """Targets of sequences of the lengths above."""
    y = y.clone()
    for i, length in enumerate(LENGTHS):
        y[i, length:] = -1 if task.integer else math.nan
    return y


@pytest.mark.parametrize("inner", [Classification(3), Regression(2, 0.5)])
def test_steps_without_a_target_have_no_loss_no_gradient_and_no_curvature(inner: Likelihood) -> None:
    """Against one example at a time, cut to its own length."""
    task = Stepwise(inner, 4)
    outputs = outputs_of(task)
    y = masked(task, targets_of(task, outputs)[0])
    assert not list(task.unfit(y))
    nll, residual = task.nll(outputs, y), task.residual(outputs, y)
    roots = torch.stack(list(task.curvature_roots(outputs, y) or []))
    squares = sum(root.square() for root in inner.curvature_roots(outputs.flatten(1, 2)) or ())
    random = random_roots_of(task, outputs, y)
    for i, n in enumerate(LENGTHS):
        alone = inner.nll(outputs[:, i, :n], y[i, :n])
        assert torch.allclose(nll[:, i], alone.sum(-1))
        assert torch.allclose(residual[:, i, :n], inner.residual(outputs[:, i, :n], y[i, :n]))
        assert not residual[:, i, n:].any() and not roots[:, :, i, n:].any() and not random[:, i, n:].any()
        assert random[:, i, :n].all()
        assert torch.allclose(roots.square().sum(0)[:, i, :n], squares.view_as(outputs)[:, i, :n])


def test_sampled_targets_are_missing_where_the_data_lack_them() -> None:
    for task in (Stepwise(Classification(3), 4), Stepwise(Regression(2, 0.5), 4)):
        outputs = outputs_of(task)
        y = masked(task, targets_of(task, outputs)[0])
        sampled = targets_of(task, outputs, y=y)
        for i, n in enumerate(LENGTHS):
            missing = sampled[:, i] == -1 if task.integer else sampled[:, i].isnan().all(-1)
            assert missing[:, n:].all() and not missing[:, :n].any()
            assert not task.residual(outputs, sampled)[:, i, n:].any()


def test_scores_of_sequences_count_every_step_once() -> None:
    task = Stepwise(Classification(3), 4)
    outputs = outputs_of(task)
    y = masked(task, targets_of(task, outputs, seed=5)[0])
    kept = torch.tensor([[step < n for step in range(4)] for n in LENGTHS])
    right = (outputs.argmax(-1) == y)[:, kept].double().mean(-1)
    assert torch.allclose(task.accuracy(outputs, y), right) and 0 < right[0] < 1
    scores = task.scores(task.predict(outputs), y)
    wanted = Classification(3).scores(outputs[:, kept].softmax(-1), y[kept])
    assert scores.keys() == {"accuracy", "brier", "ece"} == wanted.keys()
    assert all(torch.allclose(scores[name], wanted[name]) for name in scores)


def test_several_readouts_add_up_and_are_scored_apart() -> None:
    label, number = Classification(3), Regression(2, 0.4)
    task = Several((label, number))
    outputs = outputs_of(task)
    y = targets_of(task, outputs)[0]
    assert task.shape == (5,) and task.target == (3,) and not task.integer and y.dtype == torch.float64
    parts = label.nll(outputs[..., :3], y[:, 0].long()) + number.nll(outputs[..., 3:], y[:, 1:])
    assert torch.allclose(task.nll(outputs, y), parts)
    scores = task.scores(task.predict(outputs), y)
    alone = label.scores(outputs[..., :3].softmax(-1), y[:, 0].long())
    assert torch.equal(scores["accuracy"], alone["accuracy"]) and torch.equal(scores["ece_readout_1"], alone["ece"])
    assert torch.equal(scores["rmse_readout_2"], number.scores(outputs[..., 3:], y[:, 1:])["rmse"])
    assert torch.equal(task.accuracy(outputs, y), label.accuracy(outputs[..., :3], y[:, 0].long()))
    assert Several((number, number)).accuracy(outputs[..., :4], y.new_zeros(BATCH, 4)) is None


NAN = math.nan
STEPS = Stepwise(Classification(3), 2)
NUMBERS = Stepwise(Regression(2, 1.0), 2)
MIXED = Several((Classification(3), Regression(1, 1.0)))
UNFIT = {
    "a label too large": (STEPS, torch.tensor([[0, -1], [2, 3]]), "from 0 to 2; example 2, counted from 0, has 3"),
    "no target at all": (STEPS, torch.tensor([[0, 1], [-1, -1]]), "at one step at least; example 1, counted from 0"),
    "too few steps": (STEPS, torch.tensor([[0], [1]]), r"at each of 2 steps, -1 where .*, not \(2, 1\)"),
    "half a target": (NUMBERS, torch.tensor([[[0.0, NAN], [NAN, NAN]]]), "floating point and finite; example 0"),
    "half a label": (MIXED, torch.tensor([[0.5, 1.0]]), "read-out 1: labels are whole numbers"),
    "a number that is none": (MIXED, torch.tensor([[1.0, 1.0], [2.0, NAN]]), "read-out 2: .*; example 1"),
    "a class too many": (
        MIXED,
        torch.tensor([[1.0, 1.0], [5.0, 0.0]]),
        "read-out 1: .* from 0 to 2; example 1.* has 5",
    ),
    "integers for numbers": (Poisson(2), torch.tensor([[1, 2]]), r"\(examples, 2\), floating and finite, not \(1, 2\)"),
}


@pytest.mark.parametrize(("task", "y", "why"), UNFIT.values(), ids=UNFIT.keys())
def test_targets_that_do_not_fit_are_named(task: Likelihood, y: Tensor, why: str) -> None:
    fault = next(task.unfit(y))
    assert re.search(why, fault), fault
