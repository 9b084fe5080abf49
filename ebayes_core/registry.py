"""Plugins: found through the entry-point group `ebayes`, checked, and held as slot -> kind -> class.

There is no global registry: `Registry.load()` in the command line and `Registry.of(MyPlugin)` in a test are
the same construction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Union, get_args

import pluggy
from pydantic import Field

from ebayes_core.errors import PluginError, UserError, nearest
from ebayes_core.slots import BASES, HOOKS, Hooks, Plugin

GROUP = "ebayes"


@dataclass(frozen=True)
class Registered:
    """One kind and who provides it."""

    slot: str
    kind: str
    cls: type[Plugin]
    distribution: str
    version: str

    @property
    def summary(self) -> str:
        """First line of the class's docstring."""
        return first_line(self.cls)


class Registry:
    """Every kind of every slot. Composed types are made once and held here."""

    def __init__(self, entries: Iterable[Registered]) -> None:
        self.entries = list(entries)
        self._refuse_clashes()

    @classmethod
    def load(cls, without: Iterable[str] = ()) -> Registry:
        """The installed plugins, less those named (entry point or distribution).

        Raises PluginError for one that cannot be imported, for a misspelt hook, and for a clash; UserError
        for a name in `without` that is not installed.
        """
        found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
        left_out = set(without)
        known = {name for point in found for name in _names(point)}
        for name in left_out - known:
            raise UserError(f"--without {name}: no such plugin is installed{nearest(name, known)}")
        return cls._from((_import(point), *_provider(point)) for point in found if not left_out & set(_names(point)))

    @classmethod
    def of(cls, *modules: object, builtins: bool = True) -> Registry:
        """The installed plugins and `modules` (anything with hook implementations), for tests and notebooks.

        builtins=False leaves out all that is installed.
        """
        base = cls.load().entries if builtins else []
        extra = cls._from((module, getattr(module, "__name__", repr(module)), "0") for module in modules)
        return cls([*base, *extra.entries])

    @classmethod
    def _from(cls, provided: Iterable[tuple[object, str, str]]) -> Registry:
        entries: list[Registered] = []
        for module, distribution, version in provided:
            entries += _ask(module, distribution, version)
        return cls(entries)

    def _refuse_clashes(self) -> None:
        seen: dict[tuple[str, str], Registered] = {}
        for entry in self.entries:
            other = seen.setdefault((entry.slot, entry.kind), entry)
            if other is not entry:
                raise PluginError(
                    f"the {entry.slot} '{entry.kind}' is provided twice: by {other.distribution} {other.version} "
                    f"and by {entry.distribution} {entry.version}; leave one out with --without NAME"
                )

    def kinds(self, slot: str) -> dict[str, type[Plugin]]:
        """Kind -> class of one slot."""
        return {entry.kind: entry.cls for entry in self.entries if entry.slot == slot}

    @cached_property
    def unions(self) -> dict[str, Any]:
        """Per slot, the type that a spec field of that slot has: any registered kind, told apart by `kind`."""
        return {slot: _union([self.composed(cls) for cls in self.kinds(slot).values()]) for slot in HOOKS}

    def composed(self, cls: type[Plugin]) -> type[Plugin]:
        """A class that is generic in costs (a mixture), filled with the costs that are not."""
        if not cls.__pydantic_generic_metadata__["parameters"]:
            return cls
        parts = [c for c in self.kinds("cost").values() if not c.__pydantic_generic_metadata__["parameters"]]
        filled = cls[_union(parts)]
        filled.__doc__ = cls.__doc__
        return filled


def first_line(cls: type) -> str:
    """First line of a class's docstring: its science in a sentence."""
    return (cls.__doc__ or "").strip().split("\n")[0]


def _union(classes: list[type[Plugin]]) -> Any:
    if len(classes) < 2:  # pydantic wants two kinds to discriminate
        return classes[0] if classes else Plugin
    return Annotated[Union[tuple(classes)], Field(discriminator="kind")]  # noqa: UP007


def _names(point: EntryPoint) -> tuple[str, ...]:
    return (point.name, point.dist.name) if point.dist else (point.name,)


def _provider(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else (point.name, "?")


def _import(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:  # whatever a stranger's module raises, the user must learn whose it is
        name, version = _provider(point)
        raise PluginError(
            f"the plugin '{point.name}' of {name} {version} ({point.value}) cannot be imported: "
            f"{type(error).__name__}: {error}; mend it, uninstall it, or run with --without {point.name}"
        ) from error


def _ask(module: object, distribution: str, version: str) -> list[Registered]:
    """The classes that one module's hooks return, each checked against its slot's base."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    try:
        manager.register(module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        hooks = ", ".join(HOOKS.values())
        raise PluginError(f"{distribution} {version}: {error}; the hooks are {hooks}") from error
    return [
        Registered(slot, _kind(cls, slot, distribution), cls, distribution, version)
        for slot, hook in HOOKS.items()
        for classes in getattr(manager.hook, hook)()
        for cls in classes
    ]


def _kind(cls: Any, slot: str, distribution: str) -> str:
    """The kind of a class, if it is a finished plugin of the slot."""
    base = BASES[slot].__name__
    if not (isinstance(cls, type) and issubclass(cls, BASES[slot])):
        raise PluginError(f"{distribution}: {HOOKS[slot]} returned {cls!r}, which is no subclass of {base}")
    if cls.__abstractmethods__:
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise PluginError(f"{distribution}: the {slot} {cls.__name__} does not define {missing}")
    kinds = get_args(cls.model_fields["kind"].annotation)
    if len(kinds) != 1 or cls.model_fields["kind"].default != kinds[0]:
        raise PluginError(f'{distribution}: {cls.__name__} needs a line like  kind: Literal["mine"] = "mine"')
    return kinds[0]
