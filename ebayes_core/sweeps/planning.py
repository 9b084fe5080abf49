"""Planning a run: its device, its data, and cohorts that fit the memory and the number of workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import torch

from ebayes_core.contract.attribution import asking
from ebayes_core.contract.likelihoods import Likelihood
from ebayes_core.contract.slots import Dataset
from ebayes_core.engine.data import Data, digest, load, load_second, stages
from ebayes_core.engine.layers import layers
from ebayes_core.engine.stacking import cohorts
from ebayes_core.errors import UserError
from ebayes_core.spec import Point, Training
from ebayes_core.sweeps import memory
from ebayes_core.sweeps.item import Item, items_of

#: synapse updates for which another process pays: it starts in a few seconds, each of which takes 2e8
WORTH_A_PROCESS = 1e9
#: synapses of a cohort that one thread computes as fast as several
FEW = 200_000


def find_device(name: str) -> torch.device:
    """The device of a name; `auto` is a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no GPU on this machine; use --device cpu or --device auto")
    return torch.device(name)


@lru_cache(maxsize=2)
def load_data(dataset: Dataset, dtype: str, device: torch.device, ood: Dataset | None = None) -> Data:
    """A data set on the device, in the run's floating type. Raises DataError if it is not valid for its task.

    ood: a second data set, on which the networks' uncertainty is measured.
    """
    kind = getattr(torch, dtype)
    with asking(dataset, "what task returned"):
        task = dataset.task()
        assert isinstance(task, Likelihood), f"{type(task).__name__}, which is not a Likelihood"
        assert task.outputs > 0, f"a likelihood of {task.outputs} outputs"
    with asking(dataset, "what load returned"):
        loaded = load(dataset, task)
        stage, stage_test = stages(dataset, (len(loaded[0]), len(loaded[2])))
    x, y, x_test, y_test = loaded
    x, x_test = (t.to(device, kind) for t in (x, x_test))
    y, y_test = (t.to(device, kind if t.is_floating_point() else t.dtype) for t in (y, y_test))
    stage, stage_test = (None if t is None else t.to(device) for t in (stage, stage_test))
    second = None if ood is None else _second(ood, x, task)
    return Data(x, y, x_test, y_test, task, digest(loaded), stage, stage_test, second)


def _second(ood: Dataset, like: torch.Tensor, task: Likelihood) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The second data set, where and as the first one is."""
    with asking(ood, "what load returned"):
        x, y = load_second(ood, tuple(like.shape[1:]), task)
    return x.to(like), None if y is None else y.to(like.device)


def member_data(point: Point, device: torch.device) -> Data:
    """The data of a network. Raises UserError if training is too short to show all of its stages."""
    dataset, training = point.member.dataset, point.member.training
    data = load_data(dataset, training.dtype, device, point.member.measurement.ood)
    if training.stages == "together":
        return replace(data, stage=None)
    if data.stages > training.epochs:
        raise UserError(
            f"the data set '{dataset.kind}' has {data.stages} stages, and training.epochs = {training.epochs} shows "
            f"only as many of them: set  training.epochs = {data.stages}  or more"
        )
    return data


def synapses(point: Point, device: torch.device) -> int:
    """Number of synapses of a network, biases included."""
    data = member_data(point, device)
    return sum(map(math.prod, layers(point.member, tuple(data.x.shape[1:]), data.task.shape)))


def steps(point: Point, device: torch.device) -> int:
    """Number of training steps of a network."""
    training: Training = point.member.training
    count = member_data(point, device).examples
    return training.epochs * (count // min(training.batch_size, count))


def workers(points: Sequence[Point], device: torch.device) -> int:
    """How many processes of one thread train these networks fastest.

    Two threads that share a product wait for each other, and more so on a busy machine; processes with cohorts of
    their own do not. A short run does not earn the seconds in which a process starts.
    """
    updates = sum(steps(point, device) * synapses(point, device) for point in points)
    cores = torch.get_num_threads() if device.type == "cpu" else 1
    return max(1, min(cores, len(points), int(updates / WORTH_A_PROCESS)))


def threads(points: Sequence[Point], device: torch.device, workers: int) -> int:
    """How many threads a process that trains some of these networks uses."""
    few = sum(synapses(point, device) for point in points) <= FEW
    return 1 if workers > 1 or few else torch.get_num_threads()


def plan(
    points: Sequence[Point], device: torch.device, workers: int = 1, cohort: int | None = None
) -> list[list[Point]]:
    """The cohorts in which the networks train: small enough for the cache and the memory, and one for each worker.

    cohort: largest number of networks in each.
    """
    sizes = {point.index: synapses(point, device) for point in points}
    most = memory.synapses(device, max(workers, 1))
    cut = lambda most: cohorts(points, lambda point: sizes[point.index], most, cohort)
    groups = cut(most)
    if len(groups) >= workers:
        return groups
    share = -(-sum(sizes.values()) // workers)
    equal = cut(min(most, share + max(sizes.values()) - 1))  # 7 networks for 2 workers are 4 and 3
    return equal if len(equal) >= workers else cut(min(most, share))


def items(points: Sequence[Point], device: torch.device, workers: int = 1, cohort: int | None = None) -> list[Item]:
    """The cohorts of `plan` as items of a sweep's folder."""
    groups = plan(points, device, workers, cohort)
    return items_of(groups, [(steps(group[0], device), synapses(group[0], device)) for group in groups])
