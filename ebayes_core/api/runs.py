"""A results file as a notebook reads it: tables, figures, predictions, the networks themselves."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ebayes_core.api.plugins import registry_of
from ebayes_core.contract.attribution import asking, blamed
from ebayes_core.contract.registry import using
from ebayes_core.errors import EbayesError, UserError
from ebayes_core.report import claims, figures, overview, tables
from ebayes_core.results import reader

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from ebayes_core.contract.slots import Analysis

    Arrays = dict[str, np.ndarray]

Place = str | os.PathLike[str]


class Run(reader.Run):
    """A results file: its networks, their synapses, its figures, and what else can be asked of trained networks.

    It is open from construction until `with` ends, `close` is called, or the program ends; nothing has to be closed.
    plugins: classes or modules of plugins that the file needs and that are not installed. Raises StoreError for a file
    that is not a results file, and InUse for one that another program is writing to.
    """

    def __init__(self, path: Place, plugins: Iterable[Any] = ()) -> None:
        self.registry, self._plugins = registry_of(plugins), tuple(plugins)
        super().__init__(Path(path))

    def __enter__(self) -> Self:
        """The file itself, opened again if it was closed."""
        kept = {name: vars(self)[name] for name in ("registry", "_plugins")}
        super().__enter__()
        vars(self).update(kept)
        return self

    def figure(self, kind: str, **options: Any) -> Figure:
        """The figure of an analysis: of the numbers in the file, or if it has none with these options, measured now.

        kind: a registered analysis, or one of `analyses`. options: fields of the analysis, as in a spec; without any,
        those of the file, or the defaults. Raises UserError for a kind or an option that does not exist.
        """
        analysis, arrays = self._measured(kind, options)
        with self._blaming(), figures.house_figure() as figure:
            analysis.draw(arrays, figure)
        return figure

    def statistics(self, kind: str, **options: Any) -> pd.DataFrame:
        """The numbers behind the figure of an analysis, with units in the headings; arguments as for `figure`."""
        import pandas as pd

        analysis, arrays = self._measured(kind, options)
        with self._blaming(), asking(analysis, "what statistics returned"):
            return pd.DataFrame(tables.aligned(analysis.statistics(arrays)))

    def claims(self) -> pd.DataFrame:
        """The claims of the paper that the analyses in the file test: statement, rule, verdict and value of each."""
        import pandas as pd

        found, problems = claims.findings(self.path, self.registry)
        for name, error in problems.items():
            warnings.warn(f"{name}: no claims: {blamed(error, self.registry)}", stacklevel=2)
        return pd.DataFrame(claims.table(found))

    def report(self, path: Place | None = None) -> Path:
        """Write everything as one HTML page that can be sent by mail, by default beside the file; returns its path."""
        from ebayes_core.report import page

        target = Path(path or self.path.with_suffix(".html"))
        for problem in page.write(self.path, target, self.registry):
            warnings.warn(problem, stacklevel=2)
        return target

    def _repr_html_(self) -> str:
        return overview.html(self, self.registry)

    @contextlib.contextmanager
    def _blaming(self) -> Iterator[None]:
        """A block for plugins, which see those of this run, and in which errors name the one that raised them."""
        try:
            with using(self.registry):
                yield
        except UserError:
            raise
        except Exception as error:
            raise EbayesError(blamed(error, self.registry)) from error

    @cached_property
    def _known(self) -> dict[str, Arrays]:
        """Arrays of the analyses that were measured here, by kind and options."""
        return {}

    def _measured(self, kind: str, options: dict[str, Any]) -> tuple[Analysis, Arrays]:
        """An analysis and its arrays: those in the file, or else measured now."""
        known, _ = figures.stored(self.path, self.registry)
        if kind in known and not options:
            return known[kind]
        analysis = figures.chosen(kind, options, self.registry)
        stored = {a.model_dump_json(): arrays for a, arrays in known.values()}
        asked = analysis.model_dump_json()
        if asked not in stored | self._known:
            with self._blaming():
                self._known[asked] = analysis.measure(self)
        return analysis, (stored | self._known)[asked]
