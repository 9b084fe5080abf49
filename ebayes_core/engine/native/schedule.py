"""The order of a recorded step: passes over the synapses of a layer, between which sums are complete.

A pass loops over one space: the synapses of a layer, or those and the draws of each. What a later pass needs of an
earlier one is kept in memory; within a pass, results live in the first cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ebayes_core.engine.native.operations import COSTS
from ebayes_core.engine.native.recording import Axes, Operand, Operation, Program, Value

#: cycles of a loop, about: its iterations have to overlap in the processor's window
SHORT = 20
ONE = Axes(1, 1)


@dataclass(eq=False)
class Pass:
    """One run over a space: operations in the order in which they are computed, and the arguments written."""

    level: int  #: sums that have to be complete before
    space: Axes
    operations: list[Operation] = field(default_factory=list)
    stores: list[tuple[int, Operand]] = field(default_factory=list)
    kept: list[Value] = field(default_factory=list)  #: results that later passes read

    @property
    def order(self) -> tuple[int, bool, bool]:
        """Numbers of the network come first, then what all draws of a synapse share."""
        return self.level, self.space != ONE, self.space.draws > 1

    @property
    def sums(self) -> list[Operation]:
        """The sums that the pass takes."""
        return [o for o in self.operations if o.name == "sum"]

    def sections(self) -> Iterator[list[Operation]]:
        """The operations as short loops."""
        section: list[Operation] = []
        spent = 0
        for operation in self.operations:
            section.append(operation)
            spent += COSTS.get(operation.name, 1)
            if spent >= SHORT:
                yield section
                section, spent = [], 0
        if section:
            yield section


def passes(program: Program) -> list[Pass]:
    """All passes in order; the numbers that a network has once are a pass over a space of one element."""
    wanted = needed(program)
    level = _levels(wanted, program)
    found: dict[tuple[int, Axes], Pass] = {}
    at = lambda n, space: found.setdefault((n, space), Pass(n, space))
    for o in wanted:
        at(level[o.result], o.space).operations.append(o)
    for argument, value in program.stores.items():
        target = program.arguments[argument].axes
        at(_last(argument, target, value, wanted, level), target).stores.append((argument, value))
    for each in found.values():
        each.operations = list(_depth_first(each))
    for each in found.values():
        each.kept = _kept(each, found.values())
    return sorted(found.values(), key=lambda p: p.order)


def needed(program: Program) -> list[Operation]:
    """The operations that any written argument depends on."""
    wanted = {v for v in program.stores.values() if isinstance(v, Value)}
    found = []
    for o in reversed(program.operations):
        if o.result in wanted:
            found.append(o)
            wanted.update(o.values)
    return found[::-1]


def _levels(needed: list[Operation], program: Program) -> dict[Value, int]:
    """How many sums are complete before each operation: as few as must be for sums, as many as may be for others.

    What is computed late is read in the same pass, and need not be kept.
    """
    level: dict[Value, int] = {}
    sums = {o.result for o in needed if o.name == "sum"}
    ready = lambda v: level.get(v, 0) + (v in sums)
    for o in needed:
        level[o.result] = max(map(ready, o.values), default=0)
    latest = {v: ready(v) for v in program.stores.values() if isinstance(v, Value)}
    for o in reversed(needed):
        if o.result not in sums:
            level[o.result] = latest[o.result]
        for v in o.values:
            latest[v] = min(latest.get(v, level[o.result]), level[o.result])
    return level


def _last(argument: int, target: Axes, value: Operand, needed: list[Operation], level: dict[Value, int]) -> int:
    """The level at which an argument is written: once its value is known, and when nothing reads the old one again."""
    sums = {o.result for o in needed if o.name == "sum"}
    own = level[value] + (value in sums) if isinstance(value, Value) and value in level else 0
    readers = [o for o in needed if any(v.argument == argument for v in o.values)]
    return max([own, *(level[o.result] + (o.space.draws > target.draws) for o in readers)])


def _depth_first(p: Pass) -> Iterator[Operation]:
    """Each operation just before the first that reads it, so that little has to be remembered at a time."""
    own, done = {o.result: o for o in p.operations}, set[Value]()
    roots = [*(v for _, v in p.stores if isinstance(v, Value)), *(o.result for o in p.sums), *own]
    stack = roots[::-1]
    while stack:
        value = stack[-1]
        waiting = [v for v in own[value].values if v in own and v not in done] if value in own else []
        stack.extend(reversed(waiting))
        if not waiting:
            stack.pop()
            if value in own and value not in done:
                done.add(value)
                yield own[value]


def _kept(p: Pass, every: Iterable[Pass]) -> list[Value]:
    read = {v for q in every if q is not p for o in q.operations for v in o.values}
    read |= {v for q in every if q is not p for _, v in q.stores if isinstance(v, Value)}
    return [o.result for o in p.operations if o.result in read]
