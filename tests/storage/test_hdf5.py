"""Trees are read back to the bit, files are written atomically, and untrusted files cannot reach outside themselves."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

import ebayes_core
from ebayes_core.errors import StoreError
from ebayes_core.storage import atomic, hdf5

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/.\0"), min_size=1, max_size=8)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
DTYPES = st.sampled_from(["float32", "float64", "int64", "uint8", "bool"])
ARRAYS = DTYPES.flatmap(lambda d: nps.arrays(d, nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
TREES = st.recursive(
    st.dictionaries(NAMES, ARRAYS | TEXT, max_size=3),
    lambda inner: st.dictionaries(NAMES, inner | ARRAYS | TEXT, max_size=3),
    max_leaves=6,
)


def same(a: object, b: object) -> bool:
    """Equal to the bit: keys, types, shapes, NaN and the sign of zero too."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, str):
        return isinstance(b, str) and a == b
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@given(TREES, st.dictionaries(NAMES, TEXT | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False), max_size=3))
def test_a_tree_comes_back_to_the_bit(tree: dict, attrs: dict) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.h5"
        hdf5.save(path, tree, attrs)
        found, kept = hdf5.load(path)
    assert same(tree, found)
    assert kept == attrs


def test_arrays_of_text_come_back(tmp_path: Path) -> None:
    hdf5.save(tmp_path / "t.h5", {"a": np.array(["x", "", "µ ñ"]), "none": np.array([], dtype=str)})
    tree, _ = hdf5.load(tmp_path / "t.h5")
    assert tree["a"].tolist() == ["x", "", "µ ñ"]
    assert tree["none"].shape == (0,)


@pytest.mark.parametrize("name", ["a/b", ".", ""])
def test_a_name_that_hdf5_would_take_for_a_path_is_refused(tmp_path: Path, name: str) -> None:
    for value in (np.ones(2), {"x": np.ones(2)}):
        with pytest.raises(StoreError, match="is not a valid name of an array"):
            hdf5.save(tmp_path / "t.h5", {name: value})
    assert not list(tmp_path.iterdir())


def test_arrays_have_checksums_that_notice_a_flipped_bit(tmp_path: Path) -> None:
    path = tmp_path / "t.h5"
    hdf5.save(path, {"a": np.arange(1000.0)})
    raw = bytearray(path.read_bytes())
    raw[raw.index(np.arange(1000.0).tobytes()) + 99] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StoreError, match=r"t\.h5.*damaged"):
        hdf5.load(path)


# --- whole or not at all ---------------------------------------------------------------------------------------------


class Disk(OSError):
    """A full disk."""


def failing(monkeypatch: pytest.MonkeyPatch, where: object, name: str, call: int) -> None:
    """Make the given call (from 0) of a function fail."""
    real, calls = getattr(where, name), iter(range(1000))

    def fail(*args: object, **kwargs: object) -> object:
        if next(calls) == call:
            raise Disk("no space left")
        return real(*args, **kwargs)

    monkeypatch.setattr(where, name, fail)


CRASHES = [
    (h5py.File, "__init__", 0), (h5py.Group, "create_dataset", 1), (os, "chmod", 0),
    (os, "fsync", 0), (os, "replace", 0), (os, "fsync", 1),
]  # fmt: skip


@pytest.mark.parametrize(("where", "name", "call"), CRASHES)
def test_a_failed_save_is_loud_and_leaves_a_whole_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: object, name: str, call: int
) -> None:
    path = tmp_path / "t.h5"
    old, new = {"a": np.arange(5), "b": "old"}, {"a": np.arange(9), "b": "new"}
    hdf5.save(path, old)
    with monkeypatch.context() as patch:
        failing(patch, where, name, call)
        with pytest.raises(Disk):
            hdf5.save(path, new)
    tree, _ = hdf5.load(path)
    folder_synced_last = (where, name, call) == (os, "fsync", 1)
    assert same(tree, new if folder_synced_last else old)
    assert list(tmp_path.iterdir()) == [path]


