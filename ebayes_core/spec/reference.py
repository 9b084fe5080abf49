"""The spec reference as a Markdown page, generated from the classes that validate specs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ebayes_core import spec
from ebayes_core.contract.registry import first_line
from ebayes_core.contract.slots import HOOKS
from ebayes_core.spec.sweep import RANGES

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ebayes_core.contract.registry import Registry

HEAD = """# Spec reference

One experiment is one TOML file. This page is generated from the classes that validate it (`ebayes schema --markdown`,
which also lists the plugins installed on your machine); [specs/schema.json](../ebayes_plugins/specs/schema.json)
contains the same for editors. Every field can be set on the command line, as in `--set network.hidden=[50]`, and every
field of the tables can be swept.
"""
SWEEP = """
## `[sweep]`

Each row gives a dotted field and its values. All combinations of the rows are trained; the last row varies faster than
the others, and seeds vary fastest of all. A row has one of these forms:

| form | example |
|---|---|
| a list of values | `"cost.c" = [0.1, 1.0]` |
| a list of whole tables | `cost = [{ kind = "calcium" }, { kind = "actin" }]` |
| several fields zipped | `"cost.c, optimizer.learning_rate" = [[0.1, 1e-3], [1.0, 5e-4]]` |
"""
BOUNDS = {
    "exclusiveMinimum": "> {}", "minimum": ">= {}", "exclusiveMaximum": "< {}", "maximum": "<= {}",
    "minItems": "at least {} of them", "maxItems": "at most {} of them", "maxLength": "at most {} characters",
    "pattern": "matching `{}`",
}  # fmt: skip


def markdown(registry: Registry) -> str:
    """The reference with every registered kind, as Markdown."""
    models = spec.compose(registry)
    slots, own = set(HOOKS), models.Experiment
    top = [name for name in own.model_fields if name not in slots | {"training", "measurement", "sweep"}]
    parts = [HEAD, "\n## The top of the file\n\n", _fields(own, top), _sweep()]
    for model, name in ((spec.Training, "training"), (models.Measurement, "measurement")):
        parts += [f"\n## `[{name}]`\n\n{first_line(model)}\n\n", _fields(model)]
    for slot in HOOKS:
        title = "[[analysis]]" if slot == "analysis" else f"[{slot}]"
        parts += [f"\n## `{title}`\n", *(_kind(kind, cls) for kind, cls in registry.kinds(slot).items())]
    return "".join(parts)


def _sweep() -> str:
    rows = ((name, form.model_fields[name].description, first_line(form)) for name, form in RANGES.items())
    return SWEEP + "".join(f"| {line} | `{{ {name} = ... }}` with {what} |\n" for name, what, line in rows)


def _kind(kind: str, cls: type[BaseModel]) -> str:
    return f"\n### `{kind}`\n\n{first_line(cls)}\n\n{_fields(cls)}"


def _fields(model: type[BaseModel], names: list[str] | None = None) -> str:
    """A table with a row for each field except `kind`, which is the heading."""
    schema = model.model_json_schema()
    wanted = [name for name in names or model.model_fields if name != "kind"]
    rows = [_row(name, schema["properties"][name], schema.get("required", [])) for name in wanted]
    head = "| field | values | default | meaning |\n|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n" if rows else "No fields.\n"


def _row(name: str, table: dict[str, Any], required: list[str]) -> str:
    default = "**required**" if name in required else f"`{_default(table.get('default'))}`"
    if default == "`null`":
        default = "-"
    cells = (f"`{name}`", _type(table), default, table.get("description", ""))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)


def _type(table: dict[str, Any]) -> str:
    """The values that a field accepts, in words."""
    options = [option for option in table.get("anyOf", [table]) if option.get("type") != "null"]
    return " or ".join(_one(option) for option in options)


def _one(table: dict[str, Any]) -> str:
    if "enum" in table:
        return ", ".join(f"`{json.dumps(value)}`" for value in table["enum"])
    word = table.get("type", "table")
    if word == "array":
        item = table.get("items", {})
        word = f"list of ({_type(item)})" if "type" in item or "enum" in item else "list of tables"
    if "maximum" in table and table["maximum"] == table.get("minimum"):
        return f"only {table['minimum']:.6g}"
    limits = [text.format(_plain(table[key])) for key, text in BOUNDS.items() if key in table]
    return ", ".join([word, *limits])


def _plain(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
