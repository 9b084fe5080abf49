"""Validation errors in a user's words: where, what, which names would do, what to do next."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ebayes_core.errors import nearest


def describe(error: ValidationError, source: str, model: type[BaseModel]) -> list[str]:
    """One line per mistake: `file: [table] field = value: what is allowed`."""
    return [_line(entry, source, model) for entry in error.errors(include_url=False) if not _echo(entry)]


def _echo(entry: Any) -> bool:
    """pydantic calls a list too short when its items are wrong; the items have said so."""
    return entry["type"] == "too_short" and bool(entry["input"])


def _line(entry: Any, source: str, model: type[BaseModel]) -> str:
    path, innermost = _walk(entry["loc"], model)
    table, name = (path[:1], path[1:]) if len(path) > 1 and isinstance(path[1], str) else ([], path)
    where = f"{source}: " + (f"[{table[0]}] " if table else "") + _dotted(name)
    return where + _what(entry, innermost, str(path[-1]) if path else "")


def _dotted(path: list[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _walk(loc: tuple[str | int, ...], model: type[BaseModel]) -> tuple[list[str | int], type[BaseModel] | None]:
    """The path as the user wrote it, without pydantic's tags, and the model that the last part is a field of."""
    path: list[str | int] = []
    here: Any = model
    for part in loc:
        tagged = _choices(here).get(part) if isinstance(part, str) else None
        if tagged is not None:  # the tag of a union: not in the file
            here = tagged
            continue
        path.append(part)
        last = here if _is_model(here) else None
        here = _inside(here, part)
    return path, last if loc else None


def _is_model(here: Any) -> bool:
    return isinstance(here, type) and issubclass(here, BaseModel)


def _inside(here: Any, part: str | int) -> Any:
    if _is_model(here):
        field = here.model_fields.get(part)
        return field.annotation if field else None
    arguments = [a for a in get_args(here) if a is not Ellipsis and a is not type(None)]
    return arguments[0] if arguments else None


def _choices(here: Any) -> dict[str, type[BaseModel]]:
    """Kind -> model of a union of plugins, through Annotated and tuples."""
    found = {}
    for argument in (here, *get_args(here)):
        for option in (argument, *get_args(argument)):
            if _is_model(option) and "kind" in option.model_fields:
                found[option.model_fields["kind"].default] = option
    return found if not _is_model(here) else {}


def _what(entry: Any, model: type[BaseModel] | None, name: str) -> str:
    kind, value = entry["type"], entry.get("input")
    context = entry.get("ctx", {})
    if kind == "extra_forbidden":
        return ": unknown field" + _among(name, "allowed", list(model.model_fields) if model else [])
    if kind == "union_tag_invalid":
        expected = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        return f".kind = {_short(context['tag'])}: unknown kind" + _among(context["tag"], "registered", expected)
    if kind == "union_tag_not_found":
        return " needs a kind, for example { kind = ... }; see `ebayes plugins`"
    if kind == "missing":
        return ": is required and missing"
    message = entry["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return f": {message}" if isinstance(value, dict) else f" = {_short(value)}: {message}"


def _among(name: str, verb: str, known: list[str]) -> str:
    return f"{nearest(name, known) or ';'} {verb} are {', '.join(known)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
