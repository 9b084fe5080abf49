"""Files of data sets: damaged files are named, for missing ones the message says what to put where, others are read."""

from __future__ import annotations

import gzip
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch

from ebayes_core.engine.data import digest
from ebayes_core.errors import DataError, UserError
from ebayes_core.storage.cache import cache_dir
from ebayes_core.storage.once import once
from ebayes_plugins import mnists
from ebayes_plugins.analyses._rebuilt import dataset_of
from ebayes_plugins.datasets import Digits, Mnist, Mnist5k
from ebayes_plugins.idx import Damaged, File
from ebayes_plugins.mnists import Images

SHARED = Path(__file__).parents[3] / "shared" / "data" / "mnist"


def idx(array: np.ndarray, code: int = 8) -> bytes:
    """An array in the format, written out independently of the reader."""
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.tobytes()


def made_up(split: str, count: int) -> tuple[tuple[File, bytes], tuple[File, bytes]]:
    random = np.random.default_rng(count)
    images, labels = random.integers(256, size=(count, 4, 4)), random.integers(10, size=count)
    found = []
    for name, array in ((f"{split}-images-idx3-ubyte", images), (f"{split}-labels-idx1-ubyte", labels)):
        content = idx(array.astype(np.uint8))
        found.append((File(name, array.shape, sha256=hashlib.sha256(content).hexdigest()), content))
    return found[0], found[1]


CONTENT = {file: content for split, count in (("train", 30), ("t10k", 20)) for file, content in made_up(split, count)}
FILES = list(CONTENT)
TINY = Images("Tiny", (FILES[0], FILES[1]), (FILES[2], FILES[3]))
ARCHIVES = {file.archive: gzip.compress(content) for file, content in CONTENT.items()}
#: the same, of which only the archives' digests are known
PACKED = Images("Tiny", *(
    tuple(replace(f, sha256="", md5=hashlib.md5(ARCHIVES[f.archive]).hexdigest()) for f in pair)
    for pair in (TINY.train, TINY.test)
))  # type: ignore[arg-type]  # fmt: skip


def laid(cache: Path, packed: bool = False) -> Path:
    raw = cache / "Tiny" / "raw"
    raw.mkdir(parents=True)
    for file, content in CONTENT.items():
        name, written = (file.archive, ARCHIVES[file.archive]) if packed else (file.name, content)
        (raw / name).write_bytes(written)
    return raw


def changed(at: int, value: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:at] + bytes([value]) + content[at + 1 :]


