"""`ebayes new-plugin`: a working package for a plugin of one's own, with the tests that hold it to the contract."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import HOOKS
from ebayes_core.errors import UserError, nearest

TAKEN = {"core", "plugins", "literal", "path"}  #: ebayes_core and ebayes_plugins are ours; the others shadow an import


def create(slot: str, name: str, into: Path) -> tuple[Path, list[Path]]:
    """Write the package ebayes-NAME into a folder; returns it and its files.

    Raises UserError for a slot that is none, a name that cannot be a kind or is one, and a folder that is there.
    """
    _check_names(slot, name)
    folder = into / f"ebayes-{name.replace('_', '-')}"
    if folder.exists():
        raise UserError(f"{folder} is there already; choose another name, or remove it")
    words = {"slot": slot, "name": name, "cls": name.title().replace("_", ""), "folder": folder.name}
    return folder, [_write(folder, target, source, words) for target, source in _plan(slot, name).items()]


def _check_names(slot: str, name: str) -> None:
    if slot not in HOOKS:
        raise UserError(f"there is no slot '{slot}'{nearest(slot, HOOKS)}; the slots are {', '.join(HOOKS)}")
    fits = re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) and len(name) <= 40
    if not fits or keyword.iskeyword(name) or name in TAKEN:
        raise UserError(f"'{name}' cannot be the kind: use letters a-z, digits and single _, for example glial")
    for entry in Registry.load().entries:
        if (entry.slot, entry.kind) == (slot, name):
            raise UserError(f"the {slot} '{name}' is there already, from {entry.distribution}; choose another name")


def _plan(slot: str, name: str) -> dict[str, str]:
    """Target file -> template."""
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
