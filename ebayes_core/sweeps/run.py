"""From a spec to a results file or a sweep's folder: plan the items, train them, gather the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ebayes_core import spec
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError
from ebayes_core.results import merge, provenance
from ebayes_core.results.handle import SWEEP
from ebayes_core.results.reader import Run
from ebayes_core.spec import Point
from ebayes_core.storage import atomic
from ebayes_core.sweeps import planning
from ebayes_core.sweeps.folder import ITEM, PARTIAL, Folder, ItemState
from ebayes_core.sweeps.item import Item
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.planning import find_device
from ebayes_core.sweeps.pool import helped
from ebayes_core.sweeps.worker import work
from ebayes_core.system import refuse_windows


def run(experiment: Any, text: str, registry: Registry, out: Path, options: Options | None = None) -> bool:
    """Train and measure all networks into one file at `out`; False if it already contains the result of this spec.

    text is the spec verbatim. A run that was stopped continues from the folder `<out>.partial`. Raises UserError if
    the file, or the folder of a stopped run, belongs to another spec, and Interrupted after a signal.
    """
    refuse_windows()
    options = options or Options()
    parts = out.with_name(out.name + PARTIAL)
    if options.fresh:
        atomic.clear(parts)
    elif _finished(out, spec.digest(experiment)):
        _clear(parts, spec.digest(experiment))
        return False
    _refuse_another(parts, spec.digest(experiment))
    atomic.make(atomic.behind(out).parent)  # an unreachable target of a link is reported before training
    points, device = experiment.members(), find_device(options.device)
    workers = 1 if options.helpers is None else planning.workers(points, device)
    folder = begin(experiment, text, registry, parts, options, workers, options.without)
    others, threads = min(workers, len(folder.left())) - 1, planning.threads(points, device, workers)
    with helped(folder, max(others, 0), options.helpers or (), threads):
        work(folder, registry, replace(options, strict=True))
    collect(folder, experiment, registry, out)
    atomic.clear(parts)  # another process that ran the same spec may be removing it too
    return True


def begin(
    experiment: Any, text: str, registry: Registry, path: Path, options: Options, workers: int = 1,
    without: Sequence[str] = (),
) -> Folder:  # fmt: skip
    """The folder of a sweep, with new items for all networks that no item in it contains yet.

    Items that no worker has started are planned again if they contain networks that are no longer in the spec.
    """
    folder = Folder(path)
    folder.declare(
        text,
        {
            "spec": spec.resolved(experiment), "digest": spec.digest(experiment), "without": list(without),
            "retries": options.retries, "folder": experiment.folder, "toml": spec.dumps(experiment),
        },
    )  # fmt: skip
    wanted = {point.setting.digest: point for point in experiment.members()}
    covered = {digest for item in _kept(folder, wanted) for digest in item.digests}
    new = [point for digest, point in wanted.items() if digest not in covered]
    folder.add(planning.items(new, find_device(options.device), workers, options.cohort) if new else [])
    return folder


def check_place(experiment: Any, path: Path, fresh: bool) -> None:
    """Raise UserError if the folder contains anything but this sweep; with fresh, remove a sweep in it.

    A folder without sweep.json is accepted if it contains items: their names identify what they train. A worker whose
    folder was deleted while it trained may leave such a folder.
    """
    if (path / SWEEP).exists():
        if fresh:
            return Folder(path).clear()
        theirs = Folder(path).about()["spec"]["name"]
        if theirs != experiment.name:
            raise UserError(f"{path} contains the sweep '{theirs}'; give another folder, or replace it with --fresh")
    elif path.is_dir() and any(path.iterdir()) and not list(Folder(path).work.glob(ITEM)):
        raise UserError(f"{path} is not empty and not a sweep's folder; give another folder")


def _kept(folder: Folder, wanted: dict[str, Point]) -> list[Item]:
    """The items of the folder that are kept; the others are removed."""
    seen, kept = folder.states(), []
    for item in folder.items(seen):
        begun = seen.get(item.name, ItemState()) != ItemState() or item.parent
        if begun or all(digest in wanted for digest in item.digests):
            kept.append(item)
        else:
            folder.remove(item)
    return kept


def collect(folder: Folder, experiment: Any, registry: Registry, out: Path) -> list[Point]:
    """Gather all finished networks into one results file; returns the networks that are missing.

    Raises UserError if no network is finished yet.
    """
    found = merge.sources(folder.finished())
    missing = [point for point in experiment.members() if point.setting.digest not in found]
    points = [point for point in experiment.members() if point.setting.digest in found]
    if not points:
        raise UserError(f"{folder.path}: no network of its spec is finished yet; see  ebayes status {folder.path}")
    record = provenance.collect(registry.versions(), find_device("cpu"))
    record |= {"digest": spec.digest(experiment), "missing": [point.index for point in missing]}
    merge.gather(out, spec.resolved(experiment), [p.setting for p in points], found, record, folder.text())
    return missing


def _finished(out: Path, mine: str) -> bool:
    """Whether `out` contains the result of this spec. Raises UserError if it contains that of another."""
    if not out.exists():
        return False
    with Run(out) as found:
        theirs = found.provenance.get("digest")
    if theirs != mine:
        raise UserError(
            f"{out} contains the result of another spec; give another file with --out (in Python out=), or replace "
            "this one with --fresh (fresh=True)"
        )
    return True


def _clear(parts: Path, mine: str) -> None:
    """Remove the folder of a finished run that was interrupted while it removed the folder itself."""
    if _whose(parts) in (None, mine):
        atomic.clear(parts)


def _whose(parts: Path) -> str | None:
    """The digest of the spec that a folder belongs to, or None."""
    return Folder(parts).about()["digest"] if (parts / SWEEP).exists() else None


def _refuse_another(parts: Path, mine: str) -> None:
    """Raise UserError if the folder of a stopped run belongs to another spec; one that computed nothing is removed."""
    if _whose(parts) in (None, mine):
        return
    if not Folder(parts).states():  # it failed at once, as on data that cannot be trained on
        return atomic.clear(parts)
    raise UserError(
        f"{parts} contains an unfinished run of another spec; finish that one, give another file with --out "
        "(in Python out=), or discard it with --fresh (fresh=True)"
    )
