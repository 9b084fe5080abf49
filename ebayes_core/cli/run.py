"""Commands that train: into one results file, or with several workers into a sweep's folder."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ebayes_core.cli.common import (
    COMPILE,
    as_json,
    cache,
    checkpoint,
    compile_,
    console_of,
    device,
    figures_of,
    folder_,
    heartbeat,
    overrides,
    print_json,
    registry_of,
    spec_file,
    stuck,
    without,
)
from ebayes_core.errors import EbayesError, UserError
from ebayes_core.wording import networks

if TYPE_CHECKING:
    from rich.console import Console

    from ebayes_core.contract.registry import Registry
    from ebayes_core.sweeps.folder import Folder


@click.command()
@spec_file
@click.option("--out", help="Results file, or a folder for a sweep with workers.  [default: results/NAME.h5]")
@click.option(
    "--workers", type=click.IntRange(0, 1024),
    help="Number of worker processes, one thread each; the results go into a folder. With 0, only plan the sweep, for "
    "`ebayes work`.",
)  # fmt: skip
@click.option(
    "--cohort", type=click.IntRange(min=1), metavar="NETWORKS",
    help="Largest number of networks trained together as one cohort.  [default: by memory and workers]",
)  # fmt: skip
@click.option("--on", type=click.Choice(["dask", "slurm"]), help="Submit to a Dask cluster, or to Slurm through Dask.")
@click.option("--scheduler", metavar="ADDRESS", help="Address of a running Dask scheduler.  [default: start a cluster]")
@click.option(
    "--cluster", multiple=True, metavar="KEY=VALUE",
    help="Argument of Dask's LocalCluster or SLURMCluster, value in TOML.",
)  # fmt: skip
@overrides
@device
@click.option("--fresh", is_flag=True, help="Discard existing results and train again.")
@click.option(
    "--retries", type=click.IntRange(0, 100), default=2, show_default=True,
    help="How many more times to try a network that fails.",
)  # fmt: skip
@click.option("--retry-failed", is_flag=True, help="Try failed networks again.")
@without
@cache
@compile_
@heartbeat
@stuck
@checkpoint
@click.option("--times", type=click.Path(dir_okay=False), hidden=True, help="Write the seconds of each part as JSON.")
def run(spec: str, out: str | None, workers: int | None, on: str | None, fresh: bool, **how: Any) -> None:
    """Train the networks of SPEC, measure them, and draw its figures.

    With --workers or --on, or if --out is a folder, the results go into a sweep's folder, which several workers can
    share; see `ebayes work`, `status` and `gather`. To continue a run that
    was stopped, give the same command again.

    SPEC is a TOML file, or the name of an installed spec, which `ebayes specs` lists.
    """
    from ebayes_core import spec as specs

    registry = registry_of(how["without"], how["cache"])
    source = specs.find(spec, registry)
    text = source.text
    experiment = specs.loads(text, registry, how["overrides"], source.name, source.folder)
    many = workers is not None or on is not None or bool(out and (out.endswith(os.sep) or Path(out).is_dir()))
    target = Path(out or f"results/{experiment.name}{'' if many else '.h5'}")
    if many:
        _run_folder(experiment, text, registry, target, fresh, 1 if workers is None else workers, on, how)
    else:
        _run_file(experiment, text, registry, target, fresh, how)


def _run_file(experiment: Any, text: str, registry: Registry, target: Path, fresh: bool, how: dict[str, Any]) -> None:
    if not target.suffix:
        raise UserError(
            f"--out {target}: end the name with .h5 for a results file (figures go into the folder {target}), "
            f"or with {os.sep} for a sweep's folder"
        )
    console = console_of()
    from ebayes_core.cli.stopwatch import Stopwatch
    from ebayes_core.sweeps.progress import watcher
    from ebayes_core.sweeps.run import run as train

    with Stopwatch(watcher(console)) as shown:
        options = _options(how, fresh=fresh, watcher=shown, without=how["without"], helpers=_arguments(how))
        new = train(experiment, text, registry, target, options)
    if not new:
        console.print(f"{target} already contains the result of this spec; use --fresh to train again", soft_wrap=True)
    began = time.perf_counter()
    try:
        _conclude(console, experiment, registry, target, [])
    finally:
        if how["times"]:
            seconds = {**shown.seconds, "draw": time.perf_counter() - began}
            Path(how["times"]).write_text(json.dumps(seconds), encoding="utf-8")


def _options(how: dict[str, Any], **more: Any) -> Any:
    from ebayes_core.storage.lease import Pace
    from ebayes_core.sweeps.options import Options

    pace = Pace(min(10.0, how["stale_after"] / 5), how["stale_after"], how["stuck_after"], how["checkpoint_every"])
    names = {name: how[name] for name in ("device", "retries", "only", "wait", "cohort") if name in how}
    return Options(compile=COMPILE[how["compile_"]], pace=pace, **names, **more)


def _conclude(console: Console, experiment: Any, registry: Registry, target: Path, problems: list[str]) -> None:
    """Draw the figures of a results file and print its results; error messages come last."""
    from ebayes_core.report import screen

    problems = problems + figures_of(console, experiment, registry, target)
    console.print(f"results: {target}\n", soft_wrap=True)
    screen.show(console, target, registry)
    if problems:
        raise EbayesError("\n".join(problems))


def _run_folder(
    experiment: Any, text: str, registry: Registry, target: Path, fresh: bool, workers: int, on: str | None,
    how: dict[str, Any],
) -> None:  # fmt: skip
    from ebayes_core.results.handle import GATHERED
    from ebayes_core.sweeps.run import begin, check_place

    if target.suffix == ".h5":
        raise UserError(
            f"--out {target}: with --workers or --on the results go into a folder; give a folder instead of a file"
        )
    check_place(experiment, target, fresh)
    console = console_of()
    folder = begin(experiment, text, registry, target, _options(how), workers, how["without"])
    if how["retry_failed"]:
        folder.clear_errors()
    if not workers:
        items = len(folder.left())
        what = f"{items} item{'' if items == 1 else 's'} to do"
        return console.print(f"{what}; start workers with  ebayes work {target}", soft_wrap=True)
    _work_at(folder, workers, on, how, console)
    _gather(folder, registry, target / GATHERED, console)


def _work_at(folder: Folder, workers: int, on: str | None, how: dict[str, Any], console: Console) -> None:
    from ebayes_core.cli.sweep_status import sweep_watcher

    with sweep_watcher(console, folder) as look:
        if on:
            from ebayes_core.sweeps.dask_tasks import submit

            submit(folder, on, workers, how["scheduler"], how["cluster"], _arguments(how), look)
        else:
            from ebayes_core.sweeps.pool import Pool

            Pool(folder, workers, _arguments(how)).run(look)


def _arguments(how: dict[str, Any]) -> list[str]:
    """The command-line arguments of a worker."""
    names = ("device", "stale_after", "stuck_after", "checkpoint_every")
    given = [f"--{name.replace('_', '-')}={how[name]}" for name in names]
    return [*given, f"--compile={how['compile_']}", *([f"--cache={how['cache']}"] if how["cache"] else [])]


@click.command()
@folder_
@device
@cache
@compile_
@heartbeat
@stuck
@checkpoint
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Wait for items that other workers hold, in case they do not finish them.",
)
@click.option("--only", metavar="ITEM", help="Train only this item (see `ebayes status`).")
@click.option("--until-eof", is_flag=True, hidden=True, help="Stop when standard input closes.")
def work(folder: str, until_eof: bool, **how: Any) -> None:
    """Start a worker for the sweep in DIR; it trains free items until all are done.

    Start one worker per core, on any hosts that share DIR. Each uses one thread, so the numbers do not depend on how
    many workers there are.
    """
    from ebayes_core.sweeps.folder import Folder

    place = Folder.open(Path(folder))
    registry = registry_of(place.about()["without"], how["cache"])
    import faulthandler

    import torch

    faulthandler.enable()  # after a crash in a library's native code, the log shows where Python was
    torch.set_num_threads(1)
    if until_eof:
        threading.Thread(target=_stop_at_eof, daemon=True).start()
    from ebayes_core.sweeps.progress import watcher
    from ebayes_core.sweeps.worker import work as work_at

    with watcher(console_of()) as shown:
        work_at(place, registry, _options(how, watcher=shown))


def _stop_at_eof() -> None:
    """Stop, with a checkpoint, when the process that started this one ends: it holds the other end of the pipe."""
    import signal

    while os.read(0, 1):  # not through sys.stdin, whose lock Python needs at exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


@click.command()
@folder_
@as_json
def status(folder: str, as_json: bool) -> None:
    """Show the state of the sweep in DIR: networks done, running, failed and left; time remaining."""
    from ebayes_core.cli.sweep_status import show_status
    from ebayes_core.sweeps.folder import Folder
    from ebayes_core.sweeps.status import status as stands

    found = stands(Folder.open(Path(folder)))
    if as_json:
        print_json(found.plain())
    else:
        show_status(console_of(), found)


@click.command()
@folder_
@click.option("--out", type=click.Path(dir_okay=False), help="Results file.  [default: DIR/results.h5]")
def gather(folder: str, out: str | None) -> None:
    """Combine all finished networks of DIR into one results file, and draw its figures."""
    from ebayes_core.results.handle import GATHERED
    from ebayes_core.sweeps.folder import Folder

    place = Folder.open(Path(folder))
    registry = registry_of(place.about()["without"])
    _gather(place, registry, Path(out) if out else place.path / GATHERED, console_of())


def _gather(folder: Folder, registry: Registry, target: Path, console: Console) -> None:
    """Gather and draw, and report which networks are missing and why."""
    from ebayes_core.sweeps.run import collect
    from ebayes_core.sweeps.status import status as stands

    experiment, found = folder.whole_experiment(registry), stands(folder)
    if not found.done:
        raise EbayesError("\n".join(_lacks(folder, found)))
    missing = collect(folder, experiment, registry, target)
    _conclude(console, experiment, registry, target, _lacks(folder, found) if missing else [])


def _lacks(folder: Folder, found: Any) -> list[str]:
    from ebayes_core.cli.sweep_status import failures

    unfinished = found.running + found.left
    how = [
        f"{networks(found.failed)} failed (run again with --retry-failed to try them again)" if found.failed else "",
        f"{networks(unfinished)} not finished (continue with  ebayes work {folder.path})" if unfinished else "",
    ]
    return [f"the results are incomplete: {'; '.join(filter(None, how))}", *failures(found)]
