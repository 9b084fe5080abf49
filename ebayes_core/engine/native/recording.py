"""A recorded step: the elementwise operations and sums that it consists of, and the arguments that it overwrites.

The step runs once, on tensors of stand-in sizes: small, and different for each layer, so that the shape of a tensor
tells over which axes it varies. Everything is known by its storage: a view or a detached tensor is the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ebayes_core.contract.functions import DECOMPOSITIONS
from ebayes_core.engine.native.operations import EXPRESSIONS

SAME = {"detach", "alias", "expand", "unsqueeze", "squeeze", "view", "_unsafe_view", "lift_fresh", "lift_fresh_copy",
        "clone", "_reshape_alias", "contiguous"}  # fmt: skip
CONSTANT = {"ones_like", "zeros_like", "full_like", "new_zeros", "new_ones", "new_full", "full", "zeros", "ones",
            "scalar_tensor"}  # fmt: skip


class Unsupported(Exception):
    """The step contains an operation that is not written in C."""


class Axes(NamedTuple):
    """The stand-in sizes of the axes over which a value varies besides the networks; 1 if it does not vary."""

    draws: int
    synapses: int

    @classmethod
    def of(cls, shape: Sequence[int]) -> Axes:
        """Of a tensor (member, synapses) or (member, draws, synapses); a number has no axes."""
        if len(shape) > 3 or (len(shape) == 1 and shape[0] > 1):
            raise Unsupported(f"a tensor of shape {tuple(shape)}")
        return cls(shape[1] if len(shape) == 3 else 1, shape[-1] if len(shape) > 1 else 1)

    @property
    def alone(self) -> bool:
        """Whether there are draws without synapses, over which no loop runs."""
        return self.draws > 1 and self.synapses == 1


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the step; of an argument or a constant, its number among them."""

    axes: Axes
    dtype: torch.dtype
    argument: int | None = None


class Literal(NamedTuple):
    """A number in the text of the step."""

    number: float | int | bool


class Count(NamedTuple):
    """The true number of elements along an axis of which the stand-in size is given."""

    size: int


Operand = Value | Literal | Count
#: the sum over everything, which is differentiated, and whose value nothing depends on
UNREADABLE = Literal(float("nan"))


class Operation(NamedTuple):
    """One result of the step: an elementwise function, or the sum over the axes that the result lacks."""

    name: str
    operands: tuple[Any, ...]  #: operands, and whatever else the function takes
    result: Value

    @property
    def values(self) -> list[Value]:
        """The operands that are tensors."""
        return [x for x in self.operands if isinstance(x, Value)]

    @property
    def space(self) -> Axes:
        """The axes over which the operation loops."""
        return self.values[0].axes if self.name == "sum" else self.result.axes


@dataclass
class Program:
    """Operations in order, and the value that each overwritten argument gets."""

    operations: list[Operation] = field(default_factory=list)
    stores: dict[int, Operand] = field(default_factory=dict)
    arguments: list[Value] = field(default_factory=list)
    constants: list[Tensor] = field(default_factory=list)  #: further arguments, known when the step was recorded


def record(function: Callable[..., object], arguments: Sequence[Tensor]) -> Program:
    """Run the function on these arguments, which it overwrites. Raises Unsupported."""
    recorder = _Recorder(arguments)
    with torch.no_grad(), recorder:
        function(*arguments)
    return recorder.program