DIE = """
import os, sys
from pathlib import Path
import numpy as np
from ebayes_core.storage import hdf5
name, call = sys.argv[2], int(sys.argv[3])
real, calls = getattr(os, name), iter(range(99))
setattr(os, name, lambda *a, **k: os._exit(9) if next(calls) == call else real(*a, **k))
hdf5.save(Path(sys.argv[1]), {"a": np.arange(9)})
"""


@pytest.mark.parametrize(("name", "call"), [("chmod", 0), ("fsync", 0), ("replace", 0), ("fsync", 1)])
def test_a_process_that_dies_leaves_a_whole_file_and_the_next_save_cleans_up(
    tmp_path: Path, name: str, call: int
) -> None:
    path = tmp_path / "run[1].h5"  # brackets mean something to glob
    hdf5.save(path, {"a": np.arange(5)})
    died = subprocess.run([sys.executable, "-c", DIE, str(path), name, str(call)], check=False)
    assert died.returncode == 9
    tree, _ = hdf5.load(path)
    assert same(tree["a"], np.arange(9 if call else 5))
    left = [p for p in tmp_path.iterdir() if p != path]
    assert len(left) == (0 if call else 1)
    hdf5.save(path, {"a": np.arange(3)})
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.h5"
    with atomic.replacing(path) as beside:
        hdf5.save(path, {"a": np.ones(2)})
        assert beside.exists()
        hdf5.save(beside, {"a": np.zeros(2)})
    assert same(hdf5.load(path)[0]["a"], np.zeros(2))


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_file_has_the_permissions_of_any_new_file(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        hdf5.save(tmp_path / "t.h5", {})
        (tmp_path / "plain").touch()
    finally:
        os.umask(before)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("t.h5", "plain")}
    assert modes == {0o666 & ~mask}


# --- untrusted files --------------------------------------------------------------------------------------------------


def _external_storage(file: h5py.File) -> None:
    file.create_dataset("x", (4,), "u1", external=[("/etc/hostname", 0, 4)])


