"""Fields set on the command line: `--set network.hidden=[50]`, TOML on both sides."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any

from ebayes_core.spec import sweep
from ebayes_core.spec.messages import short


def override(table: dict[str, Any], texts: Iterable[str]) -> list[str]:
    """Set each `dotted.field=value` in a spec's tables; returns the mistakes.

    A table whose kind is set keeps its other fields; those that the new kind lacks are then unknown fields.
    """
    mistakes = []
    for text in texts:
        name, _, value = text.partition("=")
        try:
            _encoded(text)
            sweep.put(table, _path(name, text), toml_value(value))
        except ValueError as error:
            mistakes.append(f"--set {short(text, quoted=False)}: {error}")
    return mistakes


def _encoded(text: str) -> None:
    """Refuse bytes that are no characters: Python makes surrogates of them, which nothing can write."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds a byte that is no character in the encoding of this terminal") from error


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
        raise ValueError(f"{short(name)} is no dotted field") from error
    return path


def toml_value(text: str) -> Any:
    """A TOML value; what is none, as the bare word in `dataset.kind=mnist`, is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text.strip()
