"""What is left when the power fails: what was synced, and of the rest nothing.

A recorder keeps each file as it was at its last fsync, and of each folder the names at its last fsync. File systems
differ in what they keep beyond that; two of the worst are rebuilt: all names but none of the data that was not
synced, and neither names nor data.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path


class Recorder:
    """Notes in a folder of its own what a disk has for certain."""

    def __init__(self, shadow: Path, place: Path) -> None:
        self.shadow, self.place, self.real = shadow, place, os.fsync
        shadow.mkdir()
        for folder, _, files in os.walk(place):  # what was there before is on the disk
            for name in files:
                self._data(Path(folder, name))
            self._names(Path(folder))
        os.fsync = self.fsync  # HDF5 does not call it; whatever is synced passes here

    def fsync(self, handle: int) -> None:
        """As os.fsync, and noted."""
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
        """Held by a second name, so that no other file gets its number."""
        kept = self.shadow / f"{number}.kept"
        if not kept.exists():
            os.link(path, kept)


def fail(place: Path, shadow: Path, names_too: bool) -> None:
    """Turn a folder into what is left of it."""
    left = place.with_name("left")
    left.mkdir()
    _rebuild(place if not names_too else None, place.stat().st_ino, shadow, left)
    shutil.rmtree(place)
    left.rename(place)


def _rebuild(real: Path | None, number: int, shadow: Path, target: Path) -> None:
    """A folder from its names as they are, or as they were synced; files that were not synced are empty."""
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