def _virtual(file: h5py.File) -> None:
    virtual = h5py.VirtualLayout((4,), "f8")
    virtual[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file.create_virtual_dataset("x", virtual)


def _references(file: h5py.File) -> None:
    file.create_dataset("x", (1,), h5py.ref_dtype)[0] = file.ref


def _ragged(file: h5py.File) -> None:
    file.create_dataset("x", (1,), h5py.vlen_dtype(np.int8))


def _compound_with_text(file: h5py.File) -> None:
    file.create_dataset("x", (1,), np.dtype([("a", h5py.string_dtype()), ("b", "f8")]))


def _circle(file: h5py.File) -> None:
    group = file.create_group("a")
    group["again"] = group


def _named_type(file: h5py.File) -> None:
    file["x"] = np.dtype("f8")


def _huge(file: h5py.File) -> None:
    file.create_dataset("x", (10**6, 10**6), "f8", chunks=(10, 10))


def _huge_when_unpacked(file: h5py.File) -> None:
    file.create_dataset("x", (10**6, 10**6), "f8", chunks=(10, 10), compression="gzip")[:10, :10] = 1


def _many_of_one_text(file: h5py.File) -> None:
    """Each of them is a pointer to the same 100 kB: a file of 260 kB expands to a gigabyte."""
    item = file.create_dataset("x", (10_000,), h5py.string_dtype())
    item[:1] = "x" * 100_000
    file.file.flush()
    at = item.id.get_offset()
    with open(file.file.filename, "r+b") as raw:
        raw.seek(at)
        first = raw.read(16)
        raw.seek(at)
        raw.write(first * 10_000)


def _texts_in_chunks(file: h5py.File) -> None:
    file.create_dataset("x", (10,), h5py.string_dtype(), chunks=(10,))[:1] = "x"


def _much_text_in_an_attribute(file: h5py.File) -> None:
    file.attrs.create("x", ["a"] * 1000, dtype=h5py.string_dtype())


def _objects_in_an_attribute(file: h5py.File) -> None:
    file.attrs.create("x", file.ref, dtype=h5py.ref_dtype)


def _deep(file: h5py.File) -> None:
    for _ in range(1500):
        file = file.create_group("a")


def _large_chunk(file: h5py.File) -> None:
    file.create_dataset("x", (1,), "u1", chunks=(2**31,), maxshape=(None,), compression="gzip")


PICKLES = re.compile(
    r"\b(c|cloud)?pickle\b|\bdill\b|\bjoblib\b|\bshelve\b|\bmarshal\b|torch\.load|np\.load\b|allow_pickle",
    re.IGNORECASE,
)
#: arrays of a user's own in numpy's format, and weights in torch's, both refused if they hold anything else
SAFE = re.compile(
    r"np\.load\(path, allow_pickle=False\)|np\.savez\(file, allow_pickle=False, |"
    r'torch\.load\(path, map_location="cpu", weights_only=True\)|import pickle\n|pickle\.UnpicklingError'
)
STRANGE = {
    "claims longer texts than": _many_of_one_text,
    "texts in chunks": _texts_in_chunks,
    "attribute x, claims more than": _much_text_in_an_attribute,
    "attribute x, holds objects": _objects_in_an_attribute,
    "nested more than 16 levels deep": _deep,
    "claims 2147483648 bytes": _large_chunk,
    "link": lambda f: f.__setitem__("x", h5py.SoftLink("/y")),
    "is a link": lambda f: f.__setitem__("x", h5py.ExternalLink("other.h5", "/x")),
    "outside the file": _external_storage,
    "stored outside": _virtual,
    "objects": _references,
    "or holds objects": _ragged,
    "holds objects": _compound_with_text,
    "twice": _circle,
    "it is not read": _named_type,
    "more than the file holds": _huge,
    "bytes, more than": _huge_when_unpacked,
}


@pytest.mark.parametrize("says", STRANGE)
@pytest.mark.parametrize("inside", [False, True])
def test_files_that_are_more_than_data_are_refused(tmp_path: Path, says: str, inside: bool) -> None:
    path = tmp_path / "strange.h5"
    with h5py.File(path, "w") as file:
        STRANGE[says](file.create_group("deep/down") if inside else file)
    with pytest.raises(StoreError, match=rf"strange\.h5: .*{says}"):
        hdf5.load(path)


def test_nothing_is_unpickled() -> None:
    """A pickle is a program; that of an untrusted file must not run."""
    root = Path(ebayes_core.__file__).parents[1]
    sources = [path for package in ("ebayes_core", "ebayes_plugins") for path in (root / package).rglob("*.py")]
    found = [path.name for path in sources if PICKLES.search(SAFE.sub("", path.read_text(encoding="utf-8")))]
    assert len(sources) > 50 and not found


def test_a_heap_that_never_ends_is_refused(tmp_path: Path) -> None:
    """HDF5 itself would read it forever: its first object is marked as free space of size 0."""
    path = tmp_path / "endless.h5"
    hdf5.save(path, {"a": np.array(["text"])})
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=f"endless.h5: .*the heap at byte {heap} is damaged"):
        hdf5.load(path)


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
def test_broken_off_files_are_refused_by_name(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "broken.h5"
    hdf5.save(path, {"a": np.arange(10_000.0)})
    raw = path.read_bytes()
    path.write_bytes(raw[: int(keep * len(raw)) if isinstance(keep, float) else keep])
    with pytest.raises(StoreError, match=r"broken\.h5: cannot be read.*run its spec again"):
        hdf5.load(path)


def test_other_files_and_none_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_text("name = 'spec'\n")
    with pytest.raises(StoreError, match=r"x\.h5: cannot be read; it is not an HDF5 file"):
        hdf5.load(tmp_path / "x.h5")
    with pytest.raises(StoreError, match=r"y\.h5: there is no such file"):
        hdf5.load(tmp_path / "y.h5")


def test_an_error_of_the_caller_stays_its_own(tmp_path: Path) -> None:
    hdf5.save(tmp_path / "t.h5", {})
    with pytest.raises(KeyError, match="mine"), hdf5.opened(tmp_path / "t.h5"):
        raise KeyError("mine")
