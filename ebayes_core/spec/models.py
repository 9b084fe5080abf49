"""The Pydantic models of a spec: frozen, without extra fields, and composed from the registered plugins.

Therefore a third-party cost appears in validation errors and in the JSON Schema like a built-in one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import CLOSED, Analysis, Dataset
from ebayes_core.spec import sweep as sweeps
from ebayes_core.spec.combinations import AbstractMember, checked
from ebayes_core.spec.members import Point, strictly
from ebayes_core.spec.messages import describe

SLOTS = {
    "dataset": "mnist5k", "network": "mlp", "cost": "membrane", "noise": "heterogeneous", "optimizer": "adam",
    "inference": "energy_efficient",
}  # fmt: skip
MOST_SEEDS = 1000
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Training(BaseModel):
    """How the parameters are trained: an optimizer on minibatches (Methods)."""

    model_config = CLOSED
    #: fields of older specs, and where they stand now
    MOVED: ClassVar[dict[str, str]] = {
        name: f"[optimizer] {name}, since optimizers are plugins"
        for name in ("learning_rate", "learning_rate_phi", "beta1", "beta2", "epsilon")
    }
    epochs: int = Field(50, ge=1, le=1_000_000, description="passes over the training set")
    batch_size: int = Field(20, ge=1, le=100_000, description="examples per step; all share one sample of the weights")
    schedule: Literal["constant", "cosine"] = Field(
        "constant",
        description="learning rates over training: constant (as in the paper), or falling to zero along half a cosine",
    )
    sigma: Literal["descent", "fixed_point"] = Field(
        "descent",
        description="how sigma is trained: by the optimizer, as the means (as in the paper), or by moving it at "
        "each step towards its fixed point, estimated with a running average of the true Fisher information; to reach "
        "the optimum, combine the latter with schedule = cosine",
    )
    means: Literal["trained", "held"] = Field(
        "trained",
        description="whether the means are trained too, or held where they start, as for a network that is given its "
        "means; held, only the free parameters of the noise are trained",
    )
    stages: Literal["in_turn", "together"] = Field(
        "in_turn",
        description="whether the stages of a data set, as several tasks, are shown in turn, or all in each epoch; an "
        "epoch then has the examples of all, and networks are measured on them",
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="floating-point type of training")


class Measurement(BaseModel):
    """How a trained network is measured."""

    model_config = CLOSED
    if TYPE_CHECKING:
        ood: Dataset | None = None  # of any registered kind: compose() adds it
    samples: int = Field(20, ge=1, le=10_000, description="number of sampled networks in an ensemble")
    sample_batch: int = Field(20, ge=1, le=100_000, description="test examples that share one sampled network")
    balance_passes: int = Field(
        1,
        ge=1,
        le=100_000,
        description="least number of passes over the training set, each with new noise, to measure the balance",
    )
    probe_batch: int = Field(
        100,
        ge=1,
        le=100_000,
        description="largest number of examples that share one sample of the weights to measure curvature",
    )
    probe_examples: int | None = Field(
        None, ge=1, description="number of training examples, chosen at random, to measure curvature; all if left out"
    )


def _row(row: Any) -> Any:
    """Validate a row as the form that its key indicates, so that a mistake gives one message and not four."""
    if isinstance(row, BaseModel):
        return row
    if isinstance(row, dict):
        known = [key for key in sweeps.RANGES if key in row]
        if len(known) != 1 or len(row) != 1:
            raise ValueError(
                f"a range is a table with one key of {', '.join(sweeps.RANGES)}; "
                'a dotted field is written in quotes: "cost.c" = [0.1, 1.0]'
            )
        form: type[BaseModel] = sweeps.RANGES[known[0]]
    elif isinstance(row, (list, tuple)):
        form = sweeps.Values
    else:
        raise ValueError("a row is a list of values, or a range such as { logspace = [-2, 1, 7] }")
    try:
        return strictly(form, row)
    except ValidationError as error:
        raise ValueError(describe(error, "", form)[0].what) from error


class Parts(BaseModel):
    """The fields of an experiment besides its slots."""

    model_config = CLOSED
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="name of the experiment and, by default, of its results file",
    )
    description: str = Field("", max_length=10_000, description="free text, shown in reports")
    seeds: tuple[Seed, ...] = Field(
        (0,),
        min_length=1,
        max_length=MOST_SEEDS,
        description="every combination of swept values is trained once per seed; unused if the sweep sets `seed`",
    )
    training: Training = Field(Training(), description="how networks are trained")
    measurement: Measurement = Field(Measurement(), description="how trained networks are measured")
    sweep: dict[str, Annotated[sweeps.Row, BeforeValidator(_row)]] = Field(
        {},
        description="values of each swept field; a key is a dotted field, a table, or several separated by commas",
    )

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed occurs twice in the list")
        return seeds

    if TYPE_CHECKING:
        analysis: tuple[Analysis, ...]  # of any registered kind: compose() adds it, and the slots

    _members: tuple[Point, ...] = PrivateAttr(())
    _folder: str = PrivateAttr("")

    @property
    def folder(self) -> str:
        """The folder to which the names of files in the spec are relative; empty if it was not loaded."""
        return self._folder

    def members(self) -> list[Point]:
        """All networks, each validated when the spec was loaded; seeds vary fastest.

        Raises ValueError for an experiment that was not loaded: `loads(dumps(experiment), registry)` expands its sweep.
        """
        if not self._members:
            raise ValueError("only a loaded experiment has members; use loads(dumps(experiment), registry)")
        return list(self._members)


@dataclass(frozen=True)
class Models:
    """The Pydantic models of a registry: Experiment is a spec, Member the spec of one network."""

    Experiment: type[Parts]
    Member: type[BaseModel]
    Measurement: type[Measurement]


@lru_cache(maxsize=8)
def compose(registry: Registry) -> Models:
    """Compose the models: each slot accepts any registered kind, selected by the field `kind`."""
    slots: dict[str, Any] = {name: _slot(registry, name, default) for name, default in SLOTS.items()}
    measurement = _measurement(registry)
    slots["measurement"] = (measurement, Field(measurement(), description="how trained networks are measured"))
    fits: dict[str, Any] = {"fits": model_validator(mode="after")(checked(registry))}
    member = create_model(
        "Member", __base__=AbstractMember, __validators__=fits, **slots,
        training=(Training, Training()), seed=(Seed, 0),
    )  # fmt: skip
    analyses: Any = GenericAlias(tuple, (registry.unions["analysis"], ...))
    described = Field((), max_length=100, description="analyses, each with a figure, computed at the end")
    experiment = create_model("Experiment", __base__=Parts, **slots, analysis=(analyses, described))
    experiment.__doc__ = "One experiment: a population of networks over a sweep, and its figures."
    return Models(experiment, member, measurement)


def _measurement(registry: Registry) -> type[Measurement]:
    """How networks are measured, with a second data set of any registered kind."""
    ood = Field(
        None,
        description="second data set, with examples of the same shape, from which the networks' uncertainty is to tell "
        "the test examples; if left out, the test examples with their features shuffled, the same way in all",
    )
    optional: Any = registry.unions["dataset"]
    found: type[Measurement] = create_model("Measurement", __base__=Measurement, ood=(optional | None, ood))
    found.__doc__ = Measurement.__doc__
    return found


def _slot(registry: Registry, slot: str, default: str) -> tuple[Any, Any]:
    """The field of a slot, with its default kind if that is registered."""
    kinds = registry.kinds(slot)
    text = f"one of the registered kinds: {', '.join(kinds)}"
    if default in kinds:
        return registry.unions[slot], Field(registry.composed(kinds[default]).model_validate({}), description=text)
    return registry.unions[slot], Field(description=text)
