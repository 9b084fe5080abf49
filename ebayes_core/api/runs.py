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
    from torch import Tensor

    from ebayes_core.contract.slots import Analysis
    from ebayes_core.trained.module import Module
    from ebayes_core.trained.prediction import Prediction

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

    def module(self, member: int = 0) -> Module:
        """A trained network as a `torch.nn.Module`: outputs (batch, *outputs) of inputs (batch, *inputs).

        It predicts with the mean weights, or after `.sample()` with weights drawn anew at each call, or after
        `.ensemble(samples)` with the average over sampled networks. Its `state_dict()` is that of a plain PyTorch model
        of the same layers. Inputs are as the network sees them: `prepare` makes them from new data, `examples` returns
        those of the run.

        Raises AbsentError for a network that does not exist, and UserError for one that diverged, for a plugin that is
        not registered, and for a file of an older ebayes whose data are not at hand.
        """
        from ebayes_core.trained.module import module

        return module(self, member, self.registry)

    def predict(self, x: Any = None, member: int = 0, samples: int = 20, seed: int = 0) -> Prediction:
        """Predictions of a network, averaged over networks sampled from its noise, and what they are uncertain of.

        x: inputs (examples, *shape) as they were before the data set scaled them, an array, a tensor or a table; the
        test set of the run if left out. samples: number of sampled networks, drawn with the seed.

        The result has `mean` and `sd` over sampled networks: class probabilities, or targets of a regression. For
        classes also `label`, the `entropy` of the mean probabilities (nat), and its two parts: `aleatoric`, the mean
        entropy, and `epistemic`, the mutual information of class and weights. For a regression, the variances of the
        noise and of the sampled means. `.frame()` makes a table of them.

        Raises what `module` raises, and UserError for inputs that do not fit, before anything is computed.
        """
        from ebayes_core.trained.predicting import predict

        return predict(self, x, member, self.registry, samples, seed)

    def prepare(self, x: Any, member: int = 0) -> Tensor:
        """New inputs as a network sees them: scaled and laid out as those that it was trained on, (examples, *shape).

        Raises UserError for inputs that do not fit.
        """
        from ebayes_core.trained.predicting import prepare

        return prepare(self, x, member, self.registry)

    def examples(self, split: str = "test", member: int = 0) -> tuple[Tensor, Tensor]:
        """Inputs (examples, *shape) and targets of a split, "train" or "test", as a network saw them.

        Raises UserError for another split, or if the data are no longer those of the run.
        """
        from ebayes_core.trained.predicting import examples

        return examples(self, split, member, self.registry)

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
