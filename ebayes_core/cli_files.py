"""Commands that look at files as files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich_click as click

from ebayes_core.cli_common import as_json, print_json, registry_of, without
from ebayes_core.errors import EbayesError
from ebayes_core.words import networks


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False))
@without
@as_json
def verify(files: tuple[str, ...], without: tuple[str, ...], as_json: bool) -> None:
    """Whether results FILEs are whole: every digest, nothing missing, and a spec that validates."""
    from ebayes_core.verify import verify as look

    registry = registry_of(without)
    reports = [look(Path(file), registry) for file in files]
    if as_json:
        print_json([asdict(report) | {"path": str(report.path)} for report in reports])
    else:
        for line in (line for report in reports for line in _lines(report)):
            click.echo(line)
    bad, unread = (sum(map(bool, found)) for found in zip(*((r.problems, r.unread) for r in reports), strict=True))
    wrong = {
        "are not whole; restore them from copies, or run their specs again": bad,
        "could not be looked at, which says nothing against them": unread,
    }
    if bad or unread:
        raise EbayesError("\n".join(f"{n} of {len(reports)} files {what}" for what, n in wrong.items() if n))


def _lines(report: Any) -> list[str]:
    if report.problems:
        first = f"{len(report.problems)} problems"
    elif report.unread:
        first = "could not be looked at"
    else:
        first = f"whole; {networks(report.networks)}, schema {report.schema}"
    texts = [*report.problems, *report.unread, *(f"note: {text}" for text in report.notes)]
    return [f"{report.path}: {first}", *(f"  {text}" for text in texts)]
