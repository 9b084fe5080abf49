"""Runs beside each other."""

from __future__ import annotations

from ebayes_core.api.opening import open
from ebayes_core.api.runs import Place, Run
from ebayes_core.errors import UserError
from ebayes_core.report.comparison import Comparison


def compare(*runs: Run | Place) -> Comparison:
    """Put runs beside each other: two specs, two commits, two machines.

    runs: opened runs, or paths of results files and sweeps' folders. The result has `members`, the networks of all runs
    in one table; `differences`, in what specs, programs and machines differ; `numbers`, the medians of each run, and
    how far equal networks differ; and `figure()`.

    Raises UserError for fewer than two runs, or a path at which there is nothing to read.
    """
    if len(runs) < 2:
        raise UserError("compare: name at least two runs, or paths of results files")
    opened = tuple(run if isinstance(run, Run) else open(run) for run in runs)
    return Comparison(opened, tuple(run.registry for run in opened))
