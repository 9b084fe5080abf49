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
    "verdict": "held if the whole 95% interval is inside the range in [ ], not held if it is outside, else open; open, "
    "too, without an interval; held in 2 of 3: in 2 of its 3 parts",
    "at half": "the verdict if the thresholds were half as large; `at twice`, twice as large; empty if only the sign "
    "counts",
    "value": "the statistic of the part closest to failing, or of each with --parts; `interval`, its 95% interval",
    "over": "what the interval is over",
    "of": "the part the value belongs to",
    "note": "why it is true by construction, which does not count, or why it is open whatever the interval",
    "seeds": "number of seeds that would settle an open verdict, if mean and spread stay as they are",
    "file": "results file and analysis",
    "sigma": "how sigma was trained: descent (as in the paper) or fixed_point",
    "B": "range of the balance of the networks in the file; 1 at the optimum",
}
#: columns, and whether their cells are words that may be wrapped; a column without any entry is left out
SHOWN = {
    "verdict": True, "at half": True, "at twice": True, "value": False, "interval": True, "over": True, "of": True,
    "note": True, "seeds": True, "file": True, "sigma": False, "B": False,
}  # fmt: skip


@click.command()
@click.argument("files", nargs=-1, type=click.Path(), metavar="[RESULTS]...")
@click.option("--parts", is_flag=True, help="Show every part, not only the one closest to failing.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@without
@as_json
def claims(files: tuple[str, ...], parts: bool, markdown: bool, without: tuple[str, ...], as_json: bool) -> None:
    """Test the claims of the paper on RESULTS, each by the rule that is printed with it.

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
    found = asked.in_order(found)
    rows = asked.table(found, parts)
    if not rows and not problems:
        raise UserError("no analysis in these files tests a claim; run a spec that has one; `ebayes specs` lists specs")
    if as_json:
        print_json(rows)
    elif markdown:
        click.echo(asked.markdown(rows))
    else:
        _show(console_of(), rows, asked.summary(found))
    if problems:
        raise EbayesError("\n".join(problems))


def _show(console: Console, rows: list[dict[str, str]], summary: str) -> None:
    """Print each claim once with its rule, then a row for each results file; last what chance makes of them."""
    from ebayes_core.console import printing
    from ebayes_core.contract.claim import INTERPRETED

    for statement, of_it in groupby(rows, _head):
        mine = list(of_it)
        cells = {name: [row[name] for row in mine] for name in SHOWN}
        columns = [printing.Column(name, cells[name], words) for name, words in SHOWN.items() if any(cells[name])]
        printing.paragraph(console, statement, then="    ")
        printing.show(console, printing.Listing("", columns))
        console.print()
    for words in (INTERPRETED, summary):
        printing.paragraph(console, words, then="    ")
        console.print()
    printing.legend(console, LEGEND)


def _head(row: dict[str, str]) -> str:
    """A claim with its rule."""
    return (
        f"{row['claim']}  {row['statement']}  [{row['statistic']}: {row['threshold']}; threshold: {row['source']}; "
        f"{row['rule']}]"
    )
