"""Data sets of torchvision by name, colour images among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Dataset
from ebayes_core.storage.cache import cache_dir
from ebayes_plugins import mnists
from ebayes_plugins.datasets import downloads
from ebayes_plugins.datasets.images import pixels
from ebayes_plugins.toys import one_of

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.likelihoods import Likelihood

GREY = {
    "MNIST": mnists.MNIST, "FashionMNIST": mnists.FASHION_MNIST, "KMNIST": mnists.KMNIST, "QMNIST": mnists.QMNIST,
}  # fmt: skip
CLASSES = {"CIFAR100": 100}  #: of the others there are ten


class Torchvision(Dataset):
    """Images and labels from torchvision.datasets, downloaded once into the cache folder and verified."""

    kind: Literal["torchvision"] = "torchvision"
    name: Literal["CIFAR10", "CIFAR100", "SVHN", "USPS", "MNIST", "FashionMNIST", "KMNIST", "QMNIST"] = Field(
        "CIFAR10", description="name of the class in torchvision.datasets"
    )
    layout: Literal["flat", "image"] = Field(
        "image",
        description="shape of an example: image (channels, rows, columns), for convolutions; flat (numbers,), in the "
        "same order",
    )
    normalise: Literal["standard", "unit"] = Field(
        "standard",
        description="standard: (x - mean) / sd of each channel over the training set; unit: numbers in [0, 1]",
    )

    def images(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Images (examples, channels, rows, columns) uint8 and labels (examples,).

        Raises DataError if the files are damaged, or missing and cannot be downloaded.
        """
        if self.name in GREY:
            grey, labels = GREY[self.name].read(split, cache_dir())
            return grey[:, None], labels
        folder = cache_dir() / self.name
        downloads.ensure(self.name, folder)
        return _read(self.name, split, str(folder))

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Pixels (examples, *shape) float32 and labels (examples,) int64."""
        import torch

        images, labels = self.images(one_of(split))
        x = images.astype(np.float32) / np.float32(255)
        return self._seen(x, images if split == "train" else None), torch.from_numpy(labels.astype(np.int64))

    def prepare(self, x: Any) -> Tensor:
        """Pixels in [0, 1], (examples, channels, rows, columns) or flat in this order."""
        shape = self.images("train")[0].shape[1:]
        flat = pixels(x, (shape[0], shape[1], shape[2])).astype(np.float32)
        return self._seen(flat.reshape(-1, *shape))

    def _seen(self, x: np.ndarray, train: np.ndarray | None = None) -> Tensor:
        """Pixels normalised and laid out. train: the images of the training set, if they are known."""
        import torch

        if self.normalise == "standard":
            mean, sd = moments(self.images("train")[0] if train is None else train)
            x = ((x - mean) / sd).astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(x.reshape(len(x), -1) if self.layout == "flat" else x))

    def task(self) -> Likelihood:
        """Softmax over the classes."""
        from ebayes_core.contract.likelihoods import Classification

        return Classification(CLASSES.get(self.name, 10))


def moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel of bytes, in units of 255, (channels, 1, 1) float32.

    From the counts of the 256 values, which takes no copy of the images in floating point.
    """
    values = np.arange(256) / 255
    counts = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])])
    share = counts / counts.sum(1, keepdims=True)
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(1)
    return mean.astype(np.float32)[:, None, None], np.sqrt(variance).astype(np.float32)[:, None, None]


def _read(name: str, split: str, folder: str) -> tuple[np.ndarray, np.ndarray]:
    """What torchvision reads, with the channels first."""
    from torchvision import datasets

    known: Any = getattr(datasets, name)
    found = known(folder, split=split) if name == "SVHN" else known(folder, train=split == "train")
    labels = np.asarray(getattr(found, "labels", getattr(found, "targets", None)))
    if found.data.ndim == 3:  # grey
        return found.data[:, None], labels
    return (found.data if name == "SVHN" else found.data.transpose(0, 3, 1, 2)), labels
