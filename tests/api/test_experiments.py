"""The same experiment from a path, a text, a dictionary, plugins and an experiment; and mistakes named."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from pydantic import Field

import ebayes
from ebayes_core import spec as specs
from ebayes_core.errors import PluginError, SpecError, UserError

TEXT = """# mine
name = "tiny"
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [4] }
training = { epochs = 2, batch_size = 100 }
[sweep]
"cost.c" = [0.1, 1.0]
"""
TABLE = {
    "name": "tiny", "dataset": {"kind": "digits"}, "network": {"kind": "mlp", "hidden": (4,)},
    "training": {"epochs": 2, "batch_size": np.int64(100)}, "sweep": {"cost.c": np.array([0.1, 1.0])}, "seeds": None,
}  # fmt: skip


class Glial(ebayes.Cost):
    """An invented cost."""

    kind: Literal["glial"] = "glial"
    kappa: float = Field(0.1, gt=0)

    def energy(self, sigma, mu):
        return self.kappa / sigma + mu.abs()


def test_every_form_is_the_same_experiment(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(TEXT, encoding="utf-8")
    forms = [path, str(path), TEXT, TABLE, ebayes.load(TEXT), ebayes.load(TEXT).parts]
    assert {specs.digest(ebayes.load(form).parts) for form in forms} == {specs.digest(ebayes.load(path).parts)}
    assert ebayes.load(path).text == TEXT
    assert list(ebayes.load(path).members["cost.c"]) == [0.1, 1.0]


@pytest.mark.parametrize("form", [TEXT, TABLE, ebayes.load(TEXT)], ids=["text", "table", "experiment"])
def test_set_takes_precedence(form) -> None:
    changed = ebayes.load(form, set={"training.epochs": 3, "cost": {"kind": "actin"}, "sweep.seed": np.arange(2)})
    assert changed.spec["training"]["epochs"] == 3 and changed.spec["cost"]["kind"] == "actin"
    assert len(changed.members) == 4


def test_a_plugin_in_python_needs_no_package() -> None:
    table = {**TABLE, "cost": Glial(kappa=0.5), "sweep": {"cost.kappa": [0.2, 0.5]}}
    experiment = ebayes.load(table)
    assert experiment.plugins == (Glial,) and experiment.spec["cost"] == {"kind": "glial", "kappa": 0.5}
    again = ebayes.load(experiment, set={"training.epochs": 1})
    assert [p.member.cost.kappa for p in again.parts.members()] == [0.2, 0.5]
    assert ebayes.load(TEXT, set={"cost.kind": "glial"}, plugins=[Glial]).spec["cost"]["kappa"] == 0.1


def test_mistakes_say_where() -> None:
    with pytest.raises(SpecError, match=r"\[training\] epochs: .*; did you mean|\[training\] epoch: unknown field"):
        ebayes.load(TEXT.replace("epochs", "epoch"))
    with pytest.raises(SpecError, match="there is no such file"):
        ebayes.load("nowhere.toml")
    with pytest.raises(SpecError, match=r"'glia'.*did you mean 'glial'"):
        ebayes.load(TEXT, set={"cost.kind": "glia"}, plugins=[Glial])
    with pytest.raises(UserError, match="neither a plugin's class nor a module"):
        ebayes.load(TEXT, plugins=["glial"])
    with pytest.raises(PluginError, match=r"must derive from one of ebayes\.Cost"):
        ebayes.load(TEXT, plugins=[dict])
