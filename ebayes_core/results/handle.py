"""An open results file. No lock is held, so that other programs may replace the file meanwhile."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import h5py
import numpy as np

from ebayes_core.errors import InUse, StoreError, UserError
from ebayes_core.storage import untrusted

#: version of the layout; version 1 had no seal
SCHEMA_VERSION = 2
GATHERED, SWEEP = "results.h5", "sweep.json"  #: in a sweep's folder: its results, and what it is
PARTS = ("members", "members/spec", "members/seed", "members/status", "curves", "layer_metrics", "networks", "analyses")


class OpenFile:
    """Open from construction until `with` ends, `close` is called, or the program ends.

    Raises StoreError for a file that is not a results file, InUse for one that another program is writing to.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._open()

    def _open(self) -> None:
        with contextlib.ExitStack() as held:
            self._held, self._looked = held.enter_context(untrusted.opened(self.path)), self._look()
            with self.reading():
                _refuse_other_files(self.path, self._held)
            # HDF5 reads through Python, so it must have closed the file before Python ends
            self._end = weakref.finalize(self, held.pop_all().close)

    def _look(self) -> tuple[int, ...]:
        found = self.path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    @property
    def closed(self) -> bool:
        """Whether the file has been closed and can no longer be read."""
        return not self._end.alive

    def close(self) -> None:
        """Close the file; calling it again has no effect."""
        self._end()

    def __enter__(self) -> Self:
        """The file itself, opened again if it was closed."""
        if self.closed:  # cached values may be those of another file
            path = self.path
            vars(self).clear()
            OpenFile.__init__(self, path)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _file(self) -> h5py.File:
        if self.closed:
            raise UserError(f"{self.path}: is closed; read from it before `close`, and before its `with` ends")
        return self._held

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """As `untrusted.reading`, but a file changed in place since it was opened does not count as damaged."""
        try:
            with untrusted.reading(self.path):
                yield
        except InUse:
            raise
        except StoreError as error:
            with contextlib.suppress(OSError):
                now = self._look()
                if now[0] == self._looked[0] and now != self._looked:
                    raise StoreError(f"{self.path}: was changed while it was open here; open it again") from error
            raise


def _refuse_other_files(path: Path, file: h5py.File) -> None:
    """Raise StoreError for a file that was not written by `ebayes run` of this or an older version."""
    found = file.attrs.get("schema_version")
    if not isinstance(found, np.integer):
        raise StoreError(f"{path}: is not a results file of ebayes; name one that `ebayes run` wrote")
    if found > SCHEMA_VERSION:
        raise StoreError(f"{path}: was written by a newer ebayes (schema {found}); update ebayes to read it")
    missing = [part for part in PARTS if part not in file]
    missing += [name for name in ("spec", "spec_text", "provenance") if name not in file.attrs]
    if missing:
        raise StoreError(f"{path}: lacks {', '.join(missing)}; restore it from a copy, or run its spec again")


def title(file: Path) -> str:
    """Name of a results file: its own, or that of the sweep's folder in which it was gathered."""
    gathered = file.name == GATHERED and (file.parent / SWEEP).is_file()
    return file.resolve().parent.name if gathered else file.stem
