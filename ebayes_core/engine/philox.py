"""The noise of the weights: random numbers that are a function of a key and of the number of the draw.

No state has to be kept, a network sees the same noise in any cohort, and every device computes the same numbers but for
rounding: Philox4x32-10 (Salmon et al. 2011), with normal numbers by Box and Muller.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

MULTIPLIERS, INCREMENTS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
ROUNDS, LOW = 10, 0xFFFFFFFF

Key = tuple[int, int]


def key(seed: int, *purpose: int) -> Key:
    """The key of a seed and a purpose, two words."""
    first, second = np.random.SeedSequence([seed, *purpose]).generate_state(2, np.uint32)
    return int(first), int(second)


def blocks(count: int) -> int:
    """How many blocks of four numbers a draw of this many takes."""
    return -(-count // 4)


def normal(count: int, key: Key, draw: Tensor, dtype: torch.dtype) -> Tensor:
    """Standard normal numbers, (count,). draw: the number of the draw, one element of int64, on its device."""
    first, second, third, fourth = (_open_unit(w) for w in words(blocks(count), key, draw))
    pairs = [_box_muller(a, b) for a, b in ((first, second), (third, fourth))]
    return torch.cat([x for pair in pairs for x in pair])[:count].to(dtype)


def uniform(count: int, key: Key, draw: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers uniform in [0, 1), multiples of 2^-24, (count,)."""
    return torch.cat([(w >> 8) * 2.0**-24 for w in words(blocks(count), key, draw)])[:count].to(dtype)


def words(count: int, key: Key, draw: Tensor) -> list[Tensor]:
    """The four words of each block, (count,) int64 each, below 2^32."""
    draw = draw.reshape(1)
    c0 = torch.arange(count, device=draw.device)
    c1, c2, c3 = draw & LOW, (draw >> 32) & LOW, torch.zeros_like(draw)
    for i in range(ROUNDS):
        k0, k1 = ((k + i * step) & LOW for k, step in zip(key, INCREMENTS, strict=True))
        a, b = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]  # 64 bits, of which torch's sign is one
        c0, c1, c2, c3 = ((b >> 32) & LOW) ^ c1 ^ k0, b & LOW, ((a >> 32) & LOW) ^ c3 ^ k1, a & LOW
    return [w.expand(count) for w in (c0, c1, c2, c3)]


def _open_unit(word: Tensor) -> Tensor:
    """(k + 1/2) / 2^23 for the upper 23 bits k, exact in any precision: never 0 nor 1."""
    return ((word >> 9) + 0.5) * 2.0**-23


def _box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two normal numbers from two uniform ones, in double precision."""
    radius, angle = (-2 * first.double().log()).sqrt(), 2 * math.pi * second.double()
    return radius * angle.cos(), radius * angle.sin()
