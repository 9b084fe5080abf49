"""The files of torchvision's data sets: their place in the cache folder, and their download by one process."""

from __future__ import annotations

import hashlib
import http.client
import io
import logging
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from ebayes_core.errors import DataError
from ebayes_core.storage import atomic
from ebayes_core.storage.cache import refused
from ebayes_core.storage.once import once
from ebayes_plugins.mnists import TIMEOUT

log = logging.getLogger("ebayes")


@dataclass(frozen=True)
class Source:
    """An address, the MD5 of what is there, and the files that it provides with the MD5 of each."""

    url: str
    md5: str
    files: dict[str, str]

    def unpacked(self, content: bytes) -> dict[str, bytes]:
        """The files in what was downloaded: those of an archive, or the download itself."""
        if not self.url.endswith(".tar.gz"):
            return dict.fromkeys(self.files, content)
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            members = {name: archive.extractfile(name) for name in self.files}
            return {name: member.read() for name, member in members.items() if member is not None}


def sources(name: str) -> list[Source]:
    """Where torchvision finds a data set."""
    from torchvision import datasets

    known: Any = getattr(datasets, name)
    if hasattr(known, "split_list"):  # a file for each split
        splits = [known.split_list[split] for split in ("train", "test")]
        return [Source(url, md5, {file: md5}) for url, file, md5 in splits]
    parts = [*known.train_list, *known.test_list, (known.meta["filename"], known.meta["md5"])]
    return [Source(known.url, known.tgz_md5, {f"{known.base_folder}/{file}": md5 for file, md5 in parts})]


def ensure(name: str, folder: Path) -> None:
    """Check the files of a data set in a folder; what is missing is downloaded by one process while others wait.

    Raises DataError for a damaged file, and for a missing one that cannot be downloaded, saying what to put where.
    """
    wanted = sources(name)
    missing = lambda: [s for s in wanted if any(not (folder / file).is_file() for file in s.files)]
    if missing():
        try:
            atomic.make(folder)
            once(folder, lambda: not missing(), lambda: _fetch_all(name, missing(), folder))
        except OSError as error:
            raise refused(folder, error) from error
    for file, md5 in (pair for source in wanted for pair in source.files.items()):
        _check(name, folder / file, md5)


def _check(name: str, path: Path, md5: str) -> None:
    try:
        found = _md5(path.read_bytes())
    except OSError as error:
        raise DataError(f"{name}: {path} cannot be read: {error.strerror or error}") from error
    if found != md5:
        raise DataError(
            f"{name}: {path} is damaged: its MD5 is {found}, that of the published file {md5}. Delete it, and the next "
            "run downloads it again; or replace it by an undamaged copy"
        )


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _fetch_all(name: str, wanted: list[Source], folder: Path) -> None:
    for source in wanted:
        _fetch(name, source, folder)


def _fetch(name: str, source: Source, folder: Path) -> None:
    """Download, verify and unpack; a file appears in the folder when it is complete."""
    log.warning("downloading %s", source.url)
    try:
        with urlopen(source.url, timeout=TIMEOUT) as answer:
            content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise _nowhere(name, source, folder, getattr(error, "reason", error)) from error
    if _md5(content) != source.md5:
        raise _nowhere(name, source, folder, "what is there is not the published file")
    for file, part in source.unpacked(content).items():
        atomic.make((folder / file).parent)
        with atomic.replacing(folder / file) as beside:
            beside.write_bytes(part)


def _nowhere(name: str, source: Source, folder: Path, why: object) -> DataError:
    files = ", ".join(source.files)
    return DataError(
        f"{name}: {source.url} could not be downloaded ({why}). Put its files into {folder}: {files}; or name the "
        f"folder that contains {name}/ with --cache DIR or EBAYES_CACHE. The data sets mnist5k and digits need no "
        "download"
    )
