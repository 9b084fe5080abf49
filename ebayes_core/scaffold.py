"""`ebayes new-plugin`: a working package for a plugin of one's own, with the tests that hold it to the contract."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from ebayes_core.errors import UserError, nearest
from ebayes_core.slots import HOOKS


def create(slot: str, name: str, into: Path) -> tuple[Path, list[Path]]:
    """Write the package ebayes-NAME into a folder; returns it and its files.

    Raises UserError for a slot that is none, a name that cannot be a kind, and a folder that is there already.
    """
    if slot not in HOOKS:
        raise UserError(f"there is no slot '{slot}'{nearest(slot, HOOKS)}; the slots are {', '.join(HOOKS)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or keyword.iskeyword(name):
        raise UserError(f"'{name}' cannot be a kind: use small letters, digits and _, a letter first, for example glial")
    folder = into / f"ebayes-{name.replace('_', '-')}"
    if folder.exists():
        raise UserError(f"{folder} is there already; choose another name, or remove it")
    words = {"slot": slot, "name": name, "cls": name.title().replace("_", ""), "hook": HOOKS[slot], "folder": folder.name}
    return folder, [_write(folder, target, source, words) for target, source in _plan(slot, name).items()]


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
    text = (files("ebayes_core") / "templates" / source).read_text(encoding="utf-8")
    path.write_text(Template(text).substitute(words), encoding="utf-8")
    return path
