"""A spec as plain data, as TOML, as a digest of what it trains, and as JSON Schema."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Plugin
from ebayes_core.results.record import CONTENT, fingerprint
from ebayes_core.spec.members import resolved
from ebayes_core.spec.models import Parts, compose

#: Fields that do not change a network: they may be edited without training again.
PRESENTATION = ("name", "description", "analysis")


def dumps(experiment: Parts) -> str:
    """The experiment as TOML, which `loads` reads back as an equal one with the same networks.

    Fields that were left out stay out: the default of one kind need not be valid for another that the sweep sets.
    """
    import tomli_w

    table = experiment.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    _name_kinds(experiment, table)
    return tomli_w.dumps(table)


def _name_kinds(value: Any, dumped: Any) -> None:
    """Write the kind of every plugin into its table, whether it was given or is that of the class."""
    if isinstance(value, Plugin):
        dumped["kind"] = value.kind
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        for name in dumped:
            _name_kinds(getattr(value, name, None), dumped[name])
    elif isinstance(value, tuple):
        for part, table in zip(value, dumped, strict=True):
            _name_kinds(part, table)


def digest(experiment: Parts) -> str:
    """Digest of what is trained and measured: specs that share it give the same networks.

    If networks are trained on files, the files' digests are part of it.
    """
    table = {k: v for k, v in resolved(experiment).items() if k not in PRESENTATION}
    members = [point.member for point in experiment._members]
    files = sorted({found for m in members for plugin in (m.dataset, m.network) for found in _contents(plugin)})
    return fingerprint(table | ({"files": files} if files else {}))


def _contents(plugin: BaseModel) -> Iterator[str]:
    """The digests of the files of a plugin, and of a plugin that is one of its fields."""
    for name, value in plugin:
        if isinstance(value, BaseModel):
            yield from _contents(value)
        elif name == CONTENT and value:
            yield value


def json_schema(registry: Registry) -> dict[str, Any]:
    """The JSON Schema of a spec, which editors use for completion and checks."""
    schema = compose(registry).Experiment.model_json_schema()
    text = json.dumps(schema)
    titles = Counter(table.get("title", name) for name, table in schema["$defs"].items())
    for name, table in schema["$defs"].items():
        title = table.get("title", name)  # the name of a generic lists its arguments, its title does not
        if title not in schema["$defs"] and titles[title] == 1:
            text = text.replace(name, table["title"])
    schema = json.loads(text)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "ebayes experiment", **schema}


def schema_text(registry: Registry) -> str:
    """The JSON Schema as stored in a file."""
    return json.dumps(json_schema(registry), indent=2, sort_keys=True) + "\n"
