"""Finding the results file at a path: the file itself, or that of a sweep's folder, gathered if necessary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError, nearest
from ebayes_core.report import figures
from ebayes_core.results.handle import GATHERED, SWEEP
from ebayes_core.results.reader import Run
from ebayes_core.sweeps.folder import PARTIAL, Folder
from ebayes_core.wording import networks


def results(path: Path, registry: Registry, say: Callable[[str], None]) -> Path:
    """The results file at `path`.

    For a sweep's folder this is its results.h5; if networks have finished since it was written, it is gathered again,
    which is reported through `say`. Raises UserError, with what to do, if there is nothing to read.
    """
    if path.is_file():
        return path
    parts = path if path.suffix == PARTIAL else Path(f"{path}{PARTIAL}")
    if parts.is_dir() and (parts == path or not path.exists()):
        raise UserError(_unfinished(parts))
    if not path.is_dir():
        beside = [p.name for p in path.parent.glob("*.h5")] if path.parent.is_dir() else []
        raise UserError(f"{path}: no such file{nearest(path.name, beside)}")
    if not (path / SWEEP).is_file():
        raise UserError(f"{path}: is a folder, but not a sweep's folder; {_within(path)}")
    folder, target = Folder(path), path / GATHERED
    if not _complete(folder, target, registry):
        _gather(folder, target, registry, say)
    return target


def _unfinished(parts: Path) -> str:
    file = parts.with_name(parts.name.removesuffix(PARTIAL))
    return (
        f"{file}: is not finished. Run the command that started it again to continue from {parts} "
        f"(ebayes status {parts} shows its progress)"
    )


def _within(path: Path) -> str:
    """Which results files of the folder may have been meant."""
    files = sorted(path.glob("*.h5"))
    if not files:
        return "give a results file or a sweep's folder"
    return f"give one of its results files: {', '.join(map(str, files[:5]))}{', ...' if len(files) > 5 else ''}"


def _complete(folder: Folder, target: Path, registry: Registry) -> bool:
    """Whether the sweep's results file contains all networks that are done."""
    if not target.is_file():
        return False
    with Run(target) as run:
        record = run.provenance
    if record.get("digest") != folder.about()["digest"]:
        return False
    missing = set(record.get("missing", ()))
    points = folder.whole_experiment(registry).members() if missing else []
    return _done(folder).isdisjoint(p.setting.digest for p in points if p.index in missing)


def _done(folder: Folder) -> set[str]:
    """Digests of the networks of finished items."""
    seen = folder.states()
    done = [item for item in folder.items(seen) if item.name in seen and seen[item.name].done]
    return {name for item in done for name in item.digests}


def _gather(folder: Folder, target: Path, registry: Registry, say: Callable[[str], None]) -> None:
    """Gather the finished networks and compute the analyses. Raises UserError if no network is finished."""
    if not folder.finished():
        raise UserError(
            f"{folder.path}: no network is finished yet; see  ebayes status {folder.path},  or train them with  "
            f"ebayes work {folder.path}"
        )
    from ebayes_core.sweeps.run import collect

    experiment = folder.whole_experiment(registry)
    missing = collect(folder, experiment, registry, target)
    for problem in figures.measure(target, figures.missing(target, figures.named(experiment.analysis)), registry):
        say(problem)
    rest = f"; {networks(len(missing))} not finished, see  ebayes status {folder.path}" if missing else ""
    say(f"gathered the finished networks into {target}{rest}")
