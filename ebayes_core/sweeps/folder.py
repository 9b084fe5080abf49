"""A sweep's folder: its items, which any worker may take, and their results.

    DIR/spec.toml, sweep.json    the spec as it was given, and resolved
    DIR/work/NAME.json           an item: networks that train as one cohort; never changed
    DIR/work/NAME.<n>.lease      the worker that trains it; the highest n is valid (see lease.py)
    DIR/work/NAME.<n>.checkpoint.h5, NAME.<n>.error, NAME.split, NAME.h5

An item is named by a digest of its networks, so the same networks are never planned twice. The state of every item
follows from the listing of the folder alone: there is no index that could disagree with it, and nothing to lock.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebayes_core import spec as specs
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import InUse, StoreError, UserError
from ebayes_core.results.handle import GATHERED, SWEEP
from ebayes_core.results.record import Setting
from ebayes_core.spec import Parts
from ebayes_core.storage import atomic, untrusted
from ebayes_core.sweeps.item import Item

PARTIAL = ".partial"  #: suffix of the folder of an unfinished run into one file
ITEM = 16 * "[0-9a-f]" + ".*"
#: files that an item has only while it is trained
PASSING = (".lease", ".checkpoint.h5", atomic.SUFFIX)
NUMBERED = re.compile(r"(?P<item>[0-9a-f]{16})\.(?P<number>\d+)\.(?P<kind>lease|checkpoint\.h5|error)")


@dataclass(frozen=True)
class ItemState:
    """The state of one item, from the listing of the folder."""

    done: bool = False
    split: bool = False
    leases: tuple[int, ...] = ()
    checkpoints: tuple[int, ...] = ()
    errors: tuple[int, ...] = ()

    def given_up(self, retries: int) -> bool:
        """Whether the item has failed too often to be tried again."""
        return len(self.errors) > retries


class Folder:
    """A sweep's folder. It can be read while workers write, because files appear in it atomically."""

    def __init__(self, path: Path) -> None:
        self.path, self.work = path, path / "work"
        self._items: dict[str, Item] = {}

    @classmethod
    def open(cls, path: Path) -> Folder:
        """The folder of an existing sweep. Raises UserError for any other folder."""
        if not (path / SWEEP).is_file():
            raise UserError(f"{path}: is not a sweep's folder; start a sweep with  ebayes run SPEC --out {path}/")
        return cls(path)

    def about(self) -> dict[str, Any]:
        """The spec, resolved and as TOML, its digest, the ignored plugins, and the number of retries."""
        with self._there():
            found: dict[str, Any] = json.loads((self.path / SWEEP).read_text(encoding="utf-8"))
            return found

    @contextlib.contextmanager
    def _there(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise UserError(
                f"{error.filename}: does not exist any more; start again with  ebayes run SPEC --out {self.path}/"
            ) from error

    def text(self) -> str:
        """The spec as the user wrote it."""
        return (self.path / "spec.toml").read_text(encoding="utf-8")

    def experiment(self, registry: Registry) -> Parts:
        """The experiment, without expanding its sweep. Raises SpecError."""
        found: Parts = specs.revived("Experiment", self.about()["spec"], registry, str(self.path / SWEEP))
        return found

    def whole_experiment(self, registry: Registry) -> Parts:
        """The experiment with its sweep expanded into networks. Raises SpecError."""
        about, source = self.about(), str(self.path / SWEEP)
        text = about.get("toml") or specs.dumps(self.experiment(registry))  # older folders have the resolved spec alone
        return specs.loads(text, registry, source=source, folder=about.get("folder") or None)

    def clear(self) -> None:
        """Remove all files of the sweep, but no other files in the folder."""
        for name in ("work", "logs", "results"):
            atomic.clear(self.path / name)
        for name in (SWEEP, "spec.toml", GATHERED):
            (self.path / name).unlink(missing_ok=True)

    def declare(self, text: str, about: dict[str, Any]) -> None:
        """Write the spec and its digest; `add` then writes the items."""
        atomic.make(self.work)
        atomic.write_text(self.path / "spec.toml", text)
        atomic.write_text(self.path / SWEEP, json.dumps(about, indent=2))

    def add(self, items: Iterable[Item]) -> None:
        """Write items, so that workers can take them."""
        for item in items:
            table = {
                "members": [member._asdict() for member in item.members],
                "steps": item.steps,
                "synapses": item.synapses,
            }
            atomic.write_text(self.work / f"{item.name}.json", json.dumps(table))

    def remove(self, item: Item) -> None:
        """Remove an item that no worker has started."""
        (self.work / f"{item.name}.json").unlink(missing_ok=True)

    def states(self) -> dict[str, ItemState]:
        """The state of every item that has any files, from one listing of the folder."""
        found: dict[str, dict[str, Any]] = {}
        with self._there():
            names = os.listdir(self.work)
        for name in names:
            numbered = NUMBERED.fullmatch(name)
            if numbered:
                kind = {"lease": "leases", "error": "errors"}.get(numbered["kind"], "checkpoints")
                found.setdefault(numbered["item"], {}).setdefault(kind, []).append(int(numbered["number"]))
            elif name.endswith((".h5", ".split")):
                item, kind = name.rsplit(".", 1)
                found.setdefault(item, {})["done" if kind == "h5" else kind] = True
        return {name: ItemState(**{k: _plain(v) for k, v in table.items()}) for name, table in found.items()}

    def items(self, states: dict[str, ItemState] | None = None) -> list[Item]:
        """All items, the largest first; an item that failed and was split is replaced by its halves."""
        seen = self.states() if states is None else states
        whole = [self._item(path) for path in self.work.glob("*.json")]
        return sorted((part for item in whole for part in _parts(item, seen)), key=lambda i: (-i.work, i.name))

    def left(self, only: str | None = None) -> list[tuple[Item, ItemState]]:
        """Items that are neither done nor given up, the largest first; or `only` one, with its parts if split."""
        retries, seen = self.about()["retries"], self.states()
        items = [(item, seen.get(item.name, ItemState())) for item in self.items(seen)]
        return [
            (item, now)
            for item, now in items
            if not (now.done or now.given_up(retries))
            and (only is None or any(ancestor.name == only for ancestor, _ in item.ancestry()))
        ]

    def _item(self, path: Path) -> Item:
        if path.stem not in self._items:
            table = json.loads(path.read_text(encoding="utf-8"))
            self._items[path.stem] = Item(
                tuple(Setting(**m) for m in table["members"]), table["steps"], table["synapses"]
            )
        return self._items[path.stem]

    def finished(self) -> list[Path]:
        """The files of finished items, sorted by name."""
        return sorted(p for p in self.work.glob("*.h5") if "." not in p.stem) if self.work.is_dir() else []

    def file(self, item: Item, kind: str, number: int | None = None) -> Path:
        """The file of an item: `h5`, `split`, or one of the numbered kinds."""
        return self.work / ".".join([item.name, *([] if number is None else [str(number)]), kind])

    def reached(self, item: Item, now: ItemState) -> tuple[int, float]:
        """The step of the latest intact checkpoint, and the seconds spent until then; 0 if there is none.

        Raises InUse, or OSError, if a checkpoint cannot be read now.
        """
        found = [(0, 0.0)]
        for number in now.checkpoints:
            path = self.file(item, "checkpoint.h5", number)
            try:
                with untrusted.opened(path) as file, untrusted.reading(path):
                    found.append((int(file["clock"][2]), float(file.attrs["seconds"])))
            except InUse:
                raise
            except StoreError:  # damaged, or removed meanwhile
                continue
        return max(found)

    def clear_errors(self) -> None:
        """Remove the records of all failures, so that failed items are tried again."""
        for path in self.work.glob("*.error"):
            path.unlink(missing_ok=True)

    def clean_up(self) -> None:
        """Remove leases and checkpoints of finished items, as far as the disk allows, whichever worker wrote them."""
        with contextlib.suppress(OSError):
            done = {path.stem for path in self.finished()}
            for path in self.work.iterdir():
                if path.name.split(".")[0] in done and path.name.endswith(PASSING):
                    path.unlink(missing_ok=True)

    def remove_leases(self, item: Item, most: float = math.inf) -> None:
        """Remove an item's leases up to a number: those of ended workers, and one's own."""
        for number in self.states().get(item.name, ItemState()).leases:
            if number <= most:
                self.file(item, "lease", number).unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    return tuple(sorted(value)) if isinstance(value, list) else value


def _parts(item: Item, seen: dict[str, ItemState]) -> Iterator[Item]:
    if item.name in seen and seen[item.name].split:
        for half in item.halves():
            yield from _parts(half, seen)
    else:
        yield item
