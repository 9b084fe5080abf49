"""Which results file is meant: one that is named, or that of a sweep's folder, gathered if need be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError, nearest
from ebayes_core.report import figures
from ebayes_core.results.handle import GATHERED
from ebayes_core.results.reader import Run
from ebayes_core.sweeps.folder import Folder
from ebayes_core.wording import networks

PARTIAL = ".partial"  #: what the folder of a run into one file ends with


def results(path: Path, registry: Registry, say: Callable[[str], None]) -> Path:
    """The results file that `path` means.

    A sweep's folder means its results.h5; where that lacks what is done by now, it is gathered, which is said. Raises
    UserError where there is nothing to read, with what to do.
    """
    if path.is_file():
        return path
    parts = path if path.suffix == PARTIAL else Path(f"{path}{PARTIAL}")
    if parts.is_dir() and (parts == path or not path.exists()):
        raise UserError(_unfinished(parts))
    if not path.is_dir():
        beside = [p.name for p in path.parent.glob("*.h5")] if path.parent.is_dir() else []
        raise UserError(f"{path}: there is no such file{nearest(path.name, beside)}")
    if not (path / "sweep.json").is_file():
        raise UserError(f"{path}: is a folder, and no sweep's; {_within(path)}")
    folder, target = Folder(path), path / GATHERED
    if not _complete(folder, target, registry):
        _gather(folder, target, registry, say)
    return target


def _unfinished(parts: Path) -> str:
    file = parts.with_name(parts.name.removesuffix(PARTIAL))
    return (
        f"{file}: is not finished; {parts} holds its work so far: give the command that began it again, and it goes on "
        f"from there (ebayes status {parts} says how far it is)"
    )


def _within(path: Path) -> str:
    """What a reader of any folder may have meant."""
    files = sorted(path.glob("*.h5"))
    if not files:
        return "name a results file, or the folder of a sweep"
    return f"name one of its results files: {', '.join(map(str, files[:5]))}{', ...' if len(files) > 5 else ''}"


def _complete(folder: Folder, target: Path, registry: Registry) -> bool:
    """Whether the sweep's results hold all of its networks that are done."""
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
    seen = folder.look()
    done = [item for item in folder.items(seen) if item.name in seen and seen[item.name].done]
    return {name for item in done for name in item.digests}


def _gather(folder: Folder, target: Path, registry: Registry, say: Callable[[str], None]) -> None:
    """What is done, in one file with its analyses. Raises UserError where nothing is."""
    if not folder.finished():
        raise UserError(
            f"{folder.path}: none of its networks is finished yet; ebayes status {folder.path} says how it stands, "
            f"and  ebayes work {folder.path}  trains them"
        )
    from ebayes_core.sweeps.run import collect

    experiment = folder.whole_experiment(registry)
    missing = collect(folder, experiment, registry, target)
    for problem in figures.measure(target, figures.missing(target, figures.named(experiment.analysis)), registry):
        say(problem)
    rest = f"; {networks(len(missing))} not finished, see  ebayes status {folder.path}" if missing else ""
    say(f"gathered what is done into {target}{rest}")
