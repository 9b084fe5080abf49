"""A results file as one self-contained HTML page: it loads nothing from the network and runs no script.

Names, specs and options may come from untrusted files: the template escapes every value, and the page's content
security policy blocks whatever might get through. The page describes the machine only as far as the numbers depend on
it: no host, command line or folder. Of an error it shows only the type, since the message may name a file.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.console import output
from ebayes_core.console.printing import Listing
from ebayes_core.contract.attribution import asking, blamed
from ebayes_core.contract.registry import Registry, first_line
from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_core.report import canvas, claims, figures, optimality, tables, vesicles
from ebayes_core.report.comparison import Comparison
from ebayes_core.report.findings import findings
from ebayes_core.report.templates import template
from ebayes_core.results.handle import title
from ebayes_core.results.reader import Run
from ebayes_core.storage import atomic, untrusted
from ebayes_core.wording import amount

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: A larger SVG (bytes) has a path for each of many dots; the figure is smaller as PNG.
LARGEST_SVG = 1_500_000
PRINTED = 60  #: rows shown of a table of statistics
DPI = 200  #: of bitmaps: sharp in print


@dataclass
class Part:
    """A part of the page made by a plugin, with its error messages: short ones for the page, and complete ones."""

    name: str
    told: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def guarded(self, failure: str, registry: Registry) -> Iterator[None]:
        """A block in which an exception is recorded, so that a faulty plugin does not affect other parts."""
        try:
            yield
        except Exception as error:
            self.told.append(f"{failure}: {type(error).__name__}")
            self.problems.append(f"{self.name}: {failure}: {blamed(error, registry)}")


@dataclass
class Picture(Part):
    """A stored analysis: its figure as a data URI, the options that are not at their defaults, and its statistics."""

    kind: str = ""
    summary: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    image: str = ""
    statistics: Listing | None = None


@dataclass
class Claims(Part):
    """The claims of the paper as tested by the analyses of the file."""

    findings: list[claims.Finding] = field(default_factory=list)


def targets(files: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """The page of each file in the folder, named after the file or the sweep.

    Raises UserError if two files would share a page.
    """
    found: dict[Path, Path] = {}
    for file in files:
        page = folder / f"{title(file)}.html"
        if page in found.values() and file not in found:
            raise UserError(
                f"{file}: its page {page} would be that of another file as well; rename one, or use another --out"
            )
        found[file] = page
    return found


def write(file: Path, target: Path, registry: Registry) -> list[str]:
    """Write the page of a results file atomically; returns error messages about parts that are missing.

    Raises StoreError if the file is not a results file or cannot be read.
    """
    with untrusted.reading(file):
        pictures, asked = _pictures(file, registry), _claims(file, registry)
        with Run(file) as run:
            rendered = template("page.html").render(
                _of_run(run, registry), pictures=pictures, claims=asked, ebayes=version("ebayes")
            )
    _save(rendered, target)
    return [f"{file}: {problem}" for part in (*pictures, asked) for problem in part.problems]


def write_comparison(files: Sequence[Path], target: Path, registry: Registry) -> None:
    """Write several results files beside each other as a page: their differences, medians, and a figure.

    Raises StoreError if one is not a results file or cannot be read.
    """
    with contextlib.ExitStack() as held:
        found = Comparison(tuple(held.enter_context(Run(file)) for file in files), (registry,) * len(files))
        image = _data_uri(found.figure())
        rendered = template("comparison_page.html").render(
            found.listings, names=found.names, image=image, ebayes=version("ebayes")
        )
    _save(rendered, target)


def _save(rendered: str, target: Path) -> None:
    with atomic.replacing(target) as beside:
        beside.write_text(rendered, encoding="utf-8", errors=output.PLAINLY)  # a file name may not be valid text


def _of_run(run: Run, registry: Registry) -> dict[str, Any]:
    """The contents of the page about the run itself."""
    return {
        "name": run.name,
        "file": run.path.name,
        "description": run.spec.get("description", ""),
        "spec_text": run.spec_text,
        "resolved": {name: json.dumps(value, ensure_ascii=False) for name, value in run.spec.items()},
        "provenance": _provenance(run.provenance),
        "findings": findings(run, registry)[0],
        "members": tables.member_listing(run),
        "members_legend": tables.keys_legend(run, registry) | tables.MEMBERS_LEGEND,
        "convergence": tables.convergence_listing(run),
        "convergence_legend": tables.CONVERGENCE_LEGEND,
        "verdicts": optimality.verdicts(run),
        "vesicles": vesicles.vesicle_listing(run),
        "vesicles_legend": vesicles.LEGEND,
        "written": claims.written,
    }


def _provenance(found: dict[str, Any]) -> dict[str, str]:
    """The provenance that is needed to repeat the run, without anything private."""
    packages = found.get("versions", {}) | found.get("plugins", {})
    rows = {
        "trained": found.get("created"),
        "wall time": _time(found.get("duration_s")),
        "device": found.get("device"),
        "processor": found.get("processor"),
        "threads": found.get("threads"),
        "git commit": found.get("git_commit"),
        "digest": found.get("digest"),
        "versions": ", ".join(f"{name} {number}" for name, number in packages.items()),
    }
    return {name: str(value or "-") for name, value in rows.items()}


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return f"{timedelta(seconds=round(seconds))} (hours:minutes:seconds)" if seconds >= 60 else f"{amount(seconds)} s"


def _pictures(file: Path, registry: Registry) -> list[Picture]:
    """Every stored analysis, sorted by name, with its figure or the reason why there is none."""
    known, problems = figures.stored(file, registry)
    lost = {name: Picture(name, [words.splitlines()[0]], [f"{name}: {words}"]) for name, words in problems.items()}
    drawn = {name: _picture(name, *stored, registry) for name, stored in known.items()}
    return [found for _, found in sorted((lost | drawn).items())]


def _picture(name: str, analysis: Analysis, arrays: dict[str, np.ndarray], registry: Registry) -> Picture:
    options = analysis.model_dump(mode="json", exclude_defaults=True)
    made = Picture(name, kind=analysis.kind, summary=first_line(type(analysis)), options=options)
    with made.guarded("cannot be drawn", registry), figures.house_figure() as figure:
        analysis.draw(arrays, figure)
        made.image = _data_uri(figure)
    with made.guarded("no statistics", registry), asking(analysis, "what statistics returned"):
        table = tables.statistics_listing(name, tables.aligned(analysis.statistics(arrays)))
        made.statistics = table.first(PRINTED, f"... and {{}} more in the file, under /analyses/{name}")
    return made


def _data_uri(figure: Figure) -> str:
    """The figure as a data URI: as SVG, which stays sharp at any size, or as PNG if the SVG is too large."""
    kind, content = "svg+xml", _saved(figure, "svg", Date=None)
    if len(content) > LARGEST_SVG:
        kind, content = "png", _saved(figure, "png")
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _saved(figure: Figure, form: str, **metadata: None) -> bytes:
    with io.BytesIO() as file:
        figure.savefig(file, format=form, dpi=canvas.fit(figure, DPI), metadata=metadata)
        return file.getvalue()


def _claims(file: Path, registry: Registry) -> Claims:
    asked = Claims("claims")
    with asked.guarded("cannot be read", registry):
        asked.findings, lost = claims.findings(file, registry)
        asked.told += [f"{name}: no claims: {type(error).__name__}" for name, error in lost.items()]
        asked.problems += [f"{name}: no claims: {blamed(error, registry)}" for name, error in lost.items()]
    return asked
