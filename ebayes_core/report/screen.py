"""A results file on the screen: first the findings, then the networks, then how to see more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ebayes_core.console import printing
from ebayes_core.console.printing import SHOWN
from ebayes_core.contract.attribution import asking, blamed
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError
from ebayes_core.report import figures, optimality, summary, tables
from ebayes_core.report.findings import findings
from ebayes_core.report.tables import Columns
from ebayes_core.results import provenance
from ebayes_core.results.reader import Run

MORE = "shown by --wide, by --csv and in `ebayes report`"


@dataclass(frozen=True)
class Asked:
    """The parts of a file to show."""

    all: bool = False  #: every network, and every row of the statistics
    statistics: bool = False  #: the numbers behind the figures, instead of the overview
    convergence: bool = False  #: how far each network is from the optimum, instead of the overview
    wide: bool = False  #: all columns, even if lines get longer than the screen
    analysis: str | None = None  #: only the statistics of this analysis


def show(console: Console, path: Path, registry: Registry, asked: Asked | None = None) -> None:
    """Print the parts that were asked for; by default an overview that says how to see the rest."""
    asked = asked or Asked()
    with Run(path) as run:
        if asked.statistics or asked.analysis:
            _statistics(console, path, registry, asked)
        if asked.convergence:
            _convergence(console, run, asked)
        if asked == Asked(all=asked.all, wide=asked.wide):
            _overview(console, run, registry, asked)


def _overview(console: Console, run: Run, registry: Registry, asked: Asked) -> None:
    said, problems = findings(run, registry)
    for sentence in said + problems:
        printing.paragraph(console, sentence)
    console.print()
    _members(console, run, registry, asked)
    console.print()
    _elsewhere(console, run)


def _members(console: Console, run: Run, registry: Registry, asked: Asked) -> None:
    """A table of all networks if they are few or all are asked for; else the range of each number."""
    if run.n_members > SHOWN and not asked.all:
        table = summary.extremes(run)
        printing.show(console, table, wide=asked.wide)
        for line in summary.swept(run):
            printing.paragraph(console, line)
        names = table.columns[0].cells
    else:
        names = [c.name for c in printing.show(console, tables.member_listing(run), wide=asked.wide, rest=MORE)]
    words = {word for name in names for word in name.split()}
    meanings = {"motion": tables.CONVERGENCE_LEGEND["motion"]} | tables.MEMBERS_LEGEND
    shown = {name: meaning for name, meaning in meanings.items() if name in words}
    printing.legend(console, tables.keys_legend(run, registry) | shown)


def _elsewhere(console: Console, run: Run) -> None:
    """Print how the networks were trained, and the options that show more."""
    for line in provenance.described(run.provenance).splitlines():
        printing.paragraph(console, line)
    more = {"--convergence": "how far each network is from the optimum, and what to do next"}
    if run.analyses:
        more["--statistics"] = "the numbers behind the figures"
    if run.n_members > SHOWN:
        more["--all"] = "every network (--csv writes all their numbers)"
    console.print(f"to see more: ebayes show {run.path} with", soft_wrap=True)
    printing.legend(console, {f"  {name}": words for name, words in more.items()})
    console.print(f"as an HTML page: ebayes report {run.path}", soft_wrap=True)


def _convergence(console: Console, run: Run, asked: Asked) -> None:
    """Print the convergence report: table and legend, then what they mean and what to do next."""
    table = tables.convergence_listing(run)
    if not asked.all:
        table = table.first(SHOWN, "... and {} more (--all lists them)")
    printing.show(console, table, wide=asked.wide, rest=MORE)
    printing.legend(console, tables.CONVERGENCE_LEGEND)
    console.print()
    for line in optimality.verdicts(run):
        printing.paragraph(console, line, "- ")


def _statistics(console: Console, path: Path, registry: Registry, asked: Asked) -> None:
    """Print the numbers behind the figures of a file, and messages about analyses that have none."""
    found, problems = statistics(path, registry, asked.analysis)
    for name, columns in found.items():
        table = tables.statistics_listing(name, columns)
        shown = table if asked.all else table.first(SHOWN, "... and {} more (--all lists them)")
        printing.show(console, shown, wide=asked.wide, rest=MORE)
        console.print()
    for problem in problems:
        printing.paragraph(console, problem)


def statistics(path: Path, registry: Registry, only: str | None = None) -> tuple[dict[str, Columns], list[str]]:
    """The statistics of the stored analyses (or only one), and messages about those that have none to show.

    Raises UserError if there are none at all.
    """
    stored, unknown = figures.stored(path, registry, only)
    found, problems = {}, [f"{name}: {words}" for name, words in unknown.items()]
    for name, (analysis, arrays) in stored.items():
        try:
            with asking(analysis, "what statistics returned"):
                found[name] = tables.aligned(analysis.statistics(arrays))
        except Exception as error:  # of a third-party analysis: the report goes on
            problems.append(f"{name}: no statistics: {blamed(error, registry)}")
    found = {name: columns for name, columns in found.items() if columns}
    if not found and not problems:
        which = f" {only!r}" if only else ""
        raise UserError(f"{path}: contains no analysis{which} with statistics; add one to its spec")
    return found, problems
