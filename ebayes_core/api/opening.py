"""Opening results: a file, a sweep's folder, or several files as one."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ebayes_core.api.experiments import plain
from ebayes_core.api.plugins import registry_of
from ebayes_core.api.runs import Place, Run
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError
from ebayes_core.results import merge, provenance, reader
from ebayes_core.results.differences import differing
from ebayes_core.results.record import Setting
from ebayes_core.spec.models import SLOTS
from ebayes_core.spec.reading import completed
from ebayes_core.sweeps import locate
from ebayes_core.sweeps.planning import find_device

SEED, APART = "seed", " + "


def open(path: Place | Iterable[Place], *, plugins: Iterable[Any] = ()) -> Run:
    """Open results to read from: a file, a sweep's folder, or a list of these as if they were one run.

    A folder is gathered first if networks have finished since. In a list, the fields in which the networks differ count
    as swept, and a network that several files contain appears once. plugins: those that the results need and that are
    not installed.

    Raises UserError if there is nothing to read, with the nearest name, and StoreError for another kind of file.
    """
    registry, plugins = registry_of(plugins), tuple(plugins)
    if isinstance(path, (str, Path)) or not isinstance(path, Iterable):
        return Run(locate.results(Path(path), registry, print), plugins)
    files = list(dict.fromkeys(locate.results(Path(one), registry, print) for one in path))
    if not files:
        raise UserError("the list of results files to open is empty: name at least one")
    return Run(files[0], plugins) if len(files) == 1 else _joined(files, plugins)


def _joined(files: Sequence[Path], plugins: Sequence[Any]) -> Run:
    """Several files as one, in a temporary file that is removed with the run."""
    folder = tempfile.TemporaryDirectory(prefix="ebayes-")
    target = Path(folder.name) / "joined.h5"
    _join(files, target, registry_of(plugins))
    found = Run(target, plugins)
    weakref.finalize(found, folder.cleanup)
    return found


def _join(files: Sequence[Path], target: Path, registry: Registry) -> None:
    """Write the networks of several files into one, as if a sweep had set the fields in which they differ."""
    runs = [reader.Run(file) for file in files]
    found = _networks(runs, registry)
    specs = [spec for spec, _ in found.values()]
    swept = {
        name: [_brief(name, value, registry) for value in values]
        for name, values in differing(specs, ignored=(SEED,)).items()
    }
    settings = [Setting(spec, {name: values[i] for name, values in swept.items()}) for i, spec in enumerate(specs)]
    places = {digest: source for digest, (_, source) in found.items()}
    whole = runs[0].spec | {"name": _name(runs), "seeds": sorted({spec[SEED] for spec in specs}), "sweep": {}}
    texts = "\n".join(f"# {file.name}\n{run.spec_text}" for file, run in zip(files, runs, strict=True))
    made = provenance.collect(registry.versions(), find_device("cpu"))
    merge.gather(target, whole, settings, places, made, texts)


def _networks(runs: Iterable[reader.Run], registry: Registry) -> dict[str, tuple[dict[str, Any], merge.Source]]:
    """Every network once, by digest: its spec, and the first place where it is stored.

    A file may be older than some field, which is no difference to a newer one: its networks have the default.
    """
    found: dict[str, tuple[dict[str, Any], merge.Source]] = {}
    for run in runs:
        for row in range(run.n_members):
            spec = completed("Member", run.member_spec(row), registry)
            found.setdefault(Setting(spec, {}).digest, (spec, merge.Source(run.path, row)))
    return found


def _brief(name: str, value: Any, registry: Registry) -> Any:
    """A slot's table as one would write it into a sweep: its kind, and the fields that are not at their default."""
    kind = registry.kinds(name).get(value["kind"]) if name in SLOTS and isinstance(value, dict) else None
    if kind is None:
        return value
    usual = {key: plain(field.get_default(call_default_factory=True)) for key, field in kind.model_fields.items()}
    return {key: v for key, v in value.items() if key == "kind" or key not in usual or v != usual[key]}


def _name(runs: Sequence[reader.Run]) -> str:
    return APART.join(dict.fromkeys(run.name for run in runs))
