"""Noise: of a sigma of its own, in proportion to the mean, log-normal, and of quantal release."""

from __future__ import annotations

import math
from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from ebayes_core.contract.slots import Noise, Quanta

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.noise import Free

# functions that need torch are imported where they are called, because importing it takes two seconds


def inverse_softplus(value: Any) -> Any:
    """The phi of softplus(phi) = value, a number or a tensor, as value + log(1 - exp(-value)).

    So it is accurate near zero, where the paper's initial value is.
    """
    if isinstance(value, float):
        return value + math.log(-math.expm1(-value))
    return value + (-(-value).expm1()).log()


def for_each(per: str, mu: Tensor, value: Any) -> Tensor:
    """A free parameter of this value, for each synapse, (member, synapses), or for the network, (member, 1)."""
    return mu.new_zeros(mu.shape if per == "synapse" else (mu.shape[0], 1)) + value


Per = Literal["synapse", "network"]


class AbstractSoftplus(Noise, ABC):
    """sigma = softplus(phi) (Methods)."""

    #: from 1e-30: single precision rounds the softplus of much less to 0
    sigma_0: float = Field(1e-4, ge=1e-30, le=10, description="initial standard deviation")
    per: ClassVar[Per]

    def init(self, mu: Tensor) -> dict[str, Tensor]:
        """phi."""
        return {"phi": for_each(self.per, mu, inverse_softplus(self.sigma_0))}

    def sigma(self, mu: Tensor, free: Free) -> Tensor:
        """log(1 + exp(phi)), elementwise, without overflow; the derivative is accurate at sigma = 1e-4 too."""
        from ebayes_core.contract.functions import softplus

        return softplus(free["phi"])


class Heterogeneous(AbstractSoftplus):
    """Heterogeneous noise: one sigma for every synapse."""

    kind: Literal["heterogeneous"] = "heterogeneous"
    per: ClassVar[Per] = "synapse"


class Homogeneous(AbstractSoftplus):
    """Homogeneous noise: one sigma for the whole network, with its cost counted once per synapse."""

    kind: Literal["homogeneous"] = "homogeneous"
    per: ClassVar[Per] = "network"


class NoNoise(Noise):
    """No noise: a deterministic network, without sigma and reliability cost."""

    kind: Literal["none"] = "none"
    signs: ClassVar[Literal["free", "mean", "fixed"]] = "mean"

    def init(self, mu: Tensor) -> dict[str, Tensor]:
        """No free parameters."""
        return {}

    def sigma(self, mu: Tensor, free: Free) -> Tensor:
        """Zero."""
        return 0 * mu


class Multiplicative(Noise):
    """Multiplicative noise: a normal weight whose standard deviation is k |mu|, with k trained."""

    kind: Literal["multiplicative"] = "multiplicative"
    own_sigma: ClassVar[bool] = False
    k_0: float = Field(0.1, ge=1e-6, le=10, description="initial ratio of standard deviation and mean")
    per: Per = Field("synapse", description="whether k is trained for each synapse, or one for the network")

    def init(self, mu: Tensor) -> dict[str, Tensor]:
        """phi, where k = softplus(phi)."""
        return {"phi": for_each(self.per, mu, inverse_softplus(self.k_0))}

    def sigma(self, mu: Tensor, free: Free) -> Tensor:
        """k |mu|, elementwise; a mean below 1e-8 counts as 1e-8."""
        from ebayes_core.contract.functions import modulus, softplus

        return softplus(free["phi"]) * modulus(mu)


