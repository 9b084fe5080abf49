"""Data of one's own, in files beside the spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from ebayes_core.contract.files import digest as digest_of
from ebayes_core.contract.files import located, stamps
from ebayes_core.contract.slots import Dataset
from ebayes_core.errors import DataError, nearest
from ebayes_plugins.datasets import files
from ebayes_plugins.datasets.contents import Content, read
from ebayes_plugins.toys import one_of

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.likelihoods import Likelihood


def _known(name: str) -> str:
    if Path(name).suffix.lower() not in files.FORMATS:
        raise ValueError(f"must be a file ending in {', '.join(files.FORMATS)}")
    return name


File = Annotated[str, Field(max_length=1000), AfterValidator(_known)]


def numbers_of(table: Any, names: Sequence[str]) -> np.ndarray:
    """Columns of a table of pandas, or all of them, as numbers. Raises ValueError for one that is absent or is none."""
    known = {str(name): name for name in table.columns}
    for name in names:
        if name not in known:
            near = nearest(name, known) or f"; there are {', '.join([*known][:20])}"
            raise ValueError(f"the table has no column '{name}', an input of the network{near}")
    chosen = table[[known[name] for name in names]] if names else table
    for name, kind in chosen.dtypes.items():
        if getattr(kind, "kind", "O") not in "fiub":
            raise ValueError(f"column '{name}' is not numeric ({kind})")
    return np.asarray(chosen.to_numpy(dtype=np.float64))


class Arrays(Dataset):
    """Examples from files of one's own: CSV, npz, npy or HDF5, for classification or regression.

    Labels are integers or texts, which become the classes 0, 1, ... in sorted order. If every example has a sequence of
    targets, one for each step, there is a loss at each step; a label -1 or a number NaN is a step without.
    """

    kind: Literal["arrays"] = "arrays"
    train: File = Field(
        description="file with the training examples, .csv, .npz, .npy or .h5; relative to the folder of the spec"
    )
    test: File | None = Field(
        None, description="file with the test examples; if left out, a share of the training file is held out"
    )
    inputs: str | None = Field(
        None,
        description="array of inputs (examples, *shape) in an npz or HDF5 file, `x` if left out; for CSV the columns, "
        "separated by commas, all but the targets if left out. In an npy file they are all columns but the last",
    )
    targets: str | None = Field(
        None,
        description="array of targets in an npz or HDF5 file, `y` if left out; for CSV the column, or several, "
        "separated by commas, the last one if left out",
    )
    likelihood: Literal["auto", "classification", "regression"] = Field(
        "auto", description="auto: integers and texts are classes, other numbers are the targets of a regression"
    )
    classes: int | None = Field(
        None, ge=2, le=1_000_000,
        description="number of classes, if the training labels, then integers from 0, do not show all of them",
    )  # fmt: skip
    noise_sd: float | None = Field(
        None, gt=0, le=1e6,
        description="standard deviation of the noise of a regression, in units of its targets; 1 if left out",
    )  # fmt: skip
    standardise: Literal["each", "all", "none"] = Field(
        "each",
        description="each: subtract the mean of every input over the training set and divide by its standard "
        "deviation (inputs that are constant become 0); all: one mean and deviation for all inputs; none: as they are",
    )
    test_fraction: float | None = Field(
        None, ge=0.01, le=0.9, description="share that is held out if there is no test file; 0.2 if left out"
    )
    split_seed: int | None = Field(None, ge=0, lt=2**31, description="seed of that split; 0 if left out")
    folder: str | None = Field(None, description="folder of the files; that of the spec if left out")
    digest: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the training file, or of both files one after the other; computed if left out. A spec "
        "that contains it is refused if the files are others",
    )

    @model_validator(mode="before")
    @classmethod
    def _found(cls, table: Any, info: ValidationInfo) -> Any:
        """Where the files of a spec are, and their digest: their content decides what is trained, not their place."""
        named = [table.get(name) for name in ("train", "test")] if isinstance(table, dict) else []
        known = [name for name in named if isinstance(name, str) and Path(name).suffix.lower() in files.FORMATS]
        return located(table, known, info.context)

    @model_validator(mode="after")
    def _consistent(self) -> Arrays:
        if self.test is not None and (self.test_fraction is not None or self.split_seed is not None):
            raise ValueError("test_fraction and split_seed split a single file: leave them out, or the file test")
        if self.likelihood == "regression" and self.classes is not None:
            raise ValueError("classes belongs to a classification: leave it out")
        if self.likelihood == "classification" and self.noise_sd is not None:
            raise ValueError("noise_sd belongs to a regression: leave it out")
        return self

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a split. Raises DataError with file, line or array, and what is wrong there."""
        import torch

        x, y = self._read().splits[one_of(split)]
        return torch.from_numpy(x), torch.from_numpy(y)

    def prepare(self, x: Any) -> Tensor:
        """Inputs scaled as the training set; of a table, the columns with the names of the inputs, if they have any."""
        import torch

        found, names = self._read(), files.columns(self._paths[0], self._wanted)
        values = numbers_of(x, names) if hasattr(x, "columns") else np.asarray(x)
        if values.dtype.kind not in "fiub":
            raise ValueError(f"inputs are numbers, not {values.dtype}")
        shape = found.splits["train"][0].shape[1:]
        if values.shape[1:] not in (shape, *[()] * (shape == (1,))):
            raise ValueError(f"an example has shape {values.shape[1:]}, and those for training have {shape}")
        return torch.tensor(found.scaling(values.reshape(len(values), *shape)))

    def class_names(self) -> tuple[str, ...] | None:
        """The labels of the training file, sorted."""
        found = self._read().meaning.classes
        return None if found in ((), tuple(map(str, range(len(found))))) else found

    def task(self) -> Likelihood:
        """Softmax over the classes, or Gaussian; at every step if every example has a sequence of targets."""
        found = self._read()
        if found.meaning.classes and self.noise_sd is not None:
            raise DataError(f"{self._paths[0]}: its targets are classes: leave out noise_sd")
        return found.meaning.likelihood(self.noise_sd)

    @property
    def _wanted(self) -> files.Wanted:
        share = 0.2 if self.test_fraction is None else self.test_fraction
        likelihood = "classification" if self.classes else self.likelihood
        names, split = (self.inputs, self.targets), (share, self.split_seed or 0)
        return files.Wanted(*names, likelihood, self.standardise, *split, self.classes)

    @property
    def _paths(self) -> list[Path]:
        return [Path(self.folder or "", name) for name in (self.train, self.test) if name is not None]

    def _read(self) -> Content:
        """What the files contain, after a check that they are those of the spec, and that nobody writes to them."""
        try:
            before = stamps(self._paths)
            now = digest_of(before)
            if now == (self.digest or now):
                found = read(self._wanted, before)
                if stamps(self._paths) == before:
                    return found
        except ValueError as error:
            raise DataError(str(error)) from error
        known = f"digest {self.digest[:12]}, now {now[:12]}" if self.digest else "while it was read"
        raise DataError(
            f"{' and '.join(map(str, self._paths))}: the content has changed since the spec was read ({known}): "
            "restore it, or start again with the new data"
        )
