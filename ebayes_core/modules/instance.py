"""A module of torch that exists already, as an architecture that starts at the module's own weights."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationInfo, model_validator

from ebayes_core.contract.files import DIGEST, FOLDER
from ebayes_core.contract.network import Shape
from ebayes_core.errors import UserError
from ebayes_core.modules.network import AbstractModule, Build, named, needs_nothing

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

DIGESTED = "SHA-256 of the module's code and weights"
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
    return _built_by(module, kind), {"kind": kind}


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
    """A module, or what builds one, as a notebook has it; a subclass has it, and its digest."""

    init: float = Field(1.0, ge=1, le=1, description="always 1: every network starts at the module's own weights")
    digest: str | None = Field(None, pattern=DIGEST, description=DIGESTED)

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
    known = (str | None, Field(digest(kept), pattern=DIGEST, description=DIGESTED))
    return named(Given, kind, type(module).__module__, told, digest=known)


def _built_by(build: Build, kind: str) -> type[AbstractGiven]:
    """A kind of network that a function or class of a notebook builds, anew for each seed."""
    make: Callable[..., nn.Module] = build
    alone = needs_nothing(build)

    class Built(AbstractGiven):
        def build(self, inputs: Shape, outputs: Shape) -> nn.Module:
            return make() if alone else make(inputs, outputs)

    told = f"The module that {getattr(build, '__name__', build)} makes."
    known = (str | None, Field(_digest_of_builder(build, alone), pattern=DIGEST, description=DIGESTED))
    return named(Built, kind, getattr(build, "__module__", __name__), told, digest=known)


def _digest_of_builder(build: Build, alone: bool) -> str:
    """SHA-256 of its code, and of what it builds, if it can be asked without shapes."""
    import torch

    made = ""
    with contextlib.suppress(Exception), torch.random.fork_rng(devices=[]):  # what is wrong is said when it is tried
        torch.default_generator.manual_seed(0)
        made = digest(build()) if alone else ""  # type: ignore[call-arg]
    return hashlib.sha256(f"{_code(build)} {_around(build)} {made}".encode()).hexdigest()


def _around(build: Build) -> str:
    """The variables outside of a function that it uses."""
    with contextlib.suppress(TypeError):  # a class has none
        found = inspect.getclosurevars(build)
        return _told({**found.globals, **found.nonlocals})
    return ""


def _told(value: Any) -> str:
    """A value in words that are the same in every process; of an object that is neither data nor code, its type."""
    if isinstance(value, dict):
        return str({str(name): _told(value[name]) for name in sorted(value, key=str)})
    if isinstance(value, (list, tuple)):
        return str([_told(part) for part in value])
    if hasattr(value, "tolist"):  # arrays and tensors
        return str(value.tolist())
    if is_module(value):
        return digest(value)
    plain = value is None or isinstance(value, (bool, int, float, complex, str, bytes))
    return repr(value) if plain else _code(value) if callable(value) else type(value).__qualname__


def _code(thing: Any) -> str:
    """The code of a function, or of the methods of a class: a changed forward pass is another experiment.

    Not the source, which Python does not find for the classes of a notebook.
    """
    if isinstance(thing, type):
        methods = {name: f for name, f in vars(thing).items() if hasattr(f, "__code__")}
        return f"{thing.__name__} " + " ".join(f"{name} {_code(methods[name])}" for name in sorted(methods))
    if isinstance(thing, partial):
        return f"{_code(thing.func)} {_told(thing.args)} {_told(thing.keywords)}"
    code = getattr(thing, "__code__", None)
    return getattr(thing, "__qualname__", type(thing).__qualname__) if code is None else _compiled(code)


def _compiled(code: CodeType) -> str:
    """Instructions, names and constants, without the file and the line."""
    constants = [_compiled(c) if isinstance(c, CodeType) else _ordered(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {constants} {code.co_names}"


def _ordered(constant: Any) -> str:
    return repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)


def digest(module: nn.Module) -> str:
    """SHA-256 of the architecture, of all parameters and buffers, of which of them are trained, of the attributes of
    all parts, and of the code of those that are not torch's own.
    """
    import torch

    own = {type(part) for part in module.modules() if not type(part).__module__.startswith("torch.")}
    code = "".join(sorted(map(_code, own)))
    code += "".join(_told({k: v for k, v in vars(part).items() if k[0] != "_"}) for part in module.modules())
    found = hashlib.sha256(f"{module!r} {module.training} {code}".encode())
    for name, t in (*module.named_parameters(), *module.named_buffers()):
        found.update(f"{name} {t.dtype} {tuple(t.shape)} {t.requires_grad}".encode())
        found.update(t.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
