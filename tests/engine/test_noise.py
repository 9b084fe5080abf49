"""The noise of the weights: a published generator, the same numbers however they are computed."""

from __future__ import annotations

import math

import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine import philox
from ebayes_core.engine.noise import Source
from tests.build import DIGITS, cohort

NUMBER = torch.tensor([[12345678901.0]], dtype=torch.float64)
KEY = philox.key(3, 1)


def in_integers(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox4x32-10 in Python's integers, as its paper writes it."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b % 2**32, (a >> 32) ^ c3 ^ k1, a % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def test_words_are_those_of_the_published_generator() -> None:
    assert in_integers((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    draw = 2**40 + 17
    words = philox.words(5, KEY, torch.tensor(draw))
    for block in range(5):
        expected = in_integers((block, draw % 2**32, draw >> 32, 0), KEY)
        assert tuple(int(w[block]) for w in words) == expected


@pytest.mark.parametrize("normal", [True, False])
@pytest.mark.parametrize("count", [1, 3, 4, 255, 257, 10_007])
def test_c_computes_the_same_numbers(normal: bool, count: int) -> None:
    source = Source(KEY, normal, compile=True)
    out = source.empty(torch.zeros(1), count)
    source.fill(out, NUMBER)
    plain = (philox.normal if normal else philox.uniform)(count, KEY, NUMBER.long(), torch.float64)
    torch.testing.assert_close(out[0].double(), plain, rtol=1e-6, atol=1e-6 if normal else 0)


def test_normal_numbers_are_normal_and_independent() -> None:
    draws = torch.stack([philox.normal(40_001, KEY, torch.tensor(i), torch.float64) for i in range(25)])
    n = draws.numel()
    assert abs(draws.mean()) < 5 / math.sqrt(n)
    assert abs(draws.var() - 1) < 5 * math.sqrt(2 / n) and abs((draws**4).mean() - 3) < 5 * math.sqrt(96 / n)
    quarter = philox.blocks(40_001)
    for a, b in [(draws[:-1], draws[1:]), (draws[:, 1:], draws[:, :-1]), (draws[:, quarter:], draws[:, :-quarter])]:
        assert abs((a * b).mean()) < 5 / math.sqrt(a.numel()), "draws, neighbours and pairs of a block are uncorrelated"
    below = torch.special.ndtr(draws.flatten()).sort().values
    assert (below - torch.linspace(0, 1, n, dtype=torch.float64)).abs().max() < 1.95 / math.sqrt(n)


def test_uniform_numbers_are_uniform() -> None:
    u = philox.uniform(100_003, KEY, torch.tensor(1), torch.float64).sort().values
    assert u[0] >= 0 and u[-1] < 1
    assert (u - torch.linspace(0, 1, len(u), dtype=torch.float64)).abs().max() < 1.95 / math.sqrt(len(u))


def test_a_network_sees_the_same_noise_in_any_cohort_and_another_at_every_step_and_seed(registry: Registry) -> None:
    many, few = (cohort(registry, DIGITS, f'sweep."cost.c"={values}') for values in ([0.1, 0.2, 0.3], [0.2]))
    assert torch.equal(many.start().xi, few.start().xi)
    other = cohort(registry, DIGITS, "seeds=[1]")
    assert not torch.equal(other.start().xi, few.start().xi)
    later = few.noise.fill(few.noise.empty(few.start().xi, sum(few.drawn)), torch.ones(1, 1, dtype=torch.float64))
    assert not torch.equal(later, few.start().xi)
