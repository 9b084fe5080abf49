"""The packages of ebayes_core: an import that goes up, or a circle, is found by the check that CI runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ebayes_core
from tests.waiting import LIMIT

ROOT = Path(ebayes_core.__file__).parents[1]
CHECK = "from importlinter.cli import lint_imports_command as check; check(['--no-cache'])"


@pytest.mark.parametrize(
    "module, line, says",
    [
        (None, "", ""),
        (
            "results/record.py",
            "from ebayes_core.engine import loop",
            "not allowed to import ebayes_core.engine",
        ),
        ("engine/terms.py", "from ebayes_core.engine import loop", "No cycles are allowed in ebayes_core.engine"),
        ("engine/loop.py", "import ebayes_plugins", "ebayes_core is not allowed to import ebayes_plugins"),
    ],
)
def test_only_imports_that_go_down_are_allowed(tmp_path: Path, module: str | None, line: str, says: str) -> None:
    for name in ("ebayes", "ebayes_core", "ebayes_plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    if module:
        path = tmp_path / "ebayes_core" / module
        path.write_text(f"{path.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, timeout=LIMIT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode != 0) == bool(module), done.stdout + done.stderr
    assert says in done.stdout


def test_every_package_says_what_it_is_for() -> None:
    packages = [path.parent.name for path in (ROOT / "ebayes_core").glob("*/__init__.py")]
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in design for name in packages)
    assert len(list((ROOT / "ebayes_core").glob("*.py"))) <= 5