class LogNormal(Noise):
    """Log-normal weights, s exp(a + b xi): the sign s is fixed at the start, the coefficient of variation is trained.

    The mean |mu| = exp(a + b^2 / 2) stands for a, so that costs and figures see what they see of other noise.
    """

    kind: Literal["log_normal"] = "log_normal"
    own_sigma: ClassVar[bool] = False
    signs: ClassVar[Literal["free", "mean", "fixed"]] = "fixed"
    cv_0: float = Field(0.1, ge=1e-6, le=10, description="initial coefficient of variation")

    def init(self, mu: Tensor) -> dict[str, Tensor]:
        """phi, where b = softplus(phi)."""
        variance = math.log1p(self.cv_0**2) if isinstance(self.cv_0, float) else (self.cv_0**2).log1p()
        return {"phi": for_each("synapse", mu, inverse_softplus(variance**0.5))}

    def sigma(self, mu: Tensor, free: Free) -> Tensor:
        """|mu| (exp(b^2) - 1)^(1/2), elementwise; a mean below 1e-8 counts as 1e-8."""
        from ebayes_core.contract.functions import modulus, softplus

        square = softplus(free["phi"]) ** 2
        return modulus(mu) * (square / 2).exp() * (-(-square).expm1()).sqrt()  # the root of each, which overflows later

    def draw(self, mu: Tensor, free: Free, xi: Tensor) -> Tensor:
        """mu exp(b xi - b^2 / 2), whose mean is mu."""
        from ebayes_core.contract.functions import softplus

        b = softplus(free["phi"])
        return mu * (b * xi - b * b / 2).exp()


class AbstractRelease(Noise, ABC):
    """Quantal release: w = q K, where K of n sites release, each with probability p.

    The mean mu = n p q stands for q. With phi = logit p the standard deviation is |mu| exp(-phi / 2) / n^(1/2).
    """

    base: ClassVar[Literal["normal", "uniform"]] = "uniform"
    own_sigma: ClassVar[bool] = False
    signs: ClassVar[Literal["free", "mean", "fixed"]] = "mean"
    p_0: float = Field(0.9, gt=0.001, lt=0.999, description="initial release probability")

    @property
    def sites(self) -> int:
        """n."""
        return 1

    def init(self, mu: Tensor) -> dict[str, Tensor]:
        """phi, where p = 1 / (1 + exp(-phi))."""
        odds = self.p_0 / (1 - self.p_0)
        return {"phi": for_each("synapse", mu, math.log(odds) if isinstance(odds, float) else odds.log())}

    def sigma(self, mu: Tensor, free: Free) -> Tensor:
        """|mu| ((1 - p) / n p)^(1/2), elementwise; a mean below 1e-8 counts as 1e-8."""
        from ebayes_core.contract.functions import modulus

        return modulus(mu) * (-free["phi"] / 2).exp() / math.sqrt(self.sites)

    def draw(self, mu: Tensor, free: Free, xi: Tensor) -> Tensor:
        """q K, where xi is uniform: K is the inverse of the binomial distribution there. The gradient is surrogate."""
        from ebayes_core.contract.functions import surrogate

        released = quantile(xi, free["phi"].detach().sigmoid(), self.sites)
        size = mu.detach() / (self.sites * free["phi"].detach().sigmoid())
        return surrogate(size * released, mu, self.sigma(mu, free))

    def quanta(self, mu: Tensor, free: Free) -> Quanta:
        """n, p and q = mu / (n p), in double precision: in single, 1 - p would vanish from p = 0.9999999."""
        p = free["phi"].double().sigmoid()
        return Quanta(self.sites + 0 * p, p, mu / (self.sites * p))


class Bernoulli(AbstractRelease):
    """Bernoulli release: a synapse transmits q with probability p, and otherwise nothing."""

    kind: Literal["bernoulli"] = "bernoulli"


class Binomial(AbstractRelease):
    """Binomial release: each of n sites transmits q with probability p; n is fixed, p and q are trained."""

    kind: Literal["binomial"] = "binomial"
    n: int = Field(5, ge=1, le=100, description="number of release sites")

    @property
    def sites(self) -> int:
        """n."""
        return self.n


def quantile(u: Tensor, p: Tensor, n: int) -> Tensor:
    """The number of successes in n trials of probability p at which the binomial distribution function passes u.

    Sums the distribution from the side where its first term does not underflow, so n may be 100 in single precision.
    """
    rare = p.minimum(1 - p)
    u = (1 - u).where(p > 0.5, u)  # failures in place of successes
    odds, term, below = rare / (1 - rare), (1 - rare) ** n, 0 * u
    found = 0 * u
    for k in range(n):
        below = below + term
        found = found + (u > below).to(u.dtype)
        term = term * odds * ((n - k) / (k + 1))
    return (n - found).where(p > 0.5, found)


ALL: list[type[Noise]] = [Heterogeneous, Homogeneous, NoNoise, Multiplicative, LogNormal, Bernoulli, Binomial]
