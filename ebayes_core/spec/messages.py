"""Validation errors as messages for users: where the mistake is, what it is, and what is allowed."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from ebayes_core.errors import nearest

UNKNOWN = "unknown kind"


class Mistake(NamedTuple):
    """One mistake: where it is, its value if that helps, and what is allowed."""

    where: str
    value: str
    what: str

    def __str__(self) -> str:
        return f"{self.where} = {self.value}: {self.what}" if self.value else f"{self.where}: {self.what}"


def describe(error: ValidationError, source: str, model: type[BaseModel]) -> list[Mistake]:
    """A message for each mistake: `file: [table] field = value: what is allowed`."""
    return [_mistake(entry, source, model) for entry in error.errors(include_url=False) if not _echo(entry)]


def short(value: Any, quoted: bool = True) -> str:
    """A value on one line of at most 80 characters."""
    text = repr(value) if quoted else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def listed(values: list[str]) -> str:
    """The first three of many values."""
    text = ", ".join(short(value, quoted=False) for value in values[:3])
    return text if len(values) <= 3 else f"{text} and {len(values) - 3} more"


def _echo(entry: Any) -> bool:
    """Whether an error repeats others: pydantic calls a list too short if its items are wrong."""
    return entry["type"] == "too_short" and bool(entry["input"])


def _mistake(entry: Any, source: str, model: type[BaseModel]) -> Mistake:
    if entry["type"] == "json_invalid":
        return Mistake(source, "", "tables or lists are nested too deeply")
    path, innermost, kinds = _walk(entry["loc"], model)
    if entry["type"] == "union_tag_invalid":
        path.append("kind")
    table, name = (path[:1], path[1:]) if len(path) > 1 and isinstance(path[1], str) else ([], path)
    where = f"{source}: " + (f"[{table[0]}] " if table else "") + _dotted(name) if path else source
    value, what = _what(entry, innermost, str(path[-1]) if path else "")
    return Mistake(where, value, what + _elsewhere(entry, kinds, str(path[-1]) if path else ""))


def _elsewhere(entry: Any, kinds: dict[str, type[BaseModel]], name: str) -> str:
    """Which other kinds of the slot have a field that is unknown here."""
    having = [kind for kind, other in kinds.items() if name in other.model_fields]
    return f"; it is a field of the kind {', '.join(having)}" if entry["type"] == "extra_forbidden" and having else ""


def _dotted(path: list[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{_key(part)}" if text else _key(part)
    return text


def _key(name: str) -> str:
    """A key in TOML syntax: in quotes unless it is a bare key."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name) else short(json.dumps(name), quoted=False)


def _walk(
    loc: tuple[str | int, ...], model: type[BaseModel]
) -> tuple[list[str | int], type[BaseModel] | None, dict[str, type[BaseModel]]]:
    """The path as the user wrote it, without pydantic's tags, the model to which its last part belongs, and the kinds
    among which that was chosen.
    """
    path: list[str | int] = []
    kinds: dict[str, type[BaseModel]] = {}
    here: Any = model
    for part in loc:
        tagged = _choices(here).get(part) if isinstance(part, str) else None
        if tagged is not None:  # the tag of a union, which is not in the file
            here, kinds = tagged, _choices(here)
            continue
        path.append(part)
        last = here if _is_model(here) else None
        here = _inside(here, part)
    return path, last if loc else None, kinds


def _is_model(here: Any) -> bool:
    return isinstance(here, type) and issubclass(here, BaseModel)


def _inside(here: Any, part: str | int) -> Any:
    if _is_model(here):
        field = here.model_fields.get(part)
        return field.annotation if field else None
    arguments = [a for a in get_args(here) if a is not Ellipsis and a is not type(None)]
    return arguments[0] if arguments else None


def _choices(here: Any) -> dict[str, type[BaseModel]]:
    """The models of a union of plugins by kind, inside Annotated and tuples."""
    found = {}
    for argument in (here, *get_args(here)):
        for option in (argument, *get_args(argument)):
            if _is_model(option) and "kind" in option.model_fields:
                found[option.model_fields["kind"].default] = option
    return found if not _is_model(here) else {}


def _what(entry: Any, model: type[BaseModel] | None, name: str) -> tuple[str, str]:
    """The value, if it helps, and what is allowed."""
    kind, value = entry["type"], entry.get("input")
    context = entry.get("ctx", {})
    if kind == "extra_forbidden":
        return "", _unknown(model, name)
    if kind == "union_tag_invalid":
        expected = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        return short(context["tag"]), UNKNOWN + _among(context["tag"], "registered", expected)
    if kind == "literal_error" and name == "kind":
        return short(value), UNKNOWN + _among(value, "registered", [context["expected"].strip("'")])
    if kind == "union_tag_not_found":
        return "", "needs a kind, for example { kind = ... }; see `ebayes plugins`"
    if kind == "missing":
        return "", "is required but missing"
    return "" if isinstance(value, dict) else short(value), _message(kind, entry["msg"], context)


def _unknown(model: type[BaseModel] | None, name: str) -> str:
    """A field that is not known here, and where it stands if it has moved."""
    moved: dict[str, str] = getattr(model, "MOVED", {})
    if name in moved:
        return f"this field is now {moved[name]}"
    return "unknown field" + _among(name, "allowed", _fields(model))


def _fields(model: type[BaseModel] | None) -> list[str]:
    return list(model.model_fields) if model else []


def _message(kind: str, text: str, context: dict[str, Any]) -> str:
    """pydantic's message in terms of TOML."""
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "must be a table, for example { kind = ... }" if kind != "dict_type" else "must be a table"
    if kind == "int_type":
        return "must be a whole number"
    if kind == "tuple_type":
        return "must be a list"
    if kind in ("too_short", "too_long"):
        limit = context.get("min_length", context.get("max_length"))
        return f"must have at {'least' if kind == 'too_short' else 'most'} {limit} item{'s' * (limit != 1)}"
    text = re.sub(r"^(Value error, |Input should |String should )", lambda m: "must " * ("should" in m[0]), text)
    return text[:1].lower() + text[1:]


def _among(name: Any, verb: str, known: list[str]) -> str:
    return f"{nearest(name, known) or ';'} {verb} are {', '.join(known)}"
