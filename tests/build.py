"""Small populations for tests, built from specs as a user's are."""

from __future__ import annotations

from itertools import islice

from ebayes_core.contract.registry import Registry
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.data import Data
from ebayes_core.engine.loop import train
from ebayes_core.engine.stacking import cohorts
from ebayes_core.spec import Point, loads
from ebayes_core.sweeps.planning import find_device, member_data

DIGITS = """
name = "test"
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [8, 6] }
training = { epochs = 2, batch_size = 50, dtype = "float64" }
optimizer = { kind = "adam", learning_rate = 1e-2 }
"""

LINEAR = """
name = "test"
dataset = { kind = "linear_gaussian", inputs = 6, examples = 200, spread = 1.0, noise_sd = 0.5 }
network = { kind = "mlp", hidden = [] }
noise = { kind = "heterogeneous", sigma_0 = 0.05 }
training = { epochs = 2, batch_size = 200, dtype = "float64" }
optimizer = { kind = "adam", learning_rate = 1e-2 }
"""


def points(registry: Registry, text: str, *overrides: str) -> list[Point]:
    """The networks of a spec."""
    return loads(text, registry, overrides).members()


def cohort(registry: Registry, text: str, *overrides: str, compile: bool = False) -> Cohort:
    """The only cohort of a spec."""
    members = points(registry, text, *overrides)
    (group,) = cohorts(members, lambda _: 1)
    return Cohort(group, data_of(members[0]), compile)


def data_of(point: Point) -> Data:
    """A network's data on the CPU."""
    return member_data(point, find_device("cpu"))


def trained(c: Cohort, state: State | None = None, steps: int | None = None) -> State:
    """The state at the end of training, or after so many steps; from the start or from a state."""
    state = state or c.start()
    for _ in islice(train(c, state), steps):
        pass
    return state
