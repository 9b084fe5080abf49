"""Data of one's own, from arrays, tensors, tables and torch data sets to a file that the data set `arrays` reads.

A file, because then everything else works as for any spec: a run that was stopped continues, several processes train,
and a results file can be predicted from later. Its name contains a digest of its content, so that other data under the
same name replace nothing.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ebayes_core.errors import DataError, nearest
from ebayes_core.storage import atomic


class Examples(NamedTuple):
    """Inputs (examples, *shape) and targets (examples, ...), as they were given."""

    x: np.ndarray
    y: np.ndarray
    columns: tuple[str, ...] = ()  #: names of the inputs, if they have any


def examples(x: Any, y: Any, what: str = "") -> Examples:
    """Arrays from arrays, tensors, a table with the name of its target column, or a data set of torch.

    what: a word for messages, such as "test ". Raises DataError that names what is wrong, where, and what to do.
    """
    if _is_dataset(x):
        return _checked(_stacked(x, what), what)
    if hasattr(x, "columns"):
        return _checked(_of_table(x, y, what), what)
    if y is None:
        raise DataError(f"the {what}targets y are missing: give them beside the inputs x")
    return _checked(Examples(_array(x), _array(y)), what)


def _is_dataset(x: Any) -> bool:
    """Whether it is a data set of torch: items (x, y), and neither an array nor a table."""
    return hasattr(x, "__getitem__") and not isinstance(x, (list, tuple)) and not hasattr(x, "shape")


def _stacked(dataset: Any, what: str) -> Examples:
    """All examples of a data set of torch."""
    pairs = [dataset[i] for i in range(len(dataset))]
    if not pairs or not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise DataError(f"the {what}data set must have items (x, y), and at least one")
    x, y = ([_array(part) for part in parts] for parts in zip(*pairs, strict=True))
    shapes = {part.shape for part in x}
    if len(shapes) > 1:
        raise DataError(f"the {what}data set has inputs of several shapes, {_few(shapes)}: make them equal")
    return Examples(np.stack(x), np.stack(y))


def _of_table(table: Any, y: Any, what: str) -> Examples:
    """Inputs and targets of a table of pandas; y: the name of the target column, several names, or the targets."""
    names = [y] if isinstance(y, str) else y if isinstance(y, list) and all(isinstance(n, str) for n in y) else None
    if names is None:
        if y is None:
            raise DataError(f"y is missing: give the name of the target column, one of {_few(table.columns)}")
        return Examples(_numbers(table, what), _array(y), tuple(map(str, table.columns)))
    for name in names:
        if name not in table.columns:
            near = nearest(name, map(str, table.columns)) or f"; there are {_few(table.columns)}"
            raise DataError(f"y = {name!r}: the {what}table has no such column{near}")
    inputs, targets = table.drop(columns=names), table[names[0] if len(names) == 1 else names]
    return Examples(_numbers(inputs, what), _array(targets), tuple(map(str, inputs.columns)))


def _numbers(table: Any, what: str) -> np.ndarray:
    """A table as numbers. Raises DataError naming a column that has others."""
    for name, kind in table.dtypes.items():
        if getattr(kind, "kind", "O") not in "fiub":
            raise DataError(f"x: column '{name}' of the {what}table is not numeric ({kind}): drop it, or encode it")
    return np.asarray(table.to_numpy(dtype=np.float64))


def _array(values: Any) -> np.ndarray:
    """An array of numpy; texts and categories become texts."""
    values = values.detach().cpu() if hasattr(values, "detach") else values
    found = np.asarray(values)
    return found.astype(str) if found.dtype.kind == "O" else found


def _checked(found: Examples, what: str) -> Examples:
    """The same examples. Raises DataError naming what cannot be trained on."""
    for mistake in _mistakes(found, what):
        raise DataError(mistake)
    return found


def _mistakes(found: Examples, what: str) -> Iterator[str]:
    x, y, columns = found
    if x.dtype.kind not in "fiub" or x.ndim < 1:
        yield f"the {what}inputs x must be numbers of shape (examples, ...), not {x.shape} {x.dtype}"
    elif y.ndim < 1 or len(x) != len(y) or not len(x):
        count = len(y) if y.ndim else "one number as"
        yield f"there are {len(x)} {what}inputs x and {count} targets y: give one target for each example"
    for name, array, named in (("x", x, columns), ("y", y, ())):
        bad = ~np.isfinite(array) if array.dtype.kind == "f" else np.zeros(0, bool)
        if bad.any():
            at, where = np.argwhere(bad)[0], f" in column '{named[np.argwhere(bad)[0][-1]]}'" if named else ""
            rows = int(bad.reshape(len(bad), -1).any(1).sum())
            yield (
                f"{what}{name}: example {at[0]}, counted from 0, is {array[tuple(at)]}{where} ({rows} such "
                f"example{'' if rows == 1 else 's'}): remove or replace it"
            )


def check_alike(train: Examples, test: Examples) -> None:
    """Raise DataError if test examples have another shape than those for training."""
    for name, ours, theirs in (("inputs x", train.x, test.x), ("targets y", train.y, test.y)):
        if ours.shape[1:] != theirs.shape[1:]:
            raise DataError(
                f"test {name} have shape {theirs.shape[1:]} per example, those for training {ours.shape[1:]}"
            )


def store(found: Examples, stem: Path) -> Path:
    """Write the examples as an npz file named after the stem and its content, if there is none; returns its path."""
    with io.BytesIO() as file:
        np.savez(file, x=found.x, y=found.y, columns=np.array(found.columns, dtype=str))
        content = file.getvalue()
    path = stem.with_name(f"{stem.name}-{hashlib.sha256(content).hexdigest()[:12]}.npz").absolute()
    if not path.exists():
        atomic.make(path.parent)
        with atomic.replacing(path) as beside:
            beside.write_bytes(content)
    return path


def _few(names: Any) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:8]) + (", ..." if len(shown) > 8 else "")
