"""Rebuild a trained network from its results file: architecture, means and sigmas, and samples of its weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from ebayes_core.errors import UserError
from ebayes_plugins.analyses._plugins import plugin

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.slots import Dataset, Network
    from ebayes_core.results.reader import Run


class Rebuilt(NamedTuple):
    """A network's architecture, and per layer the means and standard deviations of its weights."""

    network: Network
    mu: list[Tensor]
    sigma: list[Tensor]

    def noise(self, samples: int, draws: list[int], seed: int = 0) -> list[Tensor]:
        """Standard normal xi per layer, (samples, [draws,] *shape); equal for all networks of the same shapes and seed.

        draws: as the network tells, per layer.
        """
        import torch

        generator = torch.Generator().manual_seed(seed)
        return [
            torch.randn(samples, *[n] * (n > 1), *m.shape, generator=generator, dtype=m.dtype)
            for m, n in zip(self.mu, draws, strict=True)
        ]

    def weights(self, xi: list[Tensor]) -> list[Tensor]:
        """mu + sigma xi (Eq. 35), per layer (samples, *shape)."""
        return [m + s * e for m, s, e in zip(self.mu, self.sigma, xi, strict=True)]


def rebuilt(run: Run, member: int) -> Rebuilt:
    """The architecture of a network with the means and standard deviations of its weights, in float64.

    Raises UserError if its weights are not normal, which `Rebuilt.weights` samples.
    """
    import torch

    noise = plugin(run.member_spec(member), "noise")
    if not noise.gaussian():
        raise UserError(
            f"network {member}: weights with the noise '{noise.kind}' are not normal, which is assumed here"
        )

    def layers(name: str) -> list[Tensor]:
        found = [run.layer(member, layer, name) for layer in range(1, run.n_layers(member) + 1)]
        return [torch.as_tensor(values, dtype=torch.float64) for values in found]

    return Rebuilt(plugin(run.member_spec(member), "network"), layers("mu"), layers("sigma"))


def dataset_of(run: Run, members: list[int], analysis: str) -> Dataset:
    """The data set that all these networks were trained on.

    Raises UserError if they differ, or if the data are no longer those of the run.
    """
    tables = [run.member_spec(i)["dataset"] for i in members]
    if any(table != tables[0] for table in tables):
        raise UserError(f"{analysis} compares networks on one data set: remove the data set from [sweep]")
    found = plugin({"dataset": tables[0]}, "dataset")
    _same_data(found, run.provenance.get("data", {}).get(json.dumps(tables[0])), analysis)
    return found


def examples_of(dataset: Dataset, split: str) -> tuple[Tensor, Tensor]:
    """The examples on which trained networks are measured: all, or if training has stages, those of the last one."""
    x, y = dataset.load(split)
    stage = dataset.stages(split)
    last = slice(None) if stage is None else stage == stage.max()
    return x[last], y[last]


def _same_data(dataset: Dataset, known: list[str] | None, analysis: str) -> None:
    """Compare with the digests of the data in the file; an older file without digests is not checked."""
    from ebayes_core.engine import data

    if not known:
        return
    try:
        now = data.digest(data.load(dataset, dataset.task()))
    except UserError as error:
        raise UserError(f"{analysis} evaluates networks on the training set again: {error}") from error
    if now not in known:
        raise UserError(
            f"{analysis} evaluates networks on their data again, and the data set '{dataset.kind}' is not what they "
            f"were trained on (digest {known[0][:12]}, now {now[:12]}); restore the original data"
        )
