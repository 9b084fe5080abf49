"""What a trained network predicts, and what its predictions are uncertain of, as arrays and as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

UNCERTAINTIES = ("entropy", "aleatoric", "epistemic")


@dataclass(frozen=True)
class Prediction:
    """The average of the predictions of sampled networks, and how uncertain it is; `units` tells the units of each.

    For a classification, predictions are probabilities of the classes. Leading axes are (examples,), or (examples,
    steps) for sequences with outputs at every step.
    """

    mean: np.ndarray  #: (examples, *outputs)
    sd: np.ndarray  #: (examples, *outputs), standard deviation over sampled networks
    units: dict[str, str]
    samples: int  #: number of sampled networks
    classes: tuple[str, ...] | None = None  #: names of the classes, if they are not just 0, 1, ...
    label: np.ndarray | None = None  #: (examples, ...), the most probable class; None without classes
    entropy: np.ndarray | None = None  #: (examples, ...), of the mean probabilities; None without classes
    aleatoric: np.ndarray | None = None  #: mean entropy, or variance of the noise; None if the likelihood does not tell
    epistemic: np.ndarray | None = None  #: mutual information of class and weights, or variance of the means

    def arrays(self) -> dict[str, np.ndarray]:
        """What is known, by name."""
        every = {name: getattr(self, name) for name in ("mean", "sd", "label", *UNCERTAINTIES)}
        return {name: values for name, values in every.items() if values is not None}

    def frame(self) -> pd.DataFrame:
        """A table with a row for each example, or each of its steps, and a column for each number."""
        import pandas as pd

        leading = self.mean.shape[:-1]
        columns: dict[str, Any] = {"step": np.indices(leading)[1].ravel()} if len(leading) > 1 else {}
        columns |= {} if self.label is None else {"label": self.label.ravel()}
        for name in ("mean", "sd", *UNCERTAINTIES):
            columns |= self._columns(name, getattr(self, name), len(leading))
        example = pd.Index(np.indices(leading)[0].ravel(), name="example")
        found = pd.DataFrame(columns, index=example)
        found.attrs["units"] = {c: self.units.get(str(c).split(".")[0], "1") for c in found}
        return found

    def _columns(self, name: str, values: np.ndarray | None, leading: int) -> dict[str, np.ndarray]:
        """One column, or one for each output: `mean.cat`, or `mean.0`."""
        if values is None:
            return {}
        if values.ndim == leading:
            return {name: values.ravel()}
        flat = values.reshape(-1, values.shape[-1])
        each = self.classes or tuple(map(str, range(flat.shape[1])))
        alone = flat.shape[1] == 1
        return {name if alone else f"{name}.{output}": column for output, column in zip(each, flat.T, strict=True)}
