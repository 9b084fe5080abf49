"""The check of noises: every built-in passes, and each usual mistake is caught and named."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import Field

from ebayes_core.contract.functions import surrogate
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Noise
from ebayes_core.testing import check_noise
from ebayes_plugins.noise import Bernoulli, Binomial, LogNormal
from tests.testing.mistakes import straight


@pytest.mark.parametrize("kind", sorted(Registry.load().kinds("noise")))
def test_every_noise_passes(registry: Registry, kind: str) -> None:
    check_noise(registry.kinds("noise")[kind])


class GoodNoise(Noise):
    """A correct noise, from which faulty ones are derived."""

    kind: Literal["good"] = "good"
    sigma_0: float = Field(0.1, ge=0.001, le=1, description="start")

    def init(self, mu):
        return {"phi": (self.sigma_0 + 0 * mu).log()}

    def sigma(self, mu, free):
        return free["phi"].exp()


class Spike(Noise):
    """A correct discrete weight: 2 mu or 0, with probabilities that follow sigma."""

    kind: Literal["spike"] = "spike"
    base: ClassVar[Literal["normal", "uniform"]] = "uniform"
    signs: ClassVar[Literal["free", "mean", "fixed"]] = "mean"
    own_sigma: ClassVar[bool] = False

    def init(self, mu):
        return {"logit": 0 * mu}

    def sigma(self, mu, free):
        return (mu * mu + 1e-16).sqrt() * (-free["logit"] / 2).exp()

    def draw(self, mu, free, xi):
        p = free["logit"].detach().sigmoid()
        return surrogate(mu.detach() / p * (xi < p), mu, self.sigma(mu, free))


class Blend(Noise):
    """A correct noise of two free parameters, one of them of the whole network."""

    kind: Literal["blend"] = "blend"

    def init(self, mu):
        return {"own": 0 * mu - 2, "shared": mu.new_zeros(len(mu), 1) - 1}

    def sigma(self, mu, free):
        return free["own"].exp() + free["shared"].exp()


def init(change):
    """GoodNoise with a change to what init returns."""
    return {"init": lambda self, mu: change(self, GoodNoise.init(self, mu)["phi"])}


def sigma(change):
    """GoodNoise with another sigma of phi."""
    return {"sigma": lambda self, mu, free: change(self, free["phi"])}


def draw(change):
    """GoodNoise with another draw."""
    return {"draw": lambda self, mu, free, xi: change(mu, self.sigma(mu, free), xi)}


phi = lambda value: {"phi": value}
MISTAKES = {
    # the values at the start
    "no dict": (init(lambda s, x: x), "init returned Tensor, not a dict"),
    "none": (init(lambda s, x: None), "init returned NoneType, not a dict .* no noise"),
    "no tensor": (init(lambda s, x: phi(0.1)), "init: 'phi' is float, not a tensor"),
    "an axis less": (init(lambda s, x: phi(x[0])), "'phi' is .* must be .member, synapses."),
    "an axis less alone": (init(lambda s, x: phi(x.squeeze(0))), "'phi' is .* must be .member, synapses."),
    "another type": (init(lambda s, x: phi(x.float())), "of mu's type"),
    "a name that is taken": (init(lambda s, x: {"mu": x}), "'mu' cannot be the name of a free parameter"),
    "a random start": (init(lambda s, x: phi(x + 1e-3 * torch.rand_like(x))), "init draws random numbers"),
    "a random start of numpy": (init(lambda s, x: phi(x + np.random.rand())), "init draws random numbers"),
    "a mean over networks": (init(lambda s, x: phi(x + 0.1 * len(x))), "differs if other networks are beside it"),
    "fails": (init(lambda s, x: x.nonsense), "init raised AttributeError"),
    "changes mu": ({"init": lambda s, mu: phi((s.sigma_0 + mu.zero_()).log())}, "init changed its argument in place"),
    "changes mu by +=": ({"init": lambda s, mu: phi((mu.__iadd__(1) * 0 + s.sigma_0).log())}, "changed its argument"),
    "bound to the CPU": (
        {"init": lambda s, mu: phi((s.sigma_0 + torch.zeros(mu.shape, dtype=mu.dtype)).log())}, "init fails on another"
    ),
    "numpy at the start": ({"init": lambda s, mu: phi(np.log(s.sigma_0 + 0 * mu))}, "init fails .* it uses numpy"),
    "a field without effect": ({"init": lambda s, mu: phi(0 * mu)}, "sigma_0 changes nothing"),
    "deterministic by mistake": (
        {"init": lambda s, mu: {}, "sigma": lambda s, mu, free: s.sigma_0 * mu.abs()}, "init returns no free parameter"
    ),
    "NaN at a bound": (init(lambda s, x: phi(x + (s.sigma_0 - 1e-3) / (s.sigma_0 - 1e-3))), "sigma_0=0.001"),
    # sigma
    "negative": (sigma(lambda s, x: x), "Broken.sigma is not positive"),
    "detached": (sigma(lambda s, x: x.detach().exp()), "gradient in phi is 0 "),
    "straight through": (sigma(lambda s, x: 10 ** straight(x.exp()).log10()), "autograd's gradient in phi"),
    "mixes synapses": (sigma(lambda s, x: x.exp() * (2 + x.mean().tanh())), "not elementwise"),
    "largest of the network": (
        sigma(lambda s, x: x.exp() / (1 + x.exp().amax(-1, keepdim=True))), "sigma is not elementwise"
    ),
    "drops an axis": (sigma(lambda s, x: x.exp().squeeze(0)), "sigma returned shape .*squeeze"),
    "random": (sigma(lambda s, x: x.exp() * (1 + torch.rand_like(x))), "sigma draws random numbers"),
    "numpy": (sigma(lambda s, x: np.exp(x)), "sigma raised .*it uses numpy"),
    "in place": (sigma(lambda s, x: x.exp_()), "Broken.sigma raised .*it changes a tensor in place"),
    "in place by +=": (sigma(lambda s, x: x.__iadd__(1).exp()), "Broken.sigma raised .*it changes a tensor in place"),
    "flat where training starts": (sigma(lambda s, x: x.clamp(min=-8).exp()), "is constant near phi = -1"),
    "flat everywhere": (sigma(lambda s, x: s.sigma_0 + 0 * x), "does not depend on the free parameter 'phi'"),
    "no slope at 0": (
        sigma(lambda s, x: x.exp() * (2 + x.abs().sqrt() * x.sign() / 10)), "gradient in phi is not finite at .*phi = 0"
    ),
    "no slope at a mean of 0": (
        {"sigma": lambda s, mu, free: (mu * mu).sqrt() * free["phi"].exp() + free["phi"].exp()},
        "gradient in mu is not finite at mu = 0",
    ),
    "zero at a mean of 0": (
        {"sigma": lambda s, mu, free: mu.abs() * free["phi"].exp()}, "sigma is not positive and finite at the values of"
    ),
    "not told that it depends on mu": (
        {"sigma": lambda s, mu, free: free["phi"].exp() * (1 + mu**2)}, "depends on mu; say so with  own_sigma"
    ),
    "told to depend on mu": ({"own_sigma": False}, "does not depend on mu; say so with  own_sigma.* = True"),
    "lost digits": (sigma(lambda s, x: torch.where(x < 20, (1 + x.exp()).log(), x)), "inaccurate in single"),
    # draws
    "another mean": (draw(lambda m, s, xi: m + s * (xi + 0.1)), "the mean of the drawn weights is .* where mu is"),
    "another sigma": (draw(lambda m, s, xi: m + 1.05 * s * xi), "standard deviation of the drawn weights is .* where"),
    "of another base": (draw(lambda m, s, xi: m + s * 12**0.5 * (xi - 0.5)), "the mean of the drawn weights"),
    "a detached sigma": (draw(lambda m, s, xi: m + s.detach() * xi), "gradient in phi of the expected quadratic loss"),
    "a detached mean": (draw(lambda m, s, xi: m.detach() + s * xi), "gradient in mu of the expected quadratic loss"),
    "a shape of its own": (draw(lambda m, s, xi: m + s * xi.view(m.shape)), "draw raised .*xi is .1, synapses."),
    "noise of its own": (draw(lambda m, s, xi: m + s * torch.randn_like(m)), "draw draws random numbers"),
    "one noise for all": (draw(lambda m, s, xi: m + s * xi.mean(-1, keepdim=True)), "draw is not elementwise"),
    "numpy in a draw": (draw(lambda m, s, xi: m + s * torch.from_numpy(np.tanh(xi.numpy()))), "draw .*it uses numpy"),
    "in place in a draw": (draw(lambda m, s, xi: xi.mul_(2) * s + m), "Broken.draw .*in place"),
    "no number at an end": (
        {"base": "uniform", **draw(lambda m, s, xi: m + s * (-xi.log() - 1))}, "draw is not finite at .*uniform = 0"
    ),
    "signs": ({"signs": "mean"}, "Broken.draw returned .* declares signs = .mean."),
}  # fmt: skip


def broken(methods, base=GoodNoise):
    return type("Broken", (base,), {**methods, "__doc__": "Broken.", "__module__": __name__})


@pytest.mark.parametrize("cls", [GoodNoise, Spike, Blend])
def test_noises_that_are_right_pass(cls) -> None:
    check_noise(cls)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_of_a_noise_are_named(mistake: str) -> None:
    methods, message = MISTAKES[mistake]
    with pytest.raises(AssertionError, match=message) as caught:
        check_noise(broken(methods))
    assert str(caught.value).startswith("Broken")


def test_a_discrete_draw_needs_the_gradient_of_its_moments() -> None:
    plain = lambda self, mu, free, xi: mu / free["logit"].sigmoid() * (xi < free["logit"].sigmoid())
    with pytest.raises(AssertionError, match=r"gradient in .* of the expected quadratic loss .*use surrogate"):
        check_noise(broken({"draw": plain}, Spike))


def test_a_log_normal_weight_that_forgets_its_mean_is_caught() -> None:
    def draw(self, mu, free, xi):
        return mu * (torch.nn.functional.softplus(free["phi"]) * xi).exp()

    with pytest.raises(AssertionError, match="the mean of the drawn weights is"):
        check_noise(broken({"draw": draw}, LogNormal))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda q: q._replace(n=2 * q.n), "the mean n p q is not mu"),
        (lambda q: q._replace(p=q.p * 0.9, q=q.q / 0.9), r"\(n p \(1 - p\) q\^2\)\^\(1/2\) is not sigma"),
        (lambda q: q._replace(p=q.p + 1), "p between 0 and 1"),
        (lambda q: q._replace(n=q.n[0]), "quanta: n returned shape"),
        (lambda q: (q.n, q.p), "quanta returned tuple, not Quanta"),
    ],
)
def test_mistakes_in_the_quanta_are_named(change, message: str) -> None:
    quanta = lambda self, mu, free: change(Binomial.quanta(self, mu, free))
    with pytest.raises(AssertionError, match=message):
        check_noise(broken({"quanta": quanta}, Bernoulli))


def test_a_second_parameter_that_is_not_used_is_caught() -> None:
    with pytest.raises(AssertionError, match="sigma does not depend on the free parameter 'shared'"):
        check_noise(broken({"sigma": lambda s, mu, free: free["own"].exp() + 0 * free["shared"]}, Blend))
