"""A results file in a notebook: its findings and the table of its networks."""

from __future__ import annotations

from ebayes_core.console.printing import SHOWN
from ebayes_core.contract.registry import Registry
from ebayes_core.report import summary, tables
from ebayes_core.report.findings import findings
from ebayes_core.report.templates import template
from ebayes_core.results.reader import Run
from ebayes_core.wording import networks


def html(run: Run, registry: Registry) -> str:
    """What the page of the run shows first; of many networks, the range of each number."""
    table = tables.member_listing(run) if run.n_members <= SHOWN else summary.extremes(run)
    return template("overview.html").render(
        name=run.name, file=str(run.path), networks=networks(run.n_members), findings=findings(run, registry)[0],
        members=table, analyses=run.analyses,
    )  # fmt: skip
