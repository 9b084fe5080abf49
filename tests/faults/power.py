"""The state after a power failure: what was synced, and nothing else.

A recorder keeps each file as it was at its last fsync, and the names in each folder at its last fsync. File systems
differ in what else they keep; two of the worst cases are rebuilt: all names but no data that were not synced, and
neither names nor data.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path


class Recorder:
    """Records, in a folder of its own, what is certainly on the disk."""

    def __init__(self, shadow: Path, place: Path) -> None:
        self.shadow, self.place, self.real = shadow, place, os.fsync
        shadow.mkdir()
        for folder, _, files in os.walk(place):  # everything that existed before is on the disk
            for name in files:
                self._data(Path(folder, name))
            self._names(Path(folder))
        os.fsync = self.fsync  # HDF5 does not call fsync, so every call passes through here

    def fsync(self, handle: int) -> None:
        """As os.fsync, and recorded."""
        self.real(handle)
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if path.is_relative_to(self.place):
            (self._names if path.is_dir() else self._data)(path)

    def _data(self, path: Path) -> None:
        number = path.stat().st_ino
        shutil.copyfile(path, self.shadow / f"{number}.data")
        self._keep(path, number)

    def _names(self, folder: Path) -> None:
        inside = {path.name: (path.stat().st_ino, path.is_dir()) for path in folder.iterdir()}
        (self.shadow / f"{folder.stat().st_ino}.names").write_text(json.dumps(inside))
        for path in folder.iterdir():
            if not path.is_dir():
                self._keep(path, path.stat().st_ino)

    def _keep(self, path: Path, number: int) -> None:
        """Keep the file under a second name, so that its inode number is not used again."""
        kept = self.shadow / f"{number}.kept"
        if not kept.exists():
            os.link(path, kept)


def fail(place: Path, shadow: Path, names_too: bool) -> None:
    """Turn a folder into what remains of it."""
    left = place.with_name("left")
    left.mkdir()
    _rebuild(place if not names_too else None, place.stat().st_ino, shadow, left)
    shutil.rmtree(place)
    left.rename(place)


def _rebuild(real: Path | None, number: int, shadow: Path, target: Path) -> None:
    """A folder with its current names, or with those that were synced; files that were not synced are empty."""
    noted = shadow / f"{number}.names"
    inside = json.loads(noted.read_text()) if noted.exists() else {}
    if real:
        inside = {path.name: (path.stat().st_ino, path.is_dir()) for path in real.iterdir()}
    for name, (inner, is_folder) in inside.items():
        if is_folder:
            (target / name).mkdir()
            _rebuild(real and real / name, inner, shadow, target / name)
        else:
            kept = shadow / f"{inner}.data"
            (target / name).write_bytes(kept.read_bytes() if kept.exists() else b"")
