"""A results file that is open, and in nobody's way: no lock is held, and whoever replaces it replaces it for others."""

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

#: 1 had no seal
SCHEMA_VERSION = 2
GATHERED = "results.h5"  #: the results file in a sweep's folder
PARTS = ("members", "members/spec", "members/seed", "members/status", "curves", "layer_metrics", "networks", "analyses")


class OpenFile:
    """Open from the start; closed by `with`, by `close`, or when the program ends.

    Raises StoreError for what is no results file, InUse for one that another program is writing to.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._open()

    def _open(self) -> None:
        with contextlib.ExitStack() as held:
            self._held, self._looked = held.enter_context(untrusted.opened(self.path)), self._look()
            with self.reading():
                _refuse_other_files(self.path, self._held)
            # HDF5, which reads through Python, must not have it open when Python ends
            self._end = weakref.finalize(self, held.pop_all().close)

    def _look(self) -> tuple[int, ...]:
        found = self.path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    @property
    def closed(self) -> bool:
        """Whether nothing can be read from it any more."""
        return not self._end.alive

    def close(self) -> None:
        """Let go of the file; once more does no harm."""
        self._end()

    def __enter__(self) -> Self:
        """Itself, opened again if it was closed."""
        if self.closed:  # and what was remembered may be of another file
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
        """As `strangers.reading`; what was written in place since it was opened is not damaged either."""
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
    """Raise StoreError for what no `ebayes run` of this version or an older one wrote."""
    found = file.attrs.get("schema_version")
    if not isinstance(found, np.integer):
        raise StoreError(f"{path}: is no results file of ebayes; name one that `ebayes run` wrote")
    if found > SCHEMA_VERSION:
        raise StoreError(f"{path}: was written by a newer ebayes (schema {found}); update ebayes to read it")
    missing = [part for part in PARTS if part not in file]
    missing += [name for name in ("spec", "spec_text", "provenance") if name not in file.attrs]
    if missing:
        raise StoreError(f"{path}: lacks {', '.join(missing)}; restore it from a copy, or run its spec again")


def title(file: Path) -> str:
    """What a results file is called: by its own name, or by that of the sweep's folder in which it was gathered."""
    gathered = file.name == GATHERED and (file.parent / "sweep.json").is_file()
    return file.resolve().parent.name if gathered else file.stem
