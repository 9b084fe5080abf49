"""Trained networks of a results file and their data, for analyses that evaluate them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebayes_core.contract.registry import in_use
from ebayes_core.errors import UserError
from ebayes_core.trained import data
from ebayes_plugins.analyses._plugins import plugin

if TYPE_CHECKING:
    from ebayes_core.contract.slots import Dataset
    from ebayes_core.results.reader import Run
    from ebayes_core.trained.network import Trained


def rebuilt(run: Run, member: int) -> Trained:
    """A network with the means and standard deviations of its weights, in float64.

    Raises UserError if its weights are not normal, which the analyses assume.
    """
    import torch

    from ebayes_core.trained.network import trained

    noise = plugin(run.member_spec(member), "noise")
    if not noise.gaussian():
        raise UserError(
            f"network {member}: weights with the noise '{noise.kind}' are not normal, which is assumed here"
        )
    return trained(run, member, in_use()).to(torch.float64)


def dataset_of(run: Run, members: list[int], analysis: str) -> Dataset:
    """The data set that all these networks were trained on.

    Raises UserError if they differ, or if the data are no longer those of the run.
    """
    return data.dataset_of(run, members, in_use(), analysis)
