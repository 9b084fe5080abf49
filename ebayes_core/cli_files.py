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
    bad = sum(bool(report.problems) for report in reports)
    if bad:
        raise EbayesError(
            f"{bad} of {len(reports)} files are not whole; restore them from copies, or run their specs again"
        )


def _lines(report: Any) -> list[str]:
    if report.problems:
        first = [f"{report.path}: {len(report.problems)} problems"]
    else:
        first = [f"{report.path}: whole; {networks(report.networks)}, schema {report.schema}"]
    return [*first, *(f"  {text}" for text in report.problems), *(f"  note: {text}" for text in report.notes)]
