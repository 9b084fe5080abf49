"""Tallies: arguments to which a step adds sums over synapses, and nothing else follows from those sums.

The threads that share a network then need not wait for each other: each adds to a place of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from ebayes_core.engine.native.recording import Operation, Program, Value
from ebayes_core.engine.native.schedule import ONE


def tallies(program: Program, needed: Iterable[Operation]) -> set[int] | None:
    """The arguments that are tallies; None if anything else follows from a sum, so that threads cannot share a network.

    needed: the operations that an argument depends on.
    """
    summed: dict[Value, set[int]] = {}  #: what follows from sums, and the arguments that it adds to
    for o in needed:
        if o.name == "sum" and o.result.axes == ONE and not any(v in summed for v in o.values):
            summed[o.result] = set()
        elif o.name == "sum" or any(v in summed for v in o.values):
            old = {v.argument for v in o.values if v.argument is not None}
            if o.result.axes != ONE or not _adds(o, summed, old):
                return None
            summed[o.result] = old.union(*(summed.get(v, set()) for v in o.values))
    found = {a for a, v in program.stores.items() if program.arguments[a].axes == ONE}
    stored = {a: summed.get(v) if isinstance(v, Value) else None for a, v in program.stores.items()}
    fits = all(stored[a] == {a} for a in found)
    others = any(to is not None for a, to in stored.items() if a not in found)
    return None if others or not fits else found


def _adds(o: Operation, summed: dict[Value, set[int]], old: set[int]) -> bool:
    """Whether the parts of a network add up to the result, if those of each operand do.

    A sum may be converted, multiplied by a number, and added to others and to what an argument held before.
    """
    sums = [v for v in o.values if v in summed]
    if o.name in ("_to_copy", "mul"):
        return len(o.values) == 1
    return o.name == "add" and len(sums) + len(old) == len(o.operands[:2]) and len(old) <= 1
