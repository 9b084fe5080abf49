"""The registry of plugins: found through the entry-point group `ebayes`, checked, and kept as slot -> kind -> class.

There is no global registry: `Registry.load()` on the command line and `Registry.of(MyPlugin)` in a test build the same
object. Only an analysis, which is given a results file and no registry, asks for the one `in_use`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Union

from pydantic import Field

from ebayes_core.contract.discovery import (
    GROUP,
    Broken,
    Provided,
    Registered,
    SpecFolder,
    first_line,
    installed,
    names_of,
    owner,
    provided,
)
from ebayes_core.contract.slots import HOOKS, Plugin
from ebayes_core.errors import PluginError, UserError, nearest

__all__ = ["OWN", "Broken", "Registered", "Registry", "SpecFolder", "first_line", "in_use", "using"]

log = logging.getLogger("ebayes")
OWN = "ebayes"  #: the distribution of the built-in plugins


class Registry:
    """Every kind of every slot, and the folders of installed specs. The composed spec types are built once and cached
    here.
    """

    def __init__(
        self,
        entries: Iterable[Registered],
        broken: Sequence[Broken] = (),
        without: Iterable[str] = (),
        folders: Iterable[SpecFolder] = (),
    ) -> None:
        self.entries, self.broken = list(entries), list(broken)
        self.without = sorted(without)  #: installed plugins that were left out
        self.folders = list(folders)
        self._refuse_clashes()

    @classmethod
    def load(cls, without: Iterable[str] = ()) -> Registry:
        """The installed plugins, except those named (entry point or distribution); broken ones are kept in `broken`.

        Raises PluginError if two plugins clash or a built-in plugin is broken; UserError for a name in `without` that
        is not installed.
        """
        found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
        left_out = set(without)
        known = {name for point in found for name in names_of(point)}
        for name in left_out - known:
            raise UserError(f"--without {name}: no such plugin is installed{nearest(name, known)}")
        provides, broken = _looked_at(point for point in found if not left_out & set(names_of(point)))
        for own in (b for b in broken if b.distribution == OWN):
            raise PluginError(f"{own}; install {OWN} again")
        return cls._joined(provides, broken, left_out)

    @classmethod
    def of(cls, *modules: object, builtins: bool = True) -> Registry:
        """The installed plugins and `modules` (anything with hook implementations), for tests and notebooks.

        builtins=False excludes everything that is installed. Raises PluginError if one of `modules` is broken.
        """
        base = cls.load() if builtins else cls([])
        return cls._joined([Provided(base.entries, base.folders), *map(_named, modules)], base.broken)

    @classmethod
    def _joined(cls, provides: Iterable[Provided], broken: Sequence[Broken], without: Iterable[str] = ()) -> Registry:
        """Everything that several distributions provide."""
        parts = list(provides)
        kinds, folders = (entry for part in parts for entry in part.kinds), (f for part in parts for f in part.folders)
        return cls(kinds, broken, without, folders)

    def _refuse_clashes(self) -> None:
        seen: dict[tuple[str, str], Registered] = {}
        for entry in self.entries:
            other = seen.setdefault((entry.slot, entry.kind), entry)
            if other is not entry:
                raise PluginError(
                    f"the {entry.slot} '{entry.kind}' is provided twice: by {other.distribution} {other.version} "
                    f"and by {entry.distribution} {entry.version}; leave one out with --without NAME"
                )

    def suspects(self) -> str:
        """What to add to a message about an unknown kind: the broken plugins that may provide it, and what to do."""
        if not self.broken:
            return ""
        them = "; ".join(map(str, self.broken))
        return f"; a broken plugin may provide it: {them}; update, reinstall or uninstall it"

    def warn(self) -> None:
        """Log one warning for each broken plugin."""
        for broken in self.broken:
            log.warning("%s; update, reinstall or uninstall it, or leave it out with --without %s", broken, broken.name)

    def versions(self) -> dict[str, str]:
        """The version of each distribution that provides a plugin."""
        return {entry.distribution: entry.version for entry in self.entries}

    def kinds(self, slot: str) -> dict[str, type[Plugin]]:
        """Kind -> class of one slot."""
        return {entry.kind: entry.cls for entry in self.entries if entry.slot == slot}

    @cached_property
    def unions(self) -> dict[str, Any]:
        """Per slot, the type of a spec field of that slot: any registered kind, discriminated by `kind`."""
        return {slot: _union([self.composed(cls) for cls in self.kinds(slot).values()]) for slot in HOOKS}

    def composed(self, cls: type[Plugin]) -> type[Plugin]:
        """A class that is generic in plugins of a slot (a mixture of costs), parametrised with all that are not."""
        if not (parameters := _parameters(cls)):
            return cls
        slot = parameters[0].__bound__.slot
        generic: Any = cls
        filled: type[Plugin] = generic[_union([c for c in self.kinds(slot).values() if not _parameters(c)])]
        filled.__doc__ = cls.__doc__
        return filled


def _parameters(cls: type[Plugin]) -> tuple[Any, ...]:
    """The type variables in which a class is generic, each bound to the base of a slot."""
    found: tuple[Any, ...] = cls.__pydantic_generic_metadata__["parameters"]
    return found


def _union(classes: list[type[Plugin]]) -> Any:
    if len(classes) < 2:  # pydantic needs two kinds for a discriminated union
        return classes[0] if classes else Plugin
    return Annotated[Union[tuple(classes)], Field(discriminator="kind")]  # noqa: UP007


#: the registry with which an analysis is being measured
_IN_USE: ContextVar[Registry | None] = ContextVar("registry", default=None)


@contextlib.contextmanager
def using(registry: Registry | None) -> Iterator[None]:
    """A block in which `in_use` is this registry."""
    token = _IN_USE.set(registry)
    try:
        yield
    finally:
        _IN_USE.reset(token)


def in_use() -> Registry:
    """The registry of the current block of `using`, or else that of the installed plugins, which is loaded once."""
    return _IN_USE.get() or _installed()


@lru_cache(maxsize=1)
def _installed() -> Registry:
    return Registry.load()


def everything() -> list[Registered]:
    """Every installed plugin, including kinds that clash."""
    return [entry for part in _looked_at(entry_points(group=GROUP))[0] for entry in part.kinds]


def _looked_at(points: Iterable[EntryPoint]) -> tuple[list[Provided], list[Broken]]:
    """What they provide, and those that are broken."""
    provides, broken = [], []
    for point in points:
        try:
            provides.append(installed(point))
        except PluginError as error:
            broken.append(Broken(point.name, *owner(point), str(error)))
    return provides, broken


def _named(module: object) -> Provided:
    """What a module that is not installed provides."""
    name = getattr(module, "__name__", repr(module))
    try:
        return provided(module, name, "0")
    except PluginError as error:
        raise PluginError(f"{name}: {error}") from error
