"""Files that a table of a spec names: found beside the spec, and identified by their content and not by their place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ebayes_core.errors import nearest

#: key of the validation context: the folder of the spec, to which names of files in its fields are relative
FOLDER = "folder"
ANALYSES = "analyses"  #: the same for files that an analysis names: nothing that is trained depends on them
DIGEST = "^[0-9a-f]{64}$"  #: pattern of a SHA-256
Stamp = tuple[Path, int, int]  #: a file, its size, and when it was changed


def located(table: Any, names: Sequence[Any], context: dict[str, Any] | None, key: str = FOLDER) -> Any:
    """The table with the folder of the files that it names, and their digest, if it is that of a spec.

    Raises ValueError naming a file that cannot be read, or if the table is for files of another content.
    """
    spec_folder, paths = (context or {}).get(key), [name for name in names if isinstance(name, str)]
    if spec_folder is None or not paths or not isinstance(table.get("folder", ""), str):
        return table
    folder = Path(spec_folder, table.get("folder", ""))
    found = known_digest(stamps([folder / path for path in paths]))
    if table.get("digest", found) != found:
        raise ValueError(f"digest is {table['digest']}, and that of {' and '.join(paths)} is {found}")
    return {**table, "folder": str(folder), "digest": found}


def stamps(paths: Sequence[Path]) -> tuple[Stamp, ...]:
    """What changes when a file is changed. Raises ValueError naming a file that cannot be read."""
    return tuple(map(_stamp, paths))


def _stamp(path: Path) -> Stamp:
    try:
        with path.open("rb") as file:
            about = os.stat(file.fileno())
    except FileNotFoundError as error:
        beside = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        raise ValueError(f"there is no file {path}{nearest(path.name, beside)}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    return path, about.st_size, about.st_mtime_ns


@lru_cache(maxsize=100)
def known_digest(files: tuple[Stamp, ...]) -> str:
    """The digest of files that have not been touched since it was computed: a spec is validated once per network."""
    return digest(files)


def digest(files: tuple[Stamp, ...]) -> str:
    """SHA-256 of the contents of the files, one after the other."""
    found = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                found.update(part)
    return found.hexdigest()
