"""Data sets of torchvision: read from small files in the published formats, downloaded once, refused if damaged."""

from __future__ import annotations

import bz2
import hashlib
import io
import multiprocessing
import os
import pickle
import re
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

from ebayes_core.contract.likelihoods import Classification
from ebayes_core.errors import DataError
from ebayes_core.testing import check_dataset
from ebayes_plugins import mnists
from ebayes_plugins.datasets import FashionMnist, Torchvision
from ebayes_plugins.datasets.vision import GREY
from tests.plugins.test_datasets import TINY, laid

RANDOM = np.random.default_rng(1)
SIZES = {"train": 11, "test": 7}
#: bytes in the layout of our tensors: channels, rows, columns
COLOUR = {split: RANDOM.integers(256, size=(n, 3, 32, 32), dtype=np.uint8) for split, n in SIZES.items()}
GREYS = {split: RANDOM.integers(256, size=(n, 1, 16, 16), dtype=np.uint8) for split, n in SIZES.items()}
LABELS = {split: RANDOM.integers(10, size=n) for split, n in SIZES.items()}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def cifar(monkeypatch: pytest.MonkeyPatch, known: Any, key: str, names: dict[str, str]) -> dict[str, bytes]:
    """Files as of CIFAR: pickles of a dict with rows of 3072 bytes, all red ones first."""
    files = {
        name: pickle.dumps({"data": COLOUR[split].reshape(len(COLOUR[split]), -1), key: LABELS[split].tolist()})
        for split, name in names.items()
    }
    files[known.meta["filename"]] = pickle.dumps({known.meta["key"]: ["a"] * 10})
    for split, name in names.items():
        monkeypatch.setattr(known, f"{split}_list", [[name, md5(files[name])]])
    monkeypatch.setattr(known, "meta", known.meta | {"md5": md5(files[known.meta["filename"]])})
    return {f"{known.base_folder}/{name}": content for name, content in files.items()}


