"""Several runs beside each other: in what their specs and machines differ, and what that did to their networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.console.printing import Column, Listing
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError, nearest
from ebayes_core.report.tables import HEADINGS
from ebayes_core.report.templates import template
from ebayes_core.results.differences import differing
from ebayes_core.results.handle import title
from ebayes_core.results.reader import Run
from ebayes_core.spec.reading import completed
from ebayes_core.wording import text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: of the provenance, what may explain a difference
MADE = ("ebayes_version", "torch_version", "git_commit", "device", "processor", "threads", "created", "duration_s")
DRAWN = ("accuracy_sample", "rmse_sample", "nll_sample", "sigma_median", "reliability_cost", "balance")
LOOKS = (("o", 7, "-"), ("s", 5, "--"), ("^", 3.5, ":"), ("D", 9, "-."))  #: marker, its size, and line of each run
MOST_DRAWN, WIDE = 4, 20.0  #: panels; a range of this ratio or more has a logarithmic axis


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other, as tables of pandas and as a figure."""

    runs: tuple[Run, ...]
    registries: tuple[Registry, ...]  #: the plugins of each

    @cached_property
    def names(self) -> list[str]:
        """A name for each run: that of its file, with a number where several have the same."""
        plain = [title(run.path) for run in self.runs]
        return [f"{n} ({i + 1})" if plain.count(n) > 1 else n for i, n in enumerate(plain)]

    @cached_property
    def differences(self) -> pd.DataFrame:
        """In what the specs, the programs and the machines differ: a row for each field, a column for each run."""
        import pandas as pd

        made = [{"made": {name: run.provenance.get(name) for name in MADE}} for run in self.runs]
        each = zip(self.runs, self.registries, strict=True)
        specs = [completed("Experiment", run.spec, known) for run, known in each]
        found = differing(specs, ignored=("name", "description", "analysis"))
        rows = found | {name.removeprefix("made."): values for name, values in differing(made).items()}
        return pd.DataFrame.from_dict(rows, orient="index", columns=self.names).rename_axis("field")

    @cached_property
    def members(self) -> pd.DataFrame:
        """The networks of all runs: the run, the fields in which networks differ, seed, status and numbers."""
        import pandas as pd

        counts = [run.n_members for run in self.runs]
        fields = differing(self._specs, ignored=("seed",))
        each = [run.members.drop(columns=list(run.swept)) for run in self.runs]
        whole = pd.concat(each).reset_index()
        whole.insert(0, "run", np.repeat(self.names, counts))
        for place, (name, values) in enumerate(fields.items(), start=1):
            whole.insert(place, name, pd.Series(values, dtype=None if _numbers(values) else object))
        return whole

    @cached_property
    def _specs(self) -> list[dict[str, Any]]:
        each = zip(self.runs, self.registries, strict=True)
        return [completed("Member", run.member_spec(i), known) for run, known in each for i in range(run.n_members)]

    @cached_property
    def numbers(self) -> pd.DataFrame:
        """The median of each number over the networks of each run.

        Networks with the same spec and seed in all runs are also compared one by one: the last column is the largest
        relative difference of two of them, |a - b| / max(|a|, |b|); NaN if the runs have none in common.
        """
        import pandas as pd

        names = [name for name in HEADINGS if name in self.members and self.members[name].notna().any()]
        found = self.members.groupby("run", sort=False)[names].median().T
        found["largest difference of the same network"] = pd.Series({name: self._largest(name) for name in names})
        return found.rename_axis("number")

    def _largest(self, name: str) -> float:
        values: dict[str, list[float]] = {}
        for spec, value in zip(map(_identity, self._specs), self.members[name], strict=True):
            values.setdefault(spec, []).append(value)
        common = np.array([v for v in values.values() if len(v) == len(self.runs) > 1]).reshape(-1, len(self.runs))
        size = np.abs(common).max(1, initial=0.0)
        gaps = np.ptp(common, axis=1) / np.where(size > 0, size, 1.0) if len(common) else np.array([np.nan])
        return float(np.nanmax(gaps)) if np.isfinite(gaps).any() else float("nan")

    def figure(self, *numbers: str, x: str | None = None) -> Figure:
        """Numbers of the networks of each run, with lines through medians, against a field in which networks differ.

        numbers: columns of `members`; by default scores, sigma, cost and balance. x: a column of `members`; by default
        the numeric field with most values, or else the runs themselves. Raises UserError for unknown names.
        """
        from ebayes_core.report.figures import house_figure

        shown = [name for name in DRAWN if name in self.numbers.index][:MOST_DRAWN]
        wanted = [self._column(name) for name in numbers] or shown
        with house_figure() as figure:
            figure.set_size_inches(2.9 * len(wanted), 3.0)
            for ax, name in zip(figure.subplots(1, len(wanted), squeeze=False)[0], wanted, strict=True):
                self._panel(ax, name, self._column(x) if x else self._axis)
            handles, labels = ax.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
        return figure

    def _column(self, name: str) -> str:
        if name not in self.members:
            known = list(map(str, self.members))
            raise UserError(f"the networks have no '{name}'{nearest(name, known) or ';'} there are {', '.join(known)}")
        return name

    @property
    def _axis(self) -> str:
        """The numeric field in which the networks take most values; without one, the run."""
        fields = list(self.members)[1 : list(self.members).index("member")]
        numeric = {str(name): set(self.members[name]) for name in fields if _numbers(list(self.members[name]))}
        return max(numeric, key=lambda name: len(numeric[name]), default="run")

    def _panel(self, ax: Any, name: str, x: str) -> None:
        for number, run in enumerate(self.names):
            mine = self.members[self.members["run"] == run].sort_values(x)
            marker, size, dashes = LOOKS[number % len(LOOKS)]  # equal numbers of several runs can be told apart
            look = {"color": f"C{number}", "markerfacecolor": "none"}
            ax.plot(mine[x], mine[name], marker, markersize=size, label=run, **look)
            middle = mine.groupby(x)[name].median()
            ax.plot(middle.index, middle.to_numpy(), linestyle=dashes, color=f"C{number}")
        ax.set(xlabel=x, ylabel=HEADINGS.get(name, name).replace("\n", " "))
        for axis, column in (("x", x), ("y", name)):
            if _wide(self.members[column].to_numpy()):
                getattr(ax, f"set_{axis}scale")("log")

    @property
    def listings(self) -> dict[str, Listing]:
        """The tables of a page: `differences`, and `numbers`."""
        named = self.numbers.rename(index=lambda name: HEADINGS[name].replace("\n", " "))
        return {"differences": _listing(self.differences, "field"), "numbers": _listing(named, "number")}

    def _repr_html_(self) -> str:
        return template("comparison.html").render(self.listings)


def _listing(table: pd.DataFrame, index: str) -> Listing:
    """A table as a page shows it."""
    first = Column(index, list(map(str, table.index)), words=True, key=True)
    columns = [Column(str(name), [text(v) for v in values], words=True) for name, values in table.items()]
    return Listing("", [first, *columns])


def _identity(spec: dict[str, Any]) -> str:
    from ebayes_core.results.record import Setting

    return Setting(spec, {}).digest


def _numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in values)


def _wide(values: np.ndarray) -> bool:
    """Whether values span so many orders of magnitude that their logarithms should be drawn."""
    if values.dtype.kind not in "fiu":
        return False
    known = values[np.isfinite(values)]
    return len(known) > 0 and known.min() > 0 and known.max() / known.min() >= WIDE
