"""mypy finds a plugin author's mistake against the types that `ebayes_core` declares, and nothing in a right plugin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # mypy reads the types of torch first

ROOT = Path(__file__).parents[2]
RIGHT = '''
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field
from torch import Tensor

from ebayes_core.contract.slots import Analysis, Cost, hookimpl
from ebayes_core.results.reader import Run
from ebayes_core.testing import check_cost


class Uptake(Cost):
    """Glutamate uptake."""

    kind: Literal["uptake"] = "uptake"
    kappa: float = Field(0.1, gt=0, le=100)

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        return mu.abs() + self.kappa / sigma


class Sizes(Analysis):
    """How large sigma is."""

    kind: Literal["sizes"] = "sizes"

    def measure(self, run: Run) -> dict[str, np.ndarray]:
        return {"sigma": run.metric("sigma_rms")}

    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        figure.subplots().plot(arrays["sigma"])


@hookimpl
def ebayes_costs() -> list[type[Cost]]:
    return [Uptake]


def test_uptake() -> None:
    check_cost(Uptake)
'''
#: without this repository's settings; of `ebayes_core` only the types are read
ALONE = ("--config-file=", "--check-untyped-defs", "--follow-imports=silent")
#: what is wrong -> the line, the same with the mistake, and the code of mypy's error
WRONG = {
    "result": ("mu: Tensor) -> Tensor:", "mu: Tensor) -> float:", "override"),
    "arguments": ("sigma: Tensor, mu: Tensor)", "sigma: Tensor)", "override"),
    "slot": ("return [Uptake]", "return [Sizes]", "list-item"),
    "reader": ('run.metric("sigma_rms")', "run.metric(0)", "arg-type"),
    "array": ('run.metric("sigma_rms")', "run.n_members", "dict-item"),
    "name": ('run.metric("sigma_rms")', 'run.metrics("sigma_rms")', "operator"),
    "check": ("check_cost(Uptake)", "check_cost(Sizes)", "arg-type"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """By plugin, mypy's errors as its author would see them."""
    folder = tmp_path_factory.mktemp("types")
    files = {name: folder / f"plugin_{name}.py" for name in ("right", *WRONG)}
    files["right"].write_text(RIGHT)
    for name, (line, mistake, _) in WRONG.items():
        files[name].write_text(RIGHT.replace(line, mistake))
    files["example"] = ROOT / "examples" / "ebayes-glial" / "ebayes_glial.py"
    command = [sys.executable, "-m", "mypy", *ALONE, "--cache-dir", str(folder / "cache"), *map(str, files.values())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"checked {len(files)} source files" in done.stdout, done.stdout + done.stderr
    errors = [line for line in done.stdout.splitlines() if " error: " in line]
    return {name: [line for line in errors if file.name in line] for name, file in files.items()}


@pytest.mark.parametrize("plugin", ["right", "example"])
def test_nothing_is_found_in_a_right_plugin(found: dict[str, list[str]], plugin: str) -> None:
    assert found[plugin] == []


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_found(found: dict[str, list[str]], mistake: str) -> None:
    assert any(line.endswith(f"[{WRONG[mistake][2]}]") for line in found[mistake]), found[mistake]
