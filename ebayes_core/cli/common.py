"""Options that the commands share, the registry of plugins, and the output of results."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from rich.console import Console

    from ebayes_core.contract.registry import Registry

without = click.option("--without", multiple=True, metavar="NAME", help="Ignore an installed plugin.")
overrides = click.option(
    "--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Override a field of the spec, value in TOML."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Device to compute on.",
)
cache = click.option("--cache", type=click.Path(file_okay=False), help="Folder for downloaded data sets.")


class SpecName(click.Path):
    """A spec's file or the name of an installed spec; a shell completes both."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The installed specs whose names begin so, and the files."""
        from ebayes_core.contract.registry import Registry
        from ebayes_core.spec import installed

        names = [spec.name for spec in installed(Registry.load()) if spec.name.startswith(incomplete)]
        return [*map(CompletionItem, names), *super().shell_complete(ctx, param, incomplete)]


spec_file = click.argument("spec", type=SpecName())
result_file = click.argument("file", metavar="RESULTS", type=click.Path())
COMPILE = {"auto": None, "on": True, "off": False}
compile_ = click.option(
    "--compile", "compile_", type=click.Choice([*COMPILE]), default="auto", show_default=True,
    help="Compile the update into one kernel.",
)  # fmt: skip
folder_ = click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False))
heartbeat = click.option(
    "--stale-after", type=click.FloatRange(min=0.5), default=120.0, show_default=True, metavar="SECONDS",
    help="Time without a heartbeat after which other workers take over a worker's item.",
)  # fmt: skip
stuck = click.option(
    "--stuck-after", type=click.FloatRange(min=1), default=3600.0, show_default=True, metavar="SECONDS",
    help="Time without a training step after which a network counts as failed.",
)  # fmt: skip
checkpoint = click.option(
    "--checkpoint-every", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS",
    help="Time between two checkpoints.",
)  # fmt: skip


def figures_of(console: Console, experiment: Any, registry: Registry, target: Path) -> list[str]:
    """Compute the analyses that the file does not have yet and draw all figures; returns error messages."""
    from ebayes_core.report import figures, side_by_side

    wanted = figures.named(experiment.analysis)
    with side_by_side.sharing(len(wanted), registry.without) as share:
        problems = figures.measure(target, figures.missing(target, wanted), registry)
        pictures, more = figures.draw(target, target.with_suffix(""), registry, share=share)
    if pictures:
        names = ", ".join(dict.fromkeys(picture.stem for picture in pictures))
        console.print(f"figures: {names} in {target.with_suffix('')}{os.sep}", soft_wrap=True)
    return problems + more


def located(path: str | Path, registry: Registry) -> Path:
    """The results file at a path, or that of the sweep's folder there; gathering it is reported on stderr."""
    from ebayes_core.console.output import say
    from ebayes_core.sweeps.locate import results

    return results(Path(path), registry, lambda text: say(text, err=True))


def registry_of(without: Sequence[str], cache: str | None = None) -> Registry:
    """The installed plugins except those in `without`, with a warning for each broken one.

    cache: folder for downloaded data sets.
    """
    from ebayes_core.contract.registry import Registry
    from ebayes_core.storage.cache import VARIABLE

    if cache:
        os.environ[VARIABLE] = cache
    registry = Registry.load(without)
    registry.warn()
    return registry


def console_of() -> Console:
    """The console that a command prints to."""
    from rich.console import Console

    # A file or a pipe has no width. All but the widest tables fit 200 columns in one block, for `less -S` or an editor;
    # COLUMNS overrides this. Brackets and colons in names and paths must not be read as markup or emoji.
    # Colours may be asked for in a pipe (FORCE_COLOR, as a notebook does for its shell), a moving line makes no sense.
    if os.environ.get("COLUMNS") == "0":  # of a terminal that does not know its width
        del os.environ["COLUMNS"]
    pipe = not (sys.stdout and sys.stdout.isatty())
    width, moves = 200 if pipe and "COLUMNS" not in os.environ else None, False if pipe else None
    return Console(width=width, force_interactive=moves, markup=False, highlight=False, emoji=False)


def print_json(value: Any) -> None:
    """Print a value as JSON, for programs."""
    click.echo(json.dumps(value, indent=2))
