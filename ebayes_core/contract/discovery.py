"""Discovery of plugins: import a distribution's module, call its hooks, and check each class before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, get_args, get_origin

import pluggy

from ebayes_core.contract.slots import BASES, HOOKS, SPECS_HOOK, Hooks, Plugin
from ebayes_core.errors import PluginError

GROUP = "ebayes"
#: what third-party code may raise on import; it must not affect other plugins
ANYTHING = (Exception, SystemExit)


@dataclass(frozen=True)
class Registered:
    """One kind, and the distribution that provides it."""

    slot: str
    kind: str
    cls: type[Plugin]
    distribution: str
    version: str

    @property
    def summary(self) -> str:
        """First line of the class's docstring."""
        return first_line(self.cls)


@dataclass(frozen=True)
class SpecFolder:
    """A folder of specs, and the distribution that provides it."""

    path: Path
    distribution: str
    version: str


@dataclass(frozen=True)
class Provided:
    """What a distribution provides."""

    kinds: list[Registered]
    folders: list[SpecFolder]


@dataclass(frozen=True)
class Broken:
    """An installed entry point whose plugins cannot be used, and why."""

    name: str
    distribution: str
    version: str
    reason: str

    def __str__(self) -> str:
        return f"the plugin '{self.name}' of {self.distribution} {self.version} is broken: {self.reason}"


def first_line(cls: type) -> str:
    """First line of a class's docstring: its science in a sentence."""
    return (cls.__doc__ or "").strip().split("\n")[0]


def names_of(point: EntryPoint) -> tuple[str, ...]:
    """The names by which `--without` excludes it: its own and its distribution's."""
    return tuple(dict.fromkeys((point.name, owner(point)[0])))


def owner(point: EntryPoint) -> tuple[str, str]:
    """Distribution and version of an entry point; as much as is known if its metadata are incomplete."""
    found: Any
    try:
        found = point.dist.metadata if point.dist else {}
    except FileNotFoundError:  # raised by importlib_metadata, which other packages substitute for Python's own
        found = {}
    return found.get("Name") or point.name, found.get("Version") or "?"


def installed(point: EntryPoint) -> Provided:
    """What an entry point provides. Raises PluginError with the reason if any of it cannot be used."""
    try:
        module = point.load()
    except ANYTHING as error:
        raise PluginError(f"{point.value} cannot be imported: {_told(error)}") from error
    return provided(module, *owner(point))


def provided(module: object, distribution: str, version: str) -> Provided:
    """What a module's hooks return. Raises PluginError with the reason if any of it cannot be used."""
    manager = _manager(module)
    kinds = [
        Registered(slot, kind_of(cls, slot), cls, distribution, version)
        for slot, hook in HOOKS.items()
        for cls in _returned(manager, hook)
    ]
    folders = [SpecFolder(_folder(path), distribution, version) for path in _returned(manager, SPECS_HOOK)]
    return Provided(kinds, folders)


def _folder(path: Any) -> Path:
    """A folder that a hook returned. Raises PluginError if there is none."""
    try:
        found = Path(path)
    except TypeError as error:
        raise PluginError(f"{SPECS_HOOK} returned {path!r}, which is not a path") from error
    if not found.is_dir():
        raise PluginError(f"{SPECS_HOOK} returned {str(path)!r}, which is not a folder")
    return found.absolute()


def _manager(module: object) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    try:
        manager.register(module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{error}; the hooks are {', '.join((*HOOKS.values(), SPECS_HOOK))}") from error
    return manager


def _returned(manager: pluggy.PluginManager, hook: str) -> Iterable[Any]:
    try:
        return [item for items in getattr(manager.hook, hook)() for item in items]
    except ANYTHING as error:
        what = "folders" if hook == SPECS_HOOK else "classes"
        raise PluginError(f"{hook}() has to return a list of {what}: {_told(error)}") from error


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def kind_of(cls: Any, slot: str) -> str:
    """The kind of a class, if it is a complete plugin of the slot. Raises PluginError with what is missing."""
    if not (isinstance(cls, type) and issubclass(cls, BASES[slot])):
        raise PluginError(f"{HOOKS[slot]} returned {cls!r}, which is not a subclass of {BASES[slot].__name__}")
    if missing := cls.undefined():
        raise PluginError(f"the {slot} {cls.__name__} does not define {', '.join(missing)}")
    kinds = get_args(cls.model_fields["kind"].annotation)
    if len(kinds) != 1 or cls.model_fields["kind"].default != kinds[0] or not isinstance(kinds[0], str):
        raise PluginError(f'the {slot} {cls.__name__} needs a line like  kind: Literal["mine"] = "mine"')
    _complete(cls, slot)
    for name, info in cls.model_fields.items():
        if _changeable(info.annotation):
            raise PluginError(f"the {slot} '{kinds[0]}': its field {name} can be changed in place; use a tuple")
    for mistake in signature_mistakes(cls, BASES[slot]):
        raise PluginError(f"the {slot} '{kinds[0]}': {cls.__name__}.{mistake}")
    return kinds[0]


def _complete(cls: type[Plugin], slot: str) -> None:
    """Check that pydantic can resolve every field's type: otherwise composing the spec model would fail later."""
    try:
        cls.model_rebuild()
    except Exception as error:  # pydantic has its own error, and evaluating an annotation may raise anything
        raise PluginError(f"the {slot} {cls.__name__} has a field whose type is unknown: {_told(error)}") from error


def _changeable(annotation: Any) -> bool:
    """Whether a type is or contains a list, dict or set: such values are not hashable, and networks that compute the
    same could not be found by comparing plugins.
    """
    kind = get_origin(annotation) or annotation
    return kind in (list, dict, set) or any(map(_changeable, get_args(annotation)))


def signature_mistakes(cls: type[Plugin], base: type[Plugin]) -> Iterator[str]:
    """The methods that cannot be called as the engine calls those of the base class.

    Without this check Python would raise at the call, possibly hours into a run, and no line of the plugin would be in
    the traceback. Other names for the arguments, and more arguments with defaults, are allowed.
    """
    for name, asked in vars(base).items():
        mine = inspect.getattr_static(cls, name)
        ours = mine is not asked and inspect.isfunction(asked) and asked.__module__ == base.__module__
        if ours and isinstance(mine, (property, cached_property)):
            yield f"{name} is a property, and has to be a method: {_signature(name, asked)}"
        elif ours and not _takes(mine, cls, asked.__code__.co_argcount - 1):
            yield f"{_signature(name, mine)} cannot be called as {_signature(name, asked)} is"
        elif isinstance(asked, property) and inspect.isfunction(mine):
            yield f"{name} is a method, and has to be a property"


def _takes(method: Any, cls: type, count: int) -> bool:
    """Whether `count` arguments besides `self` are accepted; assumed if the method has no signature."""
    bound = method.__get__(object(), cls) if hasattr(method, "__get__") else method
    try:
        inspect.signature(bound).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _signature(name: str, method: Any) -> str:
    """`energy(self, sigma, mu)`, without the types."""
    try:
        plain = [p.replace(annotation=p.empty) for p in inspect.signature(method).parameters.values()]
    except (TypeError, ValueError):
        return f"{name} ({type(method).__name__})"
    return f"{name}({', '.join(map(str, plain))})"
