"""A cohort's state, and its results, as trees of arrays that `store` writes whole or not at all."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch

from ebayes_core.engine import Cohort, State
from ebayes_core.results import MemberResult
from ebayes_core.update import Parameters

Tree = dict[str, Any]
LISTS = tuple(f.name for f in fields(Parameters))


def pack(state: State) -> Tree:
    """Everything that a cohort carries, to the bit: weights and noise too, since recomputing could round otherwise."""
    lists = {name: getattr(state.parameters, name) for name in LISTS} | {"weights": state.weights}
    curves = {name: torch.stack([point[name] for point in state.curves]) for name in state.curves[0]}
    return {
        "lists": {name: {str(i): t.cpu().numpy() for i, t in enumerate(ts)} for name, ts in lists.items()},
        "curves": {name: t.cpu().numpy() for name, t in curves.items()},
        "alive": state.alive.cpu().numpy(),
        "xi": state.xi.cpu().numpy(),
        "loss": state.loss.cpu().numpy(),
        "correct": state.correct.cpu().numpy(),
        "noise": state.noise.get_state().numpy(),
        "died": np.array(sorted(state.died.items()), dtype=np.int64).reshape(-1, 2),
        "clock": np.array([state.epoch, state.batch, state.step], dtype=np.int64),
    }


def unpack(tree: Tree, cohort: Cohort) -> State:
    """The state that `pack` was given, on the cohort's device."""

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(cohort.device)

    def tensors(name: str) -> list[torch.Tensor]:
        parts = tree["lists"].get(name, {})
        return [tensor(parts[str(i)]) for i in range(len(parts))]

    noise = torch.Generator(cohort.device)
    noise.set_state(torch.from_numpy(np.ascontiguousarray(tree["noise"])))
    epoch, batch, step = map(int, tree["clock"])
    points = zip(*(tensor(values) for values in tree["curves"].values()), strict=True)
    return State(
        Parameters(*(tensors(name) for name in LISTS)), tensors("weights"), tensor(tree["xi"]), tensor(tree["alive"]),
        tensor(tree["loss"]), tensor(tree["correct"]), noise, epoch, batch, step,
        {int(member): int(when) for member, when in tree["died"]},
        [dict(zip(tree["curves"], values, strict=True)) for values in points],
    )  # fmt: skip


def pack_results(results: list[MemberResult]) -> Tree:
    """Finished members of one cohort."""
    return {str(i): _pack_member(result) for i, result in enumerate(results)}


def _pack_member(result: MemberResult) -> Tree:
    return {
        "status": result.status,
        "metrics": {name: np.float64(value) for name, value in result.metrics.items()},
        "curves": result.curves,
        "layers": {str(i): layer for i, layer in enumerate(result.layers)},
        "layer_metrics": result.layer_metrics,
    }


def unpack_results(tree: Tree) -> list[MemberResult]:
    """The results that `pack_results` was given."""
    members = [tree[str(i)] for i in range(len(tree))]
    return [
        MemberResult(
            status=member["status"],
            metrics={name: float(value) for name, value in member["metrics"].items()},
            curves=member["curves"],
            layers=[member["layers"][str(i)] for i in range(len(member["layers"]))],
            layer_metrics=member["layer_metrics"],
        )
        for member in members
    ]
