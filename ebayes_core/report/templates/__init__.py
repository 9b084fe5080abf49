"""The templates of pages, which escape every value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebayes_core.wording import text

if TYPE_CHECKING:
    from jinja2 import Template


def template(name: str) -> Template:
    """A template, by the name of its file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ebayes_core.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["text"] = text
    return environment.get_template(name)
