"""A module of torch that exists already, as an architecture that starts at the module's own weights."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationInfo, model_validator

from ebayes_core.contract.files import DIGEST, FOLDER
from ebayes_core.contract.network import Shape
from ebayes_core.errors import UserError
from ebayes_core.modules.network import AbstractModule, Build, module_network, named

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

KIND = "module"  #: what a module is called in a spec unless told otherwise


def network_of(module: nn.Module | Build, kind: str = KIND) -> tuple[type[AbstractModule], dict[str, Any]]:
    """The class of a network from a module, or from a function or class that builds modules, and its table in a spec.

    A builder is called with the shapes of an example and of its outputs, anew for each seed. Raises UserError for
    anything else, and for a module that has no parameters to train.
    """
    if is_module(module):
        return given_module(module, kind), {"kind": kind}  # type: ignore[arg-type]
    if not callable(module):
        raise UserError(
            f"a network is a torch.nn.Module or a function (inputs, outputs) that builds one, and not {module!r}"
        )
    return module_network(module, kind), {"kind": kind}


def is_module(value: Any) -> bool:
    """Whether it is a module of torch, and not a class of modules; torch is not imported for anything else."""
    if not any(base.__module__.startswith("torch.") for base in type(value).__mro__):
        return False
    from torch import nn

    return isinstance(value, nn.Module)


def outputs_of(module: nn.Module, x: np.ndarray) -> Shape:
    """The shape of a module's outputs for an example of x, (examples, *shape); empty if it fails on them."""
    import torch

    alone = deepcopy(module)  # a forward pass may change its buffers
    kind = next((p.dtype for p in alone.parameters()), torch.float32)
    try:
        with torch.no_grad():
            return tuple(alone(torch.as_tensor(x).to(kind)).shape[1:])
    except Exception:  # of a stranger's module: what is wrong is said when it is tried as a network
        return ()


class AbstractGiven(AbstractModule):
    """A module that exists already; a subclass has it, and its digest."""

    init: float = Field(1.0, ge=1, le=1, description="always 1: every network starts at the module's own weights")
    digest: str | None = Field(None, pattern=DIGEST, description="SHA-256 of the module and its weights")

    @model_validator(mode="after")
    def _same_module(self, info: ValidationInfo) -> Self:
        """A spec is of one module; a results file may be read with the architecture alone, whatever its weights."""
        known = type(self).model_fields["digest"].default
        if FOLDER in (info.context or {}) and self.digest != known:
            raise ValueError(f"digest is {self.digest}, and that of the module '{self.kind}' is {known}")
        if self.means is not None:
            raise ValueError("means: the module has its own weights: leave out means, or load them into the module")
        return self


def given_module(module: nn.Module, kind: str = KIND) -> type[AbstractGiven]:
    """A kind of network that is this module, copied as it is now: every network starts at its weights.

    Raises UserError if it has no parameters to train.
    """
    kept = deepcopy(module)
    if not any(p.requires_grad for p in kept.parameters()):
        raise UserError(
            f"the module {type(module).__name__} has no parameters that require a gradient, so it has no synapses: "
            "call .requires_grad_() on those that may be noisy"
        )

    class Given(AbstractGiven):
        def build(self, inputs: Shape, outputs: Shape) -> nn.Module:
            return deepcopy(kept)

    told = f"The module {type(module).__name__} with the weights that it was given with."
    known = (str | None, Field(digest(kept), pattern=DIGEST, description="SHA-256 of the module and its weights"))
    return named(Given, kind, type(module).__module__, told, digest=known)


def digest(module: nn.Module) -> str:
    """SHA-256 of the architecture, of all parameters and buffers, and of which of them are trained."""
    import torch

    found = hashlib.sha256(f"{module!r} {module.training}".encode())
    for name, t in (*module.named_parameters(), *module.named_buffers()):
        found.update(f"{name} {t.dtype} {tuple(t.shape)} {t.requires_grad}".encode())
        found.update(t.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