DAMAGE = {
    "cut to half": (0, lambda content: content[: len(content) // 2], "248 bytes instead of 496"),
    "empty": (0, lambda content: b"", "0 bytes instead of 496"),
    "one byte more": (1, lambda content: content + b"x", "39 bytes instead of 38"),
    "damaged head": (0, changed(2, 7), "starts with 00000703.* instead of 00000803"),
    "other shape": (0, changed(7, 29), "starts with"),
    "a label of 200": (1, changed(8 + 17, 200), "example 17, counted from 0, has the label 200"),
    "one flipped pixel": (0, lambda content: changed(100, content[100] ^ 1)(content), "its SHA-256 is .* published"),
    "one label moved": (1, lambda content: changed(9, (content[9] + 1) % 10)(content), "its SHA-256 is .* published"),
}


@pytest.mark.parametrize(("which", "damage", "why"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path: Path, which: int, damage: Callable, why: str) -> None:
    path = laid(tmp_path) / FILES[which].name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"^Tiny: {re.escape(str(path))} is damaged: .*{why}.*Delete it"):
        TINY.read("train", tmp_path)


@pytest.mark.parametrize("images", [TINY, PACKED], ids=["SHA-256", "MD5"])
@pytest.mark.parametrize("damage", [lambda c: c[:-9], lambda c: b"", lambda c: b"not gzip", lambda c: c[:60] + c[61:]])
def test_a_damaged_archive_is_named_too(tmp_path: Path, images: Images, damage: Callable) -> None:
    path = laid(tmp_path, packed=True) / FILES[0].archive
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"^Tiny: {re.escape(str(path))} is damaged: .*Delete it"):
        images.read("train", tmp_path)


def test_an_archive_packed_anew_is_as_good_where_its_content_is_known(tmp_path: Path) -> None:
    raw = laid(tmp_path, packed=True)
    (raw / FILES[0].archive).write_bytes(gzip.compress(CONTENT[FILES[0]], 1))
    TINY.read("train", tmp_path)
    with pytest.raises(DataError, match=r"its MD5 is"):
        PACKED.read("train", tmp_path)


@pytest.mark.parametrize(("packed", "images"), [(False, TINY), (True, TINY), (True, PACKED), (False, PACKED)])
def test_whole_files_are_read_and_nothing_is_written(tmp_path: Path, packed: bool, images: Images) -> None:
    """If only the archive's digest is known, size, header and labels are all that can be checked of the file."""
    raw = laid(tmp_path, packed)
    for folder in (raw, raw.parent, tmp_path):
        folder.chmod(0o555)
    before = [path.stat().st_mtime_ns for path in (raw, raw.parent, tmp_path)]
    for split, count in (("train", 30), ("test", 20)):
        x, y = images.read(split, tmp_path)
        random = np.random.default_rng(count)
        assert (x == random.integers(256, size=(count, 4, 4))).all() and (y == random.integers(10, size=count)).all()
    assert before == [path.stat().st_mtime_ns for path in (raw, raw.parent, tmp_path)]
    for folder in (tmp_path, raw.parent, raw):
        folder.chmod(0o755)


def test_the_archive_goes_before_a_file_that_nothing_vouches_for(tmp_path: Path) -> None:
    raw = laid(tmp_path, packed=True)
    (raw / FILES[0].name).write_bytes(changed(100, 0)(CONTENT[FILES[0]]))
    assert PACKED.train[0].found(raw) == raw / FILES[0].archive
    assert TINY.train[0].found(raw) == raw / FILES[0].name


def test_labels_of_qmnist_are_the_first_of_eight_numbers() -> None:
    table = (np.arange(16).reshape(2, 8) % 10).astype(">i4")
    file = File("qmnist-test-labels-idx2-int", (2, 8))
    assert (file.array(idx(table, code=12), packed=False) == table).all()
    with pytest.raises(Damaged, match="example 1, counted from 0, has the label -1"):
        file.array(idx(np.where(table == 8, -1, table).astype(">i4"), code=12), packed=False)


def test_digests_are_those_that_torchvision_downloads_by() -> None:
    from torchvision import datasets

    for images in (mnists.FASHION_MNIST, mnists.KMNIST, mnists.QMNIST):
        resources = getattr(datasets, images.source).resources
        pairs = sum(resources.values(), []) if isinstance(resources, dict) else resources
        known = {url.rsplit("/")[-1]: md5 for url, md5 in pairs if not url.endswith(".xz")}
        assert known == {file.archive: file.md5 for file in (*images.train, *images.test)}
    for images in (mnists.MNIST, mnists.FASHION_MNIST, mnists.KMNIST, mnists.QMNIST):
        assert all(url.startswith("http") for file in (*images.train, *images.test) for url in images.urls(file))


# --- from the network ------------------------------------------------------------------------------------------------


class Mirror(BaseHTTPRequestHandler):
    """Serves the archives, and counts requests."""

    asked: ClassVar[Counter[str]] = Counter()
    damage: ClassVar[Callable[[bytes], bytes]] = staticmethod(lambda content: content)

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        self.asked[name] += 1
        content = type(self).damage(ARCHIVES[name])
        self.send_response(200)
        self.send_header("Content-Length", str(len(ARCHIVES[name])))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """No output."""


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Mirror]]:
    """A real server on this machine, instead of torchvision's mirrors."""
    monkeypatch.setattr(Mirror, "asked", Counter())
    monkeypatch.setattr(Mirror, "damage", staticmethod(lambda content: content))
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(Images, "urls", lambda _, file: [address + file.archive])
        yield Mirror
        server.shutdown()


def _read(cache: Path, told: multiprocessing.SimpleQueue) -> None:
    told.put([array.sum().item() for array in TINY.read("train", cache)])


def test_several_processes_that_meet_an_empty_cache_download_once(tmp_path: Path, mirror: type[Mirror]) -> None:
    processes = multiprocessing.get_context("fork")
    told = processes.SimpleQueue()
    workers = [processes.Process(target=_read, args=(tmp_path, told)) for _ in range(6)]
    for worker in workers:
        worker.start()
    found = [told.get() for _ in workers]
    for worker in workers:
        worker.join()
    assert found == [[array.sum().item() for array in TINY.read("train", tmp_path)]] * 6
    assert mirror.asked == dict.fromkeys(ARCHIVES, 1)
    assert sorted(os.listdir(tmp_path / "Tiny" / "raw")) == sorted(ARCHIVES)


def test_where_the_first_fails_the_next_one_makes_it(tmp_path: Path) -> None:
    made: list[int] = []

    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        once(tmp_path, lambda: bool(made), fails)
    (tmp_path / "making.1.lease").write_text('{"host": "gone"')  # as a process leaves it that died
    shutil.copy(tmp_path / "making.1.lease", tmp_path / "making.3.lease")
    from ebayes_core.storage.lease import Pace

    once(tmp_path, lambda: bool(made), lambda: made.append(1), Pace(beat=0.1, stale=0.2))
    assert made == [1] and not os.listdir(tmp_path)
    once(tmp_path, lambda: True, fails)


