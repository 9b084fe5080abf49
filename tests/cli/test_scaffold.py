"""`ebayes new-plugin`: the packages it writes pass their own tests as they are, and nothing is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebayes_core.cli import scaffold
from ebayes_core.contract.slots import HOOKS
from ebayes_core.errors import UserError
from tests.installed import place, python


@pytest.mark.slow
def test_what_it_writes_works_as_it_is_for_every_slot(tmp_path: Path) -> None:
    installed = []
    for slot in HOOKS:
        folder, files = scaffold.create(slot, f"my_{slot}", tmp_path / "made")
        assert {f.name for f in files} == {
            "pyproject.toml",
            f"ebayes_my_{slot}.py",
            f"test_my_{slot}.py",
            "example.toml",
        }
        assert all(f.is_relative_to(folder) and "$" not in f.read_text() for f in files)
        installed.append(place(folder, tmp_path / f"installed-{slot}"))
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "made", paths=tuple(installed), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"{2 * len(HOOKS)} passed" in done.stdout


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    folder, files = scaffold.create("cost", "mine", tmp_path)
    files[1].write_text("precious")
    with pytest.raises(UserError, match="exists already"):
        scaffold.create("cost", "mine", tmp_path)
    assert files[1].read_text() == "precious"
    assert sorted(folder.iterdir()) == sorted(files)


@pytest.mark.parametrize(
    "name", ["", "Glial", "2fast", "a-b", "a/b", "../up", "lambda", "x_", "a__b", "core", "a" * 41]
)
def test_names_that_cannot_be_kinds_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a valid kind"):
        scaffold.create("cost", name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_kind_of_ones_own_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'membrane' exists already, in ebayes"):
        scaffold.create("cost", "membrane", tmp_path)
    with pytest.raises(UserError, match="did you mean 'noise'"):
        scaffold.create("nose", "mine", tmp_path)
