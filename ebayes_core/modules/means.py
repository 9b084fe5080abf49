"""The means that a network is given: read from a file, compared with what the network needs, and laid out as its
weights.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ebayes_core.contract.files import digest, stamps
from ebayes_core.contract.network import Shape
from ebayes_core.errors import DataError, EbayesError

if TYPE_CHECKING:
    from torch import nn

    from ebayes_core.contract.slots import Network

Named = dict[str, Tensor]
LAYER = "layer_{}"  #: name of the weights of a layer, counted from 1, where there is no module with names of its own


def given_means(network: Network, inputs: Shape, outputs: Shape) -> list[Tensor]:
    """The means of the network's file, per layer (*shape). Raises DataError naming the file and what does not fit."""
    path = Path(network.folder or "", network.means or "")
    try:
        if network.digest not in (None, digest(stamps([path]))):
            raise ValueError("its content has changed since the spec was read: restore it, or start again")
        found = READERS[path.suffix.lower()](path, network.means_member or 0)
        return _arranged(network, found, inputs, outputs)
    except (ValueError, OSError, EbayesError) as error:
        says = str(error)
        raise DataError(says if str(path) in says else f"{path}: {says}") from error


def _arranged(network: Network, found: Named, inputs: Shape, outputs: Shape) -> list[Tensor]:
    """What a file holds as the network's weights."""
    module = network.plain(inputs, outputs)
    shapes = network.shapes(inputs, outputs)
    by_layer = {LAYER.format(i): shape for i, shape in enumerate(shapes, 1)}
    if module is None or (set(found) == set(by_layer) and not set(module.state_dict()) & set(found)):
        _check(found, by_layer)
        return [found[name] for name in by_layer]
    _check(found, {name: tuple(t.shape) for name, t in module.state_dict().items()})
    return network.weights(_loaded(module, found))


def _check(found: Named, needed: Mapping[str, Shape]) -> None:
    """Raise ValueError if a parameter is missing, unknown, of another shape, or not finite."""
    for what, names in (("lacks", needed.keys() - found.keys()), ("has", found.keys() - needed.keys())):
        if names:
            which = f"the parameter{'s' * (len(names) > 1)} {', '.join(sorted(names))}"
            needs = "which the network needs" if what == "lacks" else "which the network does not have"
            raise ValueError(f"it {what} {which}, {needs}; the network's are {', '.join(needed)}")
    for name, shape in needed.items():
        if tuple(found[name].shape) != tuple(shape):
            raise ValueError(f"parameter {name} has shape {tuple(found[name].shape)}, the network needs {tuple(shape)}")
        if not found[name].isfinite().all():
            raise ValueError(f"parameter {name} holds NaN or infinity")


def _loaded(module: nn.Module, found: Named) -> list[Tensor]:
    """The module's trained parameters, from the file; what is not trained has to be the same there."""
    named = dict(module.named_parameters(remove_duplicate=False))
    for name, t in module.state_dict().items():
        trained = name in named and named[name].requires_grad
        if not trained and not torch.equal(found[name].to(t.dtype), t):
            raise ValueError(
                f"{name}, which is not trained, differs from that of the network: pass the module itself "
                "(ebayes.solve), with its buffers"
            )
    module.double().load_state_dict(found)
    for name, t in module.state_dict().items():
        if not torch.equal(t, found[name].to(t.dtype)):
            raise ValueError(f"{name} is shared with another parameter in the network, but differs from it in the file")
    return [p.detach() for p in module.parameters() if p.requires_grad]


def _of_torch(path: Path, member: int) -> Named:
    """The tensors of a state_dict; nothing in the file is run."""
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError("torch cannot read it as weights alone: save module.state_dict(), not the module") from error
    if not isinstance(found, Mapping) or not all(isinstance(t, Tensor) for t in found.values()):
        raise ValueError("it holds no state_dict: save module.state_dict()")
    return {str(name): t.detach() for name, t in found.items()}


def _of_numpy(path: Path, member: int) -> Named:
    """The arrays of an npz file, named as in the state_dict."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, EOFError, AttributeError) as error:
        raise ValueError(f"numpy cannot read it as an npz file: {error}") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise ValueError(f"parameter {name} is not numeric ({array.dtype})")
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _of_results(path: Path, member: int) -> Named:
    """The means of a network of a results file, by layer."""
    from ebayes_core.results.reader import Run

    with Run(path) as run:
        if member >= run.n_members:
            raise ValueError(f"it has {run.n_members} networks, counted from 0, and no network {member}")
        if run.status[member] != "done":
            raise ValueError(f"its network {member} {run.status[member]}")
        layers = range(1, run.n_layers(member) + 1)
        return {LAYER.format(i): torch.as_tensor(run.layer(member, i, "mu")) for i in layers}


READERS: Mapping[str, Callable[[Path, int], Named]] = {
    ".pt": _of_torch, ".pth": _of_torch, ".npz": _of_numpy, ".h5": _of_results,
}  # fmt: skip