@pytest.mark.parametrize("damage", [lambda content: content[:-5], lambda content: content[::-1]])
def test_what_comes_damaged_is_not_kept(tmp_path: Path, mirror: type[Mirror], damage: Callable, monkeypatch) -> None:
    monkeypatch.setattr(mirror, "damage", staticmethod(damage))
    with pytest.raises(DataError, match=r"could not be downloaded \(127.*Put the files of the data set there"):
        TINY.read("train", tmp_path)
    assert not os.listdir(tmp_path / "Tiny" / "raw")
    monkeypatch.undo()


def test_a_file_that_is_nowhere_is_told_where_to_lay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Images, "urls", lambda _, file: ["http://127.0.0.1:9/" + file.archive])
    (laid(tmp_path) / FILES[1].name).unlink()
    where = re.escape(str(tmp_path / "Tiny" / "raw"))
    told = rf"train-labels-idx1-ubyte is not in {where} and could not.*--cache DIR or EBAYES_CACHE.*digits"
    with pytest.raises(DataError, match=told):
        TINY.read("train", tmp_path)


def test_a_cache_folder_that_cannot_be_made_is_named_with_both_ways_out(tmp_path: Path, mirror: type[Mirror]) -> None:
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "cache"
    told = f"{re.escape(str(cache))}.*Not a directory.*--cache DIR or EBAYES_CACHE"
    with pytest.raises(DataError, match=told):
        TINY.read("train", cache)
    assert not mirror.asked


def test_no_home_folder_is_no_folder_called_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBAYES_CACHE", "~nobody-of-that-name/cache")
    with pytest.raises(DataError, match="--cache DIR or EBAYES_CACHE"):
        cache_dir()
    monkeypatch.setenv("EBAYES_CACHE", str(tmp_path / "there"))
    assert cache_dir() == tmp_path / "there" and not (tmp_path / "there").exists()


def test_an_analysis_looks_at_the_data_that_were_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """two_synapses and predictive evaluate networks on the data set again, which may have changed since."""
    table = Digits().model_dump(mode="json")
    loaded = [part for split in ("train", "test") for part in Digits().load(split)]
    run = SimpleNamespace(member_spec=lambda i: {"dataset": table}, provenance={})
    assert dataset_of(run, [0], "mine") == Digits()
    run.provenance = {"data": {json.dumps(table): [digest(loaded)]}}
    assert dataset_of(run, [0], "mine") == Digits()
    run.provenance = {"data": {json.dumps(table): [digest(loaded[::-1])]}}
    with pytest.raises(UserError, match=r"mine evaluates .* 'digits' is not what they were trained on"):
        dataset_of(run, [0], "mine")


@pytest.mark.parametrize("split", ["train", "test"])
def test_layouts_are_the_same_pixels_in_another_shape(split: str) -> None:
    flat, labels = Digits().load(split)
    image, rows = (Digits(layout=layout).load(split) for layout in ("image", "rows"))
    assert flat.shape[1:] == (64,) and image[0].shape[1:] == (1, 8, 8) and rows[0].shape[1:] == (8, 8)
    assert torch.equal(rows[0][:, 2, 5], flat[:, 2 * 8 + 5]) and torch.equal(image[0][:, 0], rows[0])
    assert torch.equal(image[1], labels) and torch.equal(rows[1], labels)
    assert Mnist5k(layout="image").load(split)[0].shape[1:] == (1, 28, 28)


# --- the real one ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"no MNIST in {SHARED}")
    raw = tmp_path_factory.mktemp("cache") / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for archive in SHARED.glob("*.gz"):
        (raw / archive.stem).write_bytes(gzip.decompress(archive.read_bytes()))
    return raw


def test_mnist_is_what_torchvision_reads(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    monkeypatch.setenv("EBAYES_CACHE", str(real.parents[1]))
    for split in ("train", "test"):
        x, y = Mnist(normalise="unit").load(split)
        theirs = datasets.MNIST(str(real.parents[1]), train=split == "train")
        assert torch.equal(x, theirs.data.flatten(1).float() / 255) and torch.equal(y, theirs.targets)


def test_one_flipped_pixel_of_mnist_does_not_train(real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "MNIST" / "raw"
    shutil.copytree(real, raw)
    path = raw / "t10k-images-idx3-ubyte"
    content = path.read_bytes()
    path.write_bytes(changed(5_000_000, content[5_000_000] ^ 1)(content))
    monkeypatch.setenv("EBAYES_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte is damaged: its SHA-256"):
        Mnist().load("test")
