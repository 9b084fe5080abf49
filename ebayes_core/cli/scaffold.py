"""`ebayes new-plugin`: a working package for a new plugin, with tests that check it against the contract."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import HOOKS
from ebayes_core.errors import UserError, nearest

TAKEN = {
    "core",
    "plugins",
    "literal",
    "path",
}  #: ebayes_core and ebayes_plugins exist already; the others would shadow an import


def create(slot: str, name: str, into: Path) -> tuple[Path, list[Path]]:
    """Write the package ebayes-NAME into a folder; returns its path and its files.

    Raises UserError for an unknown slot, a name that is invalid or taken, and if the package's folder exists already.
    """
    _check_names(slot, name)
    folder = into / f"ebayes-{name.replace('_', '-')}"
    if folder.exists():
        raise UserError(f"{folder} exists already; choose another name, or remove it")
    words = {"slot": slot, "name": name, "cls": name.title().replace("_", ""), "folder": folder.name}
    return folder, [_write(folder, target, source, words) for target, source in _plan(slot, name).items()]


def _check_names(slot: str, name: str) -> None:
    if slot not in HOOKS:
        raise UserError(f"there is no slot '{slot}'{nearest(slot, HOOKS)}; the slots are {', '.join(HOOKS)}")
    fits = re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) and len(name) <= 40
    if not fits or keyword.iskeyword(name) or name in TAKEN:
        raise UserError(f"'{name}' is not a valid kind: use the letters a-z, digits and single _, for example glial")
    for entry in Registry.load().entries:
        if (entry.slot, entry.kind) == (slot, name):
            raise UserError(f"the {slot} '{name}' exists already, in {entry.distribution}; choose another name")


def _plan(slot: str, name: str) -> dict[str, str]:
    """The template of each file."""
    return {
        "pyproject.toml": "pyproject.toml.txt",
        f"ebayes_{name}.py": f"{slot}.py.txt",
        f"test_{name}.py": "test.py.txt",
        "example.toml": f"{slot}.toml.txt",
    }


def _write(folder: Path, target: str, source: str, words: dict[str, str]) -> Path:
    path = folder / target
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (files("ebayes_core.cli") / "templates" / source).read_text(encoding="utf-8")
    path.write_text(Template(text).substitute(words), encoding="utf-8")
    return path
