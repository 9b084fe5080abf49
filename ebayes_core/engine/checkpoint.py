"""A cohort's state as a tree of arrays, which `storage.hdf5` writes atomically."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.parameters import Parameter, Parameters, Spread

Tree = dict[str, Any]


def pack(state: State) -> Tree:
    """Everything that a cohort carries, to the bit: weights and noise too, since recomputing could round otherwise."""
    lists = _lists(state.parameters) | {"weights": state.weights}
    curves = {name: torch.stack([point[name] for point in state.curves]) for name in state.curves[0]}
    return {
        "lists": {name: {str(i): t.cpu().numpy() for i, t in enumerate(ts)} for name, ts in lists.items()},
        "curves": {name: t.cpu().numpy() for name, t in curves.items()},
        "alive": state.alive.cpu().numpy(),
        "xi": state.xi.cpu().numpy(),
        "loss": state.loss.cpu().numpy(),
        "correct": state.correct.cpu().numpy(),
        "roots": state.roots.get_state().numpy(),
        "died": np.array([[str(member), how] for member, how in state.died.items()], dtype=str).reshape(-1, 2),
        "clock": np.array([state.epoch, state.batch, state.step], dtype=np.int64),
    }


def unpack(tree: Tree, cohort: Cohort) -> State:
    """The state that `pack` was given, on the cohort's device."""

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(cohort.device)

    def tensors(name: str) -> list[torch.Tensor]:
        parts = tree["lists"].get(name, {})
        return [tensor(parts[str(i)]) for i in range(len(parts))]

    roots = torch.Generator(cohort.device)
    roots.set_state(torch.from_numpy(np.ascontiguousarray(tree["roots"])))
    epoch, batch, step = map(int, tree["clock"])
    points = zip(*(tensor(values) for values in tree["curves"].values()), strict=True)
    return State(
        _parameters(tree["lists"], tensor), tensors("weights"), tensor(tree["xi"]), tensor(tree["alive"]),
        tensor(tree["loss"]), tensor(tree["correct"]), roots, epoch, batch, step,
        {int(member): how for member, how in tree["died"]},
        [dict(zip(tree["curves"], values, strict=True)) for values in points],
    )  # fmt: skip


def _lists(p: Parameters) -> dict[str, list[torch.Tensor]]:
    """The fields of the records, each as one list over layers: `free.phi` the values, `free.phi.0` the memory."""
    named = {"mu": p.means, **{f"free.{name}": parts for name, parts in p.free.items()}}
    lists = {name: [q.value for q in parts] for name, parts in named.items()}
    for name, parts in named.items():
        lists |= {f"{name}.{i}": list(kept) for i, kept in enumerate(zip(*(q.memory for q in parts), strict=True))}
    lists |= {"multiplier": list(p.multipliers)} if p.multipliers else {}
    lists |= {"travelled": list(p.travelled), **{f"remembered.{name}": parts for name, parts in p.remembered.items()}}
    return lists | {
        name: list(parts) for name, parts in zip(Spread._fields, zip(*p.spreads, strict=True), strict=False)
    }


def _parameters(lists: Tree, tensor: Callable[[np.ndarray], torch.Tensor]) -> Parameters:
    """The records of such lists."""
    read = lambda name: [tensor(lists[name][str(i)]) for i in range(len(lists[name]))]

    def parameters(name: str) -> list[Parameter]:
        memory = [read(f"{name}.{i}") for i in itertools.takewhile(lambda i: f"{name}.{i}" in lists, itertools.count())]
        return [Parameter(value, tuple(m[k] for m in memory)) for k, value in enumerate(read(name))]

    names = dict.fromkeys(name.split(".")[1] for name in lists if name.startswith("free."))
    spreads = zip(*(read(name) for name in Spread._fields if name in lists), strict=True)
    free = {n: parameters(f"free.{n}") for n in names}
    multipliers = read("multiplier") if "multiplier" in lists else ()
    recalled = {name.split(".", 1)[1]: read(name) for name in lists if name.startswith("remembered.")}
    return Parameters(parameters("mu"), free, [Spread(*s) for s in spreads], multipliers, read("travelled"), recalled)


def part(tree: Tree, rows: slice) -> Tree:
    """The state of some networks of a packed cohort; what all share, as the noise, stays."""
    members = len(tree["alive"])
    kept = range(members)[rows]
    own = lambda array: array[rows] if array.shape[:1] == (members,) else array
    died = [[str(kept.index(int(member))), how] for member, how in tree["died"] if int(member) in kept]
    return tree | {
        "lists": {name: {i: own(array) for i, array in arrays.items()} for name, arrays in tree["lists"].items()},
        "curves": {name: array[:, rows] for name, array in tree["curves"].items()},
        "died": np.array(died, dtype=str).reshape(-1, 2),
        **{name: tree[name][rows] for name in ("alive", "loss", "correct")},
    }
