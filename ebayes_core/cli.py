"""The command line. Torch is imported only where a command needs it: help and a misspelt spec should be quick."""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ebayes_core import cli_files, cli_run
from ebayes_core.cli_common import (
    as_json,
    cache,
    console_of,
    device,
    overrides,
    print_json,
    registry_of,
    report_on,
    result_file,
    spec_file,
    without,
)
from ebayes_core.errors import EbayesError, UserError, told
from ebayes_core.exits import Stderr, guarded
from ebayes_core.signals import Command
from ebayes_core.words import networks

if TYPE_CHECKING:
    from rich.console import Console


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("ebayes"), prog_name="ebayes")
@click.option("--debug", is_flag=True, help="Show tracebacks, as EBAYES_DEBUG=1 does.")
def main(debug: bool) -> None:
    """Energy-efficient synapses: train noisy networks whose reliability costs energy."""
    if debug:
        os.environ["EBAYES_DEBUG"] = "1"


@main.command()
@spec_file
@overrides
@device
@without
@cache
@click.option("--calibrate/--no-calibrate", default=True, show_default=True, help="Time a few steps of each cohort.")
@as_json
def check(
    spec: str, overrides: tuple[str, ...], device: str, without: tuple[str, ...], cache: str | None, calibrate: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Validate SPEC; show its members, cohorts, time and memory."""
    from ebayes_core import spec as specs

    experiment = specs.load(spec, registry_of(without, cache), overrides)
    from dataclasses import asdict

    from ebayes_core.estimate import estimates
    from ebayes_core.planning import find_device

    points = experiment.members()
    found = estimates(points, find_device(device), calibrate)
    rows = [{"index": p.index, "seed": p.member.seed, **p.swept} for p in points]
    if as_json:
        cohorts = [asdict(e) for e in found]
        print_json({"name": experiment.name, "digest": specs.digest(experiment), "members": rows, "cohorts": cohorts})
        return
    _show_check(console_of(), spec, rows, found)


def _show_check(console: Console, spec: str, rows: list[dict[str, Any]], found: list[Any]) -> None:
    from rich.table import Table

    from ebayes_core.estimate import in_words
    from ebayes_core.report import amount, text

    cohorts = "1 cohort" if len(found) == 1 else f"{len(found)} cohorts"
    console.print(f"{spec}: valid; {networks(len(rows))} in {cohorts}", soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows[:40]:
        table.add_row(*(text(v) for v in row.values()))
    console.print(table)
    if len(rows) > 40:
        console.print(f"... and {len(rows) - 40} more")
    for number, e in enumerate(found):
        time = "" if e.seconds is None else f", {in_words(e.seconds)} of training"
        console.print(
            f"cohort {number + 1}: {networks(len(e.members))} of {e.synapses} synapses, {e.steps} steps{time}; "
            f"{amount(e.megabytes)} MB with the data, {e.bytes_per_synapse:.0f} bytes per synapse",
            soft_wrap=True,
        )
    if found[0].seconds is not None:
        total = in_words(tuple(map(sum, zip(*(e.seconds for e in found), strict=True))))
        busy = " (longer while other programs are as busy as now)" if " to " in total else ""
        console.print(f"in all {total} of training{busy}; compiling and measuring come on top", soft_wrap=True)


@main.command()
@result_file
@as_json
def show(file: str, as_json: bool) -> None:
    """The members of a results FILE, and their convergence report."""
    from ebayes_core import report
    from ebayes_core.runfile import Run

    if not as_json:
        report_on(console_of(), Path(file), registry_of(()))
        return
    with Run(file) as found:
        print_json(report.summary(found))


@main.command()
@result_file
@click.option("--analysis", metavar="KIND", help="Only this one.")
@click.option("--into", type=click.Path(file_okay=False), help="Folder.  [default: beside FILE, named as it is]")
@without
def draw(file: str, analysis: str | None, into: str | None, without: tuple[str, ...]) -> None:
    """Draw the figures of a results FILE again, from the file alone."""
    from ebayes_core import figures

    folder = Path(into) if into else Path(file).with_suffix("")
    names, problems = figures.draw(Path(file), folder, registry_of(without), analysis)
    if not names and not problems:
        raise UserError(f"{file}: holds no analysis{f' {analysis!r}' if analysis else ''} to draw; add one to its spec")
    for name in names:
        click.echo(name)
    if problems:
        raise EbayesError("\n".join(problems))


@main.command("report")
@click.argument("files", metavar="RESULTS...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--out", type=click.Path(file_okay=False), default="report", show_default=True, help="Folder of the pages."
)
@without
def write_report(files: tuple[str, ...], out: str, without: tuple[str, ...]) -> None:
    """One HTML page for each of RESULTS, to send to a colleague: spec, tables, figures and claims in one file."""
    from ebayes_core import page

    registry, problems = registry_of(without), []
    for file, target in page.targets(map(Path, files), Path(out)).items():
        try:
            problems += page.write(file, target, registry)
            click.echo(target)
        except (EbayesError, OSError, MemoryError) as error:  # it costs its own page and no other
            problems.append(told(error))
    if problems:
        raise EbayesError("\n".join(problems))


@main.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False), metavar="[RESULTS]...")
@click.option("--parts", is_flag=True, help="Every mechanism, layer and network, and not only the hardest.")
@click.option("--markdown", is_flag=True, help="As a table to paste.")
@without
@as_json
def claims(files: tuple[str, ...], parts: bool, markdown: bool, without: tuple[str, ...], as_json: bool) -> None:
    """What the paper claims, as measured in RESULTS, with the rule by which it holds.  [default: results/*.h5]"""
    from ebayes_core import claims as asked
    from ebayes_core.blame import blamed

    chosen = [Path(file) for file in files] or sorted(Path("results").glob("*.h5"))
    registry, found, problems = registry_of(without), [], []
    for file in chosen:
        more, lost = asked.findings(file, registry)
        found += more
        problems += [f"{file}: {name}: no claims: {blamed(e, registry)}" for name, e in lost.items()]
    rows = asked.table(asked.in_order(found), parts)
    if not rows and not problems:
        raise UserError("no analysis in these files measures a claim; run a spec of specs/desk or specs/paper first")
    if as_json:
        print_json(rows)
    elif markdown:
        click.echo(asked.markdown(rows))
    else:
        _show_claims(console_of(), rows)
    if problems:
        raise EbayesError("\n".join(problems))


def _show_claims(console: Console, rows: list[dict[str, str]]) -> None:
    """Claim by claim: the statement and its rule once, then what each file says."""
    from rich.table import Table

    from ebayes_core.claims import INTERPRETED

    shown = ("verdict", "value", "of", "file", "sigma", "B")
    table = Table(*shown, box=None, header_style="bold", pad_edge=False)
    last = ""
    for row in rows:
        head = f"{row['claim']}  {row['statement']}  [{row['statistic']}: {row['holds if']}]"
        if head != last:
            if last:
                console.print(table, "")
            console.print(head, soft_wrap=True)
            table, last = Table(*shown, box=None, show_header=False, pad_edge=False, padding=(0, 2)), head
        table.add_row(*(row[name] for name in shown))
    console.print(table, "")
    console.print(INTERPRETED, soft_wrap=True)


@main.command()
@without
@as_json
def plugins(without: tuple[str, ...], as_json: bool) -> None:
    """What is registered, and by whom."""
    from dataclasses import asdict

    from ebayes_core.registry import Registry

    names, registry = ("slot", "kind", "distribution", "version", "summary"), Registry.load(without)
    rows = [{name: getattr(entry, name) for name in names} for entry in registry.entries]
    if as_json:
        print_json({"registered": rows, "broken": [asdict(broken) for broken in registry.broken]})
        return
    from rich.table import Table

    table = Table(*names, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row.values())
    console_of().print(table)
    for broken in registry.broken:
        console_of().print(f"broken: {broken}; update, reinstall or uninstall it", soft_wrap=True)


@main.command()
@click.option("--out", type=click.Path(dir_okay=False), help="Write it to a file.")
@click.option("--markdown", is_flag=True, help="As a page to read.")
@without
def schema(out: str | None, markdown: bool, without: tuple[str, ...]) -> None:
    """The JSON Schema of specs, or their reference, with every registered plugin."""
    from ebayes_core import reference
    from ebayes_core import spec as specs

    text = (reference.markdown if markdown else specs.schema_text)(registry_of(without))
    if out:
        Path(out).write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)


@main.command("new-plugin")
@click.argument("slot", type=click.Choice(["cost", "noise", "inference", "network", "dataset", "analysis"]))
@click.argument("name")
@click.option(
    "--into", type=click.Path(file_okay=False), default=".", show_default=True, help="Where to put the package."
)
def new_plugin(slot: str, name: str, into: str) -> None:
    """A working package for a plugin of yours, with its tests."""
    from ebayes_core import scaffold

    folder, files = scaffold.create(slot, name, Path(into))
    for path in files:
        click.echo(path)
    click.echo(f"next:  pip install -e {folder}  and  python -m pytest {folder}")


@main.command()
@click.option("--quick", is_flag=True, help="Only what the goals need; ends within five minutes.")
@click.option("--growth", type=click.Path(dir_okay=False), metavar="FIGURE", help="Also growth, with a figure.")
@as_json
def bench(quick: bool, growth: str | None, as_json: bool) -> None:
    """Time and memory of training here, beside a plain network, a naive loop and other packages; the goals."""
    import time

    from ebayes_core.bench import session, table

    began = time.perf_counter()
    say = lambda text: click.echo(f"{time.perf_counter() - began:5.0f} s  {text}", err=True)
    done = session.bench(quick, Path(growth) if growth else None, say)
    if as_json:
        print_json(done.record())
        return
    table.show(console_of(), done.machine, done.sections, done.verdicts)


for command in (cli_run.run, cli_run.work, cli_run.status, cli_run.gather, cli_files.verify):
    main.add_command(command)


def entry() -> None:
    """The `ebayes` command: exceptions become messages and exit statuses."""
    logging.basicConfig(handlers=[Stderr()], format="%(message)s", level=logging.WARNING)
    # the compiler looks for CUDA's tools on machines without a GPU and says so
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    Command.own()
    sys.exit(guarded(lambda: main(standalone_mode=False)))
