"""Distributions as third parties would install them: found on the path by their metadata, imported, and used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from tests.waiting import LIMIT


def pip_install(folder: Path, target: Path) -> Path:
    """Install a package into a folder of its own, with pip; the package's source folder is not changed."""
    source = shutil.copytree(
        folder, target.with_name(f"{target.name}-source"), ignore=shutil.ignore_patterns("*.egg-info")
    )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(source)]
    if int(version("setuptools").split(".")[0]) >= 77:  # else pip fetches the one that pyproject.toml asks for
        command.insert(-1, "--no-build-isolation")
    subprocess.run(command, check=True)
    return target


def place(folder: Path, target: Path) -> Path:
    """What pip would install for a package of one module, without a build: the module, and the metadata beside it."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    for module in project["tool"]["setuptools"]["py-modules"]:
        target.mkdir(exist_ok=True)
        shutil.copy(folder / f"{module}.py", target)
    table = project["project"]
    metadata(target, table["name"], table["version"], table["entry-points"]["ebayes"])
    return target


def distribution(target: Path, name: str, module: str, code: str) -> Path:
    """An artificial distribution of one module."""
    target.mkdir(exist_ok=True)
    (target / f"{module}.py").write_text(code)
    metadata(target, name, "1.2", {name.removeprefix("ebayes-"): module})
    return target


def metadata(target: Path, name: str, number: str, points: dict[str, str]) -> None:
    """A dist-info folder."""
    info = target / f"{name.replace('-', '_')}-{number}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    (info / "entry_points.txt").write_text("[ebayes]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))


def python(*arguments: str, paths: tuple[Path, ...], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with these folders on its path, in a folder that is not the repository."""
    path = [*map(str, paths), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=LIMIT, check=False)


def ebayes(*arguments: str, paths: tuple[Path, ...], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the `ebayes` command."""
    return python("-c", "from ebayes_core.cli.main import entry; entry()", *arguments, paths=paths, cwd=cwd)
