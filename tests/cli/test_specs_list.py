"""`ebayes specs`, and specs by name on the command line."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from ebayes_core.cli.main import main
from ebayes_core.results.reader import Run
from tests.cli.test_commands import status
from tests.installed import distribution, ebayes, python

CODE = """from pathlib import Path
from ebayes_core.contract.slots import hookimpl

@hookimpl
def ebayes_specs():
    return [Path(__file__).parent / "cells"]
"""


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """An installed package that brings a spec and nothing else."""
    target = distribution(tmp_path / "cells", "ebayes-cells", "ebayes_cells", CODE)
    (target / "cells").mkdir()
    (target / "cells" / "purkinje.toml").write_text(
        'name = "purkinje"\ndescription = "Purkinje cells."\ndataset = { kind = "digits" }\n', encoding="utf-8"
    )
    return target


def test_a_width_of_zero_is_none(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert status("plugins") == 0
    known = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "0")
    assert status("plugins") == 0
    assert capsys.readouterr().out == known


def test_each_spec_has_one_line(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert status("specs") == 0
    head, *lines = capsys.readouterr().out.splitlines()
    rows = lines[: lines.index("")]
    assert head.split() == ["name", "description"] and rows[0].startswith("membrane_hetero  ")
    assert all(len(line) <= 80 and len(line.split(maxsplit=1)) == 2 for line in rows)
    assert status("specs", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in listed] == [line.split()[0] for line in rows]
    assert [row["description"] for row in listed] == [line.split(maxsplit=1)[1].strip() for line in rows]
    assert status("specs", "optimum/") == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: lines.index("")]] == [
        row["name"] for row in listed if row["name"].startswith("optimum/")
    ]


def test_one_is_printed_to_begin_with(capsys, tmp_path: Path) -> None:
    assert status("specs", "desk/arrays") == 0
    text = capsys.readouterr().out
    (tmp_path / "my.toml").write_text(text, encoding="utf-8")
    assert status("check", tmp_path / "my.toml", "--no-calibrate", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["members"]) == 3
    assert status("specs", "desk/arrays", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["name"], row["text"], row["distribution"]) == ("desk/arrays", text, "ebayes")
    assert tomllib.loads(Path(row["path"]).read_text(encoding="utf-8"))["name"] == "arrays"
    assert status("specs", "desk/arays") == 2
    assert "desk/arays: there is no installed spec of this name; did you mean 'desk/arrays'?" in capsys.readouterr().err


def test_a_name_runs_like_a_path(capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert status("run", "desk/fig1", "--set", "seeds=[7]") == 0
    with Run(tmp_path / "results" / "fig1.h5") as run:
        assert list(run.members["seed"]) == [7]
        assert run.spec_text.startswith("#:schema ../schema.json\n# Figure 1c")
    capsys.readouterr()
    assert status("check", "desk/fig1", "--no-calibrate") == 0
    assert capsys.readouterr().out.startswith("desk/fig1: valid; 1 network")
    assert status("bench", "desk/fgi1") == 2
    assert "did you mean 'desk/fig1'?" in capsys.readouterr().err


def test_another_package_has_a_table_of_its_own(cells: Path, tmp_path: Path) -> None:
    found = ebayes("specs", paths=(cells,), cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "\nfrom ebayes-cells 1.2\nname" in found.stdout and "purkinje  Purkinje cells." in found.stdout
    checked = ebayes("check", "purkinje", "--no-calibrate", paths=(cells,), cwd=tmp_path)
    assert checked.returncode == 0 and checked.stdout.startswith("purkinje: valid")
    left_out = ebayes("check", "purkinje", "--without", "ebayes-cells", paths=(cells,), cwd=tmp_path)
    assert left_out.returncode == 2 and "purkinje: there is no such file" in left_out.stderr


@pytest.mark.parametrize(
    "code, reason",
    [
        (CODE.replace('"cells"', '"moved"'), "ebayes_specs returned '.*moved', which is not a folder"),
        (
            CODE.replace("return", "raise OSError('no disk')  #"),
            "ebayes_specs.* has to return a list of folders: .*no disk",
        ),
        (CODE.replace("ebayes_specs", "ebayes_spec"), "the hooks are .*ebayes_analyses, ebayes_specs"),
    ],
)
def test_a_broken_package_is_named_and_the_others_are_listed(
    cells: Path, tmp_path: Path, code: str, reason: str
) -> None:
    (cells / "ebayes_cells.py").write_text(code, encoding="utf-8")
    found = ebayes("specs", paths=(cells,), cwd=tmp_path)
    assert found.returncode == 0 and "membrane_hetero" in found.stdout and "purkinje" not in found.stdout
    assert re.search(f"ebayes-cells 1.2 is broken: .*{reason}.*--without cells", found.stderr), found.stderr


def test_listing_imports_no_torch(tmp_path: Path) -> None:
    code = "import sys; from ebayes_core.cli.main import main; main(['specs'], standalone_mode=False); "
    done = python(
        "-c", code + "assert not {'torch', 'pandas', 'matplotlib'} & set(sys.modules)", paths=(), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["run", "check", "specs", "bench"])
def test_a_shell_completes_names(command: str) -> None:
    found = ShellComplete(main, {}, "ebayes", "_EBAYES_COMPLETE").get_completions([command], "optimum/fig5")
    assert [item.value for item in found if item.type == "plain"] == ["optimum/fig5", "optimum/fig5_mnist"]
