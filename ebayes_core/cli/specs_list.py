"""`ebayes specs`: the installed specs, and the text of one."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import rich_click as click

from ebayes_core.cli.common import SpecName, as_json, console_of, print_json, registry_of, without

if TYPE_CHECKING:
    from rich.console import Console

    from ebayes_core.spec import Installed

USE = "`ebayes run NAME` trains one; `ebayes specs NAME > my.toml` starts your own."


@click.command()
@click.argument("name", required=False, type=SpecName())
@without
@as_json
def specs(name: str | None, without: tuple[str, ...], as_json: bool) -> None:
    """List the installed specs, or print the one called NAME, to start one of your own from.

    `ebayes run` and `ebayes check` find installed specs by name. If NAME is a folder, such as desk, the specs in it are
    listed.
    """
    from ebayes_core.spec import installed, named

    found = installed(registry_of(without))
    within = [spec for spec in found if name is None or spec.name.startswith(f"{name.rstrip('/')}/")]
    if not within and name is not None:
        spec = named(name, found)
        return print_json(_row(spec) | {"text": spec.own_text()}) if as_json else click.echo(spec.own_text(), nl=False)
    if as_json:
        return print_json([_row(spec) for spec in within])
    _show(console_of(), within)


def _row(spec: Installed) -> dict[str, Any]:
    names = ("name", "description", "distribution", "version")
    return {name: getattr(spec, name) for name in names} | {"path": str(spec.path)}


def _show(console: Console, found: list[Installed]) -> None:
    """A table for each package, those of ebayes first."""
    from ebayes_core.console import printing
    from ebayes_core.contract.registry import OWN

    for (package, version), group in groupby(found, lambda spec: (spec.distribution, spec.version)):
        specs = list(group)
        columns = [
            printing.Column("name", [spec.name for spec in specs], words=True, key=True),
            printing.Column("description", [spec.description or "-" for spec in specs], words=True),
        ]
        title = "" if package == OWN else f"from {package} {version}"
        printing.show(console, printing.Listing(title, columns))
        console.print()
    printing.paragraph(console, USE if found else "no installed package brings a spec")
