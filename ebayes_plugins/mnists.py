"""MNIST and its relatives: their files, the place of these in the cache folder, and their download."""

from __future__ import annotations

import http.client
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np

from ebayes_core.errors import DataError
from ebayes_core.storage import atomic
from ebayes_core.storage.cache import refused
from ebayes_core.storage.once import once
from ebayes_plugins.idx import SUFFIX, Damaged, File

TIMEOUT = 60.0  #: seconds without a byte before the next mirror is tried
log = logging.getLogger("ebayes")


@dataclass(frozen=True)
class Images:
    """A data set in this format: images and labels of each split, in `source`/raw in the cache folder."""

    source: str  #: name of its class in torchvision.datasets, whose mirrors are used
    train: tuple[File, File]
    test: tuple[File, File]

    def read(self, split: str, cache: Path) -> tuple[np.ndarray, np.ndarray]:
        """Images (examples, rows, columns) uint8 and labels (examples,); missing files are downloaded by one process.

        Raises DataError for a damaged file, saying what is wrong with it, and for a missing file that cannot be
        downloaded, saying what to put where.
        """
        folder, files = cache / self.source / "raw", self.train if split == "train" else self.test
        missing = lambda: [file for file in (*self.train, *self.test) if not file.found(folder)]
        if any(not file.found(folder) for file in files):
            self._download(missing, folder)
        images, labels = (self._content(file, folder) for file in files)
        return images, labels.reshape(len(labels), -1)[:, 0]

    def _content(self, file: File, folder: Path) -> np.ndarray:
        path = file.found(folder) or folder / file.name
        try:
            return file.array(path.read_bytes(), path.suffix == SUFFIX)
        except Damaged as error:
            raise DataError(
                f"{self.source}: {path} is damaged: {error}. Delete it, and the next run downloads it again; or "
                "replace it by an undamaged copy"
            ) from error
        except OSError as error:
            raise DataError(f"{self.source}: {path} cannot be read: {error.strerror or error}") from error

    def _download(self, missing: Callable[[], list[File]], folder: Path) -> None:
        try:
            atomic.make(folder)
            once(folder, lambda: not missing(), lambda: self._fetch_all(missing(), folder))
        except OSError as error:
            raise refused(folder, error) from error

    def _fetch_all(self, files: list[File], folder: Path) -> None:
        for file in files:
            self._fetch(file, folder)

    def _fetch(self, file: File, folder: Path) -> None:
        """Download one archive from the first mirror that provides it undamaged."""
        told = []
        for url in self.urls(file):
            try:
                log.warning("downloading %s", url)
                with urlopen(url, timeout=TIMEOUT) as answer:
                    content = answer.read()
                file.array(content, packed=True)
            except (OSError, http.client.HTTPException, Damaged) as error:
                told.append(f"{urlsplit(url).netloc}: {getattr(error, 'reason', error)}")
                continue
            with atomic.replacing(folder / file.archive) as beside:
                beside.write_bytes(content)
            return
        raise self._nowhere(file, folder, told)

    def urls(self, file: File) -> list[str]:
        """Addresses of its archive."""
        from torchvision import datasets

        source = getattr(datasets, self.source)
        if isinstance(source.resources, dict):  # QMNIST lists full addresses
            return [url for pairs in source.resources.values() for url, _ in pairs if url.endswith("/" + file.archive)]
        return [mirror + file.archive for mirror in source.mirrors]

    def _nowhere(self, file: File, folder: Path, told: Sequence[str]) -> DataError:
        names = ", ".join(file.archive for file in (*self.train, *self.test))
        return DataError(
            f"{self.source}: {file.name} is not in {folder} and could not be downloaded ({'; '.join(told)}). Put the "
            f"files of the data set there, compressed or not: {names}; or name the folder that contains "
            f"{self.source}/raw with --cache DIR or EBAYES_CACHE. The data sets mnist5k and digits need no download"
        )


def _as_mnist(*digests: str, known: str = "md5") -> tuple[tuple[File, File], tuple[File, File]]:
    """The files of a data set that has MNIST's layout, in the order of torchvision's list."""
    names = [f"{split}-{what}-ubyte" for split in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
    shapes = (60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,)
    parts = zip(names, shapes, digests, strict=True)
    images, labels, *test = (File(name, shape, **{known: digest}) for name, shape, digest in parts)
    return (images, labels), (test[0], test[1])


MNIST = Images("MNIST", *_as_mnist(
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    known="sha256",
))  # fmt: skip
FASHION_MNIST = Images("FashionMNIST", *_as_mnist(
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310",
))  # fmt: skip
KMNIST = Images("KMNIST", *_as_mnist(
    "bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344",
    "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134",
))  # fmt: skip
QMNIST = Images(
    "QMNIST",
    (
        File("qmnist-train-images-idx3-ubyte", (60_000, 28, 28), md5="ed72d4157d28c017586c42bc6afe6370"),
        File("qmnist-train-labels-idx2-int", (60_000, 8), md5="0058f8dd561b90ffdd0f734c6a30e5e4"),
    ),
    (
        File("qmnist-test-images-idx3-ubyte", (60_000, 28, 28), md5="1394631089c404de565df7b7aeaf9412"),
        File("qmnist-test-labels-idx2-int", (60_000, 8), md5="5b5b05890a5e13444e108efe57b788aa"),
    ),
)
