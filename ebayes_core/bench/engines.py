"""Populations trained by the engine, built through the registry and a spec like those of users."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import tomli_w

from ebayes_core.bench import third_party
from ebayes_core.bench.rows import Step
from ebayes_core.bench.setting import BATCH, PAPER, Shape, made_up
from ebayes_core.contract.registry import Registered, Registry
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.data import Data
from ebayes_core.engine.loop import train
from ebayes_core.engine.stacking import cohorts, key
from ebayes_core.errors import SpecError
from ebayes_core.spec import SLOTS, Point, loads

MEMBERS = 32
OWN = "ebayes"  #: the distribution whose plugins the goals apply to
ENDLESS = 1_000_000  #: epochs, so that no variant ends before the bench does


@lru_cache(maxsize=1)
def registry() -> Registry:
    """The installed plugins and the third-party cost of the bench."""
    return Registry.of(third_party)


@dataclass(frozen=True)
class Population:
    """Networks that differ in c; picklable, so that it can be sent to another process."""

    members: int = MEMBERS
    shape: Shape = PAPER
    cost: dict[str, Any] | None = None  #: table of the slot; None for the default
    noise: dict[str, Any] | None = None
    inference: dict[str, Any] | None = None
    optimizer: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    example: tuple[int, ...] | None = None  #: its shape; None: one vector, as wide as `shape` says
    sigma: str = "descent"
    batch_size: int = BATCH
    compile: bool = True
    device: str = "cpu"

    def points(self) -> list[Point]:
        """The networks, validated."""
        asked = ("cost", "noise", "inference", "optimizer", "network")
        slots = {slot: table for slot in asked if (table := getattr(self, slot))}
        slots.setdefault("network", {"kind": "mlp", "hidden": list(self.shape.hidden)})
        slots["dataset"] = {"kind": third_party.DATASET, "example": self.example or (self.shape.inputs,)}
        training = {"epochs": ENDLESS, "batch_size": self.batch_size, "sigma": self.sigma}
        sweep = {self._differ(slots): {"logspace": [-2.0, 1.0, self.members]}}
        table = {"name": "bench", **slots, "training": training, "sweep": sweep}
        return loads(tomli_w.dumps(table), registry()).members()

    def _differ(self, slots: dict[str, Any]) -> str:
        """The field in which the networks differ: c, unless an inference finds it from a budget."""
        table = slots.get("inference")
        known = registry().kinds("inference")[table["kind"]].model_validate(table) if table else None
        return "network.init" if getattr(known, "allowance", None) else "cost.c"

    def cohort(self, data: Data | None = None) -> Cohort:
        """All networks as one cohort, however large."""
        (group,) = cohorts(self.points(), lambda _: 1)
        return Cohort(group, data or made_up(self.example or self.shape.inputs, device=self.device), self.compile)

    def __call__(self) -> Step:
        """Build the population and return its training step."""
        cohort = self.cohort()
        steps = train(cohort, cohort.start())
        return lambda: next(steps)


def table_of(entry: Registered) -> dict[str, Any]:
    """The table of a kind with its defaults; a mixture contains the first two costs that are not mixtures."""
    if not entry.cls.__pydantic_generic_metadata__["parameters"]:
        return {"kind": entry.kind}
    costs = [e for e in entries(entry.slot) if e.cls is not entry.cls and e.kind != third_party.KIND]
    simple = [e for e in costs if not e.cls.__pydantic_generic_metadata__["parameters"]]
    return {"kind": entry.kind, "costs": [table_of(e) for e in simple[:2]]}


def fitting(slot: str, table: dict[str, Any]) -> dict[str, Any]:
    """The tables of a slot's kind and, if it needs another noise than the default, of the first that it fits."""
    for noise in (None, *(entry.kind for entry in entries("noise"))):
        tables: dict[str, Any] = {slot: table} | ({"noise": {"kind": noise}} if noise and slot != "noise" else {})
        with contextlib.suppress(SpecError):
            Population(1, **tables).points()
            return tables
    return {slot: table}


def entries(slot: str) -> list[Registered]:
    """The registered kinds of a slot, the default kind first."""
    found = [entry for entry in registry().entries if entry.slot == slot]
    return sorted(found, key=lambda entry: entry.kind != SLOTS[slot])


def by_formula(slot: str) -> list[list[Registered]]:
    """The kinds of a slot, grouped by formula: the engine takes the same time for kinds with the same formula.

    A kind without a default instance forms its own group; starting it fails with the reason.
    """
    found: dict[Any, list[Registered]] = {}
    for entry in entries(slot):
        try:
            member = Population(1, **fitting(slot, table_of(entry))).points()[0].member
            found.setdefault(key(getattr(member, slot)), []).append(entry)
        except Exception:
            found[entry.kind] = [entry]
    return list(found.values())
