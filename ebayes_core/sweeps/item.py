"""An item, the unit of work of a sweep: networks that train as one cohort, identified by their digests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ebayes_core import spec as specs
from ebayes_core.contract.registry import Registry
from ebayes_core.results.record import Setting, fingerprint
from ebayes_core.spec import Point


@dataclass(frozen=True, eq=False)
class Item:
    """Networks that train as one cohort, each given by its setting."""

    members: tuple[Setting, ...]
    steps: int  #: of each network
    synapses: int  #: of each network
    parent: Item | None = None
    offset: int = 0  #: index of its first network in the parent

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """A digest for each network, which identifies it."""
        return tuple(member.digest for member in self.members)

    @cached_property
    def name(self) -> str:
        """Sixteen hexadecimal digits."""
        return fingerprint(self.digests)[:16]

    @property
    def work(self) -> int:
        """Total number of synapse updates, a measure of its computing time."""
        return len(self.members) * self.steps * self.synapses

    def halves(self) -> tuple[Item, Item]:
        """The two items that replace it if it fails, so that the networks without the fault are still trained."""
        middle = len(self.members) // 2
        first, second = self.members[:middle], self.members[middle:]
        return Item(first, self.steps, self.synapses, self), Item(second, self.steps, self.synapses, self, middle)

    def ancestry(self) -> Iterator[tuple[Item, slice]]:
        """The item itself and those it was split from, each with the indices of its networks there."""
        item, first = self, 0
        yield item, slice(0, len(self.members))
        while item.parent is not None:
            item, first = item.parent, first + item.offset
            yield item, slice(first, first + len(self.members))

    def points(self, registry: Registry) -> list[Point]:
        """Its networks, validated. Raises SpecError if one of their plugins is not registered here."""
        return [
            Point(i, specs.revived("Member", m.spec, registry, f"item {self.name}"), m.swept)
            for i, m in enumerate(self.members)
        ]


def items_of(groups: Sequence[Sequence[Point]], sizes: Sequence[tuple[int, int]]) -> list[Item]:
    """An item for each cohort of a plan; sizes are the (steps, synapses) of its networks."""
    return [Item(tuple(p.setting for p in group), *size) for group, size in zip(groups, sizes, strict=True)]
