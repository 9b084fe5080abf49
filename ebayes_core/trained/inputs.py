"""Inputs of new examples in files: npz, npy and CSV, without ever running what a file contains."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ebayes_core.errors import UserError, nearest

KNOWN = (".npz", ".npy", ".csv")


def inputs(path: Path) -> Any:
    """The array of an npy file; that called `x`, or the only one, of an npz file; the table of a CSV file.

    Raises UserError for a file that cannot be read, or that does not say which array is meant.
    """
    ending = path.suffix.lower()
    if ending not in KNOWN:
        raise UserError(f"{path}: inputs are read from files ending in {', '.join(KNOWN)}")
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        raise UserError(f"there is no file {path}{nearest(path.name, beside)}")
    try:
        return _table(path) if ending == ".csv" else _array(path)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: it cannot be read: {' '.join(str(error).split())}") from error


def _array(path: Path) -> np.ndarray:
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    with found:
        name = "x" if len(found.files) != 1 else found.files[0]
        if name not in found.files:
            known = ", ".join(found.files) or "none"
            raise UserError(f"{path}: it has no array 'x' but {known}; call the inputs x")
        array: np.ndarray = found[name]
        return array


def _table(path: Path) -> Any:
    """A table of pandas. Without a line of names its first example would be taken for them, and silently lost."""
    import pandas as pd

    table = pd.read_csv(path)
    if any(_is_number(name) for name in table.columns):
        raise UserError(f"{path}: line 1 has to name the columns, and contains numbers; insert a line such as  x1,x2")
    return table


def _is_number(name: Any) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
