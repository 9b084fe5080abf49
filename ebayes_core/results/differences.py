"""Where specs differ: the dotted fields, with the value of each spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ebayes_core.results.record import PLACE

Spec = Mapping[str, Any]


def differing(specs: Sequence[Spec], ignored: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Dotted field -> its value in each spec, None where a spec has none, for the fields that are not all equal.

    A table whose kind differs counts as a whole. Where files lie does not count, nor do the names in `ignored`.
    """
    names = dict.fromkeys(name for spec in specs for name in spec if name not in ignored)
    return {field: values for name in names for field, values in _of_table(name, [s.get(name) for s in specs]).items()}


def _of_table(name: str, values: list[Any]) -> dict[str, list[Any]]:
    """The differences in one top-level field."""
    tables = all(isinstance(value, dict) for value in values)
    if tables and len({value.get("kind") for value in values}) == 1:
        fields = dict.fromkeys(field for table in values for field in table if field != PLACE)
        found = {f"{name}.{field}": [_placeless(table.get(field)) for table in values] for field in fields}
    else:
        found = {name: [_placeless(value) for value in values]}
    return {field: each for field, each in found.items() if any(value != each[0] for value in each)}


def _placeless(value: Any) -> Any:
    return {k: v for k, v in value.items() if k != PLACE} if isinstance(value, dict) else value
