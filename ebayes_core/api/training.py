"""Training from Python: a spec to a results file, with progress shown, and what is finished not trained again."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ebayes_core.api.experiments import Experiment, Spec, load
from ebayes_core.api.runs import Place, Run
from ebayes_core.errors import UserError
from ebayes_core.report import figures
from ebayes_core.sweeps.options import Options, Watcher


def run(
    spec: Spec | Experiment, *, set: Mapping[str, Any] | None = None, out: Place | None = None, fresh: bool = False,
    device: str = "auto", plugins: Iterable[Any] = (), progress: bool = True,
) -> Run:  # fmt: skip
    """Train and measure the networks of an experiment, and open their results.

    spec, set, plugins: as for `load`. out: the results file, `results/NAME.h5` if left out; what it already contains of
    this spec is not trained again, and a run that was stopped continues. fresh: discard what is there. device: "cpu",
    "cuda", or "auto". progress: whether to show it.

    Raises SpecError that lists every mistake, UserError if the file contains the result of another spec, and
    Interrupted after an interrupt, with everything saved.
    """
    from ebayes_core.sweeps.run import run as train

    experiment = load(spec, set=set, plugins=plugins)
    path = _file(experiment, out)
    with watcher(progress) as shown:
        helpers = None if experiment.plugins else (f"--device={device}",)  # other processes know what is installed
        options = Options(device=device, fresh=fresh, watcher=shown, helpers=helpers)
        if not train(experiment.parts, experiment.text, experiment.registry, path, options):
            shown.note(f"{path} already contains the result of this spec; train again with fresh=True")
    _measure(experiment, path)
    return Run(path, experiment.plugins)


def _file(experiment: Experiment, out: Place | None) -> Path:
    path = Path(out or f"results/{experiment.name}.h5")
    if path.suffix != ".h5":
        raise UserError(f"out = {os.fspath(path)!r}: must end in .h5; `ebayes run` trains into a folder")
    return path


def _measure(experiment: Experiment, path: Path) -> None:
    """Compute the analyses of the spec that the file lacks; one that fails is a warning, since the rest is there."""
    lacking = figures.missing(path, figures.named(experiment.parts.analysis))
    for problem in figures.measure(path, lacking, experiment.registry):
        warnings.warn(problem, stacklevel=3)


def watcher(progress: bool) -> Watcher:
    """The display for where this program runs: a notebook, a terminal, or a file."""
    from ebayes_core.sweeps import in_notebook
    from ebayes_core.sweeps.progress import watcher as for_console

    if not progress:
        return Watcher()
    if in_notebook.inside():
        return in_notebook.Notebook()
    from rich.console import Console

    return for_console(Console(file=sys.stderr, markup=False, highlight=False, emoji=False))
