"""One step of every synapse: gradients of the whole objective, two Adams, and the next sampled weights.

All of it is elementwise but for the sums over a network that a shared sigma needs, so that one compiled pass over
memory can do it. This is the one place that knows about compilation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from ebayes_core.slots import Cost, Inference, Noise

log = logging.getLogger("ebayes")


@dataclass
class Parameters:
    """The free parameters of a cohort with Adam's moments, per layer (member, synapses).

    phi has one tensor per layer, or a single (member, 1) that all layers share, or none.
    """

    mu: list[Tensor]
    phi: list[Tensor]
    mu_first: list[Tensor] = field(default_factory=list)
    mu_second: list[Tensor] = field(default_factory=list)
    phi_first: list[Tensor] = field(default_factory=list)
    phi_second: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, like in (("mu", self.mu), ("phi", self.phi)):
            for moment in ("first", "second"):
                if not getattr(self, f"{name}_{moment}"):
                    setattr(self, f"{name}_{moment}", [torch.zeros_like(t) for t in like])

    def lists(self) -> list[list[Tensor]]:
        """Every list of tensors, in the order of the fields."""
        return [getattr(self, f.name) for f in fields(self)]


@dataclass(frozen=True)
class Formulas:
    """What a cohort computes: stacked plugins, stacked numbers of Adam, and the number of training examples."""

    cost: Cost
    noise: Noise
    inference: Inference
    learning_rate: Tensor
    learning_rate_phi: Tensor
    beta1: Tensor
    beta2: Tensor
    epsilon: Tensor
    examples: int

    def sigmas(self, mu: list[Tensor], phi: list[Tensor]) -> list[Tensor]:
        """Standard deviations of each layer, as (member, synapses); zeros without noise."""
        if not phi:
            return [torch.zeros_like(m) for m in mu]
        shared = [self.noise.sigma(p) for p in phi]
        return [(shared[i % len(shared)]).expand_as(m) for i, m in enumerate(mu)]

    def penalty(self, mu: Tensor, sigma: Tensor, noisy: bool) -> Tensor:
        """Elementwise terms of the objective besides the loss; without noise there is no reliability to pay for."""
        if noisy:
            return self.inference.penalty(mu, sigma, self.cost)
        return self.inference.magnitude_cost(mu, sigma)

    def surrogate(self, mu: list[Tensor], phi: list[Tensor], slopes: list[Tensor], xi: list[Tensor]) -> Tensor:
        """A scalar whose gradient in (mu, phi) is that of the objective over the examples (Eq. 2-4, Methods).

        The loss enters linearised at the sampled weights: slopes is its gradient there, per datapoint. So any
        noise and any cost takes one path, and the reparameterised gradient needs no second formula.
        """
        total = mu[0].new_zeros(())
        for m, sigma, g, x in zip(mu, self.sigmas(mu, phi), slopes, xi, strict=True):
            total = total + (g * (m + sigma * x)).sum() + self.penalty(m, sigma, bool(phi)).sum() * (1 / self.examples)
        return total

    def weights(self, mu: list[Tensor], phi: list[Tensor], xi: list[Tensor]) -> list[Tensor]:
        """Sampled weights mu + sigma xi (Eq. 5)."""
        return [m + s * x for m, s, x in zip(mu, self.sigmas(mu, phi), xi, strict=True)]


def gradients(
    formulas: Formulas, mu: list[Tensor], phi: list[Tensor], slopes: list[Tensor], xi: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Gradient of the objective per datapoint in mu and phi."""
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_() for t in (*mu, *phi)]
        loss = formulas.surrogate(leaves[: len(mu)], leaves[len(mu) :], slopes, xi)
        found = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return list(found[: len(mu)]), list(found[len(mu) :])


def _adam(
    p: Tensor, g: Tensor, first: Tensor, second: Tensor, rate: Tensor, f: Formulas, corrections: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Adam (Kingma and Ba) as torch.optim.Adam computes it; corrections: (1 - beta1**t, 1 - beta2**t) per member."""
    first = f.beta1 * first + (1 - f.beta1) * g  # no lerp: inf - inf would turn an overflow into a NaN
    second = f.beta2 * second + (1 - f.beta2) * g * g
    reciprocals = 1 / corrections  # one division per member in place of two per synapse
    step = rate * reciprocals[0] * first / ((second * reciprocals[1]).sqrt() + f.epsilon)
    return p - step, first, second


Step = Callable[..., None]
#: a multiplication and an addition as one instruction, rounded once: a tenth off the update
FUSED = {"cpp.enable_floating_point_contract_flag": "fast"}


def make_step(formulas: Formulas) -> Step:
    """A function that updates parameters in place and writes the next sampled weights.

    Arguments: the lists of Parameters, then the weights to write, slopes, xi of this step, xi of the next, the
    corrections (2, member, 1), and alive (member, 1): the members that still move.
    """

    def step(lists, weights, slopes, xi, xi_next, corrections, alive):  # type: ignore[no-untyped-def]
        mu, phi, mu_first, mu_second, phi_first, phi_second = lists
        g_mu, g_phi = gradients(formulas, mu, phi, slopes, xi)
        for rate, p, g, first, second in (
            (formulas.learning_rate, mu, g_mu, mu_first, mu_second),
            (formulas.learning_rate_phi, phi, g_phi, phi_first, phi_second),
        ):
            for i in range(len(p)):
                new, m, v = _adam(p[i], g[i], first[i], second[i], rate, formulas, corrections)
                p[i].copy_(torch.where(alive, new, p[i]))
                first[i].copy_(m)
                second[i].copy_(v)
        for out, w in zip(weights, formulas.weights(mu, phi, xi_next), strict=True):
            out.copy_(w)

    return step


def compiled(step: Step, *example: object) -> Step:
    """The same function as one fused kernel, or itself, with one line in the log, where no compiler works.

    The step is first traced to plain tensor operations, its gradient included. So whatever Python a stranger's
    formula is written in, the compiler sees only arithmetic, and an autograd.Function keeps its own backward.
    """
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.utils._pytree import tree_map_only

    try:
        scratch = tree_map_only(Tensor, torch.clone, example)
        kernel = torch.compile(make_fx(step)(*scratch), dynamic=False, fullgraph=True, options=FUSED)
        kernel(*scratch)
    except Exception as error:  # a missing compiler shows as any of a dozen exceptions
        reason = str(error).strip().splitlines() or [type(error).__name__]
        log.warning("no compiled update: %s; going on without, several times slower", reason[0][:200])
        return step
    return kernel
