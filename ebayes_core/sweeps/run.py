"""From a spec to a results file or a sweep's folder: planned, worked at, gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ebayes_core import spec
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError
from ebayes_core.results import merge, provenance
from ebayes_core.results.reader import Run
from ebayes_core.spec import Point
from ebayes_core.storage import atomic
from ebayes_core.sweeps import planning
from ebayes_core.sweeps.folder import ITEM, Folder, Standing
from ebayes_core.sweeps.item import Item
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.planning import find_device
from ebayes_core.sweeps.worker import work
from ebayes_core.system import refuse_windows


def run(experiment: Any, text: str, registry: Registry, out: Path, options: Options | None = None) -> bool:
    """Train and measure every member into one file at `out`; False where this spec's result was there already.

    text is the spec verbatim. A run that was stopped goes on from the folder `<out>.partial`. Raises UserError where
    the file, or what is left of a stopped run, belongs to another spec, and Interrupted after a signal.
    """
    refuse_windows()
    options = options or Options()
    parts = out.with_name(out.name + ".partial")
    if options.fresh:
        atomic.clear(parts)
    elif _finished(out, spec.digest(experiment)):
        _clear(parts, spec.digest(experiment))
        return False
    _refuse_another(parts, spec.digest(experiment))
    atomic.make(atomic.behind(out).parent)  # what a link points to may be out of reach: better known before training
    folder = begin(experiment, text, registry, parts, options)
    work(folder, registry, replace(options, strict=True))
    collect(folder, experiment, registry, out)
    atomic.clear(parts)  # whoever ran the same spec beside us may be doing so too
    return True


def begin(
    experiment: Any, text: str, registry: Registry, path: Path, options: Options, workers: int = 1,
    without: Sequence[str] = (),
) -> Folder:  # fmt: skip
    """The folder of a sweep, with an item for every member that none in it trains yet.

    Items that nobody has begun, and that hold members which the spec no longer asks for, are planned anew.
    """
    folder = Folder(path)
    folder.declare(
        text,
        {
            "spec": spec.resolved(experiment), "digest": spec.digest(experiment), "without": list(without),
            "retries": options.retries,
        },
    )  # fmt: skip
    wanted = {point.setting.digest: point for point in experiment.members()}
    covered = {digest for item in _kept(folder, wanted) for digest in item.digests}
    new = [point for digest, point in wanted.items() if digest not in covered]
    folder.add(planning.items(new, find_device(options.device), workers, options.cohort) if new else [])
    return folder


def place_of(experiment: Any, path: Path, fresh: bool) -> None:
    """Refuse a folder that holds something else. Raises UserError; fresh throws away a sweep that lies there.

    One that lost its sweep.json is a sweep's still: its items are named by what they train, whatever is asked now. So
    is what a worker leaves whose folder was deleted underneath.
    """
    if (path / "sweep.json").exists():
        if fresh:
            return Folder(path).clear()
        theirs = Folder(path).about()["spec"]["name"]
        if theirs != experiment.name:
            raise UserError(f"{path} holds the sweep '{theirs}'; name another folder, or replace it with --fresh")
    elif path.is_dir() and any(path.iterdir()) and not list(Folder(path).work.glob(ITEM)):
        raise UserError(f"{path} is no sweep's folder and is not empty; name a new one")


def _kept(folder: Folder, wanted: dict[str, Point]) -> list[Item]:
    """The folder's items, less those that are dropped."""
    seen, kept = folder.look(), []
    for item in folder.items(seen):
        begun = seen.get(item.name, Standing()) != Standing() or item.parent
        if begun or all(digest in wanted for digest in item.digests):
            kept.append(item)
        else:
            folder.drop(item)
    return kept


def collect(folder: Folder, experiment: Any, registry: Registry, out: Path) -> list[Point]:
    """Gather all that is done into one results file; returns the members that are missing.

    Raises UserError where nothing is done yet.
    """
    found = merge.sources(folder.finished())
    missing = [point for point in experiment.members() if point.setting.digest not in found]
    points = [point for point in experiment.members() if point.setting.digest in found]
    if not points:
        raise UserError(f"{folder.path}: no network of its spec is finished yet; ebayes status {folder.path} says more")
    record = provenance.collect(registry.versions(), find_device("cpu"))
    record |= {"digest": spec.digest(experiment), "missing": [point.index for point in missing]}
    merge.gather(out, spec.resolved(experiment), [p.setting for p in points], found, record, folder.text())
    return missing


def _finished(out: Path, mine: str) -> bool:
    """Whether `out` holds this spec's result."""
    if not out.exists():
        return False
    with Run(out) as found:
        theirs = found.provenance.get("digest")
    if theirs != mine:
        raise UserError(
            f"{out} holds the result of another spec; keep it and give --out another file, or replace it with --fresh"
        )
    return True


def _clear(parts: Path, mine: str) -> None:
    """Remove what a run left that was stopped, or whose disk refused, while it removed it itself."""
    if _whose(parts) in (None, mine):
        atomic.clear(parts)


def _whose(parts: Path) -> str | None:
    """The digest of the spec that a folder belongs to, if it has one."""
    return Folder(parts).about()["digest"] if (parts / "sweep.json").exists() else None


def _refuse_another(parts: Path, mine: str) -> None:
    """What a stopped run left may only be taken over by the same spec."""
    if _whose(parts) not in (None, mine):
        raise UserError(
            f"{parts} holds an unfinished run of another spec; finish that one, give --out another file, "
            "or throw its work away with --fresh"
        )
