"""Commands that read results files: show, draw, report, verify. Each also accepts a sweep's folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich_click as click

from ebayes_core.cli.common import as_json, console_of, located, print_json, registry_of, result_file, without
from ebayes_core.console.output import say
from ebayes_core.console.printing import SHOWN
from ebayes_core.errors import EbayesError, UserError, told
from ebayes_core.wording import networks


@click.command()
@result_file
@click.option("--all", "all_", is_flag=True, help="List every network, and every row of a table.")
@click.option("--statistics", is_flag=True, help="Show the numbers behind the figures.")
@click.option("--analysis", metavar="KIND", help="Show only the statistics of this analysis.")
@click.option("--convergence", is_flag=True, help="Show how far each network is from the optimum.")
@click.option("--wide", is_flag=True, help="Show all columns, even if lines get longer than the screen.")
@click.option(
    "--csv", "as_csv", is_flag=True,
    help="Write all numbers of all networks as CSV, or the statistics of one --analysis.",
)  # fmt: skip
@as_json
def show(file: str, as_json: bool, as_csv: bool, all_: bool, **asked: Any) -> None:
    """Print the results in RESULTS (a file or a sweep's folder) and a table of its networks."""
    from ebayes_core.report import screen, summary
    from ebayes_core.results.reader import Run

    registry = registry_of(())
    path = located(file, registry)
    if as_csv:
        click.echo(_csv(path, registry, asked["analysis"], asked["statistics"]), nl=False)
    elif as_json:
        with Run(path) as found:
            print_json(summary.as_json(found))
    else:
        screen.show(console_of(), path, registry, screen.Asked(all=all_, **asked))


def _csv(path: Path, registry: Any, analysis: str | None, statistics: bool) -> str:
    """The table of networks, or the statistics of one analysis, as CSV."""
    from ebayes_core.report import screen, tables
    from ebayes_core.results.reader import Run

    if not (analysis or statistics):
        with Run(path) as found:
            return tables.as_csv(found.members.assign(**found.swept))
    known, problems = screen.statistics(path, registry, analysis)
    if len(known) > 1:
        raise UserError(f"--csv writes one table; choose one with --analysis: {', '.join(known)}")
    if problems:
        raise EbayesError("\n".join(problems))
    import pandas as pd

    (columns,) = known.values()
    return tables.as_csv(pd.DataFrame(columns))


@click.command()
@result_file
@click.option("--analysis", metavar="KIND", help="Draw only this analysis.")
@click.option(
    "--into", type=click.Path(file_okay=False), help="Folder for the figures.  [default: beside RESULTS, same name]"
)
@without
def draw(file: str, analysis: str | None, into: str | None, without: tuple[str, ...]) -> None:
    """Draw the figures of RESULTS again from the results file."""
    from ebayes_core.report import figures, side_by_side
    from ebayes_core.results.reader import Run

    registry = registry_of(without)
    path = located(file, registry)
    with Run(path) as run:
        count = 1 if analysis else len(run.analyses)
    with side_by_side.sharing(count, registry.without) as share:
        names, problems = figures.draw(path, Path(into) if into else path.with_suffix(""), registry, analysis, share)
    if not names and not problems:
        raise UserError(
            f"{path}: contains no analysis{f' {analysis!r}' if analysis else ''} to draw; add one to its spec"
        )
    for name in names:
        say(name)
    if problems:
        raise EbayesError("\n".join(problems))


@click.command()
@click.argument("files", metavar="RESULTS...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--out", type=click.Path(file_okay=False), default="report", show_default=True, help="Folder for the pages."
)
@click.option("--compare", is_flag=True, help="Write a page on which all RESULTS stand beside each other instead.")
@without
def report(files: tuple[str, ...], out: str, compare: bool, without: tuple[str, ...]) -> None:
    """Write an HTML page for each of RESULTS: spec, tables, figures and claims in one file that can be sent by mail."""
    from ebayes_core.report import page

    registry, problems = registry_of(without), []
    paths = [located(file, registry) for file in files]
    if compare:
        page.write_comparison(paths, Path(out) / "comparison.html", registry)
        return say(Path(out) / "comparison.html")
    for file, target in page.targets(paths, Path(out)).items():
        try:
            problems += page.write(file, target, registry)
            say(target)
        except (EbayesError, OSError, MemoryError) as error:  # the other pages are still written
            problems.append(told(error))
    if problems:
        raise EbayesError("\n".join(problems))


@click.command()
@click.argument("files", metavar="RESULTS...", nargs=-1, required=True, type=click.Path())
@without
@as_json
def verify(files: tuple[str, ...], without: tuple[str, ...], as_json: bool) -> None:
    """Check that RESULTS are complete and unchanged, and that their spec validates."""
    from ebayes_core.report.verify import verify as look

    registry = registry_of(without)
    reports = [look(located(file, registry) if Path(file).is_dir() else Path(file), registry) for file in files]
    if as_json:
        print_json([asdict(report) | {"path": str(report.path)} for report in reports])
    else:
        for line in (line for report in reports for line in _lines(report)):
            say(line)
    bad, unread = (sum(map(bool, found)) for found in zip(*((r.problems, r.unread) for r in reports), strict=True))
    wrong = {
        "are damaged or incomplete; restore them from copies, or run their specs again": bad,
        "could not be read now, which says nothing about their contents": unread,
    }
    if bad or unread:
        raise EbayesError("\n".join(f"{n} of {len(reports)} files {what}" for what, n in wrong.items() if n))


def _lines(report: Any) -> list[str]:
    count = len(report.problems)
    if count:
        first = f"{count} problem{'' if count == 1 else 's'}"
    elif report.unread:
        first = "could not be read"
    else:
        first = f"complete and unchanged; {networks(report.networks)}, schema {report.schema}"
    more = [f"... and {count - SHOWN} more: --json lists them"] if count > SHOWN else []
    texts = [*report.problems[:SHOWN], *more, *report.unread, *(f"note: {text}" for text in report.notes)]
    return [f"{report.path}: {first}", *(f"  {text}" for text in texts)]
