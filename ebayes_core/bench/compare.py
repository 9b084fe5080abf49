"""A stored run of the bench beside this one, row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, Field, ValidationError
from rich.console import Console

from ebayes_core.bench.rows import Row, Section
from ebayes_core.bench.table import columns, number
from ebayes_core.console import printing
from ebayes_core.console.printing import Listing
from ebayes_core.errors import SpecError, UserError
from ebayes_core.storage import text_file

LEGEND = {
    "here, there": "median time of this run and of the stored one, in the unit above the table",
    "ratio": "to the first row of the table, in the same run",
    "quotient": "the time here divided by that of the stored run",
}


class StoredRow(BaseModel):
    """What is compared of a row."""

    name: str
    median: float | None = Field(ge=0, allow_inf_nan=False)
    ratio: float | None = Field(ge=0, allow_inf_nan=False)


class StoredSection(BaseModel):
    """Rows with a common unit."""

    title: str
    unit: str
    rows: list[StoredRow]


class StoredMachine(BaseModel):
    """What names a machine and a version."""

    processor: str
    device: str = "cpu"
    threads: int | None = None
    created: str | None = None
    ebayes_version: str | None = None

    @property
    def named(self) -> str:
        """The processor or the GPU, the threads, and when it was measured."""
        threads = f"{self.threads} threads" if self.threads and self.device == "cpu" else ""
        what = self.processor if self.device == "cpu" else self.device
        version = f"ebayes {self.ebayes_version}" if self.ebayes_version else ""
        return ", ".join(part for part in (what, threads, version, self.created) if part)


class Stored(BaseModel):
    """A run of the bench, as `ebayes bench --out FILE` or `--json` wrote it."""

    machine: StoredMachine
    sections: list[StoredSection]


def stored(path: Path) -> Stored:
    """The run in a file. Raises UserError if it cannot be read or holds none."""
    try:
        return Stored.model_validate(json.loads(text_file.read(path), parse_constant=_refused))
    except OSError as error:
        raise UserError(f"--compare {path}: {error.strerror or error}") from error
    except SpecError as error:
        raise UserError(f"--compare {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise _not_ours(path, f"{where}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise _not_ours(path, f"not valid JSON: {error}") from error


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"the number {constant}")


def _not_ours(path: Path, why: str) -> UserError:
    advice = "write one with  ebayes bench --out FILE"
    return UserError(f"--compare {path}: not a stored run of the bench ({why}); {advice}")


def show(console: Console, machine: dict[str, Any], sections: list[Section], other: Stored) -> None:
    """Print this run beside the stored one; a row that only one of them has says so."""
    console.print()
    console.print(f"here:  {StoredMachine.model_validate(machine).named}", soft_wrap=True)
    console.print(f"there: {other.machine.named}", soft_wrap=True)
    theirs = {section.title: section for section in other.sections}
    for section in sections:
        _print(console, _listing(section.title, section.unit, section, theirs.pop(section.title, None)))
    for left in theirs.values():
        _print(console, _listing(left.title, left.unit, None, left))
    printing.legend(console, LEGEND)


def _print(console: Console, listing: Listing) -> None:
    console.print()
    printing.show(console, listing)


def _listing(title: str, unit: str, mine: Section | None, theirs: StoredSection | None) -> Listing:
    headings = ("", "here", "there", "quotient", "ratio\nhere", "ratio\nthere")
    cells = list(_cells(mine, theirs))
    return Listing(f"{title} ({unit})", columns(headings, cells, words=(0,), keys=1))


def _cells(mine: Section | None, theirs: StoredSection | None) -> Iterator[tuple[str, ...]]:
    """The rows of this run, then those of the stored one alone."""
    others = {row.name: row for row in theirs.rows} if theirs else {}
    if mine:
        yield from (_pair(row, mine.ratio(row), others.pop(row.name, None)) for row in mine.rows)
    for name, other in others.items():
        yield f"{name} (only there)", "-", number(other.median), "-", "-", number(other.ratio)


def _pair(row: Row, ratio: float | None, other: StoredRow | None) -> tuple[str, ...]:
    if other is None:
        return f"{row.name} (only here)", number(row.median), "-", "-", number(ratio), "-"
    quotient = row.median / other.median if row.median is not None and other.median else None
    return row.name, *map(number, (row.median, other.median, quotient, ratio, other.ratio))
