"""What a worker takes at once: networks that train as one cohort, and what tells them from all others."""

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
    """Networks that train as one cohort, each as its setting."""

    members: tuple[Setting, ...]
    steps: int  #: of each network
    synapses: int  #: of each network
    parent: Item | None = None
    offset: int = 0  #: of its first member among its parent's

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """What tells its members from all others."""
        return tuple(member.digest for member in self.members)

    @cached_property
    def name(self) -> str:
        """Sixteen hexadecimal digits."""
        return fingerprint(self.digests)[:16]

    @property
    def work(self) -> int:
        """Synapse updates from start to end."""
        return len(self.members) * self.steps * self.synapses

    def halves(self) -> tuple[Item, Item]:
        """The two items that take its place when it fails, so that one network does not cost the others."""
        middle = len(self.members) // 2
        first, second = self.members[:middle], self.members[middle:]
        return Item(first, self.steps, self.synapses, self), Item(second, self.steps, self.synapses, self, middle)

    def ancestry(self) -> Iterator[tuple[Item, slice]]:
        """Itself and the items that it was split from, with its members' places in each."""
        item, first = self, 0
        yield item, slice(0, len(self.members))
        while item.parent is not None:
            item, first = item.parent, first + item.offset
            yield item, slice(first, first + len(self.members))

    def points(self, registry: Registry) -> list[Point]:
        """Its members, validated. Raises SpecError where a plugin of theirs is not registered here."""
        return [
            Point(i, specs.revived("Member", m.spec, registry, f"item {self.name}"), m.swept)
            for i, m in enumerate(self.members)
        ]


def items_of(groups: Sequence[Sequence[Point]], sizes: Sequence[tuple[int, int]]) -> list[Item]:
    """An item for each cohort of a plan; sizes are (steps, synapses) of each."""
    return [Item(tuple(p.setting for p in group), *size) for group, size in zip(groups, sizes, strict=True)]
