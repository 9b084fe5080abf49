"""A results file on the screen: first what was found, then the networks, then where the rest is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from ebayes_core.console import printing
from ebayes_core.console.printing import SHOWN
from ebayes_core.contract.attribution import asking, blamed
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError
from ebayes_core.report import figures, optimality, signature, summary, tables
from ebayes_core.report.tables import Columns
from ebayes_core.results import provenance
from ebayes_core.results.reader import Run

HEADLINES = 3  #: analyses that speak before the tables, one of each kind
MORE = "--wide shows them, and so do --csv and the page of `ebayes report`"


@dataclass(frozen=True)
class Asked:
    """What to show of a file, and how wide."""

    all: bool = False  #: every network, and every row of the statistics
    statistics: bool = False  #: the numbers behind the figures, in place of the networks
    convergence: bool = False  #: how far each network is from an optimum, in place of them
    wide: bool = False
    analysis: str | None = None  #: only this one's statistics


def show(console: Console, path: Path, registry: Registry, asked: Asked | None = None) -> None:
    """Print what was asked of a file; without a wish, what matters and where the rest is."""
    asked = asked or Asked()
    with Run(path) as run:
        if asked.statistics or asked.analysis:
            _statistics(console, path, registry, asked)
        if asked.convergence:
            _convergence(console, run, asked)
        if asked == Asked(all=asked.all, wide=asked.wide):
            _overview(console, run, registry, asked)


def _overview(console: Console, run: Run, registry: Registry, asked: Asked) -> None:
    for sentence in findings(run, registry):
        printing.paragraph(console, sentence)
    console.print()
    _members(console, run, asked)
    console.print()
    _elsewhere(console, run)


def findings(run: Run, registry: Registry) -> Iterator[str]:
    """What was found: what the analyses say, or else the synapses; then whether this is the optimum, and what to do."""
    said, problems = headlines(run.path, registry)
    found = optimality.judged(run)
    if not said:
        said = [signature.sentence(run, np.flatnonzero(found.noisy))]
    yield from filter(None, said)
    yield optimality.optimum(run, found)
    yield from problems


def headlines(path: Path, registry: Registry) -> tuple[list[str], list[str]]:
    """What the analyses of a file say in a sentence, the first of each kind; and which could not be asked."""
    said: dict[str, str] = {}
    problems = []
    for name, (analysis, arrays) in figures.stored(path, registry)[0].items():
        if analysis.kind not in said:
            try:
                with asking(analysis, "what headline returned"):
                    said[analysis.kind] = str(analysis.headline(arrays))
            except Exception as error:  # a stranger's sentence must not cost the report
                problems.append(f"{name}: no headline: {blamed(error, registry)}")
    return list(filter(None, said.values()))[:HEADLINES], problems


def _members(console: Console, run: Run, asked: Asked) -> None:
    """Every network of a few, or where all are asked for; of many their ranges."""
    if run.n_members > SHOWN and not asked.all:
        printing.show(console, summary.extremes(run), wide=asked.wide)
        for line in summary.swept(run):
            printing.paragraph(console, line)
        return
    printed = printing.show(console, tables.member_listing(run), wide=asked.wide, rest=MORE)
    words = {word for column in printed for word in column.name.split()}
    printing.legend(console, {name: meaning for name, meaning in tables.MEMBERS_LEGEND.items() if name in words})


def _elsewhere(console: Console, run: Run) -> None:
    """Where the numbers come from, and where the rest is."""
    for line in provenance.described(run.provenance).splitlines():
        printing.paragraph(console, line)
    more = {"--convergence": "how far each network is from an optimum, layer by layer"}
    if run.analyses:
        more["--statistics"] = "the numbers behind the figures"
    if run.n_members > SHOWN:
        more["--all"] = "every network; --csv writes them with every number"
    console.print(f"more: ebayes show {run.path} with", soft_wrap=True)
    printing.legend(console, {f"  {name}": words for name, words in more.items()})
    console.print(f"as a page: ebayes report {run.path}", soft_wrap=True)


def _convergence(console: Console, run: Run, asked: Asked) -> None:
    """The convergence report, its legend, and what it means."""
    for line in optimality.verdicts(run):
        printing.paragraph(console, line, "- ")
    console.print()
    table = tables.convergence_listing(run)
    if not asked.all:
        table = table.first(SHOWN, "... and {} more: --all")
    printing.show(console, table, wide=asked.wide, rest=MORE)
    printing.legend(console, tables.CONVERGENCE_LEGEND)


def _statistics(console: Console, path: Path, registry: Registry, asked: Asked) -> None:
    """The numbers behind the figures of a file, and why some have none to show."""
    found, problems = statistics(path, registry, asked.analysis)
    for name, columns in found.items():
        table = tables.statistics_listing(name, columns)
        shown = table if asked.all else table.first(SHOWN, "... and {} more: --all")
        printing.show(console, shown, wide=asked.wide, rest=MORE)
        console.print()
    for problem in problems:
        printing.paragraph(console, problem)


def statistics(path: Path, registry: Registry, only: str | None = None) -> tuple[dict[str, Columns], list[str]]:
    """The statistics of each stored analysis that has some, or of one; and why others have none to show.

    Raises UserError where there are none.
    """
    stored, unknown = figures.stored(path, registry, only)
    found, problems = {}, [f"{name}: {words}" for name, words in unknown.items()]
    for name, (analysis, arrays) in stored.items():
        try:
            with asking(analysis, "what statistics returned"):
                found[name] = tables.aligned(analysis.statistics(arrays))
        except Exception as error:  # a stranger's table must not cost the report
            problems.append(f"{name}: no statistics: {blamed(error, registry)}")
    found = {name: columns for name, columns in found.items() if columns}
    if not found and not problems:
        which = f" {only!r}" if only else ""
        raise UserError(f"{path}: holds no analysis{which} with statistics; add one to its spec")
    return found, problems
