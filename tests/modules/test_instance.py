"""A module that is trained already: where it starts, what identifies it, and what is refused."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

import ebayes
from ebayes_core.api.plugins import registry_of
from ebayes_core.errors import PluginError, UserError
from ebayes_core.modules.instance import digest, network_of
from ebayes_core.spec import loads
from tests.build import DIGITS, cohort, trained

SPEC = DIGITS.replace('{ kind = "mlp", hidden = [8, 6] }', '{ kind = "module" }').replace("epochs = 2", "epochs = 1")
HELD = ('training.means="held"', 'training.sigma="fixed_point"', "seeds=[0, 1]")


def mine(width: int = 7) -> nn.Module:
    torch.manual_seed(3)
    first = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.BatchNorm1d(width), nn.Dropout(), nn.Tanh())
    return nn.Sequential(first, nn.Linear(width, 10)).eval()


def test_every_seed_starts_at_the_weights_of_the_module_as_it_was() -> None:
    module = mine()
    cls, table = network_of(module)
    assert table == {"kind": "module"}
    expected = [p.detach().clone() for p in module.parameters()]
    with torch.no_grad():
        module[1].weight.zero_()
    registry = registry_of([cls])
    for seed in (0, 5):
        c = cohort(registry, SPEC, f"seeds=[{seed}]", *HELD[:2])
        state = trained(c, steps=3)
        for mean, p in zip(c.layered(state.parameters.mu), expected, strict=True):
            assert torch.equal(mean[0], p.double())


def test_a_digest_identifies_weights_constants_and_architecture() -> None:
    module = mine()
    known = digest(module)
    assert known == digest(deepcopy(module))
    changed = [deepcopy(module) for _ in range(5)]
    with torch.no_grad():
        changed[0][1].weight[3, 2] += 1e-6
        changed[1][0][2].running_mean[0] += 1
    changed[2][0][1].requires_grad_(False)
    changed[3][0][4] = nn.ReLU()
    changed[4].double()
    assert len({known, *map(digest, changed)}) == 6


def test_another_module_of_the_same_name_is_another_experiment() -> None:
    found = []
    for width in (7, 8):
        registry = registry_of([mine(width)])
        found.append(loads(SPEC, registry, folder="."))
    one, other = (experiment.members()[0] for experiment in found)
    assert one.setting.digest != other.setting.digest
    asked = f'network={{kind="module", digest="{one.member.network.digest}"}}'
    with pytest.raises(UserError, match="digest is .* and that of the module 'module' is"):
        loads(SPEC, registry, [asked], folder=".")


def test_a_results_file_opens_with_the_module_or_one_of_other_weights(tmp_path: Path) -> None:
    module = mine()
    x = torch.rand(5, 64)
    run = ebayes.run(
        SPEC, set={"training.means": "held", "training.dtype": "float32"}, out=tmp_path / "a.h5", plugins=[module],
        progress=False,
    )  # fmt: skip
    run.close()
    with torch.no_grad():
        expected, other = module(x), deepcopy(module)
        other[1].weight.zero_()
    for plugin in (module, other, network_of(module)[0]):
        with ebayes.open(tmp_path / "a.h5", plugins=[plugin]) as opened, torch.no_grad():
            torch.testing.assert_close(opened.module(0).mean()(x), expected)


def test_a_builder_is_called_for_each_seed() -> None:
    cls, _ = network_of(lambda inputs, outputs: nn.Sequential(nn.Flatten(), nn.Linear(64, *outputs)))
    starts = [cohort(registry_of([cls]), SPEC, f"seeds=[{seed}]").start().parameters.mu[0] for seed in (0, 1)]
    assert not torch.equal(*starts)


@pytest.mark.parametrize(
    "module, error, message",
    [
        (nn.Flatten(), UserError, "the module Flatten has no parameters that require a gradient"),
        (nn.Linear(64, 10).requires_grad_(False), UserError, r"call \.requires_grad_\(\)"),
        (3, UserError, "a network is a torch.nn.Module or a function"),
        (nn.Sequential(nn.Dropout(), nn.Linear(64, 10)), PluginError, r"draws random numbers.*call \.eval\(\)"),
        (nn.Sequential(nn.BatchNorm1d(64), nn.Linear(64, 10)), PluginError, r"its buffers 0.*call \.eval\(\)"),
        (nn.Linear(64, 9), UserError, r"outputs have shape \(10,\): its module returned outputs of shape \(9,\)"),
        (nn.Linear(63, 10), UserError, "does not fit the data set 'digits'.*shape"),
    ],
    ids=["none", "frozen", "number", "dropout", "batch norm", "outputs", "inputs"],
)
def test_what_cannot_be_a_network_is_refused(module: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cohort(registry_of([network_of(module)[0]]), SPEC).start()
