"""Predictions of a trained network for new inputs, averaged over its noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Likelihood
from ebayes_core.contract.uncertainty import Uncertainty
from ebayes_core.errors import UserError
from ebayes_core.trained.data import dataset_of, examples_of, fit_of
from ebayes_core.trained.module import Module
from ebayes_core.trained.network import check_member, trained
from ebayes_core.trained.prediction import UNCERTAINTIES, Prediction

if TYPE_CHECKING:
    from ebayes_core.contract.registry import Registry
    from ebayes_core.contract.slots import Dataset
    from ebayes_core.results.reader import Run

SPLITS = ("train", "test")
CHUNK = 1000  #: examples per forward pass


@torch.no_grad()
def predict(run: Run, x: Any, member: int, registry: Registry, samples: int = 20, seed: int = 0) -> Prediction:
    """Predictions of a network for new inputs, from `samples` networks drawn with a seed.

    x: inputs as they were before the data set prepared them, an array, a tensor or a table of pandas; None for the test
    set of the run. Raises AbsentError for a network that does not exist, UserError for inputs that do not fit, for data
    that are not those of the run, and for plugins that are not registered.
    """
    if samples < 2:
        raise UserError(f"samples = {samples}: a standard deviation over sampled networks needs at least two")
    check_member(run, member)
    found = trained(run, member, registry)
    dataset = dataset_of(run, [member], registry, "predict")
    _, inputs, outputs = fit_of(run, member, registry)
    seen = examples_of(run, [member], dataset, "test")[0] if x is None else prepared(dataset, x, inputs)
    network = Module(found, dataset, inputs, outputs)
    return _predicted(network, seen.to(found.mu[0].dtype), samples, seed)


def prepare(run: Run, x: Any, member: int, registry: Registry) -> Tensor:
    """New inputs as a network of the run sees them, in the type of its training; errors as of `predict`."""
    check_member(run, member)
    dataset = dataset_of(run, [member], registry, "prepare")
    return _typed(run, member, prepared(dataset, x, fit_of(run, member, registry)[1]))


def examples(run: Run, split: str, member: int, registry: Registry) -> tuple[Tensor, Tensor]:
    """Inputs and targets of a split of the run's data, as a network saw them. Raises UserError for another split."""
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r}: choose {' or '.join(SPLITS)}")
    check_member(run, member)
    x, y = examples_of(run, [member], dataset_of(run, [member], registry, "examples"), split)
    return _typed(run, member, x), _typed(run, member, y)


def _typed(run: Run, member: int, values: Tensor) -> Tensor:
    kind = getattr(torch, run.member_spec(member)["training"]["dtype"])
    return values.to(kind) if values.is_floating_point() else values


def prepared(dataset: Dataset, x: Any, inputs: tuple[int, ...]) -> Tensor:
    """Inputs as a network sees them. Raises UserError for what does not fit."""
    x = x.detach().cpu() if isinstance(x, Tensor) else x
    try:
        found = dataset.prepare(x)
    except (ValueError, TypeError) as error:
        raise UserError(f"the data set '{dataset.kind}' cannot take the inputs x: {error}") from error
    if found.ndim < 2 or not len(found) or tuple(found.shape[1:]) != inputs:
        shape = tuple(found.shape)
        raise UserError(f"inputs x have shape {shape}: give at least one example of shape {inputs}, (examples, ...)")
    bad = ~found.isfinite().flatten(1).all(1)
    if bad.any():
        rows = bad.nonzero()[:, 0]
        raise UserError(
            f"inputs x: example {int(rows[0])}, counted from 0, is not finite ({len(rows)} such): remove or replace it"
        )
    return found


class _Part(NamedTuple):
    """The predictions for a few examples."""

    mean: Tensor
    sd: Tensor
    uncertainty: Uncertainty | None


def _part(module: Module, task: Likelihood, x: Tensor, samples: int, seed: int) -> _Part:
    """For a few examples; with one seed, all of them are predicted by the same networks."""
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.stack([module.sampled(x, generator) for _ in range(samples)])
    each = task.predict(outputs)
    return _Part(each.mean(0), each.std(0), task.uncertainty(outputs))


def _predicted(module: Module, x: Tensor, samples: int, seed: int) -> Prediction:
    """The predictions for all examples."""
    task, names = module.dataset.task(), module.dataset.class_names()
    parts = [_part(module, task, few, samples, seed) for few in x.split(CHUNK)]
    mean, sd = torch.cat([part.mean for part in parts]), torch.cat([part.sd for part in parts])
    split = [part.uncertainty for part in parts if part.uncertainty is not None]
    label = task.label(mean[None])
    found: dict[str, Any] = {"label": None if label is None else _named(label[0].numpy(), names)}
    units = {"mean": task.prediction_units, "sd": task.prediction_units}
    if split:
        found["aleatoric"], found["epistemic"] = (
            torch.cat(values).numpy() for values in ([s.aleatoric for s in split], [s.epistemic for s in split])
        )
        found["entropy"] = None if label is None else found["aleatoric"] + found["epistemic"]
        units |= dict.fromkeys(UNCERTAINTIES, split[0].units)
    return Prediction(mean=mean.numpy(), sd=sd.numpy(), units=units, samples=samples, classes=names, **found)


def _named(label: np.ndarray, names: tuple[str, ...] | None) -> np.ndarray:
    """Names of classes in place of their numbers, if they have any."""
    return label if names is None else np.array(names)[label]
