"""Networks trained under likelihoods other than softmax and Gaussian: sequences with a mask, and bare likelihoods."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, Literal

import pytest
import torch
from torch import Tensor

from ebayes_core.contract.compound import Stepwise
from ebayes_core.contract.likelihoods import Classification, Likelihood
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Dataset, Network
from ebayes_core.engine import preflight
from ebayes_core.engine.minibatch import _squared_gradients
from ebayes_core.errors import UserError
from ebayes_core.measure import collect
from ebayes_core.results.reader import Run
from ebayes_core.spec import loads
from ebayes_core.sweeps.run import run
from ebayes_plugins.analyses.importance import Importance
from tests.build import cohort, trained

STEPS, CLASSES = 3, 4


@dataclass(frozen=True)
class Poisson(Likelihood):
    """Counts with log rates: nothing but the nll."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (1,)

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        return (outputs.exp() - y * outputs).sum(-1)


class Sequences(Dataset):
    """Random inputs with a label at some of the steps."""

    kind: Literal["sequences"] = "sequences"
    masked: bool = True

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(len(split))
        x = torch.randn(33, 5, generator=generator)
        y = torch.randint(CLASSES, (33, STEPS), generator=generator)
        hidden = torch.arange(STEPS) > torch.arange(33)[:, None] % STEPS
        return x, y.masked_fill(hidden, -1) if self.masked else y

    def task(self) -> Likelihood:
        return Stepwise(Classification(CLASSES), STEPS)


class Counts(Sequences):
    """Random counts."""

    kind: Literal["counts"] = "counts"  # type: ignore[assignment]

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        x, y = super().load(split)
        return x, y[:, :1].float().clamp(min=0)

    def task(self) -> Likelihood:
        return Poisson()


class Linear(Network):
    """One matrix for all steps, read from the likelihood's own shape."""

    kind: Literal["linear_steps"] = "linear_steps"
    steps: int = STEPS
    layout: ClassVar[str] = "none"

    def shapes(self, inputs, outputs):
        size = math.prod(outputs) if isinstance(outputs, tuple) else outputs
        return [(size, math.prod(inputs) if isinstance(inputs, tuple) else inputs)]

    def forward(self, weights, x):
        flat = x @ weights[0].transpose(1, 2)
        return flat.unflatten(-1, (self.steps, -1)) if self.steps > 1 else flat


HOOKS = SimpleNamespace(
    __name__="made_up", ebayes_datasets=lambda: [Sequences, Counts], ebayes_networks=lambda: [Linear]
)
SPEC = """
name = "test"
dataset = { kind = "sequences" }
network = { kind = "linear_steps" }
noise = { kind = "heterogeneous", sigma_0 = 0.1 }
training = { epochs = 2, batch_size = 10, dtype = "float64" }
optimizer = { kind = "adam", learning_rate = 1e-2 }
measurement = { samples = 2 }
"""
COUNTS = ('dataset={kind="counts"}', "network.steps=1")


@pytest.fixture(scope="module")
def registry() -> Registry:
    from ebayes_core.contract.slots import hookimpl

    for hook in ("ebayes_datasets", "ebayes_networks"):
        setattr(HOOKS, hook, hookimpl(getattr(HOOKS, hook)))
    return Registry.of(HOOKS)


def test_sequences_with_a_mask_train_and_are_scored(registry: Registry) -> None:
    c = cohort(registry, SPEC, "training.epochs=40")
    state = trained(c)
    (found,) = collect.measure(c, state)
    x, y = c.data.x_test, c.data.y_test
    outputs = c.network.forward(c.layered(state.parameters.mu), x)
    given = y >= 0
    assert found.metrics["accuracy_mean"] == pytest.approx((outputs.argmax(-1)[0] == y)[given].double().mean().item())
    nll = -outputs[0].log_softmax(-1)[given].gather(-1, y[given][:, None]).sum() / len(x)
    assert found.metrics["nll_mean"] == pytest.approx(nll.item())
    assert found.curves["accuracy_train"][-1] > found.curves["accuracy_train"][1]
    assert {"fisher_true_noise", "fisher_empirical_noise", "gauss_newton_noise"} <= found.layers[0].keys()


def test_steps_without_a_target_do_not_enter_the_fisher_of_the_solver(registry: Registry) -> None:
    """Its expectation over sampled labels is Gauss-Newton, computed here with the mask written out."""
    c = cohort(registry, SPEC, 'training.sigma="fixed_point"')
    state = c.start()
    x, y = c.data.x, c.data.y
    found = torch.stack([_squared_gradients(c, state, x, y)[0] for _ in range(400)])
    p = c.network.forward(c.layered(state.weights), x)[0].softmax(-1)
    wanted = torch.einsum("bsk,bs,bi->ski", p * (1 - p), (y >= 0).double(), x**2).flatten() / len(x)
    error = found.std(0) / len(found) ** 0.5
    assert ((found.mean(0)[0] - wanted).abs() < 5 * error[0]).all()
    without_mask = torch.einsum("bsk,bi->ski", p * (1 - p), x**2).flatten() / len(x)
    assert ((found.mean(0)[0] - without_mask).abs() > 5 * error[0]).any()


def test_the_curvature_of_sequences_is_that_of_their_steps(registry: Registry) -> None:
    c = cohort(registry, SPEC)
    state = trained(c)
    (found,) = collect.measure(c, state)
    x, y = c.data.x, c.data.y
    p = c.network.forward(c.layered(state.parameters.mu), x)[0].softmax(-1)
    wanted = torch.einsum("bsk,bs,bi->ski", p * (1 - p), (y >= 0).double(), x**2).flatten(0, 1) / len(x)
    assert torch.allclose(torch.from_numpy(found.layers[0]["gauss_newton_mean"]), wanted)


def test_a_bare_likelihood_trains_and_what_it_lacks_is_left_out(registry: Registry, tmp_path: Path) -> None:
    experiment = loads(SPEC, registry, COUNTS)
    run(experiment, SPEC, registry, tmp_path / "a.h5")
    with Run(tmp_path / "a.h5") as found:
        names = set(found.layer_names(0))
        assert "fisher_empirical_noise" in names
        assert not names & {"fisher_true_noise", "fisher_true_mean", "gauss_newton_noise", "gauss_newton_mean"}
        assert math.isnan(found.curve("accuracy_train")[0, -1]) and math.isfinite(found.metric("nll_mean")[0])
        told = "curvature_roots.*available are fisher_empirical_mean, fisher_empirical_noise"
        with pytest.raises(UserError, match=told):
            Importance().measure(found)
        assert Importance(estimator="fisher_empirical_noise").measure(found)["n"][0] > 0


def test_the_solver_refuses_a_likelihood_that_cannot_be_sampled(registry: Registry) -> None:
    c = cohort(registry, SPEC, *COUNTS, 'training.sigma="fixed_point"')
    with pytest.raises(UserError, match=r"Poisson of the data set 'counts' defines no sample\(\).*descent"):
        preflight.check(c, c.start())
