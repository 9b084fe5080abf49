"""The models of a spec: frozen and closed, composed from the plugins that are registered.

So the cost of a third-party plugin appears in validation errors and in the JSON Schema like a built-in one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    create_model,
    field_validator,
)

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Analysis
from ebayes_core.spec import sweep as sweeps
from ebayes_core.spec.members import Point, strictly
from ebayes_core.spec.messages import describe

CLOSED = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)
SLOTS = {
    "dataset": "mnist5k", "network": "mlp", "cost": "membrane", "noise": "heterogeneous",
    "inference": "energy_efficient",
}  # fmt: skip
MOST_SEEDS = 1000
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Training(BaseModel):
    """How the parameters are trained: Adam on minibatches (Methods)."""

    model_config = CLOSED
    epochs: int = Field(50, ge=1, le=1_000_000, description="passes over the training set")
    batch_size: int = Field(20, ge=1, le=100_000, description="examples per step; all share one weight sample")
    learning_rate: float = Field(5e-4, gt=0, le=100, description="Adam's step for the means")
    learning_rate_phi: float | None = Field(
        None,
        gt=0,
        le=100,
        description="Adam's step for phi, hence for log sigma while it is small; learning_rate if left out",
    )
    schedule: Literal["constant", "cosine"] = Field(
        "constant",
        description="the learning rates over training: as they are (the paper's way), or falling to zero along half a "
        "cosine",
    )
    sigma: Literal["descent", "fixed_point"] = Field(
        "descent",
        description="how sigma moves: with phi by Adam (the paper's way), or at each step toward its condition of "
        "stationarity, in which a running true Fisher stands for the curvature; with a schedule that falls it arrives",
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")
    epsilon: float = Field(1e-8, gt=0, le=1, description="Adam's guard against division by zero")
    dtype: Literal["float32", "float64"] = Field("float32", description="floating type of everything that is trained")


class Measurement(BaseModel):
    """How a trained network is measured."""

    model_config = CLOSED
    samples: int = Field(20, ge=1, le=10_000, description="sampled networks whose predictions are averaged")
    sample_batch: int = Field(20, ge=1, le=100_000, description="test examples that share one sampled network")
    balance_passes: int = Field(
        1,
        ge=1,
        le=100_000,
        description="passes over the training set, at least, that the balance is taken from, with fresh noise",
    )
    probe_batch: int = Field(
        100, ge=1, le=100_000, description="training examples per weight sample in the probes, at most"
    )
    probe_examples: int | None = Field(
        None, ge=1, description="training examples in the probes, at most, chosen at random; all if left out"
    )


def _row(row: Any) -> Any:
    """The form of a sweep's row, chosen by its key, so that a mistake in it gets one message and not four."""
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
    """What every experiment has besides its slots."""

    model_config = CLOSED
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="names the results file")
    description: str = Field("", max_length=10_000, description="for the reader")
    seeds: tuple[Seed, ...] = Field(
        (0,),
        min_length=1,
        max_length=MOST_SEEDS,
        description="every point of the sweep is trained once per seed; "
        "a row of the sweep that sets `seed` takes their place",
    )
    training: Training = Field(Training(), description="how to train")
    measurement: Measurement = Field(Measurement(), description="how to measure")
    sweep: dict[str, Annotated[sweeps.Row, BeforeValidator(_row)]] = Field(
        {}, description="dotted field, whole table, or several fields separated by commas -> its values; rows multiply"
    )

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands in the list twice")
        return seeds

    if TYPE_CHECKING:
        analysis: tuple[Analysis, ...]  # of any registered kind: compose() adds it, and the slots

    _members: tuple[Point, ...] = PrivateAttr(())

    def members(self) -> list[Point]:
        """Every member, validated alone when the spec was loaded; seeds vary fastest.

        Raises ValueError for an experiment that was not loaded: `loads(dumps(experiment), registry)` expands its sweep.
        """
        if not self._members:
            raise ValueError("only a loaded experiment has members; take loads(dumps(experiment), registry)")
        return list(self._members)


@dataclass(frozen=True)
class Models:
    """The two models of a registry: Experiment is a spec, Member is one network of it."""

    Experiment: type[Parts]
    Member: type[BaseModel]


@lru_cache(maxsize=8)
def compose(registry: Registry) -> Models:
    """The models whose slots take any registered kind, told apart by `kind`."""
    slots: dict[str, Any] = {name: _slot(registry, name, default) for name, default in SLOTS.items()}
    member = create_model(
        "Member", __config__=CLOSED, **slots, training=(Training, Training()), measurement=(Measurement, Measurement()),
        seed=(Seed, 0),
    )  # fmt: skip
    analyses: Any = GenericAlias(tuple, (registry.unions["analysis"], ...))
    described = Field((), max_length=100, description="figures and their numbers, drawn when the run is done")
    experiment = create_model("Experiment", __base__=Parts, **slots, analysis=(analyses, described))
    experiment.__doc__ = "One experiment: a population of networks over a sweep, and its figures."
    return Models(experiment, member)


def _slot(registry: Registry, slot: str, default: str) -> tuple[Any, Any]:
    """A field of a slot, with its default kind where that is registered."""
    kinds = registry.kinds(slot)
    text = f"one of the registered kinds: {', '.join(kinds)}"
    if default in kinds:
        return registry.unions[slot], Field(registry.composed(kinds[default]).model_validate({}), description=text)
    return registry.unions[slot], Field(description=text)
