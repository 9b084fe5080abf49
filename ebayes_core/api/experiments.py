"""Experiments from whatever a notebook has: the path of a spec, its name, its text, a dictionary, plugins in Python."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ebayes_core import spec as specs
from ebayes_core.api.plugins import all_of, registry_of
from ebayes_core.contract.registry import Registry
from ebayes_core.spec import Parts, Source
from ebayes_core.wording import networks

if TYPE_CHECKING:
    import pandas as pd

Spec = str | os.PathLike[str] | Mapping[str, Any] | Parts


@dataclass(frozen=True)
class Experiment:
    """A validated spec with its networks, ready to be trained by `run`."""

    parts: Parts  #: the fields of the spec
    text: str  #: the spec as TOML, as it was written
    registry: Registry
    plugins: tuple[Any, ...] = ()  #: those that are not installed

    @property
    def name(self) -> str:
        """Name of the experiment and, by default, of its results file."""
        return self.parts.name

    @property
    def spec(self) -> dict[str, Any]:
        """Every field with its value, defaults included."""
        return specs.resolved(self.parts)

    @property
    def members(self) -> pd.DataFrame:
        """The networks that `run` would train: swept fields and seed, one row each."""
        import pandas as pd

        found = pd.DataFrame([{**point.swept, "seed": point.member.seed} for point in self.parts.members()])
        found.index.name = "member"
        return found

    def __repr__(self) -> str:
        return f"<Experiment '{self.name}': {networks(len(self.parts.members()))}, not trained>"


def load(
    spec: Spec | Experiment, *, set: Mapping[str, Any] | None = None, plugins: Iterable[Any] = ()
) -> Experiment:  # fmt: skip
    """Read and validate an experiment without training it.

    spec: the path of a TOML file, the name of an installed spec (`ebayes specs` lists them), a TOML text, a dictionary
    of its fields, in which a plugin may stand for its table, or an experiment. set: dotted field -> value, as
    `{"training.epochs": 20}`, which takes precedence. plugins: classes of plugins that are not installed, or modules
    that register them.

    Raises SpecError that lists every mistake, and PluginError.
    """
    if isinstance(spec, Experiment):
        if not set and not plugins:
            return spec
        plugins, spec = [*spec.plugins, *plugins], spec.parts
    if isinstance(spec, Parts):
        spec = specs.dumps(spec)
    if isinstance(spec, Mapping):
        return _read(_toml(spec), "spec", all_of(plugins, spec), set)
    if isinstance(spec, str) and ("\n" in spec or "=" in spec):
        return _read(spec, "spec", plugins, set)
    registry = registry_of(plugins)
    return _validated(specs.find(spec, registry), registry, plugins, set)


def _read(text: str, source: str, plugins: Iterable[Any], set: Mapping[str, Any] | None) -> Experiment:
    return _validated(Source(text, source, Path()), registry_of(plugins), plugins, set)


def _validated(
    source: Source, registry: Registry, plugins: Iterable[Any], set: Mapping[str, Any] | None
) -> Experiment:  # fmt: skip
    parts = specs.loads(source.text, registry, plain(set or {}), source.name, source.folder)
    return Experiment(parts, source.text, registry, tuple(plugins))


def _toml(table: Mapping[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps(plain(table))


def plain(value: Any) -> Any:
    """Values of Python and numpy as TOML has them; a plugin as its table, and what is None is left out."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple, range)):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):  # arrays and numbers of numpy and torch
        return value.tolist()
    return os.fspath(value) if isinstance(value, os.PathLike) else value
