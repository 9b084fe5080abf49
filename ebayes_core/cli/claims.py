"""The command that tests the claims of the paper on results files."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ebayes_core.cli.common import as_json, console_of, located, print_json, registry_of, without
from ebayes_core.errors import EbayesError, UserError

if TYPE_CHECKING:
    from rich.console import Console


LEGEND = {
    "verdict": "held if the whole interval is inside the range in [ ], not held if it is outside, else open; "
    "held in 2 of 3: in 2 of its 3 parts",
    "value": "the statistic, with its 95% interval in brackets if there is one",
    "of": "the part the value belongs to, by default the one closest to failing",
    "file": "results file and analysis",
    "sigma": "how sigma was trained: descent (as in the paper) or fixed_point",
    "B": "range of the balance of the networks in the file; 1 at the optimum",
}


@click.command()
@click.argument("files", nargs=-1, type=click.Path(), metavar="[RESULTS]...")
@click.option("--parts", is_flag=True, help="Show every part, not only the one closest to failing.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@without
@as_json
def claims(files: tuple[str, ...], parts: bool, markdown: bool, without: tuple[str, ...], as_json: bool) -> None:
    """Test the claims of the paper on RESULTS, each by a fixed rule.

    Without RESULTS, results/*.h5 are used. A claim has one or more parts, for example one per mechanism, layer or
    network.
    """
    from ebayes_core.contract.attribution import blamed
    from ebayes_core.report import claims as asked

    registry, found, problems = registry_of(without), [], []
    chosen = [located(file, registry) for file in files] or sorted(Path("results").glob("*.h5"))
    for file in chosen:
        more, lost = asked.findings(file, registry)
        found += more
        problems += [f"{file}: {name}: no claims: {blamed(e, registry)}" for name, e in lost.items()]
    rows = asked.table(asked.in_order(found), parts)
    if not rows and not problems:
        raise UserError("no analysis in these files tests a claim; run a spec that has one; `ebayes specs` lists specs")
    if as_json:
        print_json(rows)
    elif markdown:
        click.echo(asked.markdown(rows))
    else:
        _show(console_of(), rows)
    if problems:
        raise EbayesError("\n".join(problems))


def _show(console: Console, rows: list[dict[str, str]]) -> None:
    """Print each claim once with its rule, then a row for each results file."""
    from ebayes_core.console import printing
    from ebayes_core.contract.claim import INTERPRETED

    shown = {"verdict": True, "value": False, "of": True, "file": True, "sigma": False, "B": False}
    head = lambda row: f"{row['claim']}  {row['statement']}  [{row['statistic']}: {row['holds if']}]"
    for statement, of_it in groupby(rows, head):
        mine = list(of_it)
        columns = [printing.Column(name, [row[name] for row in mine], words) for name, words in shown.items()]
        printing.paragraph(console, statement, then="    ")
        printing.show(console, printing.Listing("", columns))
        console.print()
    printing.paragraph(console, INTERPRETED, then="    ")
    console.print()
    printing.legend(console, LEGEND)
