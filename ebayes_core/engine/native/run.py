"""A recorded step that runs: its text compiled, and its arguments bound to where they lie in memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from ebayes_core.engine.ingredients import NO_FISHER, Ingredients
from ebayes_core.engine.native import build
from ebayes_core.engine.native.recording import Program, Unsupported, record
from ebayes_core.engine.native.source import Text, written
from ebayes_core.engine.parameters import Parameters
from ebayes_core.engine.step import Step

#: two sets of stand-in sizes: a step whose text depended on them would use the number of synapses as a constant
PRIMES = [n for n in range(5, 2000) if all(n % d for d in range(2, int(n**0.5) + 1))]
SETS = PRIMES[::2], PRIMES[1::2]


class Array(ctypes.Structure):
    """Where an argument begins, and the bytes from one network to the next."""

    _fields_ = [("start", ctypes.c_void_p), ("stride", ctypes.c_int64)]

    @classmethod
    def of(cls, t: Tensor) -> Array:
        """Of a tensor (member, ...), or (1, ...) if all networks share it."""
        if not t[0].is_contiguous():
            raise Unsupported(f"an argument of shape {tuple(t.shape)} that is not contiguous")
        return cls(t.data_ptr(), t.stride(0) * t.element_size() if len(t) > 1 else 0)


def native(
    step: Step, parameters: Parameters, weights: list[Tensor], alive: Tensor, given: Ingredients
) -> Callable[[Ingredients], None]:
    """The step in C, on these tensors. Raises Unsupported, and NoCompiler.

    The Fisher of a minibatch may lie elsewhere each time; everything else is read and written where it is now.
    """
    fixed, structure = tree_flatten((parameters, weights, alive, given._replace(fisher=NO_FISHER)))
    fisher, of_fisher = tree_flatten(given.fisher)

    def flat(*tensors: Tensor) -> None:
        p, w, alive, ingredients = tree_unflatten(tensors[: len(fixed)], structure)
        step(p, w, ingredients._replace(fisher=tree_unflatten(tensors[len(fixed) :], of_fisher)), alive)

    run = compiled(flat, [*fixed, *fisher])
    return (lambda given: run(tree_leaves(given.fisher))) if fisher else lambda given: run()


def compiled(function: Callable[..., object], arguments: list[Tensor]) -> Compiled:
    """A function in C that overwrites some of its arguments, all (member, ...). Raises Unsupported, and NoCompiler."""
    program, text = _written(function, arguments)
    members = max(map(len, arguments))
    scratch = [torch.empty(members, size, dtype=dtype) for size, dtype in text.scratch]
    return Compiled(build.load(text.source), text.tallies, members, arguments, [*program.constants, *scratch])


class Compiled:
    """A compiled function, and where its arguments lie."""

    def __init__(
        self, library: ctypes.CDLL, tallies: set[int] | None, members: int, arguments: list[Tensor], more: list[Tensor]
    ) -> None:
        self.function, self.tallies, self.members, self.count = library.step, tallies, members, len(arguments)
        self.function.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_int]
        self.kept = [*arguments, *more]
        self.arrays = (Array * len(self.kept))(*map(Array.of, self.kept))

    def __call__(self, last: Sequence[Tensor] = ()) -> None:
        """Compute. last: the last arguments, if they lie elsewhere than before."""
        for i, t in enumerate(last, self.count - len(last)):
            self.kept[i], self.arrays[i] = t, Array.of(t)
        threads = torch.get_num_threads()
        if self.tallies is None or not self.members % threads:
            self.function(self.arrays, self.members, 1, threads)
        else:
            self._divided(threads)

    def _divided(self, threads: int) -> None:
        """Compute with several threads for a network: each adds to a tally of its own."""
        own = {i: torch.zeros(self.members, threads, dtype=self.kept[i].dtype) for i in self.tallies or ()}
        for i, t in own.items():
            self.arrays[i] = Array(t.data_ptr(), t.stride(0) * t.element_size())
        self.function(self.arrays, self.members, threads, threads)
        for i, t in own.items():
            self.kept[i] += t.sum(-1, keepdim=True)
            self.arrays[i] = Array.of(self.kept[i])


def _written(flat: Callable[..., object], leaves: list[Tensor]) -> tuple[Program, Text]:
    """The step as C, recorded with both sets of stand-in sizes."""
    found = []
    for sizes in SETS:
        small = dict(zip(_sizes(leaves), sizes, strict=False))
        program = record(flat, [_shrunk(t, small) for t in leaves])
        found.append((program, written(program, {1: 1} | {size: n for (_, n), size in small.items()})))
    if found[0][1].source != found[1][1].source:
        raise Unsupported("a formula that uses the number of synapses as a constant")
    return found[0]


def _sizes(leaves: Sequence[Tensor]) -> list[tuple[int, int]]:
    """The axes from the end, -1 for synapses and -2 for draws, with each of their sizes."""
    return sorted({(d - t.ndim, t.shape[d]) for t in leaves for d in range(1, t.ndim) if t.shape[d] > 1})


def _shrunk(t: Tensor, small: dict[tuple[int, int], int]) -> Tensor:
    """The first elements of an argument, repeated if there are not enough."""
    for d in range(1, t.ndim):
        if t.shape[d] > 1:
            t = t.index_select(d, torch.arange(small[d - t.ndim, t.shape[d]]) % t.shape[d])
    return t.clone()
