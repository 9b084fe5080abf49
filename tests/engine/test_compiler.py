"""Compilers that fail because of their folder or otherwise: another folder is found, or the error is reported with a
cure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

import ebayes_core
from ebayes_core.engine import compiler_folder
from ebayes_core.engine.compiler import compiled

HOSTILE = ["with space", "with'quote", 'with"quote']
CODE = """
import logging, torch
logging.basicConfig()
import torch._inductor.config as config
config.cpp_cache_precompile_headers, config.cpp.simdlen = False, 1  # headers and vectors take longer than the rest
from ebayes_core.engine.compiler import compiled
x = torch.zeros(8)
kernel = compiled(lambda a: a.copy_(a.exp()), x)
kernel(x)
assert x.sum() == 8
"""
BROKEN = """#!/bin/sh
case "$*" in
*.cpp*) printf "In file included from x:\\nx.cpp:1: fatal error: disk on fire\\nterminated.\\n" >&2; exit 1;;
*) echo "g++ 12";;
esac
"""


def fill(a: torch.Tensor) -> None:
    a.copy_(a.exp())


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBAYES_CACHE", str(tmp_path / "cache"))
    for name in (compiler_folder.CACHE, "TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    compiler_folder._ours.cache_clear()
    yield
    compiler_folder._ours.cache_clear()


@pytest.mark.slow
def test_a_step_is_compiled_though_every_folder_it_is_given_has_a_space(tmp_path: Path) -> None:
    """In a separate process, since torch looks for its folders once; nothing is written to the current folder."""
    for name in ("with space", "work'ing"):
        (tmp_path / name).mkdir()
    hostile = str(tmp_path / "with space")
    places = {
        "TMPDIR": hostile,
        compiler_folder.CACHE: hostile,
        "PYTHONPATH": str(Path(ebayes_core.__file__).parents[1]),
    }
    here = tmp_path / "work'ing"
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=os.environ | places, cwd=here, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no compiled update" not in done.stderr
    assert not os.listdir(here) and not os.listdir(hostile)
    assert any((tmp_path / "cache" / "compiled").rglob("*.so"))


@pytest.mark.parametrize("name", HOSTILE)
def test_torch_is_given_folders_that_a_command_can_hold(tmp_path: Path, name: str, monkeypatch) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / name))
    monkeypatch.setenv(compiler_folder.CACHE, str(tmp_path / name / "torch"))
    with compiler_folder.usable():
        inside = {tempfile.gettempdir(), os.environ["TMPDIR"]}
        assert inside == {str(tmp_path / "cache" / "compiled")}
        assert os.environ[compiler_folder.CACHE] == str(tmp_path / "cache" / "compiled" / "torchinductor")
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(tmp_path / name)


def test_folders_that_will_do_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(compiler_folder.CACHE, str(tmp_path / "torch"))
    with compiler_folder.usable():
        assert tempfile.gettempdir() == str(tmp_path) and os.environ[compiler_folder.CACHE] == str(tmp_path / "torch")
    assert not (tmp_path / "cache").exists()


def test_the_current_folder_is_no_place_for_what_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is Python's last resort if neither TMPDIR nor /tmp can be written; a user may name it explicitly."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(here)])
    with compiler_folder.usable():
        assert tempfile.gettempdir() == str(tmp_path / "cache" / "compiled")
    assert not os.listdir(here)
    monkeypatch.setenv("TMPDIR", str(here))
    with compiler_folder.usable():
        assert tempfile.gettempdir() == str(here)


def test_where_the_cache_folder_cannot_be_written_the_folder_goes_with_the_process(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EBAYES_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv(compiler_folder.CACHE, str(tmp_path / "file" / "torch"))
    with compiler_folder.usable():
        found = Path(os.environ[compiler_folder.CACHE]).parent
    assert found.name.startswith("ebayes-") and found.is_dir()


def test_a_compiler_that_fails_is_quoted_with_the_folder_and_the_cure(tmp_path: Path, monkeypatch, caplog) -> None:
    """It prints its version, but fails to compile."""
    from torch._inductor import config

    script = tmp_path / "c++"
    script.write_text(BROKEN)
    script.chmod(0o755)
    monkeypatch.setenv(compiler_folder.CACHE, str(tmp_path / "torch"))
    with config.patch({"cpp.cxx": (None, str(script)), "cpp_cache_precompile_headers": False}):
        assert compiled(fill, torch.zeros(9)) is None
    (record,) = [record for record in caplog.records if record.name == "ebayes"]
    said = record.getMessage()
    assert "no compiled update: x.cpp:1: fatal error: disk on fire (in " in said and "\n" not in said
    assert str(tmp_path / "torch") in said and "TORCHINDUCTOR_CACHE_DIR" in said and "--compile off" in said


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("C++ compile error\n\nCommand:\ng++ a\n\nOutput:\ng++: fatal error: x\nterminated.", "g++: fatal error: x"),
        ("C++ compile error\nld: cannot find -lx\ncollect2: error: ld returned 1 exit status", "ld: cannot find -lx"),
        ("\n  one line  \n", "one line"),
        ("", "RuntimeError"),
    ],
)
def test_the_telling_line_of_a_long_error(error: str, line: str) -> None:
    assert compiler_folder.informative_line(RuntimeError(error)) == line
