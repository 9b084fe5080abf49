"""Specs found by name: those that installed packages bring, and how a path or a name leads to a spec's text."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebayes_core.contract.registry import OWN, Registry
from ebayes_core.errors import SpecError, alike
from ebayes_core.storage import text_file

SUFFIX = ".toml"
END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")  # "Fig. 5" goes on


@dataclass(frozen=True)
class Installed:
    """A spec of an installed package."""

    name: str  #: path below the folder of the package's specs, without the suffix
    path: Path
    distribution: str
    version: str

    @property
    def description(self) -> str:
        """The first sentence of its description; empty if there is none, and the reason if it cannot be read."""
        try:
            text = tomllib.loads(text_file.read(self.path)).get("description", "")
        except (SpecError, OSError, ValueError, RecursionError) as error:
            return f"cannot be read: {str(error).splitlines()[0]}"
        return END_OF_SENTENCE.split(" ".join(str(text).split()))[0]

    def own_text(self) -> str:
        """Its text as the beginning of a spec of one's own, in any folder: with the files that it names as full paths,
        and without the line that leads editors to the schema beside it. Raises SpecError and OSError.
        """
        text = re.sub(r"\A#:schema .*\n", "", text_file.read(self.path))
        for name in _files(text, self.path.parent):
            path = json.dumps(str(self.path.parent / name), ensure_ascii=False)
            text = text.replace(f'"{name}"', path).replace(f"'{name}'", path)
        return text


@dataclass(frozen=True)
class Source:
    """The text of a spec and where it is from."""

    text: str
    name: str  #: as the user gave it, for messages
    folder: Path  #: to which the names of files in it are relative


def _files(text: str, folder: Path) -> set[str]:
    """The files of a folder that a TOML text names; none if it is not valid."""
    try:
        return {value for value in _texts(tomllib.loads(text)) if os.path.isfile(folder / value)}
    except (ValueError, RecursionError):
        return set()


def _texts(value: Any) -> Iterator[str]:
    """All texts in tables and lists, at any depth."""
    if isinstance(value, str):
        yield value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from _texts(part)


def installed(registry: Registry) -> list[Installed]:
    """All installed specs; those of ebayes first, and those in no folder before others."""
    found = [
        Installed(path.relative_to(folder.path).with_suffix("").as_posix(), path, folder.distribution, folder.version)
        for folder in registry.folders
        for path in folder.path.rglob(f"*{SUFFIX}")
    ]
    return sorted(found, key=lambda spec: (spec.distribution != OWN, spec.name.count("/"), spec.name, spec.path))


def find(spec: str | os.PathLike[str], registry: Registry) -> Source:
    """The spec at a path, or the installed one of this name; a file that exists takes precedence.

    Raises SpecError if there is neither, with the nearest of both; if two packages bring a spec of this name; and if
    it cannot be read.
    """
    name, path = os.fspath(spec), Path(spec)
    known = [] if os.path.exists(path) and not path.is_dir() else installed(registry)
    if any(one.name == name for one in known):
        path = named(name, known).path
    try:
        return Source(text_file.read(path), name, path.parent)
    except FileNotFoundError as error:
        raise SpecError([f"{name}: there is no such file, nor an installed spec{_near(name, known)}"]) from error
    except OSError as error:
        raise SpecError([f"{name}: cannot be read: {error.strerror}"]) from error


def named(name: str, known: Iterable[Installed]) -> Installed:
    """The spec of this name among those installed. Raises SpecError if there is none, or more than one."""
    known = list(known)
    found = [one for one in known if one.name == name]
    if not found:
        raise SpecError([f"{name}: there is no installed spec of this name{_near(name, known, files=False)}"])
    if len(found) > 1:
        places = " and ".join(f"{one.path} ({one.distribution})" for one in found)
        raise SpecError([f"{name}: several packages bring a spec of this name: {places}; give the path of one of them"])
    return found[0]


def _near(name: str, known: Iterable[Installed], files: bool = True) -> str:
    """The nearest file and the nearest names: those that end in the same part, or else one that is similar."""
    folder = Path(name).parent
    beside = [path.name for path in folder.glob(f"*{SUFFIX}")] if files and folder.is_dir() else []
    close = alike(Path(name).name, beside) + _similar(name.removesuffix(SUFFIX), [one.name for one in known])
    question = f"; did you mean {' or '.join(map(repr, close))}?" if close else ";"
    return f"{question} `ebayes specs` lists those installed"


def _similar(name: str, names: list[str]) -> list[str]:
    """The name that a path ends in; else the names whose last part is that of the path; else a similar one."""
    whole = [one for one in names if f"/{name}".endswith(f"/{one}")]
    last = [one for one in names if Path(one).name == Path(name).name]
    return whole or last or alike(name, names)
