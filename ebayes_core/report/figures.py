"""Analyses of a results file: computed once and stored in the file, from which they can be drawn again at any time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydantic import ValidationError

from ebayes_core.contract.attribution import asking, blamed
from ebayes_core.contract.registry import Registry, using
from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError, nearest
from ebayes_core.report.canvas import fit, too_large
from ebayes_core.results.reader import Run
from ebayes_core.results.writer import add_analyses
from ebayes_core.spec.members import strictly
from ebayes_core.spec.messages import describe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Stored = tuple[Analysis, dict[str, np.ndarray]]
Drawn = tuple[list[Path], list[str]]  #: files, and error messages
#: draws the named analyses of a results file into a folder, each here (by the last argument) or elsewhere, in order
Share = Callable[[Path, Path, Sequence[str], Callable[[str], Drawn]], list[Drawn]]
FORMATS = ("pdf", "png")


def named(analyses: Sequence[Analysis]) -> dict[str, Analysis]:
    """A name for each analysis of a spec: its kind, with a number from the second of the same kind on."""
    found: dict[str, Analysis] = {}
    for analysis in analyses:
        count = sum(1 for other in found.values() if other.kind == analysis.kind)
        found[analysis.kind if not count else f"{analysis.kind}-{count + 1}"] = analysis
    return found


def measure(path: Path, analyses: dict[str, Analysis], registry: Registry | None = None) -> list[str]:
    """Compute analyses and store them in the file; returns error messages. One that fails does not stop the others."""
    measured: dict[str, dict[str, Any]] = {}
    problems = []
    with Run(path) as run, using(registry):
        for name, analysis in analyses.items():
            try:
                measured[name] = _stamped(analysis, analysis.measure(run))
            except Exception as error:  # of a third-party analysis: the run goes on
                problems.append(f"{name}: {blamed(error, registry)}")
    if measured:
        add_analyses(path, measured)
    return problems


def _stamped(analysis: Analysis, arrays: dict[str, Any]) -> dict[str, Any]:
    """The arrays with the options they were computed with, so that changed options lead to a new computation."""
    with asking(analysis, "what measure returned"):
        plain = {name: _plain(name, np.asarray(array)) for name, array in arrays.items()}
    return {**plain, "_options": analysis.model_dump_json()}


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """Check that a file can hold the array. Raises TypeError here, because writing it would fail for all analyses."""
    text = array.dtype.kind == "U" or (array.dtype.kind == "O" and all(isinstance(v, str) for v in array.flat))
    if not text and array.dtype.kind not in "fiub":
        raise TypeError(f"'{name}' is not an array of numbers, booleans or text, but of {array.dtype}")
    if "/" in name or name in ("", "."):
        raise TypeError(f"'{name}' is not a valid name of an array: it must not be empty or contain '/'")
    return array


def missing(path: Path, analyses: dict[str, Analysis]) -> dict[str, Analysis]:
    """The analyses that the file does not have, or has with other options."""
    with Run(path) as run:
        held = {name: str(run.analysis(name).get("_options", "")) for name in run.analyses}
    return {name: a for name, a in analyses.items() if held.get(name) != a.model_dump_json()}


def stored(path: Path, registry: Registry, only: str | None = None) -> tuple[dict[str, Stored], dict[str, str]]:
    """The analyses in a file (or only one) with their arrays, and for those that cannot be drawn here, the reason."""
    with Run(path) as run:
        found = {name: run.analysis(name) for name in run.analyses}
    kinds: dict[str, Any] = registry.kinds("analysis")
    known: dict[str, Stored] = {}
    problems: dict[str, str] = {}
    for name, arrays in found.items():
        options = json.loads(str(arrays.pop("_options")))
        if only not in (None, name, options["kind"]):
            continue
        if options["kind"] not in kinds:
            problems[name] = f"the analysis '{options['kind']}' belongs to a plugin that is not registered here"
            problems[name] += registry.suspects()
            continue
        try:
            known[name] = kinds[options["kind"]].model_validate(options), arrays
        except ValidationError as error:  # a plugin of another version; the other figures are still drawn
            problems[name] = f"cannot be drawn: {type(error).__name__}: {error}"
    return known, problems


def draw(
    path: Path, folder: Path, registry: Registry, only: str | None = None, share: Share | None = None
) -> Drawn:  # fmt: skip
    """Draw every stored analysis (or only one); returns the files written, and error messages.

    share: distributes the figures over processes; by default they are drawn here, one after another.
    """
    known, unknown = stored(path, registry, only)
    here = lambda name: drawn(name, *known[name], folder, registry)
    found = share(path, folder, list(known), here) if share else [here(name) for name in known]
    pictures = [picture for of_one, _ in found for picture in of_one]
    problems = [f"{name}: {words}" for name, words in unknown.items()]
    return pictures, problems + [words for _, of_one in found for words in of_one]


def drawn(name: str, analysis: Analysis, arrays: dict[str, np.ndarray], folder: Path, registry: Registry) -> Drawn:
    """Draw one analysis; returns the files written, and error messages."""
    pictures: list[Path] = []
    problems: list[str] = []
    try:
        with house_figure() as figure:
            analysis.draw(arrays, figure)
            problems += [f"{name}: {words}" for words in too_large(figure)]
            pictures += saved(figure, folder / name)
    except Exception as error:  # the other figures are still drawn
        problems.append(f"{name}: cannot be drawn: {blamed(error, registry)}")
    return pictures, problems


def saved(figure: Figure, stem: Path) -> Iterator[Path]:
    """Write a figure in every format; yields the files."""
    from matplotlib import rcParams

    stem.parent.mkdir(parents=True, exist_ok=True)
    for form in FORMATS:
        target = stem.with_name(f"{stem.name}.{form}")
        figure.savefig(target, dpi=fit(figure, rcParams["savefig.dpi"]))
        figure.set_layout_engine(
            "none"
        )  # the places of panels are the same in all formats, and take as long as drawing
        yield target


@contextlib.contextmanager
def house_figure() -> Iterator[Figure]:
    """An empty figure in the project's style, to be drawn and saved within the block."""
    from matplotlib import style

    from ebayes_core.report.picture import STYLE, Picture

    with style.context(STYLE):
        yield Picture()


def chosen(kind: str, options: dict[str, Any], registry: Registry) -> Analysis:
    """An analysis of a kind with these options. Raises UserError with the kinds, or the mistakes in the options."""
    known = registry.kinds("analysis")
    if kind not in known:
        raise UserError(f"there is no analysis '{kind}'{nearest(kind, known) or ';'} there are {', '.join(known)}")
    try:
        found: Any = strictly(known[kind], {"kind": kind, **options})
    except ValidationError as error:
        raise UserError("\n".join(map(str, describe(error, kind, known[kind])))) from error
    return cast("Analysis", found)
