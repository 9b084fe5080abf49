"""Combinations of plugins that have no meaning, refused by name before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import CLOSED, Noise

Fits = Callable[[type[Noise]], bool]


class AbstractMember(BaseModel):
    """The spec of one network, whose plugins must fit each other."""

    model_config = CLOSED


def mistakes(member: Any, registry: Registry) -> Iterator[str]:
    """What does not fit, with the names of the noises that would."""
    noise, optimizer, inference = member.noise, member.optimizer, member.inference
    normal: Fits = lambda n: n.gaussian()
    needs: list[tuple[bool, str, Fits]] = [
        (member.cost.needs_quanta, f"the cost '{member.cost.kind}' needs n, p and q", lambda n: n.quantal()),
        (
            optimizer.gaussian,
            f"the optimizer '{optimizer.kind}' needs normal weights with a sigma of their own",
            lambda n: n.gaussian() and n.own_sigma and n.signs == "free",
        ),
        (optimizer.quantal, f"the optimizer '{optimizer.kind}' needs a release probability", lambda n: n.quantal()),
        (
            optimizer.signs == "mean",
            f"the optimizer '{optimizer.kind}' keeps the signs of the means and needs weights that have these signs",
            lambda n: n.signs != "free",
        ),
        (
            inference.gaussian,
            f"the inference '{inference.kind}' needs normal weights, whose entropy it contains",
            normal,
        ),
    ]
    if inference.allowance is not None and (member.cost.c is not None or member.cost.multiplier != 1):
        yield (
            f"the inference '{inference.kind}' finds the multiplier from its budget; leave out the one of the cost "
            f"'{member.cost.kind}'"
        )
    for needed, what, fits in needs:
        if needed and not fits(type(noise)):
            yield f"{what}, which the noise '{noise.kind}' does not give; those that do: {_names(registry, fits)}"


def _names(registry: Registry, fits: Fits) -> str:
    kinds = [kind for kind, cls in registry.kinds("noise").items() if issubclass(cls, Noise) and fits(cls)]
    return ", ".join(f"'{kind}'" for kind in kinds) or "none is installed"


def checked(registry: Registry) -> Callable[[Any], Any]:
    """A validator of the spec of one network. Raises ValueError naming what does not fit."""

    def validate(member: Any) -> Any:
        found = list(mistakes(member, registry))
        if found:
            raise ValueError("; ".join(found))
        return member

    return validate
