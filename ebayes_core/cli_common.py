"""What the commands share: options, the registry, and how results are shown."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from rich.console import Console

    from ebayes_core.registry import Registry

without = click.option("--without", multiple=True, metavar="NAME", help="Leave out an installed plugin.")
overrides = click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Override a field; TOML.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
cache = click.option("--cache", type=click.Path(file_okay=False), help="Folder of downloaded data sets.")
spec_file = click.argument("spec", type=click.Path(dir_okay=False))
result_file = click.argument("file", type=click.Path(exists=True, dir_okay=False))
COMPILE = {"auto": None, "on": True, "off": False}
compile_ = click.option(
    "--compile", "compile_", type=click.Choice([*COMPILE]), default="auto", show_default=True,
    help="Fuse the update into one kernel.",
)  # fmt: skip
folder_ = click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False))
heartbeat = click.option(
    "--stale-after", type=click.FloatRange(min=0.5), default=120.0, show_default=True, metavar="SECONDS",
    help="Without a heartbeat for so long, a worker counts as dead, and others take over.",
)  # fmt: skip
stuck = click.option(
    "--stuck-after", type=click.FloatRange(min=1), default=3600.0, show_default=True, metavar="SECONDS",
    help="Without a step for so long, a network counts as failed.",
)  # fmt: skip
checkpoint = click.option(
    "--checkpoint-every", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS",
    help="Between two checkpoints.",
)  # fmt: skip


def figures_of(console: Console, experiment: Any, registry: Registry, target: Path) -> list[str]:
    """Measure what the file lacks and draw; returns what went wrong."""
    from ebayes_core import figures

    wanted = figures.named(experiment.analysis)
    problems = figures.measure(target, figures.missing(target, wanted), registry)
    pictures, more = figures.draw(target, target.with_suffix(""), registry)
    for picture in pictures:
        console.print(f"figure:  {picture}", soft_wrap=True)
    return problems + more


def report_on(console: Console, target: Path, registry: Registry) -> None:
    """The statistics of a file's analyses, its members, and its convergence report."""
    from ebayes_core import figures, report
    from ebayes_core.blame import asking, blamed
    from ebayes_core.runfile import Run

    for name, (analysis, arrays) in figures.stored(target, registry)[0].items():
        try:
            with asking(analysis, "what statistics returned"):
                report.statistics(name, analysis.statistics(arrays), console)
        except Exception as error:  # a stranger's table must not cost the report
            console.print(f"{name}: no statistics: {blamed(error, registry)}", soft_wrap=True)
    with Run(target) as found:
        report.members(found, console)
        console.print()
        report.convergence(found, console)


def registry_of(without: Sequence[str], cache: str | None = None) -> Registry:
    """The installed plugins, less those that are left out; data sets come from `cache`. A broken one is told of."""
    from ebayes_core.cache import VARIABLE
    from ebayes_core.registry import Registry

    if cache:
        os.environ[VARIABLE] = cache
    registry = Registry.load(without)
    registry.warn()
    return registry


def console_of() -> Console:
    """Where a command prints."""
    from rich.console import Console

    # nothing is cut off in a file; [ ] in names and paths are no markup
    return Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False)


def print_json(value: Any) -> None:
    """For programs."""
    click.echo(json.dumps(value, indent=2))
