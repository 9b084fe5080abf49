"""Which networks train together, and on what: devices, data, and cohorts cut to memory and to the workers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch

from ebayes_core.contract.attribution import asking
from ebayes_core.contract.slots import Dataset
from ebayes_core.engine.data import Data, digest, load
from ebayes_core.engine.stacking import cohorts
from ebayes_core.errors import UserError
from ebayes_core.spec import Point, Training
from ebayes_core.sweeps import memory
from ebayes_core.sweeps.item import Item, items_of


def find_device(name: str) -> torch.device:
    """The device that was asked for; auto takes a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no GPU here; use --device cpu, or auto")
    return torch.device(name)


@lru_cache(maxsize=2)
def load_data(dataset: Dataset, dtype: str, device: torch.device) -> Data:
    """A data set in the run's floating type, resident on the device. Raises DataError where it is unfit for it."""
    kind = getattr(torch, dtype)
    with asking(dataset, "what task returned"):
        task = dataset.task()
        assert task.outputs > 0, f"a task of {task.outputs} outputs"
    with asking(dataset, "what load returned"):
        loaded = load(dataset, task)
    x, y, x_test, y_test = loaded
    x, x_test = (t.to(device, kind) for t in (x, x_test))
    y, y_test = (t.to(device, kind if t.is_floating_point() else t.dtype) for t in (y, y_test))
    return Data(x, y, x_test, y_test, task, digest(loaded))


def member_data(point: Point, device: torch.device) -> Data:
    """The data of one member."""
    return load_data(point.member.dataset, point.member.training.dtype, device)


def synapses(point: Point, device: torch.device) -> int:
    """Synapses of a member's network, biases included."""
    data = member_data(point, device)
    with asking(point.member.network, "what shapes returned"):
        shapes = point.member.network.shapes(data.x.shape[1], data.task.outputs)
        return sum(int(torch.Size(shape).numel()) for shape in shapes)


def steps(point: Point, device: torch.device) -> int:
    """Steps of a member from start to end."""
    training: Training = point.member.training
    count = member_data(point, device).examples
    return training.epochs * (count // min(training.batch_size, count))


def plan(
    points: Sequence[Point], device: torch.device, workers: int = 1, cohort: int | None = None
) -> list[list[Point]]:
    """The cohorts in which the members will train: none too large for the memory, and one for each worker.

    Large cohorts share noise and data; but where there are fewer of them than workers, they are cut further. cohort:
    networks in each, at most.
    """
    sizes = {point.index: synapses(point, device) for point in points}
    most = memory.synapses(device, max(workers, 1))
    cut = lambda most: cohorts(points, lambda point: sizes[point.index], most, cohort)
    groups = cut(most)
    return groups if len(groups) >= workers else cut(min(most, -(-sum(sizes.values()) // workers)))


def items(points: Sequence[Point], device: torch.device, workers: int = 1, cohort: int | None = None) -> list[Item]:
    """The same as items of a sweep's folder."""
    groups = plan(points, device, workers, cohort)
    return items_of(groups, [(steps(group[0], device), synapses(group[0], device)) for group in groups])