class _Recorder(TorchDispatchMode):
    def __init__(self, arguments: Sequence[Tensor]) -> None:
        super().__init__()
        self.program, self.kept = Program(), list[Any](arguments)
        self.current: dict[int, Operand] = {}  #: by storage; all tensors are kept, so that none is used again
        self.owners: dict[int, tuple[int, torch.Size]] = {}
        self.found: dict[Any, Value] = {}  #: results by operation, so that nothing is computed twice
        for number, tensor in enumerate(arguments):
            value = Value(Axes.of(tensor.shape), tensor.dtype, number)
            self.program.arguments.append(value)
            self.current[_storage(tensor)], self.owners[_storage(tensor)] = value, (number, tensor.shape)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether torch imports its compiler to exempt this class from it, which takes a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in DECOMPOSITIONS:
            with self:
                if (simpler := DECOMPOSITIONS[func](*args, **kwargs)) is not NotImplemented:
                    return simpler
        result = func(*args, **kwargs)
        self.kept.append(result)
        if not isinstance(result, Tensor):
            raise Unsupported(str(func))
        self._note(func.overloadpacket.__name__, list(_bound(func, args, kwargs)), result)
        return result

    def _note(self, name: str, inputs: list[Any], result: Tensor) -> None:
        if name in CONSTANT:
            value: Operand = Literal(result.flatten()[0].item())
        elif name in SAME:
            value = self._same(inputs[0], result)
        elif name == "copy_":
            value = self._converted(self._operand(inputs[1]), inputs[0])
        elif name in ("sum", "mean"):
            value = self._sum(name, inputs, result)
        elif name.rstrip("_") in EXPRESSIONS:
            value = self._elementwise(name.rstrip("_") if name[0] != "_" else name, inputs, result)
        else:
            raise Unsupported(name)
        self._bind(name, value, result)

    def _bind(self, name: str, value: Operand, result: Tensor) -> None:
        self.current[_storage(result)] = value
        if name.endswith("_") and (owner := self.owners.get(_storage(result))):
            if result.shape != owner[1] or value is UNREADABLE:
                raise Unsupported(f"{name} of a part, or of a sum over everything")
            self.program.stores[owner[0]] = value

    def _same(self, x: Tensor, result: Tensor) -> Operand:
        value = self._operand(x)
        if isinstance(value, Value):
            axes = Axes.of(result.shape)
            if any(a not in (1, b) for a, b in zip(value.axes, axes, strict=True)):
                raise Unsupported(f"a view of {tuple(x.shape)} as {tuple(result.shape)}")
        return value

    def _elementwise(self, name: str, inputs: list[Any], result: Tensor) -> Operand:
        operands = tuple(self._operand(x) if isinstance(x, Tensor) else x for x in inputs)
        if UNREADABLE in operands:
            return UNREADABLE
        return self._result(name, operands, _joined(operands), result.dtype)

    def _result(self, name: str, operands: tuple[Any, ...], axes: Axes, dtype: torch.dtype) -> Value:
        key = (name, operands, dtype)
        if key not in self.found:
            self.found[key] = Value(axes, dtype)
            self.program.operations.append(Operation(name, operands, self.found[key]))
        return self.found[key]

    def _converted(self, value: Operand, like: Tensor) -> Operand:
        if isinstance(value, Value) and value.dtype != like.dtype:
            return self._result("_to_copy", (value,), value.axes, like.dtype)
        return value

    def _sum(self, name: str, inputs: list[Any], result: Tensor) -> Operand:
        """A sum over what varies, times the number of elements along the summed axes over which nothing varies."""
        x, dims = inputs[0], inputs[1] if len(inputs) > 1 else None
        if dims is None:
            return UNREADABLE
        summed, value = {d % x.ndim for d in dims}, self._operand(x)
        left = Axes.of([1 if d in summed else n for d, n in enumerate(x.shape)])
        if 0 in summed or Axes.of(result.shape) != left or not isinstance(value, Value) or left.alone:
            raise Unsupported(f"{name} of {tuple(x.shape)} as {tuple(result.shape)}")
        kept = Axes(*map(min, value.axes, left))
        found = value if kept == value.axes else self._result("sum", (value,), kept, result.dtype)
        for whole, rest, varies in zip(Axes.of(x.shape), left, value.axes, strict=True):
            if whole != rest and (name == "mean") == (varies > 1):
                found = self._result({1: "mul"}.get(varies, "div"), (found, Count(whole)), found.axes, result.dtype)
        return found

    def _operand(self, x: Tensor) -> Operand:
        known = self.current.get(_storage(x))
        if known is None:
            known = self.current[_storage(x)] = self._constant(x)
            self.kept.append(x)
        return known

    def _constant(self, x: Tensor) -> Operand:
        if x.ndim == 0:
            return Literal(x.item())
        if Axes.of(x.shape) != (1, 1) or not x.is_contiguous():
            raise Unsupported(f"a constant of shape {tuple(x.shape)}")
        self.program.constants.append(x.detach())
        return Value(Axes(1, 1), x.dtype, len(self.program.arguments) + len(self.program.constants) - 1)


def _storage(x: Tensor) -> int:
    return int(x.untyped_storage()._cdata)


def _bound(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[Any]:
    """All arguments of an operation in the order of its schema, defaults included, but for what tensors are made of."""
    for i, argument in enumerate(func._schema.arguments):
        if i < len(args):
            yield args[i]
        elif argument.name not in ("dtype", "layout", "device", "pin_memory", "non_blocking", "memory_format", "out"):
            yield kwargs.get(argument.name, argument.default_value)


def _joined(operands: Sequence[Any]) -> Axes:
    found = [x.axes for x in operands if isinstance(x, Value)]
    return Axes(*(max(sizes) for sizes in zip(*found, strict=True))) if found else Axes(1, 1)