def svhn(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Matlab's files: rows, columns, channels, examples; the digit 0 has the label 10."""
    files, splits = {}, {}
    for split in SIZES:
        held = io.BytesIO()
        y = np.where(LABELS[split] == 0, 10, LABELS[split])
        savemat(held, {"X": COLOUR[split].transpose(2, 3, 1, 0), "y": y[:, None].astype(np.uint8)})
        files[f"{split}_32x32.mat"] = held.getvalue()
        splits[split] = ["http://127.0.0.1:9/x", f"{split}_32x32.mat", md5(held.getvalue())]
    monkeypatch.setattr(datasets.SVHN, "split_list", splits)
    return files


def usps(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Lines of text: the label from 1, then index:value with values in [-1, 1]."""
    files, splits = {}, {}
    for split, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        rows = GREYS[split].reshape(len(GREYS[split]), -1) / 255 * 2 - 1 + 1e-4
        lines = [
            f"{label + 1} " + " ".join(f"{i}:{v:.6f}" for i, v in enumerate(row, 1))
            for label, row in zip(LABELS[split], rows, strict=True)
        ]
        files[name] = bz2.compress("\n".join(lines).encode())
        splits[split] = ["http://127.0.0.1:9/x", name, md5(files[name])]
    monkeypatch.setattr(datasets.USPS, "split_list", splits)
    return files


MADE = {
    "CIFAR10": lambda patch: cifar(patch, datasets.CIFAR10, "labels", {"train": "data_batch_1", "test": "test_batch"}),
    "CIFAR100": lambda patch: cifar(patch, datasets.CIFAR100, "fine_labels", {"train": "train", "test": "test"}),
    "SVHN": svhn,
    "USPS": usps,
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EBAYES_CACHE", str(tmp_path))
    return tmp_path


def put(cache: Path, name: str, files: dict[str, bytes]) -> None:
    for file, content in files.items():
        path = cache / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.mark.parametrize("name", MADE)
def test_images_are_those_in_the_published_format(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, name, MADE[name](monkeypatch))
    before = sorted(os.walk(cache))
    images = GREYS if name == "USPS" else COLOUR
    for split in SIZES:
        x, y = Torchvision(name=name, normalise="unit").load(split)
        assert np.allclose(x * 255, images[split], atol=1e-3) and (y.numpy() == LABELS[split]).all()
        flat, _ = Torchvision(name=name, normalise="unit", layout="flat").load(split)
        assert torch.equal(flat, x.flatten(1)) and x.dtype == torch.float32 and y.dtype == torch.int64
    assert Torchvision(name=name).task() == Classification(100 if name == "CIFAR100" else 10)
    assert sorted(os.walk(cache)) == before


def test_channels_are_normalised_with_the_training_set(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, "CIFAR10", MADE["CIFAR10"](monkeypatch))
    train = COLOUR["train"] / 255
    mean, sd = (t[:, None, None] for t in (train.mean((0, 2, 3)), train.std((0, 2, 3))))
    for split in SIZES:
        found = Torchvision(name="CIFAR10").load(split)[0]
        assert np.allclose(found, (COLOUR[split] / 255 - mean) / sd, atol=1e-5)
        assert torch.allclose(Torchvision(name="CIFAR10").prepare(COLOUR[split] / 255), found, atol=1e-6)
        flat = Torchvision(name="CIFAR10", layout="flat").prepare(COLOUR[split].reshape(-1, 3072) / 255)
        assert torch.allclose(flat, found.flatten(1), atol=1e-6)
    check_dataset(Torchvision, Torchvision(name="CIFAR10"))


def test_grey_images_are_those_of_the_data_set_of_that_name(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laid(cache)
    monkeypatch.setitem(GREY, "FashionMNIST", TINY)
    monkeypatch.setattr(FashionMnist, "files", TINY)
    monkeypatch.setattr(FashionMnist, "size", (4, 4))
    for split in SIZES:
        x, y = Torchvision(name="FashionMNIST").load(split)
        theirs, labels = FashionMnist(layout="image").load(split)
        assert torch.allclose(x, theirs, atol=1e-5) and torch.equal(y, labels) and x.shape[1:] == (1, 4, 4)
    assert mnists.KMNIST in GREY.values()


@pytest.mark.parametrize("name", ["CIFAR10", "SVHN", "USPS"])
def test_a_damaged_file_is_named_and_never_unpickled(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = MADE[name](monkeypatch)
    put(cache, name, files)
    file = next(iter(files))
    (cache / name / file).write_bytes(files[file][:-1] + b"x")
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("unpickled"))
    told = f"^{name}: {re.escape(str(cache / name / file))} is damaged: its MD5 is .*Delete it"
    with pytest.raises(DataError, match=told):
        Torchvision(name=name).load("test")


def test_a_file_that_is_nowhere_is_told_where_to_lay(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    svhn(monkeypatch)
    where = re.escape(str(cache / "SVHN"))
    told = rf"could not be downloaded.*{where}: train_32x32.mat; or .*--cache DIR.*digits"
    with pytest.raises(DataError, match=told):
        Torchvision(name="SVHN").load("train")


class Mirror(BaseHTTPRequestHandler):
    """Serves the archive, and counts requests."""

    asked: ClassVar[Counter[str]] = Counter()
    content: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        """No output."""


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A server with an archive of CIFAR10, in which a file lies that does not belong to it."""
    files, held = MADE["CIFAR10"](monkeypatch), io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, content in {**files, "../outside": b"?"}.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    monkeypatch.setattr(Mirror, "asked", Counter())
    monkeypatch.setattr(Mirror, "content", held.getvalue())
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(held.getvalue()))
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/c.tar.gz")
        yield files
        server.shutdown()


def _load(told: multiprocessing.SimpleQueue) -> None:
    told.put(Torchvision(normalise="unit").load("train")[0].numpy().sum().item())


def test_several_processes_download_once_and_keep_only_its_files(cache: Path, mirror: dict[str, bytes]) -> None:
    processes = multiprocessing.get_context("fork")
    told = processes.SimpleQueue()
    workers = [processes.Process(target=_load, args=(told,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = [told.get() for _ in workers]
    for worker in workers:
        worker.join()
    assert found == [pytest.approx(COLOUR["train"].sum() / 255, rel=1e-5)] * 4 and Mirror.asked == {"/c.tar.gz": 1}
    kept = {str(p.relative_to(cache / "CIFAR10")) for p in cache.rglob("*") if p.is_file()}
    assert kept == set(mirror)


def test_what_comes_damaged_is_not_kept(cache: Path, mirror: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mirror, "content", Mirror.content[:-3])
    with pytest.raises(DataError, match="what is there is not the published file"):
        Torchvision().load("train")
    assert not [p for p in cache.rglob("*") if p.is_file()]
