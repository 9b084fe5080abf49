"""Other packages, each training a mean-field Gaussian posterior of the same architecture, if they are installed.

`pip install "ebayes[bench]"` installs them. Each does what its documentation shows for variational inference in a
classifier, with Adam, one sample of the weights per step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ebayes_core.bench.baselines import RATE, Alone, Loop, perceptron
from ebayes_core.bench.probing import FISHER, SEEN
from ebayes_core.bench.rows import Step, Variant
from ebayes_core.bench.setting import EXAMPLES, PAPER, On, Shape, made_up
from ebayes_core.errors import EbayesError


class TorchBnn:
    """torchbnn: Bayesian layers and their KL."""

    def __init__(self, shape: Shape) -> None:
        bnn = wanted("torchbnn")
        self.model = perceptron(shape, lambda pre, post: bnn.BayesLinear(0, 0.1, pre, post))
        self.divergence = bnn.BKLLoss(reduction="sum", last_layer_only=False)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=RATE, fused=True)

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute the negative ELBO per example and its gradient, and update with Adam."""
        self.optimiser.zero_grad()
        loss: Tensor = F.cross_entropy(self.model(x), y) + self.divergence(self.model).sum() / EXAMPLES
        loss.backward()
        self.optimiser.step()
        return loss.detach()


class BayesianTorch(TorchBnn):
    """bayesian-torch: reparameterised layers."""

    def __init__(self, shape: Shape) -> None:
        wanted("bayesian_torch")
        from bayesian_torch.layers import LinearReparameterization
        from bayesian_torch.models.dnn_to_bnn import get_kl_loss

        def linear(pre: int, post: int) -> Any:
            layer = LinearReparameterization(pre, post)
            layer.dnn_to_bnn_flag = True  # otherwise a layer also returns its KL, which Sequential cannot handle
            return layer

        self.model, self.divergence = perceptron(shape, linear), get_kl_loss
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=RATE, fused=True)


class Pyro:
    """Pyro: stochastic variational inference with AutoNormal."""

    def __init__(self, shape: Shape) -> None:
        pyro = wanted("pyro")
        from pyro.infer import SVI, Trace_ELBO
        from pyro.infer.autoguide import AutoNormal

        def model(x: Tensor, y: Tensor) -> None:
            unit = pyro.distributions.Normal
            weights = [pyro.sample(f"w{i}", unit(torch.zeros(s), 1.0).to_event(2)) for i, s in enumerate(shape.layers)]
            with pyro.plate("data", EXAMPLES, subsample_size=len(x)):
                pyro.sample("y", pyro.distributions.Categorical(logits=functional(weights, x)), obs=y)

        pyro.clear_param_store()
        self.svi = SVI(model, AutoNormal(model), pyro.optim.Adam({"lr": RATE}), Trace_ELBO())

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """One step of SVI."""
        return torch.as_tensor(self.svi.step(x, y))


class Posteriors:
    """posteriors: diagonal variational inference."""

    def __init__(self, shape: Shape) -> None:
        posteriors, torchopt = wanted("posteriors"), wanted("torchopt")

        def log_posterior(weights: dict[str, Tensor], batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            outputs = functional(list(weights.values()), batch[0])
            prior = posteriors.diag_normal_log_prob(weights) / EXAMPLES
            return prior - F.cross_entropy(outputs, batch[1]), outputs

        start = {str(i): torch.empty(s).uniform_(-0.1, 0.1) for i, s in enumerate(shape.layers)}
        adam, scale = torchopt.adam(lr=RATE), 1 / EXAMPLES
        self.method = posteriors.vi.diag.build(log_posterior, adam, temperature=scale, init_log_sds=-5.0)
        self.state = self.method.init(start)

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """One step of variational inference."""
        self.state, _ = self.method.update(self.state, (x, y))
        return torch.as_tensor(self.state.nelbo)


class Ivon:
    """IVON: variational inference by the optimizer alone, of the authors' package; its network is a plain one."""

    def __init__(self, shape: Shape) -> None:
        self.model = perceptron(shape)
        self.optimiser = wanted("ivon").IVON(self.model.parameters(), lr=0.1, ess=EXAMPLES)

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute the loss of one sampled network and its gradient, and update means and precisions."""
        with self.optimiser.sampled_params(train=True):
            self.optimiser.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
        self.optimiser.step()
        return loss.detach()


def functional(weights: list[Tensor], x: Tensor) -> Tensor:
    """The same perceptron as a function of its weights; the last column is the bias."""
    for i, w in enumerate(weights):
        x = x @ w[:, :-1].T + w[:, -1]
        x = x.relu() if i < len(weights) - 1 else x
    return x


def backpack_fisher(device: str) -> Step:
    """BackPACK: sum of squared per-example gradients, from its extension."""
    backpack = wanted("backpack")
    from backpack.extensions import SumGradSquared

    data, model = made_up(PAPER.inputs, device=device), backpack.extend(perceptron(PAPER).to(device))
    loss = backpack.extend(torch.nn.CrossEntropyLoss(reduction="sum"))

    def step() -> None:
        model.zero_grad()
        total = loss(model(data.x[:SEEN]), data.y[:SEEN])
        with backpack.backpack(SumGradSquared()):
            total.backward()

    return step


def wanted(module: str) -> Any:
    """Import the module of a package; raises EbayesError if it is not installed."""
    import importlib

    if find_spec(module) is None:
        raise EbayesError(f'{module} is not installed; pip install "ebayes[bench]"')
    return importlib.import_module(module)


PEERS: dict[str, Callable[[Shape], Loop]] = {
    "torchbnn": TorchBnn, "bayesian-torch": BayesianTorch, "Pyro": Pyro, "posteriors": Posteriors, "IVON": Ivon,
}  # fmt: skip


def variants(device: str = "cpu") -> list[Variant]:
    """A variant for each package; the row of one that is not installed says so."""
    row = partial(Variant, device=device)
    return [
        *(row(f"package: {name}", Alone(peer, device=device), section=PAPER.name) for name, peer in PEERS.items()),
        row("package: BackPACK, SumGradSquared", On(backpack_fisher, device), section=FISHER),
    ]
