"""Tasks in a row: arms, forgetting and gains are those that were planted; shuffled and gated steps are as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ebayes
from ebayes_core.contract.registry import Registry
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.minibatch import ingredients, shuffle
from ebayes_core.engine.native import native
from ebayes_core.engine.objective import gradients
from ebayes_core.engine.step import make_step, respread
from ebayes_core.errors import UserError
from ebayes_plugins.analyses.continual import TOGETHER, Continual, forgetting, last
from tests.build import DIGITS, cohort
from tests.plugins.test_analyses import FakeRun, figure_of, power

SPEC = """
name = "continual"
seeds = [0, 1]
dataset = { kind = "permuted", tasks = 2 }
network = { kind = "mlp", hidden = [6] }
training = { epochs = 2, batch_size = 200 }
optimizer = { kind = "adam", learning_rate = 1e-2 }
measurement = { samples = 2, probe_examples = 50, balance_passes = 1 }
[sweep]
"noise,inference.kind,training.stages,training.epochs" = [
    [{ kind = "none" }, "energy_efficient", "in_turn", 2],
    [{ kind = "heterogeneous", sigma_0 = 0.02 }, "variational_continual", "in_turn", 2],
    [{ kind = "none" }, "energy_efficient", "together", 1],
]
"""


def planted() -> dict[str, np.ndarray]:
    """Two arms and a control, three seeds, three tasks, five epochs."""
    arm = np.repeat(["adam, no noise", "steps by sigma^2", "sigma^2 shuffled"], 3)
    seed = np.tile([0, 1, 2], 3)
    gain = np.repeat([0.0, 0.2, 0.1], 3) + np.array([0, 0, 0, 0.01, 0, -0.01, 0, 0, 0])
    by_task = np.full((9, 3, 5), 0.1)
    by_task[:, 0, 1:] = [0.9, 0.7, 0.6, 0.3]
    by_task[:, 1, 1:] = [0.1, 0.8, 0.95, 0.5]
    by_task[:, 2, 1:] = [0.1, 0.1, 0.2, 0.94]
    by_task[:, 0, -1] += gain
    number = np.arange(9.0) + 1
    return {
        "arm": arm, "seed": seed, "by_task": by_task, "accuracy": by_task[..., -1].mean(1),
        "forgetting": forgetting(by_task), "travelled": 100 * number, "moved": 10 * number,
        "reliability": number, "magnitude": number,
    }  # fmt: skip


class Stages(FakeRun):
    """Networks with planted accuracies (network, task, epoch), NaN for tasks that they had not got."""

    def __init__(
        self, by_task: np.ndarray, stages: list[str], swept: dict[str, list[int]] | None = None, status: str = "done"
    ) -> None:
        members = [{"cost": {"kind": "actin"}, "training": {"stages": s}, "status": status} for s in stages]
        super().__init__(members, swept or {}, power(1, 1))
        self.by_task = by_task
        self.curves += [f"accuracy_test_stage_{k + 1}" for k in range(by_task.shape[1])]

    def member_spec(self, i: int) -> dict[str, Any]:
        return super().member_spec(i) | {"optimizer": {"kind": "adam"}}

    def curve(self, name: str) -> np.ndarray:
        task = name.rpartition("stage_")[2]
        return self.by_task[:, int(task) - 1] if task.isdigit() else super().curve(name)


def test_forgetting_is_the_best_accuracy_minus_the_last_of_all_tasks_but_the_last() -> None:
    by_task = np.array([[[1.0, 0.9, 0.7, 0.2], [0.1, 0.3, 0.8, 0.6], [0.1, 0.1, 0.9, 0.3]]])
    assert forgetting(by_task) == pytest.approx([(0.7 + 0.2) / 2])  # what was before the first epoch does not count
    padded = np.concatenate([by_task, np.full((1, 3, 2), np.nan)], -1)  # beside networks of more epochs
    assert forgetting(padded) == forgetting(by_task) and last(padded).tolist() == [[0.2, 0.6, 0.3]]


def test_networks_of_fewer_tasks_than_others_count_their_own() -> None:
    """Of three tasks and of two, in turn; the means by hand."""
    by_task = np.full((2, 3, 3), np.nan)
    by_task[0] = [[0.1, 0.9, 0.5], [0.1, 0.8, 0.6], [0.1, 0.2, 0.7]]
    by_task[1, :2] = [[0.1, 0.9, 0.6], [0.1, 0.9, 0.8]]
    arrays, analysis = Continual().measure(Stages(by_task, ["in_turn", "in_turn"])), Continual()
    assert arrays["accuracy"] == pytest.approx([0.6, 0.7]) and arrays["forgetting"] == pytest.approx([0.3, 0.3])
    assert arrays["arm"].tolist() == ["adam, energy, 3 tasks", "adam, energy, 2 tasks"]
    assert analysis.headline(arrays) == (
        "After 2 to 3 tasks in a row, 'adam, energy, 2 tasks' is right in 70.0% of all tasks' test examples, 'adam, "
        "energy, 3 tasks' in 60.0%."
    )


def test_the_best_is_an_arm_that_saw_tasks_in_a_row() -> None:
    by_task = np.stack([np.full((2, 3), level) for level in (0.9, 0.8, 0.5)])
    run = Stages(by_task, ["together", "together", "in_turn"], {"training.epochs": [1, 2, 2]})
    arrays = Continual().measure(run)
    assert arrays["arm"].tolist() == [f"{TOGETHER} (epochs = 1)", f"{TOGETHER} (epochs = 2)", "adam, energy"]
    said = "After 2 tasks in a row, 'adam, energy' is right in 50.0% of all tasks' test examples."
    assert Continual().headline(arrays) == said
    for stages, status in ((["together"] * 3, "done"), (["in_turn"] * 3, "diverged at step 3")):
        with pytest.raises(UserError, match="no network that finished training saw its tasks in a row"):
            Continual().measure(Stages(by_task, stages, {}, status))


def test_gains_are_paired_by_seed_and_the_headline_is_computed(tmp_path: Path) -> None:
    arrays, analysis = planted(), Continual()
    table = analysis.statistics(arrays)
    gains, halves = table["accuracy minus that of adam, no noise"], table["± (paired)"]
    assert gains == pytest.approx([0, 0.2 / 3, 0.1 / 3]) and halves[1] == pytest.approx(4.302653 * 0.01 / 3 / 3**0.5)
    assert table["travelled"].tolist() == [200, 500, 800] and table["seeds"].tolist() == [3, 3, 3]
    assert table["± accuracy"][0] == pytest.approx(0, abs=1e-12)
    assert analysis.headline(arrays) == (
        "After 3 tasks in a row, 'steps by sigma^2' is right in 64.7% of all tasks' test examples, 'adam, no noise' in "
        "58.0%; steps by sigma^2 gain +3.3 ± 0.8 points over the same with sigma^2 shuffled."
    )
    figure_of(analysis, arrays, tmp_path)


def test_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(SPEC)
    run = ebayes.run(tmp_path / "c.toml", out=tmp_path / "c.h5")
    arrays = Continual().measure(run)
    assert arrays["arm"].tolist() == ["adam, no noise"] * 2 + ["variational"] * 2 + [TOGETHER] * 2
    assert arrays["by_task"].shape == (6, 2, 3)
    for i in range(6):
        mu = np.concatenate([run.layer(i, k, "mu").ravel() for k in (1, 2)])
        assert arrays["magnitude"][i] == pytest.approx(np.abs(mu).sum(), rel=1e-6)
        each = [run.metric(f"accuracy_mean_stage_{k}")[i] for k in (1, 2)]
        assert arrays["accuracy"][i] == pytest.approx(np.mean(each), rel=1e-6)
        epochs = 1 if i > 3 else 2
        assert arrays["travelled"][i] == run.curve("mu_travelled")[i, epochs] > arrays["moved"][i] > 0
    figure_of(Continual(), arrays, tmp_path)


def test_without_tasks_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(SPEC.split("[sweep]", maxsplit=1)[0].replace('"permuted", tasks = 2', '"digits"'))
    with pytest.raises(UserError, match="choose a data set with stages"):
        Continual().measure(ebayes.run(tmp_path / "c.toml", out=tmp_path / "c.h5"))


def stepped(c: Cohort, compiled: bool, change=lambda state: None) -> tuple[State, State]:
    """The state before and after a step along a gradient that is 1 everywhere, but for the first weights."""
    states = []
    for take in (False, True):
        state = c.start()
        change(state)
        given, next_xi = ingredients(c, state)
        for slopes in given.gradient:
            slopes.fill_(1.0)[:, :3] = torch.tensor([1e-5, -2.0, 0.0])
        c.noise.fill(next_xi, given.clock.fill_(1))
        shuffle(c, state, given)
        if take:
            step = make_step(c.formulas)
            with torch.no_grad():
                args = (state.parameters, state.weights)
                native(step, *args, state.alive, given)(given) if compiled else step(*args, given, state.alive)
        states.append(state)
    return states[0], states[1]


@pytest.mark.parametrize("compiled", [False, True])
def test_shuffled_steps_are_the_same_steps_elsewhere(registry: Registry, compiled: bool) -> None:
    """Where all gradients are alike, the steps of a layer are those of `natural` in another order, which seeds fix."""

    def uneven(state: State) -> None:
        for part in state.parameters.free["phi"]:
            part.value.copy_(torch.sin(torch.arange(part.value.numel())).view_as(part.value) - 3)
        respread(c.formulas, state.parameters, state.alive)

    found = {}
    for kind in ("natural", "natural_shuffled"):
        rule = f'optimizer={{kind="{kind}", learning_rate=0.01, learning_rate_phi=1e-12}}'
        quiet = (rule, "inference.magnitude=0")
        noise, sweep = 'noise={kind="heterogeneous"}', 'sweep={"cost.c"=[0.1, 1.0]}'
        c = cohort(registry, DIGITS, *quiet, noise, sweep, 'training.dtype="float32"')
        before, after = stepped(c, compiled, uneven)
        found[kind] = [b - a for a, b in zip(before.parameters.mu, after.parameters.mu, strict=True)]
    for layer, (plain, mixed) in enumerate(zip(*found.values(), strict=True)):
        order, sigma = c.others[layer], before.parameters.spreads[layer].sigma
        assert order.sort().values.equal(torch.arange(len(order))) and not order.equal(torch.arange(len(order)))
        rest = slice(3, None)  # with a gradient of 1
        wanted = -0.01 * c.data.examples * sigma.square()[:, order]
        torch.testing.assert_close(mixed[:, rest], wanted[:, rest], rtol=1e-3, atol=1e-6)
        same = {"rtol": 1e-3, "atol": 1e-6}
        torch.testing.assert_close((0 * plain - 0.01 * c.data.examples * sigma.square()).sort().values,
                                   wanted.sort().values, **same)  # fmt: skip
        torch.testing.assert_close(plain[:, rest], (-0.01 * c.data.examples * sigma.square())[:, rest], **same)
    alone = cohort(registry, DIGITS, quiet[0], noise)
    assert all(a.equal(b) for a, b in zip(alone.others, c.others, strict=True))
    other = cohort(registry, DIGITS, quiet[0], noise, "seeds=[1]")
    assert not other.others[0].equal(c.others[0]) and not cohort(registry, DIGITS, noise).others


@pytest.mark.parametrize("compiled", [False, True])
def test_gated_steps_are_those_of_the_published_rule(registry: Registry, compiled: bool) -> None:
    """Written out: p rises or falls by a share of 1 - p, unless it is frozen, and a mean moves by (1 - p) g."""
    rule = 'optimizer={kind="release_gated", learning_rate=0.05, threshold=0.01}'
    overrides = (rule, 'noise={kind="bernoulli", p_0=0.5}', 'cost={kind="quantal"}', "inference.magnitude=0")
    c = cohort(registry, DIGITS, *overrides, 'training.dtype="float32"')

    def several(state: State) -> None:
        for part in state.parameters.free["phi"]:
            p = torch.tensor([0.26, 0.5, 0.9, 0.94, 0.25]).repeat(part.value.numel())[: part.value.numel()]
            part.value.copy_(p.logit().view_as(part.value))
        mu, free = c.formulas.place(state.parameters)
        layers = [{"phi": t} for t in free["phi"]]
        for w, drawn in zip(state.weights, c.formulas.drawn(mu, layers, c.by_layer(state.xi)), strict=True):
            w.copy_(drawn)

    before, after = stepped(c, compiled, several)
    seen = set()
    for i, mu in enumerate(before.parameters.mu):
        g = torch.ones_like(mu)
        g[:, :3] = torch.tensor([1e-5, -2.0, 0.0])
        g = g * before.weights[i] / mu  # only what has released has a gradient: K / p
        p = before.parameters.free["phi"][i].value.sigmoid()
        torch.testing.assert_close(after.parameters.mu[i], mu - 0.05 * (1 - p) * g, rtol=1e-4, atol=1e-6)
        large = g.abs() >= 0.01
        moved = (p + (1 - p) * torch.where(large, 0.052, -0.0516)).clamp_min(0.25)
        wanted = torch.where(p >= 0.9353, p, moved)
        torch.testing.assert_close(after.parameters.free["phi"][i].value.sigmoid(), wanted, rtol=1e-4, atol=1e-6)
        seen |= {*zip(large.flatten().tolist(), (p >= 0.9353).flatten().tolist(), strict=True)}
    assert len(seen) == 4


def test_the_gradient_of_a_release_is_that_of_the_published_code(registry: Registry) -> None:
    """In the mean weight: the gradient at the drawn weight where a vesicle was released, over p; otherwise 0."""
    c = cohort(registry, DIGITS, 'noise={kind="bernoulli", p_0=0.3}', 'cost={kind="quantal"}')
    state = c.start()
    slopes = [torch.sin(torch.arange(w.numel(), dtype=w.dtype)).view_as(w) for w in state.weights]
    with torch.no_grad():
        loss, _ = gradients(c.formulas, state.parameters, slopes, c.by_layer(state.xi))
    for found, g, w in zip(loss[0], slopes, state.weights, strict=True):
        torch.testing.assert_close(found, torch.where(w != 0, g / 0.3, 0))
