"""The installed plugins together with those that a notebook defines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import HOOKS, SPECS_HOOK, Plugin, hookimpl
from ebayes_core.errors import PluginError, UserError
from ebayes_core.modules.instance import given_module, is_module


def registry_of(plugins: Iterable[Any] = ()) -> Registry:
    """The registry of the installed plugins and of `plugins`: their classes, or modules and objects with hooks.

    Raises UserError for anything else, and PluginError for a class that breaks the contract or a kind that clashes.
    """
    given = list(dict.fromkeys(plugins))
    registry = Registry.of(*map(_hooked, given)) if given else Registry.load()
    registry.warn()
    return registry


def _hooked(plugin: Any) -> Any:
    """An object with the hook of a class; whatever has hooks of its own stays as it is, and a module is a network."""
    plugin = given_module(plugin) if is_module(plugin) else plugin
    if not isinstance(plugin, type):
        if any(hasattr(plugin, hook) for hook in (*HOOKS.values(), SPECS_HOOK)):
            return plugin
        raise UserError(f"plugins: {plugin!r} is neither a plugin's class nor a module with hooks such as ebayes_costs")
    if not issubclass(plugin, Plugin) or not hasattr(plugin, "slot"):
        raise PluginError(
            f"plugins: the class {plugin.__name__} must derive from one of ebayes.Cost, ebayes.Noise, ..."
        )
    return SimpleNamespace(__name__=plugin.__module__, **{HOOKS[plugin.slot]: hookimpl(lambda: [plugin])})


def all_of(plugins: Iterable[Any], table: Mapping[str, Any]) -> list[Any]:
    """The same plugins, and the classes of those that stand for tables of a spec and are not installed."""
    known = {entry.cls for entry in registry_of(plugins).entries}
    return [*plugins, *(cls for cls in dict.fromkeys(_classes(table)) if not known & set(cls.__mro__))]


def _classes(value: Any) -> Iterator[type[Plugin]]:
    """The classes of all plugins in tables and lists, at any depth."""
    if isinstance(value, Plugin):
        yield type(value)
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    for part in parts:
        yield from _classes(part)
