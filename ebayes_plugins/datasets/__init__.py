"""Data sets: images, files of one's own, several tasks in a row, sequences, and problems with known answers."""

from __future__ import annotations

from ebayes_core.contract.slots import Dataset
from ebayes_plugins.datasets.arrays import Arrays
from ebayes_plugins.datasets.images import Digits, FashionMnist, KMnist, Mnist, Mnist5k, QMnist
from ebayes_plugins.datasets.permuted import Permuted
from ebayes_plugins.datasets.sequences import Decision, Integrator, Memory
from ebayes_plugins.datasets.teacher import Teacher
from ebayes_plugins.datasets.vision import Torchvision
from ebayes_plugins.toys import Cubic, LinearGaussian

ALL: list[type[Dataset]] = [
    Mnist, FashionMnist, KMnist, QMnist, Mnist5k, Digits, Cubic, LinearGaussian, Arrays, Permuted, Torchvision,
    Teacher, Integrator, Decision, Memory,
]  # fmt: skip
