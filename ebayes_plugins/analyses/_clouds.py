"""Mean and sigma of a network's synapses, as an experimenter would see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ebayes_plugins.analyses._common import curvature, exponent, finished, label
from ebayes_plugins.analyses._measured import FEWEST
from ebayes_plugins.analyses._plugins import plugin

if TYPE_CHECKING:
    from ebayes_core.results.reader import Run


class Cloud(NamedTuple):
    """The synapses of a layer, (synapses,) each."""

    name: str
    layer: int
    rho: float  #: exponent of the network's cost; NaN if it is not a power law of sigma
    mean: np.ndarray  #: |mu|
    sigma: np.ndarray
    curvature: np.ndarray  #: of the loss, per example; NaN where it was not measured

    def some(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and sigma of at most this many synapses, at random."""
        kept = np.random.default_rng(0).permutation(len(self.mean))[:most]
        return self.mean[kept], self.sigma[kept]


def noisy(run: Run) -> list[int]:
    """Finished networks with noise."""
    return [i for i in finished(run) if run.member_spec(i)["noise"]["kind"] != "none"]


def fixes_signs(run: Run, member: int) -> bool:
    """Whether no mean can cross zero: then small means are as good as any, and nothing has to be cut."""
    return bool(plugin(run.member_spec(member), "noise").signs == "fixed")


def clouds(run: Run, near_zero: float) -> list[list[list[Cloud]]]:
    """Groups of networks that differ in their seeds; in each, the networks; of each, its layers.

    near_zero: synapses with |mu| below this share of the layer's RMS mean are left out, unless signs are fixed. Layers
    whose synapses are too few or all of one mean are left out.
    """
    groups: dict[tuple[Any, ...], list[list[Cloud]]] = {}
    for i in noisy(run):
        name = label(run, i, ("seed",))
        layers = [_cloud(run, i, name, layer, near_zero) for layer in range(1, run.n_layers(i) + 1)]
        kept = [c for c in layers if len(c.mean) >= FEWEST and np.ptp(c.mean) > 0]
        if kept:
            groups.setdefault((name, *(c.layer for c in kept)), []).append(kept)
    return list(groups.values())


def _cloud(run: Run, member: int, name: str, layer: int, near_zero: float) -> Cloud:
    size, sigma = (np.abs(np.asarray(run.layer(member, layer, v), dtype=float)).ravel() for v in ("mu", "sigma"))
    large = True if fixes_signs(run, member) else size > near_zero * np.sqrt((size**2).mean())
    kept = np.isfinite(size * sigma) & (size > 0) & (sigma > 0) & large
    rho, about = exponent(run.member_spec(member)), f"{name}: layer {layer}"
    return Cloud(about, layer, rho, size[kept], sigma[kept], _curvature(run, member, layer, kept))


def _curvature(run: Run, member: int, layer: int, kept: np.ndarray) -> np.ndarray:
    """Curvature of the synapses that are kept, flat ones included."""
    if not any(name.endswith("_noise") for name in run.layer_names(member)):
        return np.full(int(kept.sum()), np.nan)
    return np.asarray(curvature(run, member, layer), dtype=float).ravel()[kept]
