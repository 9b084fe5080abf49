"""Fields set on the command line, as in `--set network.hidden=[50]`: a TOML key and a TOML value."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ebayes_core.spec import sweep
from ebayes_core.spec.messages import short

#: `dotted.field=value` each, or values by dotted field
Overrides = Iterable[str] | Mapping[str, Any]


def override(table: dict[str, Any], wanted: Overrides) -> list[str]:
    """Set fields in the tables of a spec; returns messages about mistakes.

    Setting a table's kind keeps its other fields; those that the new kind does not have are reported as unknown.
    """
    mistakes = []
    for text, value in _pairs(wanted):
        try:
            _encoded(text)
            name, _, after = text.partition("=")
            sweep.put(table, _path(name, text), toml_value(after) if value is None else value)
        except ValueError as error:
            mistakes.append(f"--set {short(text, quoted=False)}: {error}")
    return mistakes


def _pairs(wanted: Overrides) -> Iterator[tuple[str, Any]]:
    """The text of each override, and its value unless the text contains it."""
    if isinstance(wanted, Mapping):
        yield from ((f"{name}={value}", value) for name, value in wanted.items())
    else:
        yield from ((text, None) for text in wanted)


def _encoded(text: str) -> None:
    """Raise ValueError for bytes that are not characters: Python makes surrogates of them, which nothing can write."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("contains a byte that is not a character in the encoding of this terminal") from error


def _path(name: str, text: str) -> list[str]:
    """The parts of a dotted key; `sweep."cost.c"` has two."""
    if "=" not in text or not name.strip():
        raise ValueError("write it as field=value, for example cost.c=0.1")
    path: list[str] = []
    try:
        inner: Any = tomllib.loads(f"{name} = 0")
        while isinstance(inner, dict):
            ((part, inner),) = inner.items()
            path.append(part)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{short(name)} is not a dotted field") from error
    return path


def toml_value(text: str) -> Any:
    """Parse a TOML value; anything else, like the bare word in `dataset.kind=mnist`, is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text.strip()
