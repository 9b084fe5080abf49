"""What the site needs besides Sphinx: docstrings that are plain text, the fields of plugins, equations as MathML."""

from __future__ import annotations

import inspect
import re
from functools import partial
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from jupyter_cache.executors import utils as executors
from pydantic import BaseModel
from sphinx.application import Sphinx

import ebayes


def setup(app: Sphinx) -> dict[str, bool]:
    """Register them with Sphinx."""
    # a shell's output arrives in pieces of 100 characters; myst-nb would put each on a line of its own
    executors.executenb = partial(executors.executenb, coalesce_streams=True)
    app.connect("source-read", stand_in)
    app.connect("autodoc-process-docstring", describe)
    app.connect("autodoc-process-signature", without_fields)
    app.connect("autodoc-process-bases", only_own_bases)
    app.add_html_math_renderer("mathml", (inline_equation, None), (equation, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def stand_in(app: Sphinx, page: str, source: list[str]) -> None:
    """A page that names one of the root's files shows it: CHANGELOG.md and CONTRIBUTING.md keep their usual places."""
    named = re.search(r"^stands for: \[.*\]\(\.\./(.*)\)$", source[0], re.MULTILINE)
    if named:
        text = (Path(app.srcdir).parent / named[1]).read_text(encoding="utf-8")
        moved = re.sub(r"\]\((?!https?:|#|docs/)", "](../", text)
        source[0] = moved.replace("](docs/", "](").replace("](../CHANGELOG.md", "](changelog.md")


def describe(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with code in `backticks`: to Sphinx, a star or a bar would mean something."""
    lines[:] = [line for paragraph in paragraphs(lines) for line in [*parameters(paragraph, named(thing)), ""]]
    text = re.sub(r"\n\n((?: {4}.*\n)+)", r"\n\n::\n\n\1\n", "\n".join(lines) + "\n")
    lines[:] = [line if line.startswith("    ") else marked(line) for line in text.split("\n")]
    if isinstance(thing, type) and issubclass(thing, BaseModel):
        lines += [*fields(thing), ""]


def named(thing: Any) -> list[str]:
    """Names of the parameters of a function."""
    try:
        return list(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return []


def paragraphs(lines: list[str]) -> list[list[str]]:
    """Lines between empty ones."""
    return [part.split("\n") for part in re.split(r"\n\n+", "\n".join(lines).strip("\n"))]


def parameters(paragraph: list[str], names: list[str]) -> list[str]:
    """A paragraph such as `x: inputs (examples, inputs). y: targets.` as a list with an item for each parameter."""
    one = "|".join(map(re.escape, names))
    item = rf"(?:^|(?<=[.:;] ))((?:{one})(?:, (?:{one}))*): "
    if not names or not re.match(item, paragraph[0]):
        return paragraph
    parts = re.split(item, " ".join(paragraph))[1:]
    return [f"* ``{name}``: {words.strip()}" for name, words in zip(parts[::2], parts[1::2], strict=True)]


def marked(line: str) -> str:
    """A line of plain text as reStructuredText."""
    parts = re.split(r"(`+[^`]*`+)", line)
    parts[::2] = [re.sub(r"(?!^\* )[*|\\]|(?<=\w)_(?=\W|$)", r"\\\g<0>", plain) for plain in parts[::2]]
    parts[1::2] = [linked(code.strip("`")) for code in parts[1::2]]
    return "".join(parts)


def linked(code: str) -> str:
    """Code; a link to the page of the name if it is a public one."""
    return f":py:obj:`~ebayes.{code}`" if code.split(".", maxsplit=1)[0] in ebayes.__all__ else f"``{code}``"


def fields(table: type[BaseModel]) -> list[str]:
    """The fields of a plugin's table in a spec, each with its default and its description."""
    own = {name: field for name, field in table.model_fields.items() if field.description}
    return [f"* ``{name}`` (default ``{f.default!r}``): {marked(f.description or '')}" for name, f in own.items()]


def without_fields(app: Sphinx, what: str, name: str, thing: Any, *rest: Any) -> tuple[str, None] | None:
    """A plugin is made from its fields, which its description lists."""
    return ("", None) if what == "class" and issubclass(thing, BaseModel) else None


def only_own_bases(app: Sphinx, name: str, thing: Any, options: Any, bases: list[Any]) -> None:
    """Leave out bases that tell a reader nothing."""
    bases[:] = [base for base in bases if getattr(base, "__module__", "").startswith("ebayes")] or [object]


def inline_equation(writer: Any, node: nodes.math) -> None:
    """An equation within a line."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def equation(writer: Any, node: nodes.math_block) -> None:
    """An equation on a line of its own."""
    writer.body.append(f'<div class="equation">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode
