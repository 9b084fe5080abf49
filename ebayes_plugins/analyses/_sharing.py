"""Curvature of shared weights: of one draw for all positions, and of a draw for each, at the same means."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ebayes_core.errors import UserError
from ebayes_core.trained.data import examples_of
from ebayes_plugins.analyses._common import copies, curvature, exponent, finished
from ebayes_plugins.analyses._plugins import plugin
from ebayes_plugins.analyses._rebuilt import dataset_of, rebuilt

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.results.reader import Run
    from ebayes_core.trained.network import Trained

FIELD = "noise_per"  #: of the network: kernel or position
DRAWS = 20  #: networks sampled for an average over the noise
FLAT = 1e-6  #: share of a layer's median curvature below which a synapse counts as flat


class Pair(NamedTuple):
    """Two networks that differ only in whether positions share a draw."""

    kernel: int
    position: int


def pairs(run: Run) -> list[Pair]:
    """Networks with noise per kernel, each with its twin with noise per position."""
    found: dict[str, dict[str, int]] = {}
    for i in finished(run):
        spec = run.member_spec(i)
        per = spec["network"].get(FIELD)
        rest = {**spec, "network": {k: v for k, v in spec["network"].items() if k != FIELD}}
        if per is not None and _free(spec):
            found.setdefault(f"{run.seeds[i]} {rest}", {})[per] = i
    return [Pair(**twins) for twins in found.values() if len(twins) == 2]


def _free(spec: dict[str, Any]) -> bool:
    """Whether theory predicts a network's ratio: a power law of sigma alone, at the price of the spec, not a budget's.

    A budget spends the same energy at another price, and the optimum of `cv` depends on the means.
    """
    alone = spec["cost"]["kind"] != "cv" and plugin(spec, "inference").allowance is None
    return alone and bool(np.isfinite(exponent(spec)))


class Examples(NamedTuple):
    """Test examples, which have set no sigma, with their likelihood."""

    task: Any
    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, run: Run, members: list[int], analysis: str, most: int) -> Examples:
        """The first `most` test examples of the networks' data set. Raises UserError without curvature roots."""
        dataset = dataset_of(run, members, analysis)
        x, y = examples_of(run, members, dataset, "test")
        task = dataset.task()
        if not task.has_roots:
            raise UserError(
                f"{analysis} compares exact curvatures, which this likelihood does not offer: use a data set with "
                "classes or with real targets"
            )
        return cls(task, x[:most].double(), y[:most].double() if y.is_floating_point() else y[:most])

    def chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """A few examples for each sampled network."""
        size = -(-len(self.x) // DRAWS)
        return zip(self.x.split(size), self.y.split(size), strict=True)


class Curvatures(NamedTuple):
    """Gauss-Newton diagonals per example of each layer, averaged over the noise, (*shape)."""

    own: list[np.ndarray]  #: of the draws that the network has
    separate: list[np.ndarray]  #: E[sum over positions of (delta x)^2], as if each position had a draw of its own


def curvatures(net: Trained, examples: Examples, seed: int) -> Curvatures:
    """Both at the same sampled weights. A position's curvature ignores other positions; that of a shared weight is
    E[(sum over positions of delta x)^2], which also counts whether positions agree.
    """
    import torch

    from ebayes_core.engine.per_example import squared_gradients

    apart, random = net.network.model_copy(update={FIELD: "position"}), torch.Generator().manual_seed(seed)
    inputs, outputs = tuple(examples.x.shape[1:]), tuple(examples.task.shape)
    draws, each = net.network.draws(inputs, outputs), apart.draws(inputs, outputs)
    own, separate = ([torch.zeros_like(m) for m in net.mu] for _ in range(2))
    with torch.no_grad():
        for x, y in examples.chunks():
            weights = net.weights(net.xi(1, draws, random))
            roots = partial(_roots, examples.task, y)
            _add(own, squared_gradients(net.network, weights, x, roots))
            _add(separate, squared_gradients(apart, _spread(weights, draws, each), x, roots))
    n = len(examples.x)
    return Curvatures([(h / n).numpy() for h in own], [(h / n).numpy() for h in separate])


def _roots(task: Any, y: Tensor, outputs: Tensor) -> Any:
    return task.curvature_roots(outputs, y) or ()


def _add(totals: list[Tensor], squares: list[Tensor]) -> None:
    for total, square in zip(totals, squares, strict=True):
        total += square[0]


def _spread(weights: list[Tensor], draws: list[int], each: list[int]) -> list[Tensor]:
    """The same weights with an axis of positions, where positions shared a draw."""
    return [
        w[:, None].expand(-1, n, *w.shape[1:]) if n > had else w for w, had, n in zip(weights, draws, each, strict=True)
    ]


def compared(run: Run, pair: Pair, examples: Examples) -> Iterator[dict[str, Any]]:
    """Per layer, means over synapses of logarithms: of the sigmas' ratio, and of what should make it differ from 1."""
    kernel, position = (curvatures(rebuilt(run, i), examples, int(run.seeds[i])) for i in pair)
    for layer, h in enumerate(zip(kernel.own, kernel.separate, position.own, strict=True), 1):
        kept = _steep(run, pair, layer) & np.all([each > 0 for each in h], axis=0)
        shared, separate, others = (_log_mean(each[kept]) for each in h)
        narrow, wide = (_log_mean(run.layer(i, layer, "sigma").astype(float)[kept]) for i in pair)
        yield {
            "layer": layer, "n": int(kept.sum()), "left_out": int((~kept).sum()),
            "positions": float(copies(run)[pair.position, layer - 1]),
            "ratio": wide - narrow, "agreement": shared - separate, "networks": separate - others,
        }  # fmt: skip


def _log_mean(values: np.ndarray) -> float:
    return float(np.log(values).mean()) if values.size else np.nan


def _steep(run: Run, pair: Pair, layer: int) -> np.ndarray:
    """Which synapses of a layer are flat in neither network."""
    found = np.ones(run.layer(pair.kernel, layer, "mu").shape, bool)
    for member in pair:
        h = np.nan_to_num(curvature(run, member, layer).astype(float))
        found &= (h > 0) & (h > FLAT * np.median(h[h > 0])) if (h > 0).any() else h > 0
    return found
