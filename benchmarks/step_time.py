"""Time per network and step: the engine beside a plain deterministic MLP and beside the naive noisy loop, in one run.

    python benchmarks/step_time.py [--members 16] [--rounds 5] [--steps 60]

The paper's network (784-100-100-10), batch 20. The variants take turns, so that a noisy machine disturbs all alike;
printed are the median over rounds, the quartiles, and the ratio to the plain MLP.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from ebayes_core.engine import Cohort, Data, train
from ebayes_core.population import cohorts
from ebayes_core.registry import Registry
from ebayes_core.spec import loads
from ebayes_core.tasks import Classification

SIZES, BATCH, EXAMPLES = (784, 100, 100, 10), 20, 4000
SPEC = """
name = "bench"
cost = {{ kind = "membrane" }}
noise = {{ kind = "{noise}" }}
training = {{ epochs = 1000000, batch_size = 20 }}
[sweep]
"cost.c" = {{ logspace = [-2, 1, {members}] }}
"""


def made_up_data() -> Data:
    """Random images and labels: their values do not change the time."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(EXAMPLES, SIZES[0], generator=generator)
    y = torch.randint(0, SIZES[-1], (EXAMPLES,), generator=generator)
    return Data(x, y, x[:100], y[:100], Classification(SIZES[-1]))


def plain(data: Data) -> Callable[[], None]:
    """A deterministic PyTorch MLP with the fused Adam."""
    layers = [m for a, b in itertools.pairwise(SIZES) for m in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    model = torch.nn.Sequential(*layers[:-1])
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-4, fused=True)

    def step() -> None:
        index = torch.randint(0, EXAMPLES, (BATCH,))
        optimiser.zero_grad()
        F.cross_entropy(model(data.x[index]), data.y[index]).backward()
        optimiser.step()

    return step


def naive(data: Data, dtype: torch.dtype) -> Callable[[], None]:
    """One noisy network as a loop of the authors' kind writes it: autograd through every term."""
    shapes = [(b, a + 1) for a, b in itertools.pairwise(SIZES)]
    mu = [torch.empty(s, dtype=dtype).uniform_(-0.1, 0.1).requires_grad_() for s in shapes]
    phi = [torch.full(s, -9.21, dtype=dtype).requires_grad_() for s in shapes]
    optimiser, x = torch.optim.Adam([*mu, *phi], lr=5e-4), data.x.to(dtype)

    def step() -> None:
        index = torch.randint(0, EXAMPLES, (BATCH,))
        h, penalty = x[index], 0.0
        for i, (m, p) in enumerate(zip(mu, phi, strict=True)):
            sigma = F.softplus(p)
            w = m + sigma * torch.randn_like(m)
            h = h @ w[:, :-1].T + w[:, -1]
            h = h.relu() if i < len(mu) - 1 else h
            penalty = penalty + 0.1 * sigma.pow(-2 / 3).sum() + 1e-4 * m.abs().sum()
        optimiser.zero_grad()
        (F.cross_entropy(h, data.y[index]) + penalty / EXAMPLES).backward()
        optimiser.step()

    return step


def engine(data: Data, noise: str, members: int) -> Callable[[], None]:
    """The population, compiled."""
    points = loads(SPEC.format(noise=noise, members=members), Registry.load()).members()
    (group,) = cohorts(points, lambda _: 1)
    cohort = Cohort(group, data, compile=True)
    steps = train(cohort, cohort.start())
    return lambda: next(steps)


def milliseconds(step: Callable[[], None], steps: int) -> float:
    """Mean time of a step over a burst of them."""
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return 1e3 * (time.perf_counter() - began) / steps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    data, k = made_up_data(), options.members
    variants = {
        "plain MLP, Adam(fused=True)": (plain(data), 1),
        "naive noisy loop, float64": (naive(data, torch.float64), 1),
        "naive noisy loop, float32": (naive(data, torch.float32), 1),
        **{f"ebayes, {n}, {k} members": (engine(data, n, k), k) for n in ("heterogeneous", "homogeneous", "none")},
    }
    for step, _ in variants.values():  # compile and warm up
        milliseconds(step, 5)
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(options.rounds):
        for name, (step, networks) in variants.items():
            times[name].append(milliseconds(step, options.steps) / networks)
    first = statistics.median(times["plain MLP, Adam(fused=True)"])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; ms per network and step")
    for name, found in times.items():
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"{name:36s} {middle:7.3f}  [{low:.3f}, {high:.3f}]  ratio {middle / first:5.2f}")


if __name__ == "__main__":
    main()
