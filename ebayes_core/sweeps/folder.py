"""A sweep as a folder of work: items that anyone may take, and what became of each.

    DIR/spec.toml, sweep.json    the spec as it was given, and resolved
    DIR/work/NAME.json           an item: networks that train as one cohort; never changed
    DIR/work/NAME.<n>.lease      who works at it; the highest n holds it (see lease.py)
    DIR/work/NAME.<n>.checkpoint.h5, NAME.<n>.error, NAME.split, NAME.h5

An item is named by a digest of what it trains, so the same members are never planned twice, and the folder's listing
alone says how each stands: there is no index that could disagree with it, and nothing to lock.
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
from ebayes_core.results.record import Setting
from ebayes_core.spec import Parts
from ebayes_core.storage import atomic, untrusted
from ebayes_core.sweeps.item import Item

ITEM = 16 * "[0-9a-f]" + ".*"
#: what an item has while it is worked at
PASSING = (".lease", ".checkpoint.h5", atomic.SUFFIX)
NUMBERED = re.compile(r"(?P<item>[0-9a-f]{16})\.(?P<number>\d+)\.(?P<kind>lease|checkpoint\.h5|error)")


@dataclass(frozen=True)
class Standing:
    """What the folder's listing says of one item."""

    done: bool = False
    split: bool = False
    leases: tuple[int, ...] = ()
    checkpoints: tuple[int, ...] = ()
    errors: tuple[int, ...] = ()

    def given_up(self, retries: int) -> bool:
        """Whether it has failed too often to be tried again."""
        return len(self.errors) > retries


class Folder:
    """A sweep's folder. Reading it is safe while workers write: what they write appears whole."""

    def __init__(self, path: Path) -> None:
        self.path, self.work = path, path / "work"
        self._items: dict[str, Item] = {}

    @classmethod
    def open(cls, path: Path) -> Folder:
        """The folder of a sweep that was begun. Raises UserError for any other."""
        if not (path / "sweep.json").is_file():
            raise UserError(f"{path}: is no folder of a sweep; begin one with  ebayes run SPEC --out {path}/")
        return cls(path)

    def about(self) -> dict[str, Any]:
        """What was asked: the resolved spec, its digest, and the plugins that were left out."""
        with self._there():
            found: dict[str, Any] = json.loads((self.path / "sweep.json").read_text(encoding="utf-8"))
            return found

    @contextlib.contextmanager
    def _there(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise UserError(
                f"{error.filename}: is no longer there; ebayes run SPEC --out {self.path}/ begins it again"
            ) from error

    def text(self) -> str:
        """The spec as it was given."""
        return (self.path / "spec.toml").read_text(encoding="utf-8")

    def experiment(self, registry: Registry) -> Parts:
        """The experiment, without expanding its sweep. Raises SpecError."""
        found: Parts = specs.revived("Experiment", self.about()["spec"], registry, str(self.path / "sweep.json"))
        return found

    def whole_experiment(self, registry: Registry) -> Parts:
        """The experiment with its members. Raises SpecError."""
        return specs.loads(specs.dumps(self.experiment(registry)), registry, source=str(self.path / "sweep.json"))

    def clear(self) -> None:
        """Throw away all of the sweep, and nothing else that may lie here."""
        for name in ("work", "logs", "results"):
            atomic.clear(self.path / name)
        for name in ("sweep.json", "spec.toml", "results.h5"):
            (self.path / name).unlink(missing_ok=True)

    def declare(self, text: str, about: dict[str, Any]) -> None:
        """Write down what is asked; the items follow with `add`."""
        atomic.make(self.work)
        atomic.write_text(self.path / "spec.toml", text)
        atomic.write_text(self.path / "sweep.json", json.dumps(about, indent=2))

    def add(self, items: Iterable[Item]) -> None:
        """Put items up for work."""
        for item in items:
            table = {
                "members": [member._asdict() for member in item.members],
                "steps": item.steps,
                "synapses": item.synapses,
            }
            atomic.write_text(self.work / f"{item.name}.json", json.dumps(table))

    def drop(self, item: Item) -> None:
        """Take back an item that nobody has begun."""
        (self.work / f"{item.name}.json").unlink(missing_ok=True)

    def look(self) -> dict[str, Standing]:
        """How every item stands, from one listing of the folder."""
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
        return {name: Standing(**{k: _plain(v) for k, v in table.items()}) for name, table in found.items()}

    def items(self, standing: dict[str, Standing] | None = None) -> list[Item]:
        """Every item, the largest first; one that failed and was split is its halves."""
        seen = self.look() if standing is None else standing
        whole = [self._item(path) for path in self.work.glob("*.json")]
        return sorted((part for item in whole for part in _parts(item, seen)), key=lambda i: (-i.work, i.name))

    def left(self, only: str | None = None) -> list[tuple[Item, Standing]]:
        """Items that are neither done nor given up, the largest first; or of these one, with what it was split into."""
        retries, seen = self.about()["retries"], self.look()
        items = [(item, seen.get(item.name, Standing())) for item in self.items(seen)]
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
        """The files of finished items, by name."""
        return sorted(p for p in self.work.glob("*.h5") if "." not in p.stem) if self.work.is_dir() else []

    def file(self, item: Item, kind: str, number: int | None = None) -> Path:
        """The file of an item: `h5`, `split`, or one of the numbered kinds."""
        return self.work / ".".join([item.name, *([] if number is None else [str(number)]), kind])

    def reached(self, item: Item, now: Standing) -> tuple[int, float]:
        """The step of the furthest checkpoint that is whole, and the seconds spent until then; 0 without one.

        Raises InUse, or OSError, where one cannot be read now.
        """
        found = [(0, 0.0)]
        for number in now.checkpoints:
            path = self.file(item, "checkpoint.h5", number)
            try:
                with untrusted.opened(path) as file, untrusted.reading(path):
                    found.append((int(file["clock"][2]), float(file.attrs["seconds"])))
            except InUse:
                raise
            except StoreError:  # damaged, or gone meanwhile
                continue
        return max(found)

    def forgive(self) -> None:
        """Forget all failures: what made them is thought to be mended."""
        for path in self.work.glob("*.error"):
            path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what finished items need no longer, as far as the disk allows; of those whose worker died, too."""
        with contextlib.suppress(OSError):
            done = {path.stem for path in self.finished()}
            for path in self.work.iterdir():
                if path.name.split(".")[0] in done and path.name.endswith(PASSING):
                    path.unlink(missing_ok=True)

    def bury(self, item: Item, most: float = math.inf) -> None:
        """Remove its leases up to a number: those of the dead, and one's own."""
        for number in self.look().get(item.name, Standing()).leases:
            if number <= most:
                self.file(item, "lease", number).unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    return tuple(sorted(value)) if isinstance(value, list) else value


def _parts(item: Item, seen: dict[str, Standing]) -> Iterator[Item]:
    if item.name in seen and seen[item.name].split:
        for half in item.halves():
            yield from _parts(half, seen)
    else:
        yield item
