"""The command line. Torch is imported only by commands that need it, so that help and errors in a spec are quick."""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ebayes_core.cli import claims, files, run, specs_list, taken
from ebayes_core.cli.common import (
    SpecName,
    as_json,
    cache,
    console_of,
    device,
    overrides,
    print_json,
    registry_of,
    spec_file,
    without,
)
from ebayes_core.cli.exit_status import Stderr, guarded
from ebayes_core.console import output
from ebayes_core.sweeps.signals import Command
from ebayes_core.system import refuse_windows
from ebayes_core.wording import networks

if TYPE_CHECKING:
    from rich.console import Console


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("ebayes"), prog_name="ebayes")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors (the same as EBAYES_DEBUG=1).")
def main(debug: bool) -> None:
    """Train neural networks with noisy synapses whose reliability costs energy.

    Choose a spec from `ebayes specs`, start with `ebayes check SPEC` and `ebayes run SPEC`, then read the results with
    `ebayes show RESULTS`.
    """
    if debug:
        os.environ["EBAYES_DEBUG"] = "1"
    refuse_windows()


@main.command()
@spec_file
@overrides
@device
@without
@cache
@click.option(
    "--calibrate/--no-calibrate",
    default=True,
    show_default=True,
    help="Time a few steps of each cohort to estimate the training time.",
)
@as_json
def check(
    spec: str, overrides: tuple[str, ...], device: str, without: tuple[str, ...], cache: str | None, calibrate: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Validate SPEC and show its networks, cohorts, and estimates of time and memory.

    A cohort is a group of networks that are trained together. SPEC is a TOML file, or the name of an installed spec,
    which `ebayes specs` lists.
    """
    from ebayes_core import spec as specs

    experiment = specs.load(spec, registry_of(without, cache), overrides)
    from dataclasses import asdict

    from ebayes_core.sweeps.estimate import estimates
    from ebayes_core.sweeps.planning import find_device, workers

    points, where = experiment.members(), find_device(device)
    found, at_once = estimates(points, where, calibrate), workers(points, where)
    rows = [{"index": p.index, "seed": p.member.seed, **p.swept} for p in points]
    if as_json:
        cohorts = [asdict(e) for e in found]
        print_json({"name": experiment.name, "digest": specs.digest(experiment), "members": rows, "cohorts": cohorts})
        return
    _show_check(console_of(), spec, rows, found, at_once)


def _show_check(console: Console, spec: str, rows: list[dict[str, Any]], found: list[Any], at_once: int) -> None:
    from ebayes_core.console import printing
    from ebayes_core.sweeps.estimate import in_total, in_words
    from ebayes_core.wording import amount, text

    cohorts = "1 cohort" if len(found) == 1 else f"{len(found)} cohorts"
    printing.paragraph(console, f"{spec}: valid; {networks(len(rows))} in {cohorts} (networks trained together)")
    columns = [printing.Column(name, [text(row[name]) for row in rows], key=True) for name in rows[0]]
    more = "... and {} more: --json lists them"
    printing.show(console, printing.Listing("", columns).first(printing.SHOWN, more))
    for number, e in enumerate(found[: printing.SHOWN]):
        time = "" if e.seconds is None else f", {in_words(e.seconds)} of training"
        printing.paragraph(
            console,
            f"cohort {number + 1}: {networks(len(e.members))} of {e.synapses} synapses, {e.steps} steps{time}; "
            f"{amount(e.megabytes)} MB including the data, {e.bytes_per_synapse:.0f} bytes per synapse",
        )
    if len(found) > printing.SHOWN:
        console.print(more.format(len(found) - printing.SHOWN))
    if (span := in_total(found, at_once)) is not None:
        total = in_words(span)
        busy = " (longer if other programs stay as busy as now)" if " to " in total else ""
        several = f", {at_once} cohorts at a time" if at_once > 1 else ""
        printing.paragraph(
            console, f"in total {total} of training{several}{busy}, plus the time for compiling and measuring"
        )


@main.command()
@without
@as_json
def plugins(without: tuple[str, ...], as_json: bool) -> None:
    """List the registered plugins and the packages that provide them."""
    from dataclasses import asdict

    from ebayes_core.contract.registry import Registry

    names, registry = ("slot", "kind", "summary", "distribution", "version"), Registry.load(without)
    rows = [{name: getattr(entry, name) for name in names} for entry in registry.entries]
    if as_json:
        print_json({"registered": rows, "broken": [asdict(broken) for broken in registry.broken]})
        return
    from ebayes_core.console import printing

    columns = [
        printing.Column(name, [row[name] for row in rows], words=name != "version", key=name in ("slot", "kind"))
        for name in names
    ]
    printing.show(console_of(), printing.Listing("", columns))
    use = "A spec selects a plugin by the field `kind` in the table of its slot."
    printing.paragraph(console_of(), f"{use} `ebayes schema --markdown` describes the fields of every kind.")
    for broken in registry.broken:
        printing.paragraph(console_of(), f"broken: {broken}; update, reinstall or uninstall it")


@main.command()
@click.option("--out", type=click.Path(dir_okay=False), help="Write to this file.  [default: standard output]")
@click.option("--markdown", is_flag=True, help="Write the reference of all fields in Markdown instead.")
@without
def schema(out: str | None, markdown: bool, without: tuple[str, ...]) -> None:
    """Print the JSON Schema of specs, or the reference of their fields, with every registered plugin."""
    from ebayes_core import spec as specs
    from ebayes_core.spec import reference

    text = (reference.markdown if markdown else specs.schema_text)(registry_of(without))
    if out:
        Path(out).write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)


@main.command("new-plugin")
@click.argument(
    "slot", metavar="SLOT", type=click.Choice(["cost", "noise", "inference", "network", "dataset", "analysis"])
)
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(file_okay=False),
    default=".",
    show_default=True,
    help="Folder in which to create the package.",
)
def new_plugin(slot: str, name: str, into: str) -> None:
    """Create a working package for a plugin of your own, with its tests.

    SLOT is what the plugin provides: cost, noise, inference, network, dataset or analysis. NAME is its kind, the name
    by which a spec refers to it.
    """
    from ebayes_core.cli import scaffold

    folder, files = scaffold.create(slot, name, Path(into))
    for path in files:
        output.say(path)
    output.say(f"next:  pip install -e {folder}  and  python -m pytest {folder}")


@main.command()
@click.option("--quick", is_flag=True, help="Measure only what the goals need; takes a few minutes.")
@device
@click.option("--out", type=click.Path(dir_okay=False), metavar="FILE", help="Also store all numbers in FILE, as JSON.")
@click.option(
    "--compare",
    type=click.Path(),
    metavar="FILE",
    help="Print this run beside one that was stored in FILE, perhaps on another machine.",
)
@click.option(
    "--growth",
    type=click.Path(dir_okay=False),
    metavar="FIGURE",
    help="Also measure how time and memory grow, and draw FIGURE.",
)
@click.argument("specs", nargs=-1, type=SpecName(), metavar="[SPEC]...")
@click.option(
    "--limit", type=click.FloatRange(min=0), default=120.0, show_default=True, metavar="SECONDS",
    help="Longest training of a SPEC that is run; others are estimated.",
)  # fmt: skip
@as_json
def bench(
    quick: bool, out: str | None, compare: str | None, growth: str | None, specs: tuple[str, ...], limit: float,
    device: str, as_json: bool,
) -> None:  # fmt: skip
    """Measure time and memory of training on this machine.

    The numbers are compared with what the same arithmetic and memory would need alone, with a plain network, a naive
    loop and other packages, and with the goals of the project.
    With SPECs, measure instead how long `ebayes run` takes for each, from the command to the figures.
    """
    from ebayes_core.cli import bench as command

    if specs:
        return command.answer(specs, limit, device, as_json)
    command.run(quick, device, out, compare, growth, as_json)


FILES = (files.show, files.draw, files.report, claims.claims, files.verify, taken.export, taken.predict)
for command in (specs_list.specs, run.run, run.work, run.status, run.gather, *FILES):
    main.add_command(command)


def entry() -> None:
    """The `ebayes` command: exceptions become messages and exit statuses."""
    output.install()
    logging.basicConfig(handlers=[Stderr()], format="%(message)s", level=logging.WARNING)
    # the compiler looks for CUDA's tools also on machines without a GPU, and logs a warning
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    Command.own()
    sys.exit(guarded(lambda: main(standalone_mode=False)))
