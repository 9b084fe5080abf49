"""Several tasks in a row: inputs that are shuffled differently in each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import numpy as np
from pydantic import BeforeValidator, Field

from ebayes_core.contract.slots import Dataset
from ebayes_core.errors import DataError
from ebayes_plugins.datasets.images import Digits

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.likelihoods import Likelihood

D = TypeVar("D", bound=Dataset)


def _table(source: Any) -> Any:
    """The table of a data set; a name stands for that kind with its defaults."""
    return {"kind": source} if isinstance(source, str) else source


def _or_name(schema: dict[str, Any]) -> None:
    """Tell editors that a name will do in place of a table."""
    about = ("description", "title")
    table = {name: schema.pop(name) for name in list(schema) if name not in about}
    del table["default"]
    schema.update({"anyOf": [table, {"type": "string"}], "default": "digits"})


class Permuted(Dataset, Generic[D]):
    """Several tasks in a row: each shuffles the inputs of a classification in its own way (Goodfellow et al. 2014).

    The first task is the data set itself. The epochs are divided among the tasks, and the network is not told which one
    it sees. Networks are measured on the last task; the accuracy on each is recorded throughout.
    """

    kind: Literal["permuted"] = "permuted"
    source: Annotated[D, BeforeValidator(_table)] = Field(
        Digits(),  # type: ignore[assignment]  # as for any other kind of source
        description="the examples: a table of any data set of one label each, or the name of a kind for its defaults",
        json_schema_extra=_or_name,
    )
    tasks: int = Field(3, ge=2, le=50, description="number of tasks, the first of which is the inputs as they are")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of the permutations")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """The spec has one data set of this kind, over all registered ones."""
        return "Permuted"

    def _permuted(self, x: Tensor, task: int) -> Tensor:
        """Inputs as they are in a task: all examples are shuffled in the same way, over all of their axes."""
        flat = x.flatten(1)
        order = np.random.default_rng([self.seed, task]).permutation(flat.shape[1])
        return flat[:, order].view_as(x) if task else x

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Inputs (tasks * examples, *shape) and labels, one task after the other."""
        import torch

        self._check()
        x, y = self.source.load(split)
        return torch.cat([self._permuted(x, t) for t in range(self.tasks)]), y.repeat(self.tasks)

    def prepare(self, x: Any) -> Tensor:
        """Inputs as the source takes them, shuffled as in the last task."""
        return self._permuted(self.source.prepare(x), self.tasks - 1)

    def stages(self, split: str) -> Tensor:
        """The task of each example."""
        import torch

        return torch.arange(self.tasks).repeat_interleave(len(self.source.load(split)[1]))

    def class_names(self) -> tuple[str, ...] | None:
        """Those of the source."""
        return self.source.class_names()

    def task(self) -> Likelihood:
        """Softmax over the classes of the source."""
        return self._check()

    def _check(self) -> Likelihood:
        """The likelihood of the source. Raises DataError if that is no classification, or has several tasks itself."""
        from ebayes_core.contract.likelihoods import Classification

        found, name = self.source.task(), f"permuted: its source '{self.source.kind}'"
        if not isinstance(found, Classification):
            raise DataError(f"{name} does not have one label for each example; take a classification, such as 'digits'")
        if self.source.stages("train") is not None:
            raise DataError(f"{name} has several tasks of its own, in which inputs cannot be shuffled")
        return found
