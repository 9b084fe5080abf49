"""A trained network as a module of torch, which predicts with its mean weights, sampled ones, or many samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from ebayes_core.contract.dataset import Dataset
from ebayes_core.contract.network import Network, Shape
from ebayes_core.errors import UserError
from ebayes_core.trained import data
from ebayes_core.trained.network import Trained, check_member, trained

if TYPE_CHECKING:
    from ebayes_core.contract.registry import Registry
    from ebayes_core.contract.slots import Dataset
    from ebayes_core.results.reader import Run

Draw = torch.Generator | None
PLAIN = "plain."  #: in names of parameters, of which `state_dict` leaves it out


class Module(nn.Module):
    """A trained network: outputs (batch, *outputs) of inputs as `Dataset.prepare` returns them, (batch, *inputs).

    It begins with its mean weights; `sample` and `ensemble` change to noisy ones until `mean` changes back. Its
    `state_dict` has the keys of the plain module, `plain`, and holds the means; without a plain module, `layer_1`, ...
    in the layout of the results file. What the noise depends on moves with `.to`, and is not in the `state_dict`.
    """

    def __init__(self, found: Trained, dataset: Dataset, inputs: Shape, outputs: Shape) -> None:
        super().__init__()
        self.network, self.noise, self.dataset = found.network, found.noise, dataset
        _check_layers(found, inputs, outputs)
        self.inputs, self.times = inputs, found.network.draws(inputs, outputs)
        self.plain = _plain(found, inputs, outputs)
        self._names = [name for name, p in self.plain.named_parameters() if p.requires_grad]
        self._free = [{name: f"{name}_{i}" for name in free} for i, free in enumerate(found.free, 1)]
        for names, free in zip(self._free, found.free, strict=True):
            for name, buffer in names.items():
                self.register_buffer(buffer, free[name], persistent=False)
        self.mean()
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_pre_hook(_put_in)

    def mean(self) -> Self:
        """Predict with the mean weights."""
        self._samples: int | None = 0
        self._generator: Draw = None
        return self

    def sample(self, generator: Draw = None) -> Self:
        """Predict with weights that each call draws anew: one network for all examples of the call."""
        self._samples, self._generator = None, generator
        return self

    def ensemble(self, samples: int, generator: Draw = None) -> Self:
        """Predict the average of the predictions of sampled networks, drawn anew by each call.

        Outputs are those of one network that predicts the average: of a classification, the logarithms of the mean
        probabilities. Raises UserError without samples, if the likelihood does not say how to average, or if it is
        known from data that are not at hand.
        """
        if samples < 1:
            raise UserError(f"samples = {samples}: an ensemble needs at least one")
        self.likelihood = self.dataset.task()
        if self.likelihood.averaged(torch.zeros(1, 1, *self.likelihood.shape)) is None:
            raise UserError(f"the likelihood {type(self.likelihood).__name__} defines no averaged(outputs)")
        self._samples, self._generator = samples, generator
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (batch, *outputs)."""
        if self._samples == 0:
            outputs: Tensor = self.plain(x)
            return outputs
        if self._samples is None:
            return self.sampled(x, self._generator)
        assert self.likelihood is not None, "`ensemble` has refused to begin"
        found = self.likelihood.averaged(torch.stack([self.sampled(x, self._generator) for _ in range(self._samples)]))
        assert found is not None, "`ensemble` has refused such likelihoods"
        return found

    def sampled(self, x: Tensor, generator: Draw = None) -> Tensor:
        """Outputs (batch, *outputs) of a newly drawn network."""
        found = self.trained()
        return self.network.forward(found.weights(found.xi(1, self.times, generator)), x)[0]

    def trained(self) -> Trained:
        """The network, with the means and the noise that the module has now."""
        mu = self.network.weights([self.plain.get_parameter(name) for name in self._names])
        free = [{name: self.get_buffer(buffer) for name, buffer in names.items()} for names in self._free]
        return Trained(self.network, self.noise, mu, free)


class Layers(nn.Module):
    """The weights of a network that has no plain module, as parameters `layer_1`, ..."""

    def __init__(self, network: Network, mu: list[Tensor], times: list[int]) -> None:
        super().__init__()
        self.network, self.times = network, times
        for i, m in enumerate(mu, 1):
            self.register_parameter(f"layer_{i}", nn.Parameter(torch.empty_like(m)))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (batch, *outputs)."""
        weights = [p.expand(1, *[n] * (n > 1), *p.shape) for p, n in zip(self.parameters(), self.times, strict=True)]
        return self.network.forward(weights, x)[0]


def _check_layers(found: Trained, inputs: Shape, outputs: Shape) -> None:
    """Raise UserError if the network has other layers here than those in the file."""
    here, there = ([tuple(s) for s in shapes] for shapes in (found.network.shapes(inputs, outputs), found.shapes))
    if here != there:
        raise UserError(
            f"the network '{found.network.kind}' has layers {there} in the file, and {here} here: use the version of "
            "its plugin with which it was trained"
        )


@torch.no_grad()
def _plain(found: Trained, inputs: Shape, outputs: Shape) -> nn.Module:
    """The plain module with the means as its parameters, in their type; `Layers` if there is none."""
    network, mu = found.network, found.mu
    plain = network.plain(inputs, outputs) or Layers(network, mu, network.draws(inputs, outputs))
    plain.to(mu[0].dtype)
    own = [p for p in plain.parameters() if p.requires_grad]
    for p, values in zip(own, network.parameters(mu), strict=True):
        p.copy_(values)
    return plain


def _leave_out(module: nn.Module, state: dict[str, Any], prefix: str, local_metadata: dict[str, Any]) -> None:
    """Give the parameters the names that they have in the plain module."""
    for keys, old, new in (
        (state, prefix + PLAIN, prefix),
        (getattr(state, "_metadata", {}), (prefix + PLAIN)[:-1], prefix[:-1]),
    ):
        for key in [key for key in keys if key.startswith(old)]:
            keys[new + key.removeprefix(old)] = keys.pop(key)


def _put_in(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give the parameters the names that they have in this module."""
    for key in [key for key in state if key.startswith(prefix)]:
        state[f"{prefix}{PLAIN}{key.removeprefix(prefix)}"] = state.pop(key)


def module(run: Run, member: int, registry: Registry) -> Module:
    """A network of a run as a module of torch, with its mean weights; see `Module`.

    Raises AbsentError for a network that does not exist, and UserError for one that diverged, for a plugin that is not
    registered, and for a file of an older ebayes whose data are not at hand.
    """
    check_member(run, member)
    found = trained(run, member, registry)
    return Module(found, *data.fit_of(run, member, registry))
